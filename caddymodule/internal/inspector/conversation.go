package inspector

import (
	"strconv"
	"time"
)

// conversation is a transcript for reading.
type conversation struct {
	Title, Summary string
	// Facts are names and values, such as how long the call was.
	Facts [][2]string
	Turns []turn
	// More is how many turns are left out.
	More int
}

// maxTurns is how many turns are shown. An hour has about 600. A browser takes seconds to
// lay out many thousands.
const maxTurns = 1000

// turn is what one side said, and the tools that the agent called.
type turn struct {
	Role        string
	At          string // since the call began, as in 1:05
	Message     string
	Interrupted bool
	Tools       []tool
}

// tool is the call of a tool, or its result.
type tool struct {
	Name, Text string
	Result     bool
	Failed     bool
}

// readConversation returns the conversation in the body of an event, or nil if there is
// none. The names are those of ElevenLabs' post-call transcripts.
func readConversation(root *node) *conversation {
	data := root.at("data")
	if data.at("transcript").Kind != "array" {
		return nil
	}
	c := &conversation{
		Title:   data.at("analysis", "call_summary_title").text(),
		Summary: data.at("analysis", "transcript_summary").text(),
	}
	add := func(name, value string) {
		if value != "" {
			c.Facts = append(c.Facts, [2]string{name, value})
		}
	}
	add("status", data.at("status").text())
	add("result", data.at("analysis", "call_successful").text())
	add("duration", minutes(data.at("metadata", "call_duration_secs").text()))
	add("began", startTime(data.at("metadata", "start_time_unix_secs").text()))
	add("direction", data.at("metadata", "phone_call", "direction").text())
	add("language", data.at("metadata", "main_language").text())
	add("ended by", data.at("metadata", "termination_reason").text())
	add("error", data.at("metadata", "error", "reason").text())
	turns := data.at("transcript").Children
	shown := turns[:min(len(turns), maxTurns)]
	c.More = len(turns) - len(shown)
	for _, t := range shown {
		c.Turns = append(c.Turns, readTurn(t))
	}
	return c
}

func readTurn(n *node) turn {
	t := turn{
		Role: n.at("role").text(), At: minutes(n.at("time_in_call_secs").text()), Message: n.at("message").text(),
		Interrupted: n.at("interrupted").Text == "true",
	}
	for _, call := range n.at("tool_calls").Children {
		t.Tools = append(t.Tools, tool{Name: call.at("tool_name").text(), Text: call.at("params_as_json").text()})
	}
	for _, result := range n.at("tool_results").Children {
		t.Tools = append(t.Tools, tool{
			Name: result.at("tool_name").text(), Text: result.at("result_value").text(),
			Result: true, Failed: result.at("is_error").Text == "true",
		})
	}
	return t
}

// minutes writes seconds as minutes and seconds.
func minutes(text string) string {
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || seconds < 0 || seconds > 1e6 {
		return ""
	}
	whole := int(seconds)
	return strconv.Itoa(whole/60) + ":" + strconv.Itoa(whole%60/10) + strconv.Itoa(whole%10)
}

func startTime(text string) string {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04:05 UTC")
}
