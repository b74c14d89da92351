package cmdutil

import (
	"context"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// NewProgress makes a bar of max units on standard error, or one without an end
// if max is -1. The bar shows only on a terminal, not with --json, and only after
// a second. A bar without an end draws itself. A bar with an end is drawn when
// units are added. Clear it before anything else is printed, and Finish it.
func NewProgress(cmd *cobra.Command, max int64, what string, options ...progressbar.Option) *progressbar.ProgressBar {
	file, ok := cmd.ErrOrStderr().(*os.File)
	visible := ok && term.IsTerminal(int(file.Fd())) && !WantsJSON(cmd)
	bar := progressbar.NewOptions64(max, append([]progressbar.Option{
		progressbar.OptionSetWriter(cmd.ErrOrStderr()),
		progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetDescription(what),
		progressbar.OptionThrottle(time.Second),
		progressbar.OptionClearOnFinish(),
	}, options...)...)
	bar.Reset() // the bar counts as just drawn, so that the throttle applies from now
	return bar
}

// Wait runs a function, and shows on a terminal what it does if it takes longer
// than a second. The error is ErrInterrupted if the context has ended.
func Wait(cmd *cobra.Command, what string, run func(context.Context) error) error {
	bar := NewProgress(cmd, -1, what, progressbar.OptionSetPredictTime(false))
	err := run(cmd.Context())
	_ = bar.Finish() // a bar that cannot be drawn does no harm
	if err != nil && cmd.Context().Err() != nil {
		return ErrInterrupted
	}
	return err
}
