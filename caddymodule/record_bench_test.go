package caddymodule

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

// BenchmarkRecord measures the record of an accepted event: the log of deliveries and
// its followers, the status, and all metrics.
func BenchmarkRecord(b *testing.B) {
	for followers := range 2 {
		b.Run(fmt.Sprintf("followers=%d", followers), func(b *testing.B) {
			h, _ := provision(b, &Handler{})
			h.proxy = discard{}
			w := discard{http.Header{}}
			r := caddyhttp.PrepareRequest(newRequest(transcript), caddy.NewReplacer(), w, nil)
			caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "34.67.146.145")
			if err := h.ServeHTTP(w, r, nil); err != nil {
				b.Fatal(err)
			}
			e := eventOf(r.Context())
			var followed <-chan deliveries.Delivery
			if followers > 0 {
				_, follower := deliveryLog.Follow(deliveries.Filter{})
				defer deliveryLog.Unfollow(follower)
				followed = follower.C
			}
			b.ReportAllocs()
			for b.Loop() {
				h.record(r, e)
				if followed != nil {
					<-followed // otherwise the log would drop the follower
				}
			}
		})
	}
}
