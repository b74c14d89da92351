#!/bin/sh
# Smoke test of a deployment: sends every type of event and every forgery, and
# exits with 0 only if each was answered as it should be.
#
#	smoke-test.sh <url> [<options of "caddy elevenlabs send">...]
#
# The signing secret is in ELEVENLABS_WEBHOOK_SECRET. CADDY names the program,
# WAIT says how many seconds a server that has just been started may take.
set -eu
url=${1:?which URL is to be tested?}
shift
caddy=${CADDY:-caddy}
wait=${WAIT:-60}

# What has no signature does not reach the application, so this may be repeated.
while [ "$wait" -gt 0 ]; do
	code=0
	"$caddy" elevenlabs send "$url" --forge missing "$@" >/dev/null 2>&1 || code=$?
	[ "$code" = 2 ] || break # 0, it is there; 1, it cannot even be tried
	sleep 1
	wait=$((wait - 1))
done

exec "$caddy" elevenlabs send "$url" --all "$@"
