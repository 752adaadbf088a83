#!/bin/sh
# Runs after an installation or an upgrade, of the deb and of the rpm.
set -e

if ! getent passwd qkv >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/qkv --no-create-home --shell /usr/sbin/nologin \
		--comment 'qkv members' qkv
fi
# Only qkv's user may read data and keys. Root owns the folders around them: in a folder of its own, qkv's user could put a link to another
# folder of the host in the place of one of these, which root would then give away. A folder that the operator has replaced by a link stays.
[ -h /etc/qkv ] || install -d -m 0750 -o root -g qkv /etc/qkv
for dir in /var/lib/qkv /etc/qkv/certs; do
	[ -h "$dir" ] || install -d -m 0700 -o qkv -g qkv "$dir"
done

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# A member is never started or restarted by an installation. Three hosts that upgrade at the same time would lose their quorum, and a
	# member that starts before it is configured would found a cluster of its own.
	if systemctl is-active --quiet qkv.service; then
		echo 'qkv: the running member still has the old program. Restart one member after the other: systemctl restart qkv'
		echo 'qkv: see /usr/share/doc/qkv/upgrading.md'
	else
		echo 'qkv: set up this member in /etc/qkv/qkv.env or /etc/qkv/qkv.yaml, then: systemctl enable --now qkv'
	fi
fi
