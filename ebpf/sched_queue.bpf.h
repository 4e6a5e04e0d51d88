/* SPDX-License-Identifier: GPL-2.0-only */
/* The queues: who waits in them, whose turn it is, whose CPU is taken. */
#ifndef VAGUS_SCHED_QUEUE_BPF_H
#define VAGUS_SCHED_QUEUE_BPF_H

#include "sched_time.bpf.h"

/* CPUs looked at for one of a lower class. */
#define VICTIMS_MAX 64
/* Tasks of a queue looked at for one that may run on a CPU. */
#define ALLOWED_MAX 64
#define NO_CLASS VAGUS_SCHED_CLASSES
/* The queue of those who waited too long; first come, first served. */
#define OLD_QUEUE 100
/* Queues are searched this often, ns. */
#define SEARCH_NS 200000000
/* kernel/sched/ext.c: time_before64() order of a dispatch queue by vtime */
#define QUEUE(class) ((__u64)(class) + 1)

/* Count a task among those who wait in a class's queue: its number plus 1, 0 for none. */
static __always_inline void count_waiting(struct task_ctx *t, __u32 queued)
{
	__u32 before = __sync_lock_test_and_set(&t->queued, queued);

	if (before)
		__sync_fetch_and_sub(&waiting[(before - 1) & CLASS_MASK], 1);
	if (queued)
		__sync_fetch_and_add(&waiting[(queued - 1) & CLASS_MASK], 1);
}

/*
 * Put a task into a queue.  The kernel does it when enqueue() is over, so that who
 * looks there meanwhile finds nobody, and may not take that for the last word.
 */
static __always_inline void queue(struct task_struct *p, struct task_ctx *t, __u64 slice,
				  __u64 enq_flags)
{
	__u32 class = t->class & CLASS_MASK;

	t->slice = slice;
	scx_bpf_dsq_insert_vtime(p, QUEUE(class), slice, t->vtime, enq_flags);
	count_waiting(t, class + 1);
	__sync_fetch_and_add(&came, 1);
	/* Another CPU may have searched by newer stances just before. */
	if (t->generation != generation())
		searched_generation = 0;
}

/*
 * Note what runs on a CPU: a class plus 1, or 0.  A barrier: who comes to wait either
 * finds it so, or is_next() there finds that somebody came; queue() pairs with it.
 */
static __always_inline void occupy(struct cpu_ctx *c, __u32 running)
{
	__u32 before;

	c->kicked = 0;
	before = __sync_lock_test_and_set(&c->running, running);
	if (before == VAGUS_SCHED_YIELD + 1)
		__sync_fetch_and_sub(&yields_running, 1);
	if (running == VAGUS_SCHED_YIELD + 1)
		__sync_fetch_and_add(&yields_running, 1);
}

/*
 * Interrupt a CPU, but not from one that is about to go: the interrupt is sent by
 * a work of the sending CPU, and what a dead CPU has not done is not done when it
 * comes back either.  Then the CPU can interrupt nobody, and the kernel waits for
 * ever when the scheduler ends (seen on 7.3, in irq_work_sync).
 */
static __always_inline void poke(__u32 cpu, __u64 flags)
{
	struct cpu_ctx *here = cpu_ctx(bpf_get_smp_processor_id());

	if (!here->leaving)
		scx_bpf_kick_cpu(cpu, flags);
}

/* Say whether a CPU runs a class below @below, and is neither taken nor spared. */
static __always_inline bool may_take(const struct cpu_ctx *c, __u8 below)
{
	if (!c->running || c->running - 1 >= below || c->kicked)
		return false;
	return !c->floor || scx_bpf_now() - c->since >= short_slice_ns;
}

/* Take a CPU so. */
static __always_inline bool kick(__u32 cpu, __u8 below)
{
	struct cpu_ctx *c = cpu_ctx(cpu);

	if (!may_take(c, below))
		return false;
	c->kicked = 1;
	poke(cpu, SCX_KICK_PREEMPT);
	return true;
}

/* Find a CPU for a task that has to wait otherwise: a yielding one's at best. */
static __always_inline void preempt(struct task_struct *p, __u8 class)
{
	struct vagus_sched_stat *stat;
	__u32 home, found = 0;

	if (!class || (class == VAGUS_SCHED_NORMAL && !yields_running))
		return;
	home = scx_bpf_task_cpu(p);
	for (__u32 below = 1; below <= class && below < VAGUS_SCHED_CLASSES; below++) {
		__u32 i;

		if (found || (below == VAGUS_SCHED_NORMAL && !yields_running))
			continue;
		found = kick(home, below);
		if (is_bound(p))
			continue;
		bpf_for(i, 1, min(nr_cpus, VICTIMS_MAX)) {
			__u32 cpu = home + i < nr_cpus ? home + i : home + i - nr_cpus;

			if (found)
				break;
			if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
				found = kick(cpu, below);
		}
	}
	stat = found ? stat_of(class) : NULL;
	if (stat)
		stat->kicks++;
}

/* Send a task to a CPU that is idle; rate of the wake-ups that find one. */
static __always_inline void send(struct task_struct *p, struct task_ctx *t, s32 cpu,
				 __u64 queue)
{
	struct vagus_sched_stat *stat = stat_of(t->class);

	place(p, t, cpu, true);
	count(p, t);
	if (!t->waits_since)
		t->waits_since = scx_bpf_now();
	if (stat)
		stat->direct++;
	t->slice = slice_ns;
	scx_bpf_dsq_insert(p, queue, slice_ns, 0);
}

static __always_inline bool may_run(const struct task_struct *p, __u32 cpu)
{
	return bpf_cpumask_test_cpu(cpu, p->cpus_ptr) &&
	       (!p->migration_disabled || scx_bpf_task_cpu(p) == (s32)cpu);
}

/* Look behind the first, who is bound elsewhere, for one that may run here. */
static __always_inline bool first_allowed(__u32 class, __u32 cpu, __u64 *vtime)
{
	struct task_struct *p;
	__u32 seen = 0;

	bpf_for_each(scx_dsq, p, QUEUE(class), 0) {
		if (++seen > ALLOWED_MAX)
			break;
		if (!may_run(p, cpu))
			continue;
		*vtime = p->scx.dsq_vtime;
		return true;
	}
	return false;
}

/* Return the virtual time of the first in a queue that may run on a CPU. */
static __always_inline bool first_in(__u32 class, __u32 cpu, __u64 *vtime)
{
	struct task_struct *p;

	if (!waiting[class])
		return false;
	p = scx_bpf_dsq_peek(QUEUE(class));
	if (!p)
		return false;
	*vtime = p->scx.dsq_vtime;
	return may_run(p, cpu) || first_allowed(class, cpu, vtime);
}

/* Say whether a class waits that is owed its minimum share. */
static __always_inline bool is_owed(__u32 class)
{
	return waiting[class] && owed_ns[class] >= (__s64)short_slice_ns;
}

static __noinline int look_who_is_first(struct task_ctx *t, __u32 cpu)
{
	__u64 vtime = 0;

	if (!t || old_waiting || is_owed(VAGUS_SCHED_YIELD) || is_owed(VAGUS_SCHED_NORMAL))
		return false;
	if (first_in(VAGUS_SCHED_PROTECT, cpu, &vtime) &&
	    (t->class != VAGUS_SCHED_PROTECT || !is_before(t->vtime, vtime)))
		return false;
	if (t->class == VAGUS_SCHED_PROTECT)
		return true;
	if (first_in(VAGUS_SCHED_YIELD, cpu, &vtime) && !is_before(t->vtime, vtime))
		return false;
	return !first_in(VAGUS_SCHED_NORMAL, cpu, &vtime) || is_before(t->vtime, vtime);
}

/* Say whether a task is before all who wait and may run on a CPU, as for dispatch(). */
static __always_inline bool is_first(struct task_ctx *t, __u32 cpu)
{
	return !(waiting[VAGUS_SCHED_YIELD] | waiting[VAGUS_SCHED_NORMAL] |
		 waiting[VAGUS_SCHED_PROTECT] | old_waiting) ||
	       look_who_is_first(t, cpu);
}

/*
 * Put a task that wakes up next on the only CPU that it may run on, where it is before
 * all who wait, and one of its class runs there, or it is protected and takes the CPU.
 * If somebody comes before it begins, or who runs wants to go on by then, is_next()
 * sees to that.  Who waits has to be searched, though, and that is for dispatch(): by
 * new stances at once, else a little later than is done there.
 */
static __always_inline bool put_next(struct task_struct *p, struct task_ctx *t,
				     struct cpu_ctx *c, struct vagus_sched_stat *stat,
				     __u64 enq_flags)
{
	bool takes = c->running != t->class + 1;
	__u32 seen = came;

	if (takes ? t->class != VAGUS_SCHED_PROTECT || !may_take(c, t->class) : c->next)
		return false;
	if (t->generation != searched_generation ||
	    (__s64)(t->waits_since - searched_at) > 2 * SEARCH_NS ||
	    owed_ns[t->class & CLASS_MASK] >= (__s64)short_slice_ns ||
	    !is_first(t, scx_bpf_task_cpu(p)))
		return false;
	if (takes) {
		c->kicked = 1;
		stat->kicks++;
		enq_flags |= SCX_ENQ_PREEMPT;
	}
	if (!c->next++)
		c->came = seen;
	stat->direct++;
	t->slice = slice_ns;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
	return true;
}

static __noinline int protected_waits(__u32 cpu)
{
	__u64 vtime;

	return first_in(VAGUS_SCHED_PROTECT, cpu, &vtime);
}

/*
 * Say whether the one who begins to run is who would be served now.  Where others came
 * that are before somebody who was put next, he loses the CPU again at once: dispatch()
 * chooses among all.  So does a lower class where somebody protected came after
 * dispatch() had looked, since he found nobody here to interrupt.
 */
static __always_inline bool is_next(struct cpu_ctx *c, struct task_ctx *t, __u32 cpu)
{
	if (!c->next)
		return t->class == VAGUS_SCHED_PROTECT || c->floor ||
		       !waiting[VAGUS_SCHED_PROTECT] || c->came == came ||
		       !protected_waits(cpu);
	c->next--;
	return c->came == came || is_first(t, cpu);
}

/*
 * Look through a queue: who waited too long goes into the queue of the old, who
 * is of another class by now into the queue of that, who has another price to where
 * that puts it.  Not static: so the verifier
 * looks at it once, by itself.
 */
__noinline int search(__u32 class, __u64 now)
{
	struct task_struct *p;

	class &= CLASS_MASK;
	bpf_for_each(scx_dsq, p, QUEUE(class), 0) {
		struct task_ctx *t = bpf_task_storage_get(&tasks, p, 0, 0);
		int is_new;

		if (!t || !t->waits_since)
			continue;
		is_new = classify(p, t);
		if (now - t->waits_since >= old_ns) {
			scx_bpf_dsq_move(&___it, p, OLD_QUEUE, 0);
			__sync_lock_test_and_set(&old_waiting, 1);
		} else if (t->class != class || is_new) {
			place(p, t, scx_bpf_task_cpu(p), t->class != class);
			scx_bpf_dsq_move_set_vtime(&___it, t->vtime);
			if (scx_bpf_dsq_move_vtime(&___it, p, QUEUE(t->class & CLASS_MASK), 0))
				count_waiting(t, (t->class & CLASS_MASK) + 1);
		} else if (t->queued != class + 1) {
			/* Two CPUs counted it at once, the wrong one last. */
			count_waiting(t, class + 1);
		}
	}
	__sync_fetch_and_add(&came, 1);
	return 0;
}

/* Look through all queues now and then, and at once when stances have changed. */
static __always_inline void search_all(__u64 now)
{
	__u64 before = searched_at;
	__u32 stances = generation();

	if (now - before <= SEARCH_NS && stances == searched_generation)
		return;
	if (__sync_val_compare_and_swap(&searched_at, before, now) != before)
		return;
	searched_generation = stances;
	look_for_owner();
	search(VAGUS_SCHED_YIELD, now);
	search(VAGUS_SCHED_NORMAL, now);
	search(VAGUS_SCHED_PROTECT, now);
}

/*
 * Take the first that may run here.  Where he comes from another CPU, its lock is held
 * instead of this one's meanwhile: who was put next then is before him.
 */
static __always_inline bool take(struct cpu_ctx *c, __u64 queue)
{
	if (!scx_bpf_dsq_move_to_local(queue))
		return false;
	if (c->next)
		c->next++;
	return true;
}

/* Serve who has waited too long, by whatever chance of weights and classes. */
static __always_inline bool serve_old(struct cpu_ctx *c)
{
	if (!old_waiting)
		return false;
	c->floor_next = 1;
	if (take(c, OLD_QUEUE))
		return true;
	c->floor_next = 0;
	/* Empty, or all of them are bound elsewhere. */
	__sync_lock_test_and_set(&old_waiting, 0);
	if (scx_bpf_dsq_nr_queued(OLD_QUEUE) > 0)
		old_waiting = 1;
	return false;
}

/* Serve the class that is owed its minimum share. */
static __always_inline bool serve_floor(struct cpu_ctx *c, __u32 class)
{
	struct vagus_sched_stat *stat = stat_of(class);

	if (!is_owed(class))
		return false;
	c->floor_next = 1;
	if (!take(c, QUEUE(class))) {
		c->floor_next = 0;
		return false;
	}
	if (stat)
		stat->floors++;
	return true;
}

/* Return whose turn it is on a CPU by class and virtual time, of those who wait. */
static __always_inline __u32 whose_turn(__u32 cpu, __u64 *vtime)
{
	__u64 protects, yields;
	/* All are looked at: minimum shares depend on who waits. */
	bool any_protect = first_in(VAGUS_SCHED_PROTECT, cpu, &protects);
	bool any_yield = first_in(VAGUS_SCHED_YIELD, cpu, &yields);
	bool any_normal = first_in(VAGUS_SCHED_NORMAL, cpu, vtime);

	if (any_protect) {
		*vtime = protects;
		return VAGUS_SCHED_PROTECT;
	}
	if (any_yield && (!any_normal || is_before(yields, *vtime))) {
		*vtime = yields;
		return VAGUS_SCHED_YIELD;
	}
	return any_normal ? VAGUS_SCHED_NORMAL : NO_CLASS;
}

/* Say whether the task that just ran goes on before the first of @class. */
static __always_inline bool goes_on(struct task_struct *prev, struct task_ctx *t,
				    __u32 class, __u64 vtime)
{
	if (class == NO_CLASS)
		return true;
	if ((t->class == VAGUS_SCHED_PROTECT) != (class == VAGUS_SCHED_PROTECT))
		return t->class == VAGUS_SCHED_PROTECT;
	return is_before(t->vtime, vtime);
}

/* Return the only class in which anybody may wait, or none. */
static __always_inline __u32 only_class(void)
{
	bool yield = waiting[VAGUS_SCHED_YIELD];
	bool normal = waiting[VAGUS_SCHED_NORMAL];
	bool protect = waiting[VAGUS_SCHED_PROTECT];

	if (yield + normal + protect != 1)
		return NO_CLASS;
	return protect ? VAGUS_SCHED_PROTECT : normal ? VAGUS_SCHED_NORMAL : VAGUS_SCHED_YIELD;
}

static __always_inline bool move(struct cpu_ctx *c, __u32 class)
{
	return class != NO_CLASS && waiting[class & CLASS_MASK] && take(c, QUEUE(class));
}

#endif
