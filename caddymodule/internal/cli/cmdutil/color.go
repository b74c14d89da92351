package cmdutil

import (
	"io"
	"os"

	"github.com/fatih/color"
	"golang.org/x/term"
)

// The colours of what a command found.
var (
	Good    = color.New(color.FgGreen)
	Warning = color.New(color.FgYellow)
	Bad     = color.New(color.FgRed, color.Bold)
	Faint   = color.New(color.Faint)
)

// Paint colours a text. It does so only on a terminal that shows colours, and only if
// NO_COLOR is not set (https://no-color.org).
func Paint(out io.Writer, c *color.Color, text string) string {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return text
	}
	painted := *c
	painted.EnableColor()
	return painted.Sprint(text)
}
