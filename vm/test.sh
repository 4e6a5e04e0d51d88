#!/bin/sh
# SPDX-License-Identifier: MIT
# Run the tests: host (in the chroot), vm (in the guest, both kernels), all (these
# side by side) or soak (the full counts in the guest, one after the other).
set -u
mkdir -p .output/test
limit=${VAGUS_VM_TIMEOUT:-3600}
inside="vm/chroot.sh '${VAGUS_CACHE:-$HOME/.cache/vagus}/rootfs'"
host="VAGUS_REQUIRE=model,smoke $inside python -m pytest -q tests/unit --junitxml=.output/test/host.xml"
[ "$1" = soak ] || host="$host -m 'not soak'"
# 6.12 has sched_ext off: its tests run there and say "unsupported".
require=root,vm,kmod,bpf,model,bcc
# usage: guest CAPABILITIES KERNEL TIER NAME [TESTS ...]
guest() {
	with="VAGUS_REQUIRE=$1 python3 vm/run.py --kernel $2 --smp 2 --name test-$4"
	shift 2
	echo "$with --timeout $limit -- sh vm/guest-test.sh $*"
}
# One CPU whose time counts instructions: no other load of the host moves its clock.
timed() {
	echo "VAGUS_REQUIRE=$require,scx python3 vm/run.py --icount --memory 3072" \
		"--name test-timed --timeout $limit -- sh vm/guest-test.sh $1 timed"
}
# What is about the agent runs in a guest of its own, after the one that is over soon.
agent=$(printf ' tests/vm/test_%s.py' cli lens loop loop_sched record_disk)
# Last, when all others have ended: where the host is busy a virtual CPU stands still
# for longer than the kernel lets a scheduler wait.
stress=tests/vm/test_sched.py
# usage: guests [NAME COMMAND]   more parts that run beside them
guests() {
	# shellcheck disable=SC2086  # a list
	exec python3 vm/abreast.py \
		vm-7.3 "$(guest "$require,scx" 7.3 vm 7.3 tests/vm \
			$(printf -- '--ignore=%s ' $agent $stress))" \
		vm-6.12 "$(guest "$require" 6.12 again 6.12)" \
		vm-rest "failed=0; $(timed timed) || failed=1
			$(guest "$require,scx" 7.3 vm agent $agent) || failed=1
			$(guest root,vm,kmod,bpf,scx 7.3 vm stress $stress) || failed=1
			exit \$failed" "$@"
}
case $1 in
host) rm -f .output/test/host.xml
	exec python3 vm/abreast.py host "$host" ;;
vm) rm -f .output/test/vm-*.xml
	guests ;;
all) rm -f .output/test/*.xml
	guests host "$host" ;;
soak)
	limit=${VAGUS_VM_TIMEOUT:-36000} failed=0
	sh -c "$host" || failed=1
	for kernel in 7.3 6.12; do
		printf '  %-8skernel %s\n' VM "$kernel"
		[ "$kernel" = 7.3 ] && more=,scx || more=
		sh -c "$(guest "$require$more" "$kernel" soak "$kernel")" || failed=1
	done
	printf '  %-8skernel 7.3, icount\n' VM
	sh -c "$(timed timed-soak)" || failed=1
	printf '  %-8skernel 7.3, four CPUs\n' VM
	VAGUS_REQUIRE=root,vm,bpf,scx python3 vm/run.py --smp 4 --name test-four \
		-- sh vm/guest-test.sh soak four tests/vm/test_sched.py -k stress || failed=1
	for kernel in 7.3 6.12; do
		printf '  %-8skernel %s, two memory nodes\n' VM "$kernel"
		VAGUS_REQUIRE=root,vm,kmod,numa python3 vm/run.py --kernel "$kernel" --smp 2 \
			--name "test-numa-$kernel" --append numa=fake=2 -- sh vm/guest-test.sh \
			soak "numa-$kernel" tests/vm/test_kmod_lease.py -k cpuset_mems || failed=1
	done
	printf '  %-8sguests cut off\n' VM
	python3 vm/cut.py 20 || failed=1
	# It stays locked down until it is switched off.
	printf '  %-8skernel 7.3, locked down\n' VM
	VAGUS_REQUIRE=root,vm,bpf,bcc,lockdown python3 vm/run.py --name test-lockdown \
		--append lockdown=confidentiality -- python -m pytest -q -o cache_dir=/tmp/pytest \
		tests/vm/test_lockdown.py || failed=1
	printf '  %-8skernel %s\n' VM debug
	vm/debug-kernel.sh module || exit 1
	# Ten times as slow, and what it looks for it sees the first time.
	VAGUS_SCALE=1 VAGUS_REQUIRE=root,vm,kmod python3 vm/run.py --kernel debug --smp 2 \
		--name test-debug --timeout "$limit" --memory 4096 \
		--append panic_on_warn=1 -- sh vm/debug-test.sh || failed=1
	exit $failed ;;
esac
