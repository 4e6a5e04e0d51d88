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

# usage: leaked PATTERN WHAT   where the second look finds PATTERN: what was freed with a
# grace period's delay is no leak
leaked() {
	for _ in 1 2; do
		echo scan >/sys/kernel/debug/kmemleak
		sleep 6
	done
	if grep -B 20 "$1" /sys/kernel/debug/kmemleak; then
		echo "vm: the module has leaked $2"
		status=1
	fi
}
leaked '\[vagus\]' "memory while it was loaded"
rmmod vagus
# The frames of a module that is gone are bare addresses, in the modules' own region.
leaked ' 0xffffffff[a-f][0-9a-f]*$' "memory when it was unloaded"
grep -q 'debug_locks: *1' /proc/lockdep_stats || {
	echo "vm: lockdep was off at the end"
	status=1
}
exit $status
