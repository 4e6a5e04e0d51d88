#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Build vagus.ko for every kernel with headers, into .output/kmod/RELEASE/.
# Sources are copied first, so that the checkout stays clean and 6.12, which
# knows no MO=, builds the same way.  V=1 shows the compiler's lines, KDIR=...
# builds for one tree alone, C=0 leaves sparse out.
set -eu
cd "$(dirname "$0")/.."
check=${C:-1}
command -v sparse >/dev/null || check=0

built=0
for tree in ${KDIR:-/lib/modules/*/build}; do
	if [ ! -e "$tree/Makefile" ]; then
		[ -z "${KDIR:-}" ] && continue
		echo "kmod: KDIR=$tree has no Makefile: name /lib/modules/RELEASE/build" >&2
		exit 2
	fi
	release=$(make -s -C "$tree" kernelrelease)
	out=$PWD/.output/kmod/$release
	mkdir -p "$out/uapi"
	# Only what changed is copied, so that make sees only what changed.
	for file in kmod/Kbuild kmod/*.[ch] kmod/uapi/*.h; do
		cmp -s "$file" "$out/${file#kmod/}" || cp "$file" "$out/${file#kmod/}"
	done
	# Debian's 7.3 headers lack the script that asks sparse for its version.
	common=$(sed -n 's/^include \(.*\)\/Makefile$/\1/p' "$tree/Makefile")
	sparse=$check
	! grep -qs checker-valid "$common/Makefile" ||
		[ -e "$common/scripts/checker-valid.sh" ] || sparse=0
	printf '  %-8s%s\n' KMOD "$release"
	make ${V:+V="$V"} ${V:--s} -C "$tree" M="$out" \
		W=1 C="$sparse" CF="-Wsparse-error" KCFLAGS=-Werror modules >"$out/log" 2>&1 ||
		{ cat "$out/log" >&2; exit 1; }
	# Debian ships no vmlinux with its headers, so no BTF for the module: said once.
	grep -v -e 'Skipping BTF generation' -e '^$' "$out/log" >&2 || true
	built=$((built + 1))
done
[ "$built" -gt 0 ] || {
	echo "kmod: no kernel headers in /lib/modules; install linux-headers or give KDIR" >&2
	exit 2
}
