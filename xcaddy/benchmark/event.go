package main

import (
	"bytes"
	"slices"
	"strings"
)

// transcript returns a post_call_transcription of about n bytes in the documented
// shape, with its names in the documented or in the reversed order.
func transcript(n int, reversed bool) []byte {
	const turn = `{"role":"user","message":"I would like to move my appointment to next Tuesday, please. Is \"half past nine\" still free?","tool_calls":[],"tool_results":[],"feedback":null,"time_in_call_secs":12,"conversation_turn_metrics":{"metrics":{"convai_llm_service_ttfb":{"elapsed_time":0.3704247010173276}}}}`
	var turns bytes.Buffer
	for turns.Len() < n-450 {
		if turns.Len() > 0 {
			turns.WriteByte(',')
		}
		turns.WriteString(turn)
	}
	members := []string{ // the members of data, in the order of https://elevenlabs.io/docs/eleven-agents/workflows/post-call-webhooks
		`"agent_id":"agent_01jz"`, `"conversation_id":"conv_01jz"`, `"status":"done"`, `"user_id":"user_01jz"`,
		`"transcript":[` + turns.String() + `]`,
		`"metadata":{"start_time_unix_secs":1739537297,"call_duration_secs":22,"cost":296}`,
		`"analysis":{"call_successful":"success"}`,
	}
	event := []string{`"type":"post_call_transcription"`, `"event_timestamp":1739537297`}
	if reversed {
		slices.Reverse(members)
		event = []string{`"data":{` + strings.Join(members, ",") + `}`, event[1], event[0]}
	} else {
		event = append(event, `"data":{`+strings.Join(members, ",")+`}`)
	}
	return []byte("{" + strings.Join(event, ",") + "}")
}

// audio returns a post_call_audio of about n bytes.
func audio(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"type":"post_call_audio","event_timestamp":1739537319,"data":{"agent_id":"agent_01jz","conversation_id":"conv_01jz","full_audio":"`)
	for b.Len() < n {
		b.WriteString("SUQzBAAAAAAAI1RTU0UAAAAPAAADTGF2ZjU4Ljc2LjEwMAAAAAAAAAAAAAAA")
	}
	b.WriteString(`"}}`)
	return b.Bytes()
}
