package cli

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
)

// headerFlags say which headers go with each delivery.
type headerFlags struct {
	w     *workspace
	lines []string
	file  string
}

// headerFlags adds the flags, of which `more` tells more in --help.
func (w *workspace) headerFlags(cmd *cobra.Command, more string) *headerFlags {
	h := &headerFlags{w: w}
	cmd.Flags().StringArrayVar(&h.lines, "header", nil, "send this `name=value` as a header with each delivery; may be repeated. It is not signed, and other users of this machine can see it: give by --header-file what is secret"+more)
	cmd.Flags().StringVar(&h.file, "header-file", "", "send also the headers in this `file`, as lines \"Name: value\"; - for standard input")
	return h
}

// given is whether there are any.
func (h *headerFlags) given(cmd *cobra.Command) bool {
	return cmd.Flags().Changed("header") || cmd.Flags().Changed("header-file")
}

// headerName is a token by RFC 9110, section 5.6.2.
var headerName = regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]+$")

// read returns the headers by their names, nil if none are given. Their values
// may be secrets, and stand in no error.
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
		if h.file == "-" && h.w.apiKey.FromStdin() {
			return nil, cmdutil.ErrStdinTwice
		}
		text, err := cmdutil.ReadFile(cmd, h.file)
		if err != nil {
			return nil, fmt.Errorf("reading --header-file: %w", err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if line = strings.TrimSpace(line); line != "" && !add(line, ":") {
				return nil, fmt.Errorf("line %d of --header-file is to be `Name: value`, as it may stand in an HTTP header", i+1)
			}
		}
		if len(headers) == 0 {
			return nil, errors.New("there is no header in --header-file")
		}
	}
	for _, line := range h.lines {
		if !add(line, "=") {
			return nil, errors.New("--header is to be name=value, as they may stand in an HTTP header")
		}
	}
	return headers, nil
}

// withHeaderNames returns settings of a webhook for printing: without the values
// of its headers.
func withHeaderNames(settings extras) extras {
	const key = "request_headers"
	value, told := settings[key]
	if !told || string(value) == "null" {
		return settings
	}
	var headers map[string]json.RawMessage
	var names []string // null of what is no object
	if json.Unmarshal(value, &headers) == nil {
		names = slices.AppendSeq([]string{}, maps.Keys(headers))
		slices.Sort(names)
	}
	shown := maps.Clone(settings)
	shown[key], _ = json.Marshal(names) // of strings
	return shown
}
