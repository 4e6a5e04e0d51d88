#!/bin/sh
# SPDX-License-Identifier: MIT
# Fetch the package lists of Debian 12 and 13, with long descriptions, once (50 MB).
# Always these, whatever the machine runs: so training and evaluation know the same
# programs.  usage: lists.sh FOLDER
set -eu
lists=$1
mirror=${VAGUS_MIRROR:-http://deb.debian.org/debian}
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ ! -e "$lists/whole" ] || exit 0
rm -rf "$lists"
mkdir -p "$lists/partial"
for suite in bookworm trixie; do
	echo "deb [signed-by=$keys] $mirror $suite main"
done > "$lists.list"
apt-get -qq -o APT::Sandbox::User=root -o Dir::State::lists="$lists" \
	-o Dir::Etc::sourcelist="$lists.list" -o Dir::Etc::sourceparts=/dev/null \
	-o Acquire::Languages=en update
touch "$lists/whole"
