// Package cli is the command line `caddy elevenlabs`. It knows nothing of Caddy:
// what it needs of it comes in a Host.
package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// Short and Long describe the command that the others stand under.
const (
	Short = "Tests, explains and manages ElevenLabs webhooks"
	Long  = `Tests, explains and manages ElevenLabs webhooks.

Every command takes --json, for one JSON object a line on standard output.

Exit codes: 0, all is as expected; 1, the command was used wrongly or could not
begin; 2, the check failed: the output says what and why.

Signing secrets and API keys are never given as arguments, where other users of
the machine could see them: they come from an environment variable, a file, or
standard input ("-").`
)

// Host is what the commands need of the program that they are part of.
type Host struct {
	// Now is the clock.
	Now func() time.Time
	// Inspect reads a configuration file as Caddy does, without starting
	// anything. Without an adapter's name it goes by the file's.
	Inspect func(file, adapter string) Config
	// Admin asks the admin endpoint of a running Caddy, at an address or at that
	// of a configuration file. What is answered 400 and above is an error.
	Admin func(address, file, adapter, uri string, header http.Header) (*http.Response, error)

	// api carries requests to ElevenLabs's API; nil but for tests.
	api http.RoundTripper
}

const examples = `  caddy elevenlabs send https://hooks.example.com/webhooks/elevenlabs --all
  caddy elevenlabs verify --explain <captured.http
  caddy elevenlabs doctor --config /etc/caddy/Caddyfile
  caddy elevenlabs webhooks list`

// AddCommands puts the commands under their parent.
func AddCommands(parent *cobra.Command, host Host) {
	group(parent)
	parent.Example = examples
	parent.PersistentFlags().Bool("json", false, "print JSON, one object a line")
	parent.AddCommand(
		sendCommand(host),
		signCommand(host),
		verifyCommand(host),
		doctorCommand(host),
		statusCommand(host),
		tailCommand(host),
		webhooksCommand(host),
	)
}

// group makes a command that only holds others. To call it by itself, or with a
// subcommand that does not exist, is an error: cobra would print help and exit 0.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.DisableFlagParsing = true // they belong to the unknown subcommand, --help among them
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		words := slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.HasPrefix(arg, "-") })
		if len(words) == 0 && (slices.Contains(args, "--help") || slices.Contains(args, "-h")) {
			return cmd.Help()
		}
		if len(words) > 0 && words[0] == "help" {
			about, unknown, err := cmd.Find(words[1:])
			if err == nil && len(unknown) == 0 {
				return about.Help()
			}
			words = unknown
		}
		var names []string
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "help" {
				names = append(names, sub.Name())
			}
		}
		what := "which command?"
		if len(words) > 0 {
			what = fmt.Sprintf("there is no command %q:", words[0])
		}
		return fmt.Errorf("%s say one of %s; `%s --help` tells more", what, strings.Join(names, ", "), cmd.CommandPath())
	}
}

// oneArgument wants exactly one.
func oneArgument(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("give one argument, not %d: %s", len(args), cmd.UseLine())
	}
	return nil
}

// refuseEmpty refuses flags that are given, but empty, as "$NAME" is where NAME is
// not set: what is done without the flag is not what was meant.
func refuseEmpty(cmd *cobra.Command, flags ...string) error {
	for _, name := range flags {
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			return fmt.Errorf("--%s is given, but empty: say what it is to be, or leave it out", name)
		}
	}
	return nil
}

// errCheckFailed is the error, wrapped or not, of a command that did its work
// and found something wrong. The output has said what.
var errCheckFailed = errors.New("check failed")

// ExitCode returns the exit code for a command's error.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errCheckFailed):
		return 2
	}
	return 1
}

// wantsJSON is whether the command was called with --json.
func wantsJSON(cmd *cobra.Command) bool {
	yes, err := cmd.Flags().GetBool("json")
	return err == nil && yes
}

// printJSON prints a value as one line.
func printJSON(cmd *cobra.Command, value any) error {
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// newTable makes a table, to which rows are written with tabs between their
// cells, and which is printed by Flush.
func newTable(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
}
