#!/bin/sh
# Prints what CHANGELOG.md says of a version: packaging/notes.sh v1.2.3
set -eu
cd "$(dirname "$0")/.."
notes=$(sed -n "/^## \[${1#v}\]/,/^## \[/{/^## /d;p}" CHANGELOG.md)
[ -n "$notes" ] || { echo "CHANGELOG.md says nothing of $1" >&2; exit 1; }
printf '%s\n' "$notes"
