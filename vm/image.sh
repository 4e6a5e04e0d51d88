#!/bin/sh
# SPDX-License-Identifier: MIT
# Make the test VM's root file system, kernels and disk image in the cache.
# Every step is keyed by the content of what it is made from; a second run
# touches nothing.  usage: vm/image.sh [rootfs|disk]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
cache=${VAGUS_CACHE:-$HOME/.cache/vagus}
suite=trixie
kernels="7.3 6.12"
mirror=${VAGUS_MIRROR:-http://deb.debian.org/debian}
security=${VAGUS_SECURITY:-http://deb.debian.org/debian-security}
root=$cache/rootfs
mkdir -p "$cache/wheels" "$cache/boot"

say() { printf '  %-8s%s\n' "$1" "$2"; }
key() { cat "$@" | sha256sum | cut -c1-16; }
done_as() { [ "$(cat "$cache/$1.key" 2>/dev/null)" = "$2" ]; }

# One builder at a time, whichever checkout asks.
exec 9>"$cache/lock"
flock 9

base_key=$(sed -n '/^# STEP base/,/^# STEP python/p' "$here/vm/image.sh" |
	key "$here/vm/packages.txt" -)

# STEP base: Debian, both kernels, everything that apt brings.
if ! done_as base "$base_key" || [ ! -d "$root" ]; then
	say DEBIAN "$suite root file system (about 3 minutes, 2 GiB)"
	rm -rf "$root" "$root.new" "$cache"/*.key
	mmdebstrap --quiet --variant=minbase --include=ca-certificates \
		--aptopt='Acquire::Languages "none"' \
		--aptopt='APT::Install-Recommends "false"' \
		--aptopt='Acquire::Retries "5"' \
		"$suite" "$root.new" \
		"deb $mirror $suite main" "deb $mirror $suite-backports main" \
		"deb $security $suite-security main"
	say APT "$(grep -v '^#' "$here/vm/packages.txt" | wc -w) packages and kernels $kernels"
	cat >"$root.new/usr/sbin/policy-rc.d" <<-'EOF'
		#!/bin/sh
		exit 101
	EOF
	chmod 755 "$root.new/usr/sbin/policy-rc.d"
	# A small initrd, made when each kernel is configured: this disk, nothing else.
	mkdir -p "$root.new/etc/initramfs-tools/conf.d"
	printf 'MODULES=list\nCOMPRESS=zstd\n' >"$root.new/etc/initramfs-tools/conf.d/vagus"
	printf '%s\n' virtio_pci virtio_blk virtio_console ext4 >"$root.new/etc/initramfs-tools/modules"
	"$here/vm/chroot.sh" "$root.new" sh -euc '
		apt-get -qq update
		names="linux-base/'$suite'-backports $(grep -v "^#" vm/packages.txt)"
		for k in '"$kernels"'; do
			pattern=$(printf "%s" "$k" | sed "s/\./\\\\./")
			image=$(apt-cache pkgnames "linux-image-$k." |
				grep -E "^linux-image-$pattern\.[0-9]+\+deb13-amd64$" | sort -V | tail -1)
			[ -n "$image" ] || { echo "no kernel $k in the archive" >&2; exit 1; }
			names="$names $image linux-headers-${image#linux-image-}"
		done
		apt-get -qq -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold -y install $names >/tmp/apt.log 2>&1 ||
			{ tail -20 /tmp/apt.log >&2; exit 1; }
		apt-get clean
		systemctl mask systemd-networkd-wait-online.service apt-daily.timer \
			apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
			e2scrub_all.timer man-db.timer logrotate.timer >/dev/null 2>&1
		systemctl disable nginx redis-server postgresql >/dev/null 2>&1 || true
		rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin'
	mv "$root.new" "$root"
	echo "$base_key" >"$cache/base.key"
fi

# STEP python: the agent's environment; llama.cpp is compiled once and kept.
python_key=$(sed -n '/^dependencies/,/^]/p; /^dev = /,/^]/p' "$here/pyproject.toml" |
	key "$here/vm/python.sh" "$cache/base.key" -)
if ! done_as python "$python_key"; then
	say PIP "the agent's environment (llama.cpp compiles once: 4 to 8 minutes)"
	"$here/vm/chroot.sh" "$root" sh -eu vm/python.sh
	echo "$python_key" >"$cache/python.key"
	rm -f "$cache/disk.key"
fi

# STEP style: the kernel's style checker, which no package but its source carries.
style_key=$(sed -n '/^# STEP style/,/^# STEP boot/p' "$here/vm/image.sh" |
	key "$cache/base.key" -)
if ! done_as style "$style_key"; then
	say STYLE "checkpatch, out of the kernel's source (160 MB to fetch, 15 s)"
	"$here/vm/chroot.sh" "$root" sh -euc '
		mkdir -p /tmp/lists/partial /usr/local/lib/vagus
		cd /tmp
		apt-get -qq -o Dir::State::lists=/tmp/lists update
		apt-get -qq -o Dir::State::lists=/tmp/lists download linux-source-'"${kernels%% *}"'
		dpkg-deb --fsys-tarfile linux-source-*.deb | tar -xO --wildcards "*.tar.xz" |
			busybox xzcat | tar -x -C /usr/local/lib/vagus --strip-components=2 --wildcards \
			"*/scripts/checkpatch.pl" "*/scripts/spelling.txt" \
			"*/scripts/const_structs.checkpatch"'
	echo "$style_key" >"$cache/style.key"
fi

# STEP boot: kernels and initrds, outside the image.
boot_key=$(sed -n '/^# STEP boot/,/^# STEP disk/p' "$here/vm/image.sh" |
	key "$cache/base.key" -)
if ! done_as boot "$boot_key"; then
	for k in $kernels; do
		release=$(cd "$root/lib/modules" && ls -d "$k".* | sort -V | tail -1)
		cp "$root/boot/initrd.img-$release" "$cache/boot/initrd-$k"
		cp "$root/boot/vmlinuz-$release" "$cache/boot/vmlinuz-$k"
		echo "$release" >"$cache/boot/release-$k"
	done
	echo "$boot_key" >"$cache/boot.key"
fi
[ "${1:-disk}" = disk ] || exit 0

# STEP disk: one ext4 image, booted read-only through a throw-away snapshot.
disk_key=$(sed -n '/^# STEP disk/,$p' "$here/vm/image.sh" |
	key "$cache/base.key" "$cache/python.key" "$here/vm/init.sh" -)
if ! done_as disk "$disk_key"; then
	say DISK "ext4 image of the root file system"
	install -m 755 "$here/vm/init.sh" "$root/usr/local/sbin/vagus-guest"
	cat >"$root/etc/systemd/system/vagus-guest.service" <<-'EOF'
		[Unit]
		Description=Run the command that vm/run.py asked for, then power off
		After=basic.target
		[Service]
		Type=oneshot
		ExecStart=/usr/local/sbin/vagus-guest
		StandardInput=null
		TimeoutStartSec=infinity
		[Install]
		WantedBy=multi-user.target
	EOF
	mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
	ln -sf ../vagus-guest.service \
		"$root/etc/systemd/system/multi-user.target.wants/vagus-guest.service"
	for unit in getty@tty1 serial-getty@ttyS0 serial-getty@hvc0 systemd-timesyncd \
		systemd-binfmt systemd-hwdb-update ldconfig e2scrub_reap systemd-logind \
		modprobe@drm modprobe@fuse; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
	done
	mkdir -p "$root/vagus" "$root/run-vagus"
	rm -f "$root/etc/fstab" "$cache/disk.new"
	echo vagus-vm >"$root/etc/hostname"
	truncate -s 8G "$cache/disk.new"
	mke2fs -q -t ext4 -O ^has_journal -E lazy_itable_init=1 -d "$root" "$cache/disk.new"
	mv "$cache/disk.new" "$cache/disk.ext4"
	echo "$disk_key" >"$cache/disk.key"
fi
