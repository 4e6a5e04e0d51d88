#!/bin/sh
# SPDX-License-Identifier: MIT
# Make the debug kernel that `vm/run.py --kernel debug` boots: Debian's source,
# vm/debug.config, the image's compiler.  Made once and kept in the cache; what was
# compiled stays there too, so that a build that was broken off goes on.
# usage: [JOBS=N] vm/debug-kernel.sh [module]   module: vagus.ko for it as well
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
cache=${VAGUS_CACHE:-$HOME/.cache/vagus}
work=$cache/debug

# The compiler's tools and the source go into a layer over the image's root file
# system, which stays as it is.
inside() {
	mkdir -p "$work/upper" "$work/layer" "$work/root" "$work/src"
	ROOT=$cache/rootfs WORK=$work HERE=$here unshare --mount --propagation private sh -euc '
		mount -t overlay -o "lowerdir=$ROOT,upperdir=$WORK/upper,workdir=$WORK/layer" \
			overlay "$WORK/root"
		mount --bind "$WORK/src" "$WORK/root/usr/src/debug"
		exec "$HERE/vm/chroot.sh" "$WORK/root" "$@"' inside "$@"
}

build() {
	rm -rf "$work/upper" "$work/layer"
	mkdir -p "$work/upper/usr/src/debug"
	inside sh -euc '
		apt-get -qq update
		apt-get -qq -o Dpkg::Use-Pty=0 -y install flex bison linux-source-7.3 >/tmp/log 2>&1 ||
			{ tail /tmp/log >&2; exit 1; }
		cd /usr/src/debug
		[ -e .unpacked ] || tar -x --strip-components=1 -f /usr/src/linux-source-7.3.tar.xz
		touch .unpacked
		make -s KCONFIG_ALLCONFIG=/vagus/vm/debug.config allnoconfig
		for line in $(grep "=[ym]" /vagus/vm/debug.config); do
			grep -qx "$line" .config || { echo "debug.config: $line did not take" >&2; exit 1; }
		done
		make -s -j"$1" bzImage modules' build "${JOBS:-$(nproc)}"
	cp "$work/src/arch/x86/boot/bzImage" "$cache/boot/vmlinuz-debug"
	cat "$work/src/include/config/kernel.release" >"$cache/boot/release-debug"
}

mkdir -p "$work"
exec 8>"$work/lock"
flock 8
key=$(cat "$here/vm/debug.config" "$here/vm/debug-kernel.sh" "$cache/base.key" | sha256sum | cut -c1-16)
if [ "$(cat "$cache/debug.key" 2>/dev/null)" != "$key" ]; then
	printf '  %-8s%s\n' DEBUG "kernel with KASAN, lockdep, kmemleak (a quarter of an hour, once)"
	build
	echo "$key" >"$cache/debug.key"
fi
[ "${1:-}" != module ] || inside env KDIR=/usr/src/debug C=0 sh kmod/build.sh
