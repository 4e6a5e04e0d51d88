/* SPDX-License-Identifier: GPL-2.0-only */
/* What a task's time on a CPU costs: virtual time, and minimum shares owed. */
#ifndef VAGUS_SCHED_TIME_BPF_H
#define VAGUS_SCHED_TIME_BPF_H

#include "sched_class.bpf.h"

/* A class is owed at most its part of this. */
#define OWED_WINDOW_NS 1000000000LL
/*
 * What a class had before it has to wait counts, but no more than its part of this:
 * who gets its share anyway does not come in between, while others run for so long.
 */
#define CREDIT_WINDOW_NS 250000000LL
/* Owed for each 100 ns promised: credit, and slices not over yet, leave the promise. */
#define OWED_PCT 110

static __always_inline __u32 normal_share_pm(__u8 strength)
{
	return strength == 1 ? normal_share_1_pm :
	       strength == 2 ? normal_share_2_pm : normal_share_3_pm;
}

/* Owe a class @share_pm of @used, which @ran by itself. */
static __always_inline void owe(__u32 class, __u64 used, __u32 share_pm, bool ran)
{
	__s64 most = OWED_WINDOW_NS / 1000 * share_pm * nr_cpus;
	__s64 least = -CREDIT_WINDOW_NS / 1000 * share_pm * nr_cpus;
	__s64 owed = owed_ns[class] + (__s64)(used * share_pm * OWED_PCT / 100000);

	if (ran)
		owed -= used;
	owed_ns[class] = owed > most ? most : owed < least ? least : owed;
}

static __always_inline void settle_floors(const struct task_ctx *t, __u64 used)
{
	bool yields = t->class == VAGUS_SCHED_YIELD;
	bool is_normal = t->class == VAGUS_SCHED_NORMAL;

	if (yields || waiting[VAGUS_SCHED_YIELD])
		owe(VAGUS_SCHED_YIELD, used, yield_share_pm, yields);
	if (is_normal)
		owe(VAGUS_SCHED_NORMAL, used, normal_share_1_pm, true);
	else if (t->class == VAGUS_SCHED_PROTECT && waiting[VAGUS_SCHED_NORMAL])
		owe(VAGUS_SCHED_NORMAL, used, normal_share_pm(t->is_kernel ? 1 : t->strength), false);
}

/* Move the clocks to where a task begins to run; they never go back. */
static __always_inline void advance_clock(struct cpu_ctx *c, __u8 clock, __u64 vtime)
{
	clock &= CLOCKS - 1;
	if (is_before(c->clocks[clock], vtime))
		c->clocks[clock] = vtime;
	if (is_before(clocks[clock], vtime))
		clocks[clock] = vtime;
}

/*
 * Return what time it is for a task: the machine's, or its CPU's where it may run
 * on no other, since a crowded CPU is behind.
 */
static __always_inline __u64 time_for(const struct task_ctx *t, __u32 cpu, __u8 clock)
{
	clock &= CLOCKS - 1;
	return t->bound ? cpu_ctx(cpu)->clocks[clock] : clocks[clock];
}

/* Return how far ahead of the clock a group may be, by its scale: two slices. */
static __always_inline __u64 lead_of(__u64 scale)
{
	return slice_ns * 2 * scale >> SCALE_SHIFT;
}

/* A group is never behind its task's clock, nor too far ahead. */
static __always_inline void charge_group(struct group *group, const struct task_ctx *t,
					 __u64 used, __u64 scale)
{
	__u8 clock = t->clock & (CLOCKS - 1);
	__u64 now = time_for(t, bpf_get_smp_processor_id(), clock);
	__u64 lead = lead_of(scale);
	__u64 vtime = group->vtime[clock];

	if (is_before(vtime, now))
		vtime = now;
	vtime += used * scale >> SCALE_SHIFT;
	group->vtime[clock] = is_before(now + lead, vtime) ? now + lead : vtime;
}

/* Charge a task, and its group, for what it ran since it was last charged. */
static __noinline int charge(struct task_ctx *t, __u64 now)
{
	struct vagus_sched_stat *stat;
	struct group *group;
	__u64 used, scale, sum;

	if (!t)
		return 0;
	used = now - t->ran_at;
	if ((__s64)used <= 0)
		return 0;
	t->ran_at = now;
	group = group_at(t->group);
	stat = stat_of(t->class);
	if (!group || !stat)
		return 0;
	stat->ran_ns += used;
	scale = group_scale(group, t->group, now);
	sum = sum_of(group);
	/* Who came in between was there for a part of the time: for half of it, say. */
	price(t, (scale + t->scale_before) / 2, (sum + t->sum_before) / 2);
	t->sum_before = sum;
	t->scale_before = scale;
	t->vtime += used * t->per >> SCALE_SHIFT;
	if (group->parent != t->group)
		charge_group(group, t, used, own_scale(t, scale));
	settle_floors(t, used);
	return 0;
}

/* Place a task on its clock: one that wakes up not too far behind, none ahead. */
static __always_inline void place(struct task_struct *p, struct task_ctx *t, __u32 cpu,
				  bool wakes)
{
	__u8 clock = clock_of(t);
	__u32 debt = t->is_kernel ? 1 : DEBT_SLICES;
	struct group *group = group_at(t->group);
	__u64 now, first, last, scale;

	t->bound = is_bound(p);
	now = time_for(t, cpu, clock);
	if (t->clock != clock || !t->ran_at) {
		t->vtime = now;
		t->clock = clock;
	}
	/* A debt is time on a CPU: with another class or weight it is another vtime. */
	if (t->per_before && is_before(now, t->vtime))
		t->vtime = now + (t->vtime - now) / max(t->per_before, 1) * t->per;
	t->per_before = 0;
	last = now + (debt * slice_ns * t->per >> SCALE_SHIFT);
	if (is_before(last, t->vtime))
		t->vtime = last;
	if (!wakes)
		return;
	first = now;
	if (group && group->parent != t->group && is_before(first, group->vtime[clock])) {
		/* That of another class or weight, maybe. */
		scale = own_scale(t, group_scale(group, t->group, scx_bpf_now()));
		first = min(group->vtime[clock], now + lead_of(scale));
	}
	if (is_before(t->vtime, first - slice_ns))
		t->vtime = first - slice_ns;
}

#endif
