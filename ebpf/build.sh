#!/bin/sh
# SPDX-License-Identifier: MIT
# In the chroot: compile ebpf/*.bpf.c to .output/ebpf/*.bpf.o.  Types come from
# the newest kernel's BTF; CO-RE fits the objects to the kernel they run on.
# Only what changed is compiled.  usage: ebpf/build.sh
set -eu
cd "$(dirname "$0")/.."
out=.output/ebpf
mkdir -p "$out"

say() { printf '  %-8s%s\n' "$1" "$2"; }

# Debian's headers packages carry a vmlinux with nothing but BTF and symbols.
btf=$(ls /usr/src/linux-headers-*/vmlinux 2>/dev/null | sort -V | tail -1)
[ -n "$btf" ] || btf=/sys/kernel/btf/vmlinux
if [ ! -e "$out/vmlinux.h" ] || [ "$(cat "$out/vmlinux.from" 2>/dev/null)" != "$btf" ]; then
	say BTF "$btf"
	bpftool btf dump file "$btf" format c >"$out/vmlinux.h.new"
	mv "$out/vmlinux.h.new" "$out/vmlinux.h"
	echo "$btf" >"$out/vmlinux.from"
fi

case $(uname -m) in
x86_64) arch=x86 ;;
aarch64) arch=arm64 ;;
riscv64) arch=riscv ;;
*) arch=$(uname -m) ;;
esac

for source in ebpf/*.bpf.c; do
	name=$(basename "$source" .c)
	object=$out/$name.o
	newer=$(find "$source" ebpf/*.h ebpf/build.sh kmod/uapi/vagus.h \
		"$out/vmlinux.h" -newer "$object" 2>/dev/null || echo all)
	[ -e "$object" ] && [ -z "$newer" ] && continue
	say BPF "$name.o"
	clang -target bpf -D__TARGET_ARCH_$arch -O2 -g -std=gnu11 -mcpu=v3 \
		-Wall -Wextra -Werror -Wno-unused-parameter \
		-isystem "$out" -Iebpf -Ikmod/uapi -c "$source" -o "$object.new"
	# DWARF is not needed to load; BTF stays.
	llvm-strip -g "$object.new"
	mv "$object.new" "$object"
done
