package elevenlabs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// Error is an answer of ElevenLabs with a status other than 2xx. Its texts have no
// secrets and no control characters.
type Error struct {
	Status     int    // the HTTP status
	Code       string // ElevenLabs's code, such as missing_permissions, or empty
	Message    string // ElevenLabs's message, at most 500 characters
	Permission string // the permission that the API key lacks, if ElevenLabs names it

	probablyLacks string // the permission that the operation probably needs
	retryAfter    *time.Duration
}

// ErrUnknown is wrapped by the error of a create after which nobody knows whether the
// webhook exists. If it does, its secret is lost.
var ErrUnknown = errors.New("ElevenLabs may have done it all the same")

// Error returns ElevenLabs's message, and the permission that the API key lacks.
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
		if e.probablyLacks != "" {
			text += ", probably " + e.probablyLacks
		}
		text += ", or its owner is no administrator)"
	}
	if e.retryAfter != nil {
		text += fmt.Sprintf(" (ElevenLabs asks to retry after %s)", e.retryAfter.Round(time.Second))
	}
	return text
}

// ConcernsAll reports whether an error of one request will be that of others too: the API
// key is wrong, or ElevenLabs limits the rate.
func ConcernsAll(err error) bool {
	answered, ok := errors.AsType[*Error](err)
	return ok && (answered.Status == http.StatusUnauthorized || answered.Status == http.StatusTooManyRequests) || isCertificate(err)
}

const missingPermissions = "missing_permissions"

var permissionPattern = regexp.MustCompile(`missing the permission (\w+)`)

// newError reads an answer with a status other than 2xx. The body has one of several
// shapes from ElevenLabs, or another shape if a proxy in front answered.
func (c *Client) newError(response *http.Response, body []byte, permission string) *Error {
	e := &Error{Status: response.StatusCode, probablyLacks: permission, retryAfter: retryAfter(response.Header)}
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
		e.Message = "a redirect, which the client does not follow, since it would send the API key along"
		if to, err := response.Location(); err == nil {
			e.Message += ", to " + (&url.URL{Scheme: to.Scheme, Host: to.Host}).String()
		}
	case json.Unmarshal(detail, &e.Message) == nil:
	case json.Unmarshal(detail, &object) == nil && object.Message != "":
		e.Code, e.Message = cmp.Or(object.Status, object.Code), object.Message
	case json.Unmarshal(detail, &list) == nil && len(list) > 0 && list[0].Msg != "":
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
		e.Message = plain(detail)
	}
	e.Code = c.presentable(e.Code)
	e.Message = cmp.Or(c.presentable(e.Message), http.StatusText(e.Status), "no message")
	if named := permissionPattern.FindStringSubmatch(e.Message); named != nil {
		e.Permission = named[1]
	}
	return e
}

// plain returns the values of JSON, each with the names that lead to it. Another text
// stays as it is.
func plain(text []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return string(text)
	}
	return strings.Join(leaves(nil, "", value), "; ")
}

// maxLeaves is more than a message shows.
const maxLeaves = 200

// leaves appends the values below a value. It leaves out null.
func leaves(to []string, name string, value any) []string {
	if len(to) == maxLeaves {
		return to
	}
	switch value := value.(type) {
	case nil:
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			to = leaves(to, strings.TrimPrefix(name+"."+key, "."), value[key])
		}
	case []any:
		for _, element := range value {
			to = leaves(to, name, element)
		}
	default:
		to = append(to, strings.TrimPrefix(fmt.Sprintf("%s: %v", name, value), ": "))
	}
	return to
}

// presentable makes one line of a text from elsewhere. It removes control characters,
// hides the API key and signing secrets, and cuts the text after 500 characters.
func (c *Client) presentable(text string) string {
	const limit = 500
	text = strings.ReplaceAll(text, c.key, "(API key)")
	text = facts.HideSecrets(text, "(signing secret)")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }), " ")
	if runes := []rune(text); len(runes) > limit {
		text = string(runes[:limit]) + "…"
	}
	return text
}

// retryAfter returns the time to wait from the header Retry-After, in seconds or as a
// date (RFC 9110, section 10.2.3). It returns nil if there is none, or another form.
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
