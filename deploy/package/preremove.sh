#!/bin/sh
# Runs before a removal and before an upgrade. dpkg passes remove or upgrade, rpm the number of versions that stay installed.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now qkv.service
	fi
	;;
esac
