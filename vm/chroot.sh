#!/bin/sh
# SPDX-License-Identifier: MIT
# Run a command inside the root file system, natively, with the checkout at
# /vagus and the host's cache of wheels at /wheels.  The mounts live in a mount
# namespace of their own and vanish with the command.
# usage: vm/chroot.sh ROOTFS COMMAND [ARG ...]
set -eu
root=$1; shift
here=$(cd "$(dirname "$0")/.." && pwd)
cache=${VAGUS_CACHE:-$HOME/.cache/vagus}
mkdir -p "$root/vagus" "$root/wheels" "$cache/wheels" "$root/usr/local/share/vagus"
# A private certificate authority on the host (proxy, CI) must be known inside.
ca=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
[ -r "$ca" ] && cp -L "$ca" "$root/usr/local/share/vagus/ca.crt"
export VAGUS_CHROOT_ROOT="$root" VAGUS_CHROOT_HERE="$here" VAGUS_CHROOT_CACHE="$cache"
exec unshare --mount --propagation private sh -eu -c '
root=$VAGUS_CHROOT_ROOT
mount --bind "$VAGUS_CHROOT_HERE" "$root/vagus"
mount --bind "$VAGUS_CHROOT_CACHE/wheels" "$root/wheels"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
rm -f "$root/etc/resolv.conf"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
exec env -i HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
	PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	SSL_CERT_FILE=/usr/local/share/vagus/ca.crt PIP_CERT=/usr/local/share/vagus/ca.crt \
	PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1 \
	${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
	${VAGUS_REQUIRE:+VAGUS_REQUIRE="$VAGUS_REQUIRE"} ${V:+V="$V"} \
	${VAGUS_SCALE:+VAGUS_SCALE="$VAGUS_SCALE"} \
	chroot "$root" /usr/bin/env -C /vagus "$@"
' chroot "$@"
