#!/bin/sh
# SPDX-License-Identifier: MIT
# In the guest: load the module and run tests/vm.
# usage: guest-test.sh vm|again|timed|soak|timed-soak NAME [TESTS ...]
# "again" is for a second kernel and leaves out what says nothing about kernels.
# Bounds on time (marked "timed") are told in a guest of their own, by its own clock.
set -eu
xml=vm-$2
insmod ".output/kmod/$(uname -r)/vagus.ko" || {
	echo "vm: vagus.ko did not load on $(uname -r)"
	exit 1
}
case $1 in
vm) marks="not soak and not timed" limit=400 ;;
again) marks="not soak and not timed and not once" limit=400 ;;
timed) marks="timed and not soak" limit=400 ;;
soak) marks="not timed" limit=7200 ;;
timed-soak) marks=timed limit=7200 ;;
esac
shift 2
# A cache folder of its own: guests and host would make a shared one at once.
exec python -m pytest -q "${@:-tests/vm}" -m "$marks" --timeout "$limit" \
	--junitxml=".output/test/$xml.xml" --durations=8 -o cache_dir=/tmp/pytest
