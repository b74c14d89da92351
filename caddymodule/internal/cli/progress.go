package cli

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// newProgress makes a bar of max units on standard error, or without an end if
// max is -1. It shows only on a terminal, not with --json, and not before a
// second has passed. One without an end draws itself, one with an end only when
// something is added to it. Clear it before printing anything else, and Finish it.
func newProgress(cmd *cobra.Command, max int64, what string, options ...progressbar.Option) *progressbar.ProgressBar {
	file, ok := cmd.ErrOrStderr().(*os.File)
	visible := ok && term.IsTerminal(int(file.Fd())) && !wantsJSON(cmd)
	bar := progressbar.NewOptions64(max, append([]progressbar.Option{
		progressbar.OptionSetWriter(cmd.ErrOrStderr()),
		progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetDescription(what),
		progressbar.OptionThrottle(time.Second),
		progressbar.OptionClearOnFinish(),
	}, options...)...)
	bar.Reset() // now counts as the last time shown, so that the throttle holds from here
	return bar
}
