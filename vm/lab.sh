#!/bin/sh
# SPDX-License-Identifier: MIT
# The lab: play scenarios in the VM, a boot for each variant and repetition, and
# report.  SCENARIO="web cache"  VARIANT=all  N=3  ARMS="default expert llm"  SEED=0
# AA=no (no A/A pairs) choose; what the same version has played is not played again.
set -eu
root=${VAGUS_CACHE:-$HOME/.cache/vagus}/rootfs
said=
for name in SCENARIO VARIANT N ARMS AA SEED; do
	eval "value=\${$name:-}"
	[ -z "$value" ] || said="$said $name=\"$value\""
done
mkdir -p .output/lab
plan=.output/lab/plan.$$ # another lab may run beside this one
trap 'rm -f "$plan"' EXIT
vm/chroot.sh "$root" env VARIANT="${VARIANT:-}" N="${N:-1}" SEED="${SEED:-0}" AA="${AA:-yes}" \
	ARMS="${ARMS:-default expert llm}" \
	python tests/scenarios/plan.py ${SCENARIO:-} >"$plan"
LAB_COMMAND="make bench-lab$said" python3 vm/lab.py "$plan"
vm/chroot.sh "$root" python tests/scenarios/report.py
