#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest, as root: mount the checkout, run one command, report, power off.
# Its output goes to the virtio console (hvc0); the kernel's to ttyS0.
exec </dev/null >/dev/hvc0 2>&1
stty -F /dev/hvc0 raw -echo 2>/dev/null
# The transport's devices may be found a moment after the system is up.
share() {
	modprobe -a 9p 9pnet_virtio
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		mount -t 9p -o "trans=virtio,version=9p2000.L,msize=262144$3" "$1" "$2" &&
			return
		sleep 0.5
	done
}
share run /run-vagus "" 2>/dev/null
share checkout /vagus ,cache=loose
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
export HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 TERM=xterm-256color
export PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /vagus || echo "vm: the checkout could not be mounted"
[ -r /run-vagus/env ] && . /run-vagus/env
if [ -e /run-vagus/shell ]; then
	setsid -c /bin/bash </dev/hvc0 >/dev/hvc0 2>&1
else
	sh /run-vagus/command
fi
echo $? >/run-vagus/status
dmesg >/run-vagus/dmesg
sync
systemctl poweroff --force --force
