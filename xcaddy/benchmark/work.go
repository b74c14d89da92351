package main

import (
	"io"
	"net/http"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

const secret = "wsec_benchmark"

// work is one kind of request.
type work struct {
	name        string
	body        []byte
	chunked     bool // ElevenLabs sends audio chunked
	concurrency int
	key         string // signs the body; empty if the request is unsigned
	status      int    // the expected answer of a contender that verifies
}

func works() []work {
	return []work{
		{"2 KiB", transcript(2<<10, false), false, 8, secret, 200},
		{"16 KiB", transcript(16<<10, false), false, 8, secret, 200},
		{"128 KiB", transcript(128<<10, false), false, 8, secret, 200},
		{"128 KiB reversed", transcript(128<<10, true), false, 8, secret, 200},
		{"8 MiB", audio(8 << 20), true, 4, secret, 200},
		{"64 MiB", audio(64 << 20), true, 1, secret, 200},
		{"64 MiB, 16 at once", audio(64 << 20), true, 16, secret, 200},
		{"unsigned", transcript(16<<10, false), false, 8, "", 400},
		{"forged", transcript(16<<10, false), false, 8, "wsec_other", 401},
	}
}

// request returns a new request of this kind.
func (w work) request(url string) *http.Request {
	body := io.Reader(&repeatable{b: w.body})
	request, err := http.NewRequest(http.MethodPost, url, body)
	check(err)
	if !w.chunked {
		request.ContentLength = int64(len(w.body))
	}
	request.Header.Set("Content-Type", "application/json")
	if w.key != "" {
		request.Header.Set(signature.HeaderName, w.header())
	}
	return request
}

var signed = map[string]string{}

// sign prepares the header, so that the sender does not hash while it measures.
func (w work) sign() {
	if w.key != "" {
		signed[w.name] = signature.Sign([]byte(w.key), time.Now(), w.body)
	}
}

func (w work) header() string { return signed[w.name] }

// repeatable hides the type of its reader from net/http, which would read the
// length from a bytes.Reader.
type repeatable struct{ b []byte }

func (r *repeatable) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}
