package elevenlabs

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Error is an answer of ElevenLabs other than success.
type Error struct {
	Status     int    // of HTTP
	Code       string // ElevenLabs's own, such as missing_permissions; empty if it names none
	Message    string // ElevenLabs's own
	Permission string // that ElevenLabs says the API key lacks; empty if it does not say

	believed   string // the permission that the operation is believed to take
	retryAfter *time.Duration
}

// ErrUnknown is an error, wrapped, after which it is not known whether there is a
// new webhook. If there is, its secret is lost.
var ErrUnknown = errors.New("ElevenLabs may have done it all the same")

// Error says what ElevenLabs said, and what the API key lacks.
func (e *Error) Error() string {
	text := fmt.Sprintf("ElevenLabs answered %d", e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	text += ": " + e.Message
	switch {
	case e.Permission != "":
		text += fmt.Sprintf(" (give the API key the permission %s)", e.Permission)
	case e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized && e.Code == missingPermissions:
		text += " (the API key lacks a permission"
		if e.believed != "" {
			text += ", probably " + e.believed
		}
		text += ", or its owner is no administrator)"
	}
	if e.retryAfter != nil {
		text += fmt.Sprintf(" (it asks to come again in %s)", e.retryAfter.Round(time.Second))
	}
	return text
}

const missingPermissions = "missing_permissions"

var (
	permission    = regexp.MustCompile(`missing the permission (\w+)`)
	signingSecret = regexp.MustCompile(`wsec_\w+`)
)

// newError reads an answer that tells of an error. ElevenLabs has several shapes
// for them; what stands in front of it, such as a proxy, has its own.
func (c *Client) newError(response *http.Response, body []byte, believed string) *Error {
	e := &Error{Status: response.StatusCode, believed: believed, retryAfter: retryAfter(response.Header)}
	var outer struct {
		Detail json.RawMessage `json:"detail"`
	}
	detail := body
	if json.Unmarshal(body, &outer) == nil && outer.Detail != nil {
		detail = outer.Detail
	}
	var object struct{ Status, Code, Message string }
	var list []struct {
		Loc []any
		Msg string
	}
	switch {
	case response.StatusCode/100 == 3:
		e.Message = "a redirect, which is not followed, since the API key would go along"
		if to, err := response.Location(); err == nil {
			e.Message += ", to " + (&url.URL{Scheme: to.Scheme, Host: to.Host}).String()
		}
	case json.Unmarshal(detail, &e.Message) == nil:
	case json.Unmarshal(detail, &object) == nil && object.Message != "":
		e.Code, e.Message = cmp.Or(object.Status, object.Code), object.Message
	case json.Unmarshal(detail, &list) == nil && len(list) > 0:
		problems := make([]string, 0, len(list))
		for _, problem := range list {
			at := make([]string, 0, len(problem.Loc))
			for _, part := range problem.Loc {
				at = append(at, fmt.Sprint(part))
			}
			problems = append(problems, strings.Join(at, ".")+": "+problem.Msg)
		}
		e.Message = strings.Join(problems, "; ")
	default:
		e.Message = string(body)
	}
	e.Code = c.presentable(e.Code)
	e.Message = cmp.Or(c.presentable(e.Message), http.StatusText(e.Status), "no message")
	if named := permission.FindStringSubmatch(e.Message); named != nil {
		e.Permission = named[1]
	}
	return e
}

// presentable makes a line of a text that comes from elsewhere, without control
// characters and secrets.
func (c *Client) presentable(text string) string {
	const limit = 500
	text = strings.ReplaceAll(text, c.key, "(API key)")
	text = signingSecret.ReplaceAllString(text, "(signing secret)")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }), " ")
	if runes := []rune(text); len(runes) > limit {
		text = string(runes[:limit]) + "…"
	}
	return text
}

// retryAfter returns the time to wait that an answer asks for, if it does
// (RFC 9110, section 10.2.3).
func retryAfter(header http.Header) *time.Duration {
	value := header.Get("Retry-After")
	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		wait = time.Duration(seconds) * time.Second //nolint:gosec // 31 bits
	} else if at, err := http.ParseTime(value); err == nil {
		wait = max(0, time.Until(at))
	} else {
		return nil
	}
	return &wait
}
