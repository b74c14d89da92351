package operate

import (
	"io"
	"os"

	"github.com/fatih/color"
	"golang.org/x/term"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/deliveries"
)

var resultColors = map[deliveries.Result]*color.Color{
	deliveries.Accepted: color.New(color.FgGreen),
	deliveries.Rejected: color.New(color.FgYellow),
	deliveries.Ignored:  color.New(color.Faint),
	deliveries.Failed:   color.New(color.FgRed, color.Bold),
}

// paint colours a text like a result. It does so only on a terminal, and only if
// NO_COLOR is not set (https://no-color.org).
func paint(out io.Writer, result deliveries.Result, text string) string {
	c, known := resultColors[result]
	file, ok := out.(*os.File)
	if !known || !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("NO_COLOR") != "" {
		return text
	}
	c.EnableColor()
	return c.Sprint(text)
}
