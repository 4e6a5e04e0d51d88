# SPDX-License-Identifier: MIT
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check fix vm kmod ebpf bindings build clean host rootfs image \
	test-host test-vm soak train train-smoke bench-% vm-debug-kernel

CACHE  := $(or $(VAGUS_CACHE),$(HOME)/.cache/vagus)
ROOTFS := $(CACHE)/rootfs
IN     := vm/chroot.sh $(ROOTFS)
KERNEL ?= 7.3
PY     := agent/vagus agent/train bindings tests vm

help: ## show this
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile

demo: build image ## see it work: a noisy neighbour, decided, leased, judged, undone
	@sh vm/demo.sh

test: check build image train-smoke ## build everything, run all tests, host and VM, both kernels
	@sh vm/test.sh all; failed=$$?; sh vm/summary.sh && exit $$failed

check: rootfs bindings ## lint, format, types, C warnings, sizes; changes nothing
	@$(IN) sh vm/check.sh

fix: rootfs ## format and fix what can be fixed
	@$(IN) ruff check -q --fix $(PY)
	@$(IN) ruff format -q $(PY)

test-host: build train-smoke ## unit tests, no root needed by them
	@sh vm/test.sh host

test-vm: build image ## tests inside the VM on both kernels
	@sh vm/test.sh vm

soak: build image train-smoke vm-debug-kernel ## the full counts: hours
	@VAGUS_SCALE=$(or $(VAGUS_SCALE),20) sh vm/test.sh soak

vm-debug-kernel: rootfs image ## a kernel with KASAN, lockdep, kmemleak, for make soak (once)
	@vm/debug-kernel.sh

vm: build image ## a root shell inside the VM (KERNEL=6.12 for the other kernel)
	@python3 vm/run.py --kernel $(KERNEL) --smp 2 --timeout 86400 --shell

build: kmod ebpf bindings ## everything that is compiled; Python too: the guest is slow at it
	@$(IN) python -m compileall -q agent/vagus tests/scenarios tests/vm

kmod: rootfs ## vagus.ko for both kernels
	@$(IN) $(if $(KDIR),env KDIR=$(KDIR)) sh kmod/build.sh

ebpf: rootfs ## the eBPF objects
	@$(IN) sh ebpf/build.sh

bindings: rootfs ## the native module vagus._native
	@$(IN) python bindings/build.py

bench-%: build image ## measure: bench-kmod, bench-sense, bench-model, bench-lab, ...
	@sh vm/bench.sh $*

train: host ## train the shipped model from nothing (hours)
	@sh agent/train/train.sh

train-smoke: host ## the whole training pipeline in 2 minutes
	@sh agent/train/train.sh smoke

host: ## install the host packages that are missing
	@sh vm/host.sh

rootfs: host
	@vm/image.sh rootfs

image: host
	@vm/image.sh disk

clean: ## remove what was built here (the cache stays)
	rm -rf .output agent/vagus/_native*
