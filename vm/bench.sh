#!/bin/sh
# SPDX-License-Identifier: MIT
# Measure one part: print, and write .output/bench/NAME.json.
set -eu
mkdir -p .output/bench
root=${VAGUS_CACHE:-$HOME/.cache/vagus}/rootfs
one_cpu="--icount --memory 3072 --timeout 7200"
load='insmod .output/kmod/$(uname -r)/vagus.ko &&'
case $1 in
kmod)
	bench="$load python tests/vm/bench_kmod.py"
	python3 vm/run.py $one_cpu --name bench-kmod -- sh -c "$bench"
	exec python3 vm/run.py $one_cpu --kernel 6.12 --name bench-kmod-6.12 -- sh -c "$bench late" ;;
sense)
	vm/chroot.sh "$root" python tests/vm/bench_sense.py
	exec python3 vm/run.py $one_cpu --name bench-sense -- python tests/vm/bench_sense_guest.py ;;
drain) exec python3 vm/run.py $one_cpu --name bench-drain -- python tests/vm/bench_drain.py ;;
sched) exec python3 vm/run.py $one_cpu --name bench-sched -- python tests/vm/bench_sched.py ;;
record)
	vm/chroot.sh "$root" python tests/unit/record/bench.py ${DAYS:-7}
	python3 vm/run.py --smp 2 --name bench-record -- python tests/vm/bench_power.py
	exec python3 vm/cut.py 2 ;;
model)
	exec vm/chroot.sh "$root" sh -c "sh agent/train/lists.sh /tmp/train-lists && \
		PYTHONPATH=agent python -m train.evaluate --lists /tmp/train-lists" ;;
lab) exec sh vm/lab.sh ;;
*) echo "bench: there is no bench-$1 (kmod sense drain sched record model lab)" >&2; exit 2 ;;
esac
