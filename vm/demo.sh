#!/bin/sh
# SPDX-License-Identifier: MIT
# Boot the VM for the demo: one CPU, virtual time, so that a busy host moves
# no number.
set -eu
mkdir -p .output
rm -f .output/demo.json
printf '  %-8s%s\n' DEMO "booting the test VM (kernel ${KERNEL:-7.3}); the story takes 4 to 8 minutes"
exec python3 vm/run.py --kernel "${KERNEL:-7.3}" --icount --memory 3072 --name demo \
	--timeout 3600 -- sh -c '
	insmod .output/kmod/$(uname -r)/vagus.ko && exec python tests/scenarios/demo.py "$@"' \
	demo ${SCHEDULER:-}
