#!/bin/sh
# Builds Caddy with elevenlabs_webhook from this checkout, by the xcaddy tool:
#
#	xcaddy/build.sh [<output>]      default: ./caddy
#
# Once the module is published, this command does the same anywhere:
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

# xcaddy asks the module proxy for this module, even if it is replaced. Not every
# proxy answers "not found" for a module that is not published. So Go fetches
# xcaddy and all other modules first, and xcaddy uses the local cache.
xcaddy=$(go tool -modfile=.ci/tools.mod -n xcaddy)
go mod download
cache=$(go env GOMODCACHE)/cache/download

# the plugin is a package inside the module, so --replace names the module
GOPROXY="file://$cache" GOSUMDB=off GOFLAGS=-mod=mod \
	"$xcaddy" build "$caddy" \
	--output "$output" \
	--with "$module/caddymodule" --replace "$module=$PWD"
