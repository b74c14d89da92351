#!/bin/sh
# Smoke test of a deployment: the script sends every type of event and every
# forgery, and exits with 0 only if the server answered each as expected.
#
#	smoke-test.sh <url> [<options of "caddy elevenlabs send">...]
#
# The signing secret is in ELEVENLABS_WEBHOOK_SECRET, or in the file that
# --secret-file names. CADDY is the program (default: caddy). WAIT is how many
# seconds the server may take to start (default: 60).
set -eu
url=${1:?name the URL to test}
shift
caddy=${CADDY:-caddy}
deadline=$(($(date +%s) + ${WAIT:-60}))

previous=
for argument; do
	case "$previous $argument" in
	*' --secret-file=-' | '--secret-file -')
		echo "smoke-test.sh: the script reads the secret more than once, so the secret cannot come from standard input: name a file" >&2
		exit 1
		;;
	esac
	previous=$argument
done

# A request without a signature does not reach the application, so the script may repeat it.
try() { "$caddy" elevenlabs send "$url" --forge missing "$@" --timeout 5s; }

code=2
while [ "$code" = 2 ] && [ "$(date +%s)" -lt "$deadline" ]; do # 0: the server answers; 1: send cannot begin
	code=0
	try "$@" >/dev/null 2>&1 || code=$?
	[ "$code" != 2 ] || sleep 1
done
[ "$code" != 2 ] || try "$@" # prints the reason

exec "$caddy" elevenlabs send "$url" --all "$@"
