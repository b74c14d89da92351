package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/verify/reencode"
)

// jsonCarriers are JSON that has the event in it.
var jsonCarriers = []carrier{
	{
		"json_string", "a JSON string, with the body as its text",
		"Verify the string's content: something called JSON.stringify, json.dumps or the like on a body that was text already. Pass the text on as it is.",
		inJSON(func(v reencode.Value, _ clues) ([][]byte, bool) {
			text, ok := v.Text()
			return [][]byte{text}, ok
		}),
	},
	{
		"bytes_listed", "a list of bytes as numbers, as JavaScript writes a Buffer",
		"Pass the Buffer itself to the code that verifies, not JSON.stringify of it; buffer.toString(\"utf8\") makes text of it.",
		inJSON(listedBytes),
	},
	{
		"aws_event", "an event of AWS Lambda (from API Gateway, a function URL or a load balancer)",
		"Verify its member body: Buffer.from(event.body, event.isBase64Encoded ? \"base64\" : \"utf8\") in JavaScript; event[\"body\"] in Python, through base64.b64decode if event[\"isBase64Encoded\"]. A mapping template of API Gateway must not rewrite the body: use proxy integration.",
		inJSON(func(v reencode.Value, _ clues) ([][]byte, bool) {
			body, ok := v.Member("body")
			if !ok || !hasAny(v, "isBase64Encoded", "requestContext", "httpMethod", "rawPath", "routeKey", "multiValueHeaders") {
				return nil, false
			}
			return contents(body), true
		}),
	},
	{
		"queue_message", "a message of a queue or an event bus (SQS, SNS, EventBridge or Pub/Sub)",
		"Verify the text within: body of an SQS record, Message of SNS, data of Pub/Sub through base64. Send the raw body through the queue as text, and the header ElevenLabs-Signature with it.",
		inJSON(inQueue),
	},
	{
		"n8n_item", "an item of n8n, with the event as a parsed object in it",
		"In n8n's Webhook node, switch the option Raw Body on, and verify the binary data. JSON.stringify($json.body) is not what was signed.",
		inJSON(func(v reencode.Value, _ clues) ([][]byte, bool) {
			v = onlyItem(v)
			item, isItem := v.Member("json")
			if isItem && isEvent(item) {
				return contents(item), true
			}
			if isItem {
				v = item
			}
			body, ok := v.Member("body")
			known := isItem || hasAny(v, "webhookUrl", "executionMode") || hasAny(v, "params") && hasAny(v, "query")
			if !ok || !known {
				return nil, false
			}
			return contents(body), true
		}),
	},
	{
		"array_of_one", "an array with the event in it",
		"Verify the event as it was received, without the array that n8n, Zapier, Make and log shippers put around it. " + rawBodyRemedy,
		inJSON(func(v reencode.Value, _ clues) ([][]byte, bool) {
			items := v.Items()
			if !v.IsArray() || len(items) != 1 || !items[0].IsObject() {
				return nil, false
			}
			return [][]byte{items[0].Source()}, true
		}),
	},
	{
		"several_events", "several events, and a signature covers one",
		"Verify each event by itself, with its own header, before anything collects them into a batch or a file.",
		severalEvents,
	},
	{
		"data_stringified", "the event with its data as a JSON string",
		"Something called JSON.stringify or the like on a part of the body, as Zapier, Make and databases do. " + rawBodyRemedy,
		inJSON(func(v reencode.Value, _ clues) ([][]byte, bool) {
			data, _ := v.Member("data")
			text, isText := data.Text()
			inner, ok := reencode.Parse(text)
			if !isText || !ok || !inner.IsObject() {
				return nil, false
			}
			return [][]byte{reencode.Forms[0].Append(nil, v.With("data", inner))}, true
		}),
	},
	{
		"data_only", "only the event's data, without type and event_timestamp around it",
		"ElevenLabs signs the whole body, of which data is a part. " + rawBodyRemedy,
		inJSON(dataOnly),
	},
	{
		"event_wrapped", "an object with the event in one of its members",
		"Verify the event alone, as it was received. Something put an object around it, such as a gateway, a log or an automation tool. " + rawBodyRemedy,
		inJSON(func(v reencode.Value, _ clues) ([][]byte, bool) {
			if !v.IsObject() || isEvent(v) && !carriesEvent(v) {
				return nil, false
			}
			found := eventsWithin(v, 4)
			return found, len(found) > 0
		}),
	},
	{
		"members_added", "the event with other members beside type, event_timestamp and data",
		"Verify the body as it was received, before a framework or an automation tool adds to it. In Rails, params has members of its own; use request.raw_post. " + rawBodyRemedy,
		inJSON(func(v reencode.Value, _ clues) ([][]byte, bool) {
			if !isEvent(v) || carriesEvent(v) {
				return nil, false
			}
			envelope := v.Only("type", "event_timestamp", "data")
			if len(envelope.Items()) == len(v.Items()) {
				return nil, false
			}
			return [][]byte{reencode.Forms[0].Append(nil, envelope)}, true
		}),
	},
}

// inJSON opens carriers that are JSON.
func inJSON(open func(reencode.Value, clues) ([][]byte, bool)) func([]byte, clues) ([][]byte, bool) {
	return func(body []byte, k clues) ([][]byte, bool) {
		value, ok := k.json(body)
		if !ok {
			return nil, false
		}
		return open(value, k)
	}
}

func hasAny(v reencode.Value, names ...string) bool {
	for _, name := range names {
		if _, ok := v.Member(name); ok {
			return true
		}
	}
	return false
}

// onlyItem returns the only item of an array, and other values as they are.
func onlyItem(v reencode.Value) reencode.Value {
	if items := v.Items(); v.IsArray() && len(items) == 1 {
		return items[0]
	}
	return v
}

// contents returns a string's text, also decoded from base64, or a value as written.
func contents(v reencode.Value) [][]byte {
	text, ok := v.Text()
	if !ok {
		return [][]byte{v.Source()}
	}
	if decoded, err := base64.StdEncoding.DecodeString(string(text)); err == nil {
		return [][]byte{decoded, text}
	}
	return [][]byte{text}
}

// listedBytes reads {"type":"Buffer","data":[123,…]}, [123,…] and {"0":123,…}.
func listedBytes(v reencode.Value, _ clues) ([][]byte, bool) {
	list := v
	if data, ok := v.Member("data"); ok && data.IsArray() {
		list = data
	} else if _, numbered := v.Member("0"); !v.IsArray() && !numbered {
		return nil, false
	}
	items := list.Items()
	body := make([]byte, 0, len(items))
	for _, item := range items {
		b, err := strconv.ParseUint(string(item.Source()), 10, 8)
		if err != nil {
			return nil, false
		}
		body = append(body, byte(b))
	}
	return [][]byte{body}, len(body) > 1
}

func inQueue(v reencode.Value, _ clues) ([][]byte, bool) {
	var found [][]byte
	add := func(v reencode.Value, path ...string) {
		for _, name := range path {
			member, ok := v.Member(name)
			if !ok {
				return
			}
			v = member
		}
		found = append(found, contents(v)...)
	}
	if records, ok := v.Member("Records"); ok {
		for _, record := range records.Items() {
			add(record, "body")
			add(record, "Sns", "Message")
			add(record, "kinesis", "data")
		}
	}
	if hasAny(v, "TopicArn", "SubscribeURL") {
		add(v, "Message")
	}
	if hasAny(v, "detail-type") {
		add(v, "detail")
	}
	if hasAny(v, "subscription") {
		add(v, "message", "data")
	}
	if hasAny(v, "ReceiptHandle") {
		add(v, "Body")
	}
	return found, len(found) > 0
}

// dataOnly puts an envelope around data. ElevenLabs signs an event in the second
// of its event_timestamp, or a little later.
func dataOnly(v reencode.Value, k clues) ([][]byte, bool) {
	if !hasAny(v, "conversation_id", "agent_id", "transcription") || hasAny(v, "type", "data", "body") {
		return nil, false
	}
	eventType := "post_call_transcription"
	switch {
	case hasAny(v, "full_audio"):
		eventType = "post_call_audio"
	case hasAny(v, "failure_reason"):
		eventType = "call_initiation_failure"
	case hasAny(v, "transcription"):
		eventType = "speech_to_text_transcription"
	}
	at, err := strconv.ParseInt(k.time, 10, 64)
	if err != nil {
		return nil, true
	}
	var found [][]byte
	for earlier := range int64(4) {
		found = append(found, fmt.Appendf(nil, `{"type": %q, "event_timestamp": %d, "data": %s}`, eventType, at-earlier, v.Source()))
	}
	return found, true
}

// eventsWithin returns the events in an object, as values or in strings.
func eventsWithin(v reencode.Value, depth int) [][]byte {
	var found [][]byte
	for _, item := range v.Items() {
		if text, ok := item.Text(); ok {
			for _, content := range contents(item) {
				if inner, ok := reencode.Parse(content); ok && isEvent(inner) {
					found = append(found, text, content)
				}
			}
			continue
		}
		if isEvent(item) {
			found = append(found, item.Source())
		} else if depth > 0 {
			found = append(found, eventsWithin(item, depth-1)...)
		}
	}
	return found
}

// carriesEvent reports whether an object with the envelope of an event is that of
// another service, such as a CloudEvent.
func carriesEvent(v reencode.Value) bool {
	data, _ := v.Member("data")
	return isEvent(data) || hasAny(v, "specversion", "data_base64")
}

// severalEvents opens an array of events, or events after each other.
func severalEvents(body []byte, k clues) ([][]byte, bool) {
	if value, ok := k.json(body); ok && !value.IsArray() {
		return nil, false
	}
	var found [][]byte
	for decoder := json.NewDecoder(bytes.NewReader(body)); len(found) < 100; {
		var one json.RawMessage
		if decoder.Decode(&one) != nil {
			break
		}
		value, ok := reencode.Parse(one)
		items := []reencode.Value{value}
		if value.IsArray() {
			items = value.Items()
		}
		for _, item := range items {
			if !ok || !isEvent(item) {
				return nil, false
			}
			found = append(found, item.Source())
		}
	}
	return found, len(found) > 1
}

// escapedJSON opens the text of a JSON string that has lost its quotes, or its end.
func escapedJSON(body []byte, k clues) ([][]byte, bool) {
	text := strings.TrimSpace(string(body))
	if !k.isJSON(body) {
		text = strings.TrimPrefix(text, `"`)
	}
	if !strings.HasPrefix(text, `{\"`) {
		return nil, false
	}
	var inner string
	if json.Unmarshal([]byte(`"`+text+`"`), &inner) != nil {
		return nil, true
	}
	return [][]byte{[]byte(inner)}, true
}
