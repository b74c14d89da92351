package webhooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/workspace"
)

// headerFlags say which headers ElevenLabs sends with each delivery.
type headerFlags struct {
	w     *workspace.Workspace
	lines []string
	file  string
}

// addHeaderFlags adds the flags. The text `more` ends the help of --header.
func addHeaderFlags(cmd *cobra.Command, w *workspace.Workspace, more string) *headerFlags {
	h := &headerFlags{w: w}
	cmd.Flags().StringArrayVar(&h.lines, "header", nil, "send this `name=value` as a header with each delivery; may be repeated. It is not signed, and other users of this machine can see it: put secret values into --header-file"+more)
	cmd.Flags().StringVar(&h.file, "header-file", "", "also send the headers in this `file`, as lines \"Name: value\"; - for standard input")
	return h
}

// given reports whether a flag names headers.
func (h *headerFlags) given(cmd *cobra.Command) bool {
	return cmd.Flags().Changed("header") || cmd.Flags().Changed("header-file")
}

// headerName is a token by RFC 9110, section 5.6.2.
var headerName = regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]+$")

// read returns the headers by their names, or nil if no flag names any. Their values
// may be secret, and no error contains them.
func (h *headerFlags) read(cmd *cobra.Command) (map[string]string, error) {
	if !h.given(cmd) {
		return nil, nil
	}
	if err := cmdutil.RejectEmpty(cmd, "header-file"); err != nil {
		return nil, err
	}
	headers := map[string]string{}
	add := func(line, separator string) bool {
		name, value, found := strings.Cut(line, separator)
		if separator == ":" {
			value = strings.TrimSpace(value)
		}
		headers[name] = value
		return found && headerName.MatchString(name) && !strings.ContainsFunc(value, unicode.IsControl)
	}
	if cmd.Flags().Changed("header-file") {
		if h.file == "-" && h.w.APIKey.FromStdin() {
			return nil, cmdutil.ErrStdinTwice
		}
		text, err := cmdutil.ReadFile(cmd, h.file)
		if err != nil {
			return nil, fmt.Errorf("reading --header-file: %w", err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if line = strings.TrimSpace(line); line != "" && !add(line, ":") {
				return nil, fmt.Errorf("line %d of --header-file must be `Name: value`, as in an HTTP header", i+1)
			}
		}
		if len(headers) == 0 {
			return nil, errors.New("there is no header in --header-file")
		}
	}
	for _, line := range h.lines {
		if !add(line, "=") {
			return nil, errors.New("--header must be name=value, as an HTTP header can have them")
		}
	}
	return headers, nil
}

// hideHeaderValues returns settings of a webhook without the values of its headers.
func hideHeaderValues(settings workspace.Extras) workspace.Extras {
	const key = "request_headers"
	value, ok := settings[key]
	if !ok || string(value) == "null" {
		return settings
	}
	var headers map[string]json.RawMessage
	var names []string // null if the value is no object
	if json.Unmarshal(value, &headers) == nil {
		names = slices.AppendSeq([]string{}, maps.Keys(headers))
		slices.Sort(names)
	}
	shown := maps.Clone(settings)
	shown[key], _ = json.Marshal(names) // an array of strings
	return shown
}
