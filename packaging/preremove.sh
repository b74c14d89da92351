#!/bin/sh
# Runs before the files go: stops the service. dpkg calls it with "remove", and rpm
# with 0. At an upgrade, the service runs on until the new files are there.
set -e

[ -d /run/systemd/system ] || exit 0
case $1 in
remove) deb-systemd-invoke stop caddy-elevenlabs.service || true ;;
0) systemctl --no-reload disable --now caddy-elevenlabs.service || true ;;
esac
