// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the module counts at a context switch, counted by eBPF instead: the other
 * side of bench_kmod.py.  About as good as it can be made: BTF pointers and no
 * helper calls to read, no wake-up probe, no task storage.
 * Event rate: every context switch of the machine.
 */
#include "common.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define SLOTS VAGUS_SLOTS_MAX
#define WAITS (1 << 16)
#define TASK_RUNNING 0

/* Workload to its row, by cgroup id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLOTS);
	__type(key, __u64);
	__type(value, __u32);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct vagus_cell);
} cells SEC(".maps");

/* The total that a thread had waited when it last got a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WAITS);
	__type(key, __u32);
	__type(value, __u64);
} waits SEC(".maps");

static __always_inline struct vagus_cell *cell_of(struct task_struct *task, __u64 *id)
{
	struct cgroup *cgroup = task->cgroups->dfl_cgrp;
	__u32 *row;

	*id = cgroup->kn->id;
	row = bpf_map_lookup_elem(&rows, id);
	if (row)
		return bpf_map_lookup_elem(&cells, row);
	for (int level = cgroup->level - 1; level >= 0 && level < DEPTH_MAX; level--) {
		struct cgroup *above;
		__u64 key;

		if (bpf_core_read(&above, sizeof(above), &cgroup->ancestors[level]))
			return NULL;
		key = BPF_CORE_READ(above, kn, id);
		row = bpf_map_lookup_elem(&rows, &key);
		if (row) {
			*id = key;
			return bpf_map_lookup_elem(&cells, row);
		}
	}
	return NULL;
}

static __always_inline void put(struct vagus_cell *cell, __u32 kind, __u64 ns)
{
	__u32 bucket = hist_bucket(ns);

	if (bucket < VAGUS_HIST_BUCKETS)
		cell->hist[kind][bucket]++;
	cell->sum_ns[kind] += ns;
	if (ns > cell->max_ns[kind])
		cell->max_ns[kind] = ns;
}

static __always_inline __u64 waited(struct task_struct *task, __u64 now)
{
	__u32 key = (__u32)task->pid % WAITS;
	__u64 *last = bpf_map_lookup_elem(&waits, &key);
	__u64 total, wait;

	if (!last)
		return 0;
	total = task->sched_info.run_delay + now - task->sched_info.last_queued;
	wait = total - *last;
	*last = total;
	return wait;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int prev_state)
{
	struct vagus_cell *from = NULL, *to = NULL;
	__u64 from_id = 0, to_id = 0, now;

	if (prev->pid)
		from = cell_of(prev, &from_id);
	if (next->pid)
		to = cell_of(next, &to_id);
	if (!from) {
		/* Else clang ORs the pointers, which the verifier forbids. */
		barrier();
		if (!to)
			return 0;
	}
	now = bpf_ktime_get_ns();
	if (from) {
		put(from, VAGUS_HIST_SLICE, now - prev->sched_info.last_arrival);
		if (preempt || prev_state == TASK_RUNNING) {
			from->preempted++;
			if (from_id != to_id) {
				from->preempted_by_other++;
				from->last_preemptor = to_id;
			}
		}
	}
	if (to) {
		to->switches++;
		put(to, VAGUS_HIST_RUNQ, waited(next, now));
	}
	return 0;
}
