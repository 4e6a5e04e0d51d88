#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest with the debug kernel: the module's tests, then what it leaked.
# A warning of the kernel ends the guest there and then (panic_on_warn).
set -eu
insmod ".output/kmod/$(uname -r)/vagus.ko"
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
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
