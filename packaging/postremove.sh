#!/bin/sh
# Runs after the files are gone. The Caddyfile, the secret and what is in
# /var/lib/caddy-elevenlabs stay. Only dpkg's "purge" deletes them. The user stays for
# ever, so that no other user gets its number and with it a file that it left somewhere.
set -e

name=caddy-elevenlabs
[ ! -d /run/systemd/system ] || systemctl daemon-reload || true

case $1 in
remove)
	deb-systemd-helper mask $name.service >/dev/null || true
	;;
purge)
	deb-systemd-helper purge $name.service >/dev/null || true
	deb-systemd-helper unmask $name.service >/dev/null || true
	rm -rf /var/lib/$name
	rm -f /etc/$name/elevenlabs_webhook_secret
	[ ! -d /etc/$name ] || rmdir --ignore-fail-on-non-empty /etc/$name
	;;
esac
