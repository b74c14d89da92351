package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// The words for a verdict: "pass", or the reason by which elevenlabs_webhook
// refuses such a request.
const (
	pass             = "pass"
	reasonMethod     = "method_not_allowed"
	reasonMissing    = "signature_missing"
	reasonMalformed  = "signature_malformed"
	reasonMismatch   = "signature_mismatch"
	reasonStale      = "timestamp_stale"
	reasonFuture     = "timestamp_future"
	reasonIncomplete = "body_incomplete"
)

// window is how far the time of signing may lie from now. The defaults are those
// of elevenlabs_webhook.
type window struct{ past, future time.Duration }

var defaultWindow = window{30 * time.Minute, 5 * time.Minute}

// verdict is what becomes of a capture.
type verdict struct {
	Reason   string `json:"result"`
	Sentence string `json:"sentence"`
	SignedAt *int64 `json:"signed_at,omitempty"` // of a genuine signature
	Age      *int64 `json:"age_seconds,omitempty"`
}

// judge verifies a capture as elevenlabs_webhook would.
func judge(d capture, secret []byte, window window, now time.Time) verdict {
	if d.method != "" && d.method != "POST" {
		return verdict{Reason: reasonMethod, Sentence: "the method is " + d.method + ", and webhooks are sent by POST"}
	}
	header, err := signature.Parse(d.lines)
	switch {
	case errors.Is(err, signature.ErrMissing):
		return verdict{Reason: reasonMissing, Sentence: err.Error()}
	case err != nil:
		return verdict{Reason: reasonMalformed, Sentence: err.Error()}
	case d.incomplete != "":
		return verdict{Reason: reasonIncomplete, Sentence: d.incomplete}
	}
	verifier, err := signature.NewVerifier([][]byte{secret}, window.past, window.future, func() time.Time { return now })
	if err == nil {
		_, err = verifier.Verify(d.lines, d.read())
	}
	if err != nil && !errors.Is(err, signature.ErrStale) && !errors.Is(err, signature.ErrFuture) {
		return verdict{Reason: reasonMismatch, Sentence: "the secret did not make this signature for this body"}
	}
	return judgeAge(header.SignedAt(), window, now)
}

// judgeAge judges a genuine signature by its time alone.
func judgeAge(signedAt time.Time, window window, now time.Time) verdict {
	age := now.Sub(signedAt)
	unix, seconds := signedAt.Unix(), int64(age.Round(time.Second)/time.Second) // as span rounds
	v := verdict{Reason: pass, SignedAt: &unix, Age: &seconds}
	when := signedAt.UTC().Format(time.RFC3339) + ", " + cmdutil.Span(age) + " ago"
	if age < 0 {
		when = signedAt.UTC().Format(time.RFC3339) + ", " + cmdutil.Span(-age) + " ahead"
	}
	switch {
	case age > window.past:
		v.Reason, v.Sentence = reasonStale, "the signature is genuine but too old: signed at "+when
	case age < -window.future:
		v.Reason, v.Sentence = reasonFuture, "the signature is genuine but made in the future: signed at "+when
	default:
		v.Sentence = "signed at " + when
	}
	return v
}

func verifyCommand(env cmdutil.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [--body <file>|- --header <value>] [--explain]",
		Short: "Verifies a captured webhook, and explains what is wrong with it",
		Long: `Verifies a captured webhook: a body and the value of its ElevenLabs-Signature
header, or a whole HTTP request on standard input. Says "pass", or the word by
which elevenlabs_webhook refuses such a request.

With --explain it looks for the one change by which the signature would match,
such as a line end in the secret, or a body that was parsed and written anew,
and names the remedy.

Captures are mostly older than the tolerance: --at verifies as of another time.

The exit code is 0 for a pass, and 2 for anything else. Secrets and signatures
that were computed are never printed.`,
		Example: `  caddy elevenlabs verify --body body.json --header 't=1795421654,v0=5c2f…' --explain
  caddy elevenlabs verify --explain <captured.http
  caddy elevenlabs verify --at 2026-11-20T10:00:00Z --secret-file secret.txt <captured.http`,
		Args: cobra.NoArgs,
	}
	secret := cmdutil.SecretFlags(cmd)
	flags := cmd.Flags()
	bodyFile := flags.String("body", "", "read the body from this `file`, or from standard input (-)")
	headerValue := flags.String("header", "", "the `value` of the ElevenLabs-Signature header")
	headerFile := flags.String("header-file", "", "read that value from this `file`, or from standard input (-)")
	tolerance := flags.String("tolerance", "30m 5m", "how `far` the time of signing may lie in the past and, after a blank, in the future")
	cmdutil.AtFlag(cmd, "verify")
	explained := flags.Bool("explain", false, "look for the one change that would make the signature match")
	cmd.MarkFlagsMutuallyExclusive("header", "header-file")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmdutil.RejectEmpty(cmd, "body", "header-file"); err != nil {
			return err
		}
		window, err := parseWindow(*tolerance)
		if err != nil {
			return err
		}
		now, err := cmdutil.At(cmd, env)
		if err != nil {
			return err
		}
		parts := flags.Changed("body")
		if parts != (flags.Changed("header") || flags.Changed("header-file")) {
			return errors.New("give the body and its header: --body with --header or --header-file; or a whole HTTP request on standard input, without these")
		}
		body, header := !parts || *bodyFile == "-", *headerFile == "-"
		if body && header || secret.FromStdin() && (body || header) {
			return cmdutil.ErrStdinTwice
		}
		var d capture
		if parts {
			d, err = readParts(cmd, *bodyFile, *headerValue, *headerFile)
		} else {
			d, err = readRequest(cmd)
		}
		if err != nil {
			return err
		}
		raw, err := secret.Raw(cmd)
		if err != nil {
			return err
		}
		key := strings.TrimSpace(raw)
		if key == "" {
			return fmt.Errorf("%s is blank: put the whole secret there", secret.Source())
		}
		if key != raw {
			d.notes = append(d.notes, "the secret in "+secret.Source()+" has blanks or line ends round it; they were left out, as elevenlabs_webhook does, but other software may not")
		}

		result := verifyResult{verdict: judge(d, []byte(key), window, now), Bytes: len(d.body), Notes: d.notes}
		if result.Reason == pass {
			result.Sentence = "signed with the secret in " + secret.Source() + ", " + strings.TrimPrefix(result.Sentence, "signed ")
		} else if *explained {
			progress := cmdutil.NewProgress(cmd, -1, "trying changes")
			found, err := explainCapture(cmd.Context(), d, []byte(key), window, now, func() { _ = progress.Add(1) })
			_ = progress.Finish() // what cannot be drawn, is not
			if err != nil {
				return err
			}
			result.Explanation = &found
		}
		if err := result.print(cmd); err != nil {
			return err
		}
		if result.Reason != pass {
			return fmt.Errorf("%w: %s", cmdutil.ErrCheckFailed, result.Reason)
		}
		return nil
	}
	return cmd
}

// verifyResult is what verify prints.
type verifyResult struct {
	verdict
	Bytes       int          `json:"bytes"`
	Notes       []string     `json:"notes,omitempty"`
	Explanation *explanation `json:"explanation,omitempty"`
}

func (r verifyResult) print(cmd *cobra.Command) error {
	if cmdutil.WantsJSON(cmd) {
		return cmdutil.PrintJSON(cmd, r)
	}
	lines := []string{r.Reason + ": " + r.Sentence}
	for _, note := range r.Notes {
		lines = append(lines, "note: "+note)
	}
	if e := r.Explanation; e != nil {
		lines = append(lines, "", e.Sentence, "Remedy: "+e.Remedy)
		if e.Then != nil {
			lines = append(lines, "Then: "+e.Then.Reason+", "+e.Then.Sentence)
		}
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.Join(lines, "\n"))
	return err
}

func readParts(cmd *cobra.Command, bodyFile, headerValue, headerFile string) (capture, error) {
	d := capture{declared: -1}
	var err error
	if d.body, err = cmdutil.ReadFile(cmd, bodyFile); err != nil {
		return d, fmt.Errorf("reading --body: %w", err)
	}
	if headerFile != "" {
		text, err := cmdutil.ReadFile(cmd, headerFile)
		if err != nil {
			return d, fmt.Errorf("reading --header-file: %w", err)
		}
		headerValue = string(text)
	}
	d.addHeader(headerValue)
	return d, nil
}

func readRequest(cmd *cobra.Command) (capture, error) {
	if file, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return capture{}, errors.New("what is to be verified? Give --body and --header, or a captured HTTP request on standard input")
	}
	raw, err := cmdutil.ReadFile(cmd, "-")
	if err != nil {
		return capture{}, fmt.Errorf("reading the request: %w", err)
	}
	return parseRequest(raw)
}

func parseWindow(s string) (window, error) {
	wrong := fmt.Errorf("--tolerance %q: it is to be one or two durations above zero, such as %q", s, "30m 5m")
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
