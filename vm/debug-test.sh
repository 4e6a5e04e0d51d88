#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest with the debug kernel: the module's tests, then what it leaked.
# A warning of the kernel ends the guest there and then (panic_on_warn).
set -eu
insmod ".output/kmod/$(uname -r)/vagus.ko"
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
# The kernel's own way from io.max to memory upsets lockdep, with no module loaded too
# (first use of a CPU that has no radix tree nodes put by), and after one report lockdep
# looks no further.  To make a cgroup puts nodes by.
for cpu in $(seq 0 $(($(nproc) - 1))); do
	taskset -c "$cpu" mkdir /sys/fs/cgroup/nodes
	rmdir /sys/fs/cgroup/nodes
done
status=0
# Everything takes many times as long here.
python -m pytest -q tests/vm/test_kmod_*.py -m "${1:-}" --timeout 1800 \
	--junitxml=.output/test/vm-debug.xml --durations=8 || status=$?
rmmod vagus
# What was freed with a grace period's delay is no leak: the second look counts.
for _ in 1 2; do
	echo scan >/sys/kernel/debug/kmemleak
	sleep 6
done
if grep -B 20 '\[vagus\]' /sys/kernel/debug/kmemleak; then
	echo "vm: the module has leaked memory"
	status=1
fi
grep -q 'debug_locks: *1' /proc/lockdep_stats || {
	echo "vm: lockdep was off at the end"
	status=1
}
exit $status
