#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest: load the module and run tests/vm.
# usage: guest-test.sh vm|soak NAME [TESTS ...]
set -eu
xml=vm-$2
insmod ".output/kmod/$(uname -r)/vagus.ko" || {
	echo "vm: vagus.ko did not load on $(uname -r)"
	exit 1
}
marks="not soak" limit=400
[ "$1" = soak ] && marks="" limit=7200
shift 2
# A cache folder of its own: guests and host would make a shared one at once.
exec python -m pytest -q "${@:-tests/vm}" -m "$marks" --timeout "$limit" \
	--junitxml=".output/test/$xml.xml" --durations=8 -o cache_dir=/tmp/pytest
