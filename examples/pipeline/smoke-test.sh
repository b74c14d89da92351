#!/bin/sh
# Smoke test of a deployment: sends every type of event and every forgery, and
# exits with 0 only if each was answered as it should be.
#
#	smoke-test.sh <url> [<options of "caddy elevenlabs send">...]
#
# The signing secret is in ELEVENLABS_WEBHOOK_SECRET, or in the file that
# --secret-file names. CADDY names the program, WAIT says how many seconds a server
# that has just been started may take.
set -eu
url=${1:?which URL is to be tested?}
shift
caddy=${CADDY:-caddy}
deadline=$(($(date +%s) + ${WAIT:-60}))

previous=
for argument; do
	case "$previous $argument" in
	*' --secret-file=-' | '--secret-file -')
		echo "smoke-test.sh: the secret is read more than once, so it cannot come from standard input: name a file" >&2
		exit 1
		;;
	esac
	previous=$argument
done

# What has no signature does not reach the application, so this may be repeated.
try() { "$caddy" elevenlabs send "$url" --forge missing "$@" --timeout 5s; }

code=2
while [ "$code" = 2 ] && [ "$(date +%s)" -lt "$deadline" ]; do # 0, it is there; 1, it cannot even be tried
	code=0
	try "$@" >/dev/null 2>&1 || code=$?
	[ "$code" != 2 ] || sleep 1
done
[ "$code" != 2 ] || try "$@" # says why

exec "$caddy" elevenlabs send "$url" --all "$@"
