package doctor

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

// status is the status of a finding.
type status string

const (
	statusOK   status = "ok"
	statusFail status = "FAIL"
	statusWarn status = "warn"
	statusSkip status = "skip"
)

// finding is a line of the output.
type finding struct {
	Check  string `json:"check"`
	Status status `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

func found(s status, format string, args ...any) finding {
	return finding{Status: s, Detail: fmt.Sprintf(format, args...)}
}

func (f finding) withRemedy(format string, args ...any) finding {
	f.Remedy = fmt.Sprintf(format, args...)
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
	text := fmt.Sprintf("%-4s  %-11s  %s\n", f.Status, f.Check, f.Detail)
	if f.Remedy != "" {
		text += "      Remedy: " + f.Remedy + "\n"
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}
