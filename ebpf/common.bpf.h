/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the sensing programs share: whose event it is, the ring, the counters.
 *
 * User space loads several objects and gives them the same maps of these.
 */
#ifndef VAGUS_COMMON_BPF_H
#define VAGUS_COMMON_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "hist.bpf.h"
#include "vagus.h"

/* A cgroup deeper than this below its tracked ancestor counts as untracked. */
#define DEPTH_MAX 32

/* Workloads, by cgroup id; user space puts and removes them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VAGUS_SLOTS_MAX);
	__type(key, __u64);
	__type(value, __u32);
} tracked SEC(".maps");

/* Raised by user space after every change of tracked. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} epoch SEC(".maps");

#define OWNERS 512

struct owner {
	__u64 workload;
	__u64 sealed;
};

/* Whose a cgroup's events are, by its id; saves the walk over its ancestors. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OWNERS);
	__type(key, __u32);
	__type(value, struct owner);
} owners SEC(".maps");

/* Rare events; the one ring of all objects. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VAGUS_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/*
 * Which event types go to the ring, a bit each.  A type that is left out is
 * still counted per workload.
 */
const volatile __u64 event_types = ~0ULL;

/*
 * Bytes that may gather in the ring before a reader is woken.  More means fewer
 * wake-ups and later events; the reader looks at every tick anyway.
 */
const volatile __u64 wake_bytes = 256 << 10;

static __always_inline void count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		(*value)++;
}

static __always_inline __u64 search_tracked(struct cgroup *cgroup)
{
	int level = cgroup->level;

	for (int i = 0; i < DEPTH_MAX && level >= 0; i++, level--) {
		struct cgroup *ancestor;
		__u64 id;

		if (bpf_core_read(&ancestor, sizeof(ancestor), &cgroup->ancestors[level]))
			return 0;
		id = BPF_CORE_READ(ancestor, kn, id);
		if (bpf_map_lookup_elem(&tracked, &id))
			return id;
	}
	return 0;
}

/*
 * What an entry of the cache must be sealed with to be whole, of this cgroup
 * and of this epoch: a program may be interrupted by another while it writes.
 */
static __always_inline __u64 seal(__u64 cgroup_id, __u64 workload, __u64 now)
{
	return (cgroup_id * 0x9E3779B97F4A7C15ULL) ^ (workload * 0xC2B2AE3D27D4EB4FULL) ^
	       (now * 0x165667B19E3779F9ULL);
}

/* Return the nearest tracked ancestor of @cgroup or itself, or 0. */
static __always_inline __u64 tracked_ancestor(struct cgroup *cgroup)
{
	__u64 id = cgroup->kn->id;
	__u32 zero = 0, slot = id % OWNERS;
	__u64 *now = bpf_map_lookup_elem(&epoch, &zero);
	struct owner *owner = bpf_map_lookup_elem(&owners, &slot);
	__u64 workload, epoch_before;

	if (!now || !owner)
		return 0;
	/* Before the search: what is tracked may change meanwhile. */
	epoch_before = *(volatile __u64 *)now;
	workload = owner->workload;
	if (owner->sealed == seal(id, workload, epoch_before))
		return workload;
	workload = search_tracked(cgroup);
	owner->workload = workload;
	owner->sealed = seal(id, workload, epoch_before);
	return workload;
}

static __always_inline struct cgroup *cgroup_of(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp;
}

static __always_inline __u64 workload_of(struct task_struct *task)
{
	return tracked_ancestor(cgroup_of(task));
}

static __always_inline bool is_wanted(__u32 type)
{
	return event_types >> type & 1;
}

/* Fill the head of a record about @task, of which @workload may be 0. */
static __always_inline void fill_event(struct vagus_event *event, __u32 type,
				       struct task_struct *task, __u64 workload)
{
	event->time_ns = bpf_ktime_get_ns();
	event->cgroup_id = workload ?: cgroup_of(task)->kn->id;
	event->type = type;
	event->cpu = bpf_get_smp_processor_id();
	event->tgid = task->tgid;
	event->tid = task->pid;
	event->value = 0;
	event->extra = 0;
	bpf_probe_read_kernel_str(event->comm, sizeof(event->comm), task->comm);
}

/* Reserve a record of @size bytes; NULL and counted where the ring is full. */
static __always_inline void *reserve(__u64 size)
{
	void *record = bpf_ringbuf_reserve(&events, size, 0);

	if (!record)
		count(VAGUS_COUNTER_RING_FULL);
	return record;
}

/* Commit a record; an urgent one wakes the reader at once. */
static __always_inline void submit(void *record, bool urgent)
{
	__u64 waiting = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);

	count(VAGUS_COUNTER_EVENTS);
	bpf_ringbuf_submit(record, urgent || waiting >= wake_bytes ?
					   BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/*
 * Return this CPU's @map value of @key, made from @zero when it is the
 * workload's first; NULL and counted where the map is full.
 */
static __always_inline void *stat_of(void *map, const struct vagus_stat_key *key,
				     const void *zero)
{
	void *stat = bpf_map_lookup_elem(map, key);

	if (stat)
		return stat;
	bpf_map_update_elem(map, key, zero, BPF_NOEXIST);
	stat = bpf_map_lookup_elem(map, key);
	if (!stat)
		count(VAGUS_COUNTER_STATS_FULL);
	return stat;
}

#endif
