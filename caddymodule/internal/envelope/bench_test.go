package envelope

import (
	"bytes"
	"strings"
	"testing"
)

// benchmark scans a body in pieces of 32 KiB.
func benchmark(b *testing.B, body []byte) {
	b.Helper()
	var s Scanner
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		s.Reset()
		for rest := body; len(rest) > 0; {
			n := min(len(rest), 32<<10)
			_, _ = s.Write(rest[:n])
			rest = rest[n:]
		}
		if !s.Done() {
			b.Fatal("the scanner is not done at the end of the body")
		}
	}
}

// turns returns 128 KiB of the turns of a conversation.
func turns() string {
	const turn = `{"role":"user","agent_metadata":null,"message":"I would like to move my appointment to \"next\" Tuesday, please.","multivoice_message":null,"tool_calls":[],"tool_results":[],"feedback":null,"llm_override":null,"time_in_call_secs":12,"conversation_turn_metrics":{"metrics":{"convai_llm_service_ttfb":{"elapsed_time":0.37}}},"interrupted":false}`
	return strings.Repeat(turn+",", 128<<10/len(turn)) + turn
}

// The scanner does not read the body after the ids, so this throughput is that of a
// few hundred bytes.
func BenchmarkTranscriptInDocumentedOrder(b *testing.B) {
	benchmark(b, []byte(`{"type":"post_call_transcription","event_timestamp":1739537297,"data":{"agent_id":"agent_01","conversation_id":"conv_01","status":"done","transcript":[`+turns()+`]}}`))
}

func BenchmarkTranscriptReversed(b *testing.B) {
	benchmark(b, []byte(`{"data":{"transcript":[`+turns()+`],"status":"done","conversation_id":"conv_01","agent_id":"agent_01"},"event_timestamp":1739537297,"type":"post_call_transcription"}`))
}

func BenchmarkAudioReversed(b *testing.B) {
	var body bytes.Buffer
	audioFirst(&body, 8<<20)
	benchmark(b, body.Bytes())
}

// BenchmarkHostile shows that no body is much slower than others of its size.
func BenchmarkHostile(b *testing.B) {
	const size = 8 << 20
	of := func(before, piece, after string) []byte {
		return []byte(before + strings.Repeat(piece, size/len(piece)) + after)
	}
	for _, body := range []struct {
		name string
		body []byte
	}{
		{"escaped quotes", of(`{"a":"`, `\"`, `"}`)},
		{"escaped backslashes", of(`{"a":"`, `\\`, `"}`)},
		{"empty strings", of(`{"a":[`, `"",`, `""]}`)},
		{"long name", of(`{"`, `k`, `":1}`)},
		{"long type in escapes", of(`{"type":"`, `\u0041`, `"}`)},
		{"many members", of(`{`, `"a":1,`, `"a":1}`)},
		{"many data", of(`{`, `"data":{},`, `"a":1}`)},
		{"long number", of(`{"event_timestamp":`, `1`, `}`)},
		{"brackets", of(`{"a":[`, `[]`, `]}`)},
	} {
		b.Run(body.name, func(b *testing.B) { benchmark(b, body.body) })
	}
}
