package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// images is the folder of the documentation's screenshots.
const images = repository + "/docs/images"

// maxImage is how large a screenshot is at most.
const maxImage = 150 << 10

// Each page as the documentation shows it. With -update, the screenshots are taken anew.
func TestInspectorIsAsTheScreenshotsInTheDocumentation(t *testing.T) {
	t.Parallel()
	l := newInboxLedger(t)
	s := start(t, inspectedSite(l.backend(func(w http.ResponseWriter, r *http.Request, n int) int {
		if r.Header.Get("X-ElevenLabs-Event-Type") != "post_call_audio" && r.Header.Get("X-ElevenLabs-Conversation-ID") != "conv_01k3_moved" {
			return http.StatusOK
		}
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, "the booking system is being updated")
		return 0
	}), newInboxFile(t), "retry 200ms 1h", ""))
	s.awaitInbox()
	wav, _ := tone(83)
	call := []byte(strings.NewReplacer("conv_booking", "conv_01k3_tables", "agent_tables", "agent_01k2_tables").Replace(callEvent))
	named := func(body []byte, id string) []byte {
		return []byte(strings.NewReplacer("conv_tone", "conv_01k3_"+id, "conv_booking", "conv_01k3_"+id, "agent_tables", "agent_01k2_tables").Replace(string(body)))
	}
	failed := []byte(`{"type": "call_initiation_failure", "data": {"agent_id": "agent_01k2_tables", "conversation_id": "conv_01k3_busy", "failure_reason": "busy"}}`)
	recording := named(wav, "tables")
	s.sendEvents(named([]byte(callEvent), "lunch"), named([]byte(callEvent), "moved"), failed, named([]byte(callEvent), "birthday"), recording, call)
	client := s.client("HTTP/1.1")
	send(t, client, s.signed([]byte(transcript), "wsec_other", time.Now()))
	send(t, client, s.signed([]byte(transcript), secret, time.Now().Add(-24*time.Hour)))
	s.eventually("each event to be tried", func() bool {
		all := s.storedEvents()
		return len(all) == 6 && !slices.ContainsFunc(all, func(e shownEvent) bool {
			return e.State == "delivering" || e.State == "waiting" && e.Attempts < 2
		})
	})
	got := s.postForm("/discard", map[string][]string{"event": {fmt.Sprint(s.seqOf(named([]byte(callEvent), "moved")))}})
	require.Equal(t, http.StatusSeeOther, got.status, got.body)

	p := newTab(t, s)
	_, err := chromedp.Call(p.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "UTC"})
	require.NoError(t, err)
	for _, test := range []struct {
		name, path    string
		width, height int64
		scheme        string
	}{
		{"overview", "/", 1000, 1040, "light"},
		{"list", "/events", 1000, 640, "light"},
		{"event", s.pathOf(call), 1000, 1250, "light"},
		{"audio", s.pathOf(recording), 1000, 860, "light"},
		{"deliveries", "/deliveries", 1000, 640, "light"},
		{"phone", "/events", 400, 800, "light"},
		{"dark", "/", 1000, 800, "dark"},
	} {
		p.colors(test.scheme)
		p.do(chromedp.EmulateViewport(test.width, test.height))
		p.open(test.path)
		p.await("the page", "!document.querySelector('audio') || document.querySelector('audio').readyState >= 1")
		shot, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		require.NoError(t, err)
		shot = withPalette(t, shot)
		assert.Less(t, len(shot), maxImage, test.name)
		file := filepath.Join(images, "inspector-"+test.name+".png")
		if *update {
			require.NoError(t, os.MkdirAll(images, 0o755))
			require.NoError(t, os.WriteFile(file, shot, 0o644))
		}
		assert.FileExists(t, file, "run this test with -update")
		assert.Contains(t, readPage(t, "docs/inspector.md").prose, "images/inspector-"+test.name+".png")
	}
	p.requireQuiet()
}

// withPalette writes an image with at most 256 colors, the most frequent ones.
func withPalette(t testing.TB, file []byte) []byte {
	t.Helper()
	shot, err := png.Decode(bytes.NewReader(file))
	require.NoError(t, err)
	bounds, counts := shot.Bounds(), map[color.Color]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[shot.At(x, y)]++
		}
	}
	palette := make(color.Palette, 0, len(counts))
	for c := range counts {
		palette = append(palette, c)
	}
	slices.SortFunc(palette, func(a, b color.Color) int { return counts[b] - counts[a] })
	palette = palette[:min(256, len(palette))]
	small := image.NewPaletted(bounds, palette)
	nearest := map[color.Color]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := shot.At(x, y)
			index, known := nearest[c]
			if !known {
				index = uint8(palette.Index(c))
				nearest[c] = index
			}
			small.SetColorIndex(x, y, index)
		}
	}
	var out bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small))
	return out.Bytes()
}
