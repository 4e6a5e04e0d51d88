#!/bin/sh
# SPDX-License-Identifier: MIT
# In the chroot: every static check; changes nothing.
set -u
failed=0
step() { name=$1; shift; if out=$("$@" 2>&1); then printf '  %-11sok\n' "$name"; else
	printf '  %-11sFAILED\n%s\n' "$name" "$out"; failed=1; fi; }
py="agent/vagus agent/train bindings tests vm"
c_files=$(ls "$PWD"/kmod/*.[ch] "$PWD"/kmod/uapi/*.h)
checkpatch=/usr/local/lib/vagus/checkpatch.pl
# Two kernels are supported, so: versions are compared, in one header, and what only
# the newer one has is not used; sizes of sysfs files are known at load; C11 asserts.
unfit=LINUX_VERSION_CODE,CONSTANT_COMPARISON,ALLOC_WITH_SIZEOF,CONST_STRUCT,CAMELCASE
# The contract is the manual too, and tests are lists: a little more for both.
sizes() {
	git -c safe.directory=/vagus ls-files '*.py' '*.c' '*.h' '*.sh' | xargs wc -l |
		awk '$2 != "total" && $1 > ($2 ~ /^tests|uapi/ ? 600 : 500) { print; bad = 1 }
			END { exit bad }'
}
spdx() {
	for f in $(git -c safe.directory=/vagus ls-files '*.py' '*.c' '*.h' '*.sh'); do
		head -2 "$f" | grep -q SPDX-License-Identifier || { echo "$f: no SPDX line"; bad=1; }
	done
	[ -z "${bad:-}" ]
}
step ruff ruff check -q $py
step format ruff format -q --check $py
step mypy mypy
# It leaves a file in the git repository that it is run in.
step checkpatch env -C / perl "$checkpatch" --strict --no-tree --terse --no-summary \
	--ignore "SPDX_LICENSE_TAG,FILE_PATH_CHANGES,$unfit" -f $c_files
step sizes sizes
step spdx spdx
[ $failed = 0 ] || { echo "check: FAILED"; exit 1; }
