#!/bin/sh
# Makes what a release has beside the program: man pages and shell completion, for both
# names of the program, and the licences of all that is in it. GoReleaser calls this
# with each program that it has built, and only one of them runs on this machine:
#
#	packaging/prepare.sh <program> <target>
set -eu

case $2 in
"$(go env GOHOSTOS)_$(go env GOHOSTARCH)"*) ;;
*) exit 0 ;;
esac
program=$(realpath "$1")
cd "$(dirname "$0")/.."
out=$PWD/packaging/generated
rm -rf "$out"

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) # the date in the man pages
export SOURCE_DATE_EPOCH TZ=UTC
for name in caddy caddy-elevenlabs; do
	mkdir -p "$out/$name/man" "$out/$name/completions"
	ln -s "$program" "$out/$name/$name"
	"$out/$name/$name" manpage --directory "$out/$name/man"
	# Caddy's own page says nothing there, so that apropos would not find it
	sed -i "s/^$name -\$/$name - web server that verifies ElevenLabs webhooks/" "$out/$name/man/$name.8"
	gzip -9n "$out/$name/man/"*
	for shell in bash zsh fish powershell; do
		"$out/$name/$name" completion "$shell" >"$out/$name/completions/$name.$shell"
	done
	rm "$out/$name/$name"
done

GOOS='' GOARCH='' go run -modfile=.ci/release.mod ./.ci/licences >"$out/THIRD-PARTY-LICENSES"
