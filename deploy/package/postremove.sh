#!/bin/sh
# Runs after a removal and after an upgrade. Data, keys and the user stay, also after a purge: a member that comes back without its data
# has to be replaced, and files without an owner could be given to another user.
set -e

case "$1" in
remove | purge | 0)
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload
	fi
	;;
esac
case "$1" in
purge | 0)
	if [ -d /var/lib/qkv ]; then
		echo 'qkv: the data in /var/lib/qkv and the certificates in /etc/qkv/certs are kept'
	fi
	;;
esac
