// Command xcaddy is the ready-made server: Caddy with its standard modules and
// elevenlabs_webhook, from a plain "go build". The build.sh beside it makes the
// same with the xcaddy tool.
package main

import (
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule"
	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/buildinfo"
)

// packaged is the name by which the packages install this program, beside a
// distribution's own caddy.
const packaged = "caddy-elevenlabs"

func main() {
	caddy.CustomVersion = buildinfo.Read().String() // Caddy puts its own version behind it
	if filepath.Base(os.Args[0]) == packaged {
		caddy.CustomBinaryName = packaged // for help, shell completion and man pages
	}
	caddycmd.Main()
}
