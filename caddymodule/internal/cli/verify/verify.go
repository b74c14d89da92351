// Package verify has the command `verify`, which verifies a captured webhook and
// explains why it does not verify.
package verify

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// options are the options of `verify`.
type options struct {
	env    cmdutil.Env
	secret *cmdutil.Credential

	file                                    string // of the whole request; "-" for standard input
	bodyFile, header, headerFile, tolerance string
	explain                                 bool
}

// NewCmdVerify returns the command `verify`.
func NewCmdVerify(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [<captured request>|-] [--explain]",
		Short: "Verifies a captured webhook, and explains what is wrong with it",
		Long: `Verifies a captured webhook: a file with a whole HTTP request, which may also come
on standard input, or a body and the value of its ElevenLabs-Signature header. Prints
"pass", or the reason for which elevenlabs_webhook rejects such a request.

With --explain it looks for the one change with which the signature would match,
such as a line end in the secret, or a body that JavaScript parsed and encoded again,
and names the remedy.

The file may also be the JSON of an AWS Lambda event, with the headers in it.

Most captures are older than the tolerance: --at verifies as of another time.

The exit code is 0 for a pass, and 2 for a rejection. The command never prints a
secret, nor a signature that it computed.`,
		Example: `  caddy elevenlabs verify --explain captured.http
  caddy elevenlabs verify --explain --body body.json --header 't=1795421654,v0=5c2f…'
  caddy elevenlabs verify --at 2026-11-20T10:00:00Z --secret-file secret.txt captured.http`,
		Args: oneCapture,
	}
	o := &options{env: env, secret: cmdutil.SecretFlags(cmd)}
	flags := cmd.Flags()
	flags.StringVar(&o.bodyFile, "body", "", "read the body from this `file`, or from standard input (-)")
	flags.StringVar(&o.header, "header", "", "the `value` of the ElevenLabs-Signature header")
	flags.StringVar(&o.headerFile, "header-file", "", "read that value from this `file`, or from standard input (-)")
	flags.StringVar(&o.tolerance, "tolerance", "30m 5m", "one or two `durations`: how far the time of signing may lie in the past, and in the future")
	cmdutil.AtFlag(cmd, "verify")
	flags.BoolVar(&o.explain, "explain", false, "look for the one change that would make the signature match")
	cmd.MarkFlagsMutuallyExclusive("header", "header-file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.file = strings.Join(args, "") // at most one
		return o.run(cmd)
	}
	return cmd
}

// oneCapture allows one argument, and rejects a secret without repeating it.
func oneCapture(_ *cobra.Command, args []string) error {
	for _, arg := range args {
		if _, err := os.Stat(arg); err != nil && facts.HideCredentials(arg, "") != arg {
			return errors.New("the argument must be the file of a captured request, and it is a secret or contains one: every user of the machine can see arguments. Give a secret by --secret-file or --secret-env")
		}
		if arg == "" {
			return errors.New("the argument is empty: give the file of a captured request")
		}
	}
	if len(args) > 1 {
		return fmt.Errorf("give one captured request, not %d", len(args))
	}
	return nil
}

func (o *options) run(cmd *cobra.Command) error {
	if err := cmdutil.RejectEmpty(cmd, "body", "header-file"); err != nil {
		return err
	}
	window, err := parseWindow(o.tolerance)
	if err != nil {
		return err
	}
	now, err := cmdutil.At(cmd, o.env)
	if err != nil {
		return err
	}
	captured, err := o.read(cmd)
	if err != nil {
		return err
	}
	raw, err := o.secret.Raw(cmd)
	if err != nil {
		return err
	}
	key := strings.TrimSpace(raw)
	if key == "" {
		return fmt.Errorf("%s is blank: put the whole secret there", o.secret.Source())
	}
	if key != raw {
		captured.notes = append(captured.notes, "the secret in "+o.secret.Source()+" has blanks or line ends around it: elevenlabs_webhook and this command ignore them, but other software may not")
	}

	r := result{verdict: judge(captured, []byte(key), window, now), Bytes: len(captured.body), Notes: captured.notes}
	if r.Result == pass {
		r.Sentence = "signed with the secret in " + o.secret.Source() + ", " + strings.TrimPrefix(r.Sentence, "signed ")
	} else if o.explain {
		progress := cmdutil.NewProgress(cmd, -1, "trying changes")
		found, err := explain(cmd.Context(), captured, []byte(key), window, now, func() { _ = progress.Add(1) })
		_ = progress.Finish() // a bar that cannot be drawn does no harm
		if err != nil {
			return err
		}
		r.Explanation = &found
	}
	if err := r.print(cmd, !o.explain); err != nil {
		return err
	}
	if r.Result != pass {
		return fmt.Errorf("%w: %s", cmdutil.ErrCheckFailed, r.Result)
	}
	return nil
}

// read reads the capture: a body and its header, or a whole request.
func (o *options) read(cmd *cobra.Command) (capture, error) {
	parts := cmd.Flags().Changed("body")
	if parts != (cmd.Flags().Changed("header") || cmd.Flags().Changed("header-file")) {
		return capture{}, errors.New("give the body and its header: --body with --header or --header-file; or the file of a whole HTTP request, without these")
	}
	if parts && o.file != "" {
		return capture{}, errors.New("give either the file of a whole HTTP request, or --body and its header")
	}
	if o.file != "" && o.file != "-" {
		return readRequest(cmd, o.file)
	}
	body, header := !parts || o.bodyFile == "-", o.headerFile == "-"
	if body && header || o.secret.FromStdin() && (body || header) {
		return capture{}, cmdutil.ErrStdinTwice
	}
	if parts {
		return o.readParts(cmd)
	}
	return readRequest(cmd, "-")
}

func (o *options) readParts(cmd *cobra.Command) (capture, error) {
	c, header := capture{declared: -1}, o.header
	var err error
	if c.body, err = cmdutil.ReadFile(cmd, o.bodyFile); err != nil {
		return c, fmt.Errorf("reading --body: %w", err)
	}
	if o.headerFile != "" {
		text, err := cmdutil.ReadFile(cmd, o.headerFile)
		if err != nil {
			return c, fmt.Errorf("reading --header-file: %w", err)
		}
		header = string(text)
	}
	c.addHeader(header)
	return c, nil
}

func readRequest(cmd *cobra.Command, name string) (capture, error) {
	if file, ok := cmd.InOrStdin().(*os.File); ok && name == "-" && term.IsTerminal(int(file.Fd())) {
		return capture{}, errors.New("there is nothing to verify: give the file of a captured HTTP request, or --body and --header")
	}
	raw, err := cmdutil.ReadFile(cmd, name)
	if err != nil {
		return capture{}, fmt.Errorf("reading the captured request: %w", err)
	}
	return parseRequest(raw)
}

func parseWindow(s string) (window, error) {
	wrong := fmt.Errorf("--tolerance must be one or two durations above zero, such as %q, not %q", "30m 5m", s)
	w := defaultWindow
	words := strings.Fields(s)
	if len(words) < 1 || len(words) > 2 {
		return w, wrong
	}
	for i, word := range words {
		duration, err := time.ParseDuration(word)
		if err != nil || duration <= 0 {
			return w, wrong
		}
		*[]*time.Duration{&w.past, &w.future}[i] = duration
	}
	return w, nil
}

// result is the output.
type result struct {
	verdict
	Bytes       int          `json:"bytes"`
	Notes       []string     `json:"notes,omitempty"`
	Explanation *explanation `json:"explanation,omitempty"`
}

func (r result) print(cmd *cobra.Command, unexplained bool) error {
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, r)
	}
	lines := []string{r.Result + ": " + r.Sentence}
	for _, note := range r.Notes {
		lines = append(lines, "note: "+note)
	}
	if e := r.Explanation; e != nil {
		lines = append(lines, "", e.Sentence, "Remedy: "+e.Remedy)
		if e.Then != nil {
			lines = append(lines, "Then: "+e.Then.Result+", "+e.Then.Sentence)
		}
	}
	if unexplained && r.Result != pass {
		lines = append(lines, "", "To find the cause and its remedy, give --explain too.")
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.Join(lines, "\n"))
	return err
}
