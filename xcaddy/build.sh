#!/bin/sh
# Builds Caddy with elevenlabs_webhook by the real xcaddy, from this checkout:
#
#	xcaddy/build.sh [<output>]      default: ./caddy
#
# Once the module is published, the same from anywhere is
#
#	xcaddy build --with github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule
set -eu

output=${1:-caddy}
case $output in
/*) ;;
*) output=$PWD/$output ;;
esac
cd "$(dirname "$0")/.."

module=$(go list -m)
caddy=$(go list -m -f '{{.Version}}' github.com/caddyserver/caddy/v2)

# xcaddy asks the module proxy for this module too, though it is replaced, and
# not every proxy answers "not found" for what is not published. So xcaddy itself
# and all other modules are fetched first, and xcaddy is given what is there.
xcaddy=$(go tool -modfile=.ci/tools.mod -n xcaddy)
go mod download
cache=$(go env GOMODCACHE)/cache/download

# the plugin is a package inside the module, so the replacement is named apart
GOPROXY="file://$cache" GOSUMDB=off GOFLAGS=-mod=mod \
	"$xcaddy" build "$caddy" \
	--output "$output" \
	--with "$module/caddymodule" --replace "$module=$PWD"
