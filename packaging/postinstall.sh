#!/bin/sh
# Runs after the files are there: makes the user and its folder, and starts the service
# where systemd runs. dpkg calls it with "configure" and the version before, if any. rpm
# calls it with 1 at an installation, and with 2 at an upgrade.
set -e

name=caddy-elevenlabs
case $1 in
configure | abort-upgrade | abort-remove | abort-deconfigure | [1-9]*) ;;
*) exit 0 ;;
esac

if ! getent passwd $name >/dev/null; then
	useradd --system --user-group --comment "Caddy for ElevenLabs webhooks" \
		--home-dir /var/lib/$name --no-create-home --shell /usr/sbin/nologin $name
fi
[ -d /var/lib/$name ] || install -d -o $name -g $name -m 700 /var/lib/$name

# the unit loads it, and does not start if it is missing
secret=/etc/$name/elevenlabs_webhook_secret
[ -e $secret ] || install -m 600 /dev/null $secret

running() { [ -d /run/systemd/system ]; }

case $1 in
[1-9]*)
	if command -v systemctl >/dev/null; then
		[ "$1" -gt 1 ] || systemctl --no-reload preset $name.service || true
	fi
	if running; then
		systemctl daemon-reload || true
		systemctl try-restart $name.service || true
	fi
	;;
*)
	# as Debian's own packages do, so that what an administrator disabled or masked stays so
	deb-systemd-helper unmask $name.service >/dev/null || true
	if deb-systemd-helper --quiet was-enabled $name.service; then
		deb-systemd-helper enable $name.service >/dev/null || true
	else
		deb-systemd-helper update-state $name.service >/dev/null || true
	fi
	if running; then
		systemctl daemon-reload || true
		action=start
		[ -z "$2" ] || action=restart
		deb-systemd-invoke $action $name.service || true
	fi
	;;
esac
