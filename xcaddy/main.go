// Command xcaddy is the ready-made server: Caddy with its standard modules and
// elevenlabs_webhook, from a plain "go build". The build.sh beside it makes the
// same with the xcaddy tool.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule"
)

func main() {
	caddycmd.Main()
}
