#!/bin/sh
# SPDX-License-Identifier: MIT
# Install the few host packages that making and booting the VM needs.
set -eu
missing=
for pair in mmdebstrap:mmdebstrap mke2fs:e2fsprogs unshare:util-linux python3:python3; do
	command -v "${pair%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${pair%%:*}" ] ||
		missing="$missing ${pair#*:}"
done
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] ||
	missing="$missing debian-archive-keyring"
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "vagus: run make as root once, to install:$missing" >&2; exit 1; }
printf '  %-8s%s\n' HOST "$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y --no-install-recommends install $missing >/dev/null
