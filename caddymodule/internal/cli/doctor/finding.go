package doctor

import (
	"fmt"
	"strings"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

// status is the status of a finding.
type status string

const (
	statusOK   status = "ok"
	statusFail status = "FAIL"
	statusWarn status = "warn"
	statusSkip status = "skip"
)

var statusColors = map[status]*color.Color{
	statusOK:   cmdutil.Good,
	statusFail: cmdutil.Bad,
	statusWarn: cmdutil.Warning,
	statusSkip: cmdutil.Faint,
}

// finding is a line of the output.
type finding struct {
	Check  string `json:"check"`
	Status status `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
	// Answer is the first lines of an answer that is not as expected.
	Answer []string `json:"answer,omitempty"`
}

func found(s status, format string, args ...any) finding {
	return finding{Status: s, Detail: fmt.Sprintf(format, args...)}
}

func (f finding) withRemedy(format string, args ...any) finding {
	f.Remedy = fmt.Sprintf(format, args...)
	return f
}

// withAnswer adds the first lines of an answer, without what looks like a secret.
func (f finding) withAnswer(lines []string) finding {
	for _, line := range lines {
		f.Answer = append(f.Answer, facts.HideCredentials(line, "…"))
	}
	return f
}

// only returns the single finding of a check.
func only(s status, format string, args ...any) []finding {
	return []finding{found(s, format, args...)}
}

func (f finding) print(cmd *cobra.Command) error {
	if cmdutil.WantsJSON(cmd) {
		f.Status = status(strings.ToLower(string(f.Status)))
		return cmdutil.PrintJSON(cmd, f)
	}
	var text strings.Builder
	word := cmdutil.Paint(cmd.OutOrStdout(), statusColors[f.Status], fmt.Sprintf("%-4s", f.Status))
	fmt.Fprintf(&text, "%s  %-11s  %s\n", word, f.Check, f.Detail)
	for _, line := range f.Answer {
		fmt.Fprintf(&text, "      | %s\n", line)
	}
	if f.Remedy != "" {
		fmt.Fprintf(&text, "      Remedy: %s\n", f.Remedy)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text.String())
	return err
}
