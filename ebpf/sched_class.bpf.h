/* SPDX-License-Identifier: GPL-2.0-only */
/* Who is what: stances of threads and cgroups, which lapse at their deadline. */
#ifndef VAGUS_SCHED_CLASS_BPF_H
#define VAGUS_SCHED_CLASS_BPF_H

#include "sched_group.bpf.h"

#define STANCE_DEPTH_MAX 32

/* By cgroup id; user space puts and removes them, and then counts up. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VAGUS_SLOTS_MAX);
	__type(key, __u64);
	__type(value, struct vagus_sched_stance);
} sched_cgroups SEC(".maps");

/* By thread id in the initial namespace, for cgroups that several share. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VAGUS_SLOTS_MAX);
	__type(key, __u32);
	__type(value, struct vagus_sched_stance);
} sched_threads SEC(".maps");

struct word {
	__u64 generation; /* counted up by user space after each change of the two */
	__u64 deadline_ns; /* CLOCK_MONOTONIC; unless renewed by then we go; 0: never */
};

/* A section is a map too, and of this one the address is known: it is read often. */
struct word sched_word SEC(".data.sched_word");

static __always_inline __u32 generation(void)
{
	return sched_word.generation + own_generation + 1;
}

/* Go when user space has been silent for too long: it hangs, and steers nobody. */
static __always_inline void look_for_owner(void)
{
	__u64 deadline_ns = sched_word.deadline_ns;

	if (deadline_ns && bpf_ktime_get_ns() > deadline_ns)
		leave("the agent was silent for too long");
}

/* Return the stance of the nearest ancestor that has one. */
static __always_inline struct vagus_sched_stance *nearest(struct task_struct *p)
{
	struct cgroup *cgroup = BPF_CORE_READ(p, cgroups, dfl_cgrp);
	int level = BPF_CORE_READ(cgroup, level);

	for (int i = 0; i < STANCE_DEPTH_MAX && level >= 0; i++, level--) {
		struct vagus_sched_stance *stance;
		struct cgroup *ancestor;
		__u64 id;

		if (bpf_core_read(&ancestor, sizeof(ancestor), &cgroup->ancestors[level]))
			return NULL;
		id = BPF_CORE_READ(ancestor, kn, id);
		stance = bpf_map_lookup_elem(&sched_cgroups, &id);
		if (stance)
			return stance;
	}
	return NULL;
}

/* Say whether it works for everybody: a kernel thread, but for those that are nice. */
static __always_inline bool is_kernel(const struct task_struct *p)
{
	return p->flags & PF_KTHREAD && p->scx.weight >= WEIGHT_NORMAL;
}

/*
 * Count a task in its group by its present weight, from when it wakes up until it
 * sleeps.  There is no callback at each of the two for that, since they are as many
 * as switches: whoever is queued or begins to run looks whether it is counted.
 */
static __always_inline void count(const struct task_struct *p, struct task_ctx *t)
{
	__u32 weight = max(p->scx.weight, 1), added;

	if (t->counted == weight)
		return;
	/* Whoever runs when a worker of nice -20 wakes would pay for its weight. */
	added = is_kernel(p) ? 0 : weight;
	group_add(t->group, member(added) - member(t->added));
	t->counted = weight;
	t->added = added;
}

static __always_inline void uncount(struct task_ctx *t)
{
	group_add(t->group, -member(t->added));
	t->counted = t->added = 0;
}

static __always_inline void set_class(struct task_ctx *t, __u8 class, __u8 strength)
{
	t->class = class;
	t->strength = strength;
	t->is_kernel = 0;
}

/*
 * What a task is without a stance.  The kernel's own threads go with the most
 * protected: whoever waits for I/O waits for them, and so does the watchdog.
 */
static __always_inline void set_default(struct task_struct *p, struct task_ctx *t)
{
	if (partial || p->policy == SCHED_IDLE || group_idle(t->group))
		set_class(t, VAGUS_SCHED_YIELD, 3);
	else
		set_class(t, VAGUS_SCHED_NORMAL, 0);
	if (t->class == VAGUS_SCHED_NORMAL && is_kernel(p)) {
		set_class(t, VAGUS_SCHED_PROTECT, 3);
		t->is_kernel = 1;
	}
}

static __noinline int find_stance(struct task_struct *p, struct task_ctx *t)
{
	struct vagus_sched_stance *stance;
	__u32 tid;

	if (!p || !t)
		return 0;
	tid = p->pid;
	stance = bpf_map_lookup_elem(&sched_threads, &tid);
	if (!stance)
		stance = nearest(p);
	t->deadline_ns = 0;
	set_default(p, t);
	if (!stance || stance->deadline_ns <= bpf_ktime_get_ns() || partial)
		return 0;
	t->deadline_ns = stance->deadline_ns;
	if (stance->sched_class == VAGUS_SCHED_NORMAL)
		return 0;
	set_class(t, stance->sched_class == VAGUS_SCHED_YIELD ? VAGUS_SCHED_YIELD :
								VAGUS_SCHED_PROTECT,
		  min(max(stance->strength, 1), 3));
	return 0;
}

/* Its weight for somebody of its class and strength, per cent of the given one. */
static __always_inline __u32 weight_pct(const struct task_ctx *t)
{
	if (t->class == VAGUS_SCHED_NORMAL)
		return 100;
	if (t->class == VAGUS_SCHED_YIELD)
		return t->strength == 1 ? 50 : t->strength == 2 ? 20 : 1;
	return t->strength == 1 ? 100 : t->strength == 2 ? 300 : 1000;
}

/* The scale of its group, for somebody of its class and strength. */
static __always_inline __u64 own_scale(const struct task_ctx *t, __u64 scale)
{
	return t->class == VAGUS_SCHED_NORMAL ? scale : scale * 100 / max(weight_pct(t), 1);
}

/* Find what a ns of CPU costs a task that runs, or waits to. */
static __always_inline void price(struct task_ctx *t, __u64 scale, __u64 sum)
{
	scale = own_scale(t, scale);
	t->per = min(scale * max(sum, t->counted) / max(t->counted, 1), SCALE_MAX);
}

static __noinline int reclassify(struct task_struct *p, struct task_ctx *t)
{
	struct group *group;
	__u32 pct;

	if (!p || !t)
		return 0;
	t->generation = generation();
	t->css = (__u64)p->cgroups;
	if (!t->per_before)
		t->per_before = t->per;
	pct = weight_pct(t);
	find_stance(p, t);
	group = group_at(t->group);
	t->per = t->per * pct / weight_pct(t);
	/* Beside whom it will run is known of who waits already. */
	if (group && t->counted)
		price(t, group_scale(group, t->group, scx_bpf_now()), sum_of(group));
	if (t->per_before != t->per)
		return 1;
	t->per_before = 0;
	return 0;
}

/*
 * Bring the class of a task up to date: the next decision knows a new stance, and
 * new weights.  Return whether its debt is another one now: see place().
 */
static __always_inline int classify(struct task_struct *p, struct task_ctx *t)
{
	if (t->generation == generation() && t->css == (__u64)p->cgroups &&
	    (!t->deadline_ns || bpf_ktime_get_ns() < t->deadline_ns))
		return 0;
	return reclassify(p, t);
}

static __always_inline __u8 clock_of(const struct task_ctx *t)
{
	return t->class == VAGUS_SCHED_PROTECT;
}

#endif
