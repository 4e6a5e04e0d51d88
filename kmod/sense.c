// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracepoints to histograms: run-queue wait and time on the CPU at each context
 * switch, stalls in direct reclaim.
 *
 * There is no wake-up probe.  At a switch the scheduler still holds when the
 * next task was queued and how long it has ever waited (schedstat), so its wait
 * is the growth of that total since it last got a CPU.  The totals are kept in
 * a table indexed by thread id, one word each: see struct in remember().
 */
#include <linux/cgroup.h>
#include <linux/hash.h>
#include <linux/math64.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/timekeeping.h>
#include <linux/tracepoint.h>
#include <linux/vmalloc.h>
#include <trace/events/sched.h>
#include <trace/events/vmscan.h>

#include "compat.h"
#include "ring.h"
#include "sense.h"
#include "table.h"

/* One remembered total: 48 bits of ns, 10 of the run count, 6 of the thread id. */
#define WAITS		BIT(16)	/* entries; 512 KiB */
#define TOTAL_BITS	48
#define TOTAL_MASK	GENMASK_ULL(TOTAL_BITS - 1, 0)
#define COUNT_BITS	10
#define COUNT_MASK	GENMASK_ULL(COUNT_BITS - 1, 0)

/* Threads in direct reclaim at once; one more than fits is not measured. */
#define STALLS_BITS	8
#define STALL_PROBES	8

struct stall {
	atomic_t tid;
	u64 start_ns;
};

struct sense {
	u64 *waits;
	struct stall *stalls;
	struct vagus_sense_config config;
	atomic64_t limited;
};

static struct sense sense = {
	.config = {
		.runq_ns = 20 * NSEC_PER_MSEC,
		.reclaim_ns = 10 * NSEC_PER_MSEC,
		.rate_per_s = 100,
	},
};

static DEFINE_PER_CPU(u64, switches);

static __always_inline u32 bucket(u64 ns)
{
	u32 octave;

	if (ns < BIT_ULL(VAGUS_HIST_MIN_SHIFT))
		return 0;
	octave = fls64(ns) - 1;
	if (octave >= VAGUS_HIST_MIN_SHIFT + VAGUS_HIST_OCTAVES)
		return VAGUS_HIST_BUCKETS - 1;
	return 1 + ((octave - VAGUS_HIST_MIN_SHIFT) << VAGUS_HIST_SUB_BITS) +
	       ((ns >> (octave - VAGUS_HIST_SUB_BITS)) &
		GENMASK(VAGUS_HIST_SUB_BITS - 1, 0));
}

/* The cell's only writer is this CPU with interrupts off. */
static void cell_begin(struct vagus_cell *cell)
{
	WRITE_ONCE(cell->seq, cell->seq + 1);
	/* Pairs with the reader: odd before anything else moves. */
	smp_wmb();
}

static void cell_end(struct vagus_cell *cell)
{
	/* Pairs with the reader: even after everything has moved. */
	smp_wmb();
	WRITE_ONCE(cell->seq, cell->seq + 1);
}

static __always_inline void count(struct vagus_cell *cell, enum vagus_hist_kind kind, u64 ns)
{
	cell->hist[kind][bucket(ns)]++;
	cell->sum_ns[kind] += ns;
	if (ns > cell->max_ns[kind])
		cell->max_ns[kind] = ns;
}

static __always_inline struct vagus_tracked tracked_of(struct task_struct *task)
{
	return vagus_table_find(rcu_dereference_sched(task->cgroups)->dfl_cgrp);
}

/* True while the workload has records left for this second. */
static bool may_record(struct vagus_workload *workload)
{
	u32 second = div_u64(ktime_get_mono_fast_ns(), NSEC_PER_SEC);

	if (READ_ONCE(workload->second) != second) {
		/* Two CPUs may both start the second: a few records more, once. */
		WRITE_ONCE(workload->second, second);
		atomic_set(&workload->made, 0);
	}
	if (atomic_inc_return(&workload->made) <= READ_ONCE(sense.config.rate_per_s))
		return true;
	atomic64_inc(&sense.limited);
	return false;
}

static void record(struct vagus_workload *workload, struct task_struct *task, u32 type,
		   u64 value, u64 extra)
{
	struct vagus_event event = {
		.type = type,
		.cgroup_id = workload->cgroup_id,
		.tgid = task->tgid,
		.tid = task->pid,
		.value = value,
		.extra = extra,
	};

	if (!may_record(workload))
		return;
	memcpy(event.comm, task->comm, sizeof(event.comm));
	event.comm[sizeof(event.comm) - 1] = '\0';
	vagus_ring_put(&event);
}

/*
 * How long @task has waited for the CPU it gets now.  The total that was
 * remembered is good only if the task has run exactly once since; otherwise the
 * wait since it was last queued is taken, which misses what it waited before a
 * migration.
 */
static u64 waited(struct task_struct *task, u64 now)
{
	const struct sched_info *info = &task->sched_info;
	u64 *entry = &sense.waits[task->pid % WAITS];
	u64 tag = (u64)task->pid / WAITS << COUNT_BITS;
	u64 last = READ_ONCE(*entry);
	u64 present = 0, total, grown;

	if (info->last_queued && now > info->last_queued)
		present = now - info->last_queued;
	total = info->run_delay + present;
	WRITE_ONCE(*entry, (tag | (info->pcount & COUNT_MASK)) << TOTAL_BITS |
		   (total & TOTAL_MASK));
	if (!info->pcount)
		return total;
	if (last >> TOTAL_BITS != (tag | ((info->pcount - 1) & COUNT_MASK)))
		return present;
	/*
	 * The kernel adds the wait up to its own, slightly earlier clock; what
	 * is remembered here is that moment too much, and a wait shorter than
	 * it comes out below zero.
	 */
	grown = (total - last) & TOTAL_MASK;
	return grown > TOTAL_MASK / 2 ? present : grown;
}

static u64 workload_id(struct vagus_tracked tracked, struct task_struct *task)
{
	if (tracked.workload)
		return tracked.workload->cgroup_id;
	return cgroup_id(rcu_dereference_sched(task->cgroups)->dfl_cgrp);
}

static void leave(struct vagus_cell *cell, struct task_struct *task, u64 now,
		  bool preempted, u64 by_other)
{
	u64 arrival = task->sched_info.last_arrival;

	cell_begin(cell);
	if (arrival && now > arrival)
		count(cell, VAGUS_HIST_SLICE, now - arrival);
	if (preempted)
		cell->preempted++;
	if (by_other) {
		cell->preempted_by_other++;
		cell->last_preemptor = by_other;
	}
	cell_end(cell);
}

static void enter(struct vagus_tracked to, struct task_struct *task, u64 now,
		  struct vagus_tracked from, struct task_struct *before)
{
	u64 wait = waited(task, now);

	cell_begin(to.cell);
	to.cell->switches++;
	count(to.cell, VAGUS_HIST_RUNQ, wait);
	cell_end(to.cell);
	__this_cpu_inc(switches);
	if (unlikely(wait >= READ_ONCE(sense.config.runq_ns)))
		record(to.workload, task, VAGUS_EVENT_RUNQ, wait,
		       is_idle_task(before) ? 0 : workload_id(from, before));
}

/* Under the run queue's lock, interrupts off; before schedstat moves on. */
static void on_switch(void *data, bool preempt, struct task_struct *prev,
		      struct task_struct *next, unsigned int prev_state)
{
	struct vagus_tracked from = {}, to = {};
	bool preempted = preempt || !prev_state;
	u64 by_other = 0;
	u64 now;

	if (vagus_table_idle())
		return;
	if (!is_idle_task(prev))
		from = tracked_of(prev);
	if (!is_idle_task(next))
		to = tracked_of(next);
	if (!from.workload && !to.workload)
		return;
	now = local_clock();
	if (from.workload) {
		if (preempted && from.workload != to.workload && !is_idle_task(next))
			by_other = workload_id(to, next);
		leave(from.cell, prev, now, preempted, by_other);
	}
	if (to.workload)
		enter(to, next, now, from, prev);
}

/* Under a run queue's lock or the task's pi_lock, interrupts off. */
static void on_migrate(void *data, struct task_struct *task, int cpu)
{
	struct vagus_tracked tracked;

	if (vagus_table_idle() || task_cpu(task) == cpu)
		return;
	tracked = tracked_of(task);
	if (!tracked.workload)
		return;
	cell_begin(tracked.cell);
	tracked.cell->migrations++;
	cell_end(tracked.cell);
}

static struct stall *stall_at(unsigned int probe)
{
	u32 home = hash_32(current->pid, STALLS_BITS);

	return &sense.stalls[(home + probe) % BIT(STALLS_BITS)];
}

static void on_reclaim_begin(RECLAIM_BEGIN_PROTO)
{
	unsigned int i;

	if (vagus_table_idle())
		return;
	for (i = 0; i < STALL_PROBES; i++) {
		struct stall *stall = stall_at(i);
		int tid = atomic_cmpxchg(&stall->tid, 0, current->pid);

		if (!tid || tid == current->pid) {
			stall->start_ns = ktime_get_mono_fast_ns();
			return;
		}
	}
}

static u64 stalled_ns(void)
{
	unsigned int i;

	for (i = 0; i < STALL_PROBES; i++) {
		struct stall *stall = stall_at(i);

		if (atomic_read(&stall->tid) == current->pid) {
			u64 ns = ktime_get_mono_fast_ns() - stall->start_ns;

			/* Released after the start was read. */
			atomic_set_release(&stall->tid, 0);
			return ns;
		}
	}
	return 0;
}

static void on_reclaim_end(RECLAIM_END_PROTO)
{
	struct vagus_tracked tracked;
	unsigned long flags;
	u64 ns = stalled_ns();

	if (!ns)
		return;
	/* A switch on this CPU writes the same cell. */
	local_irq_save(flags);
	tracked = tracked_of(current);
	if (tracked.workload) {
		cell_begin(tracked.cell);
		tracked.cell->stalls++;
		count(tracked.cell, VAGUS_HIST_RECLAIM, ns);
		cell_end(tracked.cell);
		if (ns >= READ_ONCE(sense.config.reclaim_ns))
			record(tracked.workload, current, VAGUS_EVENT_RECLAIM, ns, reclaimed);
	}
	local_irq_restore(flags);
}

struct probe {
	const char *name;
	void *handler;
	struct tracepoint *point;
};

static struct probe probes[] = {
	{ "sched_switch", on_switch },
	{ "sched_migrate_task", on_migrate },
	{ "mm_vmscan_direct_reclaim_begin", on_reclaim_begin },
	{ "mm_vmscan_direct_reclaim_end", on_reclaim_end },
	{ "mm_vmscan_memcg_reclaim_begin", on_reclaim_begin },
	{ "mm_vmscan_memcg_reclaim_end", on_reclaim_end },
};

static void match(struct tracepoint *point, void *data)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(probes); i++)
		if (!strcmp(point->name, probes[i].name))
			probes[i].point = point;
}

static void detach(unsigned int count)
{
	while (count--)
		tracepoint_probe_unregister(probes[count].point, probes[count].handler, NULL);
	tracepoint_synchronize_unregister();
}

static int attach(void)
{
	unsigned int i;
	int err;

	/* Compiles only where the handlers are what this kernel calls. */
	check_trace_callback_type_sched_switch(on_switch);
	check_trace_callback_type_sched_migrate_task(on_migrate);
	check_trace_callback_type_mm_vmscan_direct_reclaim_begin(on_reclaim_begin);
	check_trace_callback_type_mm_vmscan_direct_reclaim_end(on_reclaim_end);
	check_trace_callback_type_mm_vmscan_memcg_reclaim_begin(on_reclaim_begin);
	check_trace_callback_type_mm_vmscan_memcg_reclaim_end(on_reclaim_end);
	/* The tracepoints themselves are not exported. */
	for_each_kernel_tracepoint(match, NULL);
	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		err = -ENOENT;
		if (probes[i].point)
			err = tracepoint_probe_register(probes[i].point, probes[i].handler,
							NULL);
		if (err) {
			pr_err("no tracepoint %s (%d)\n", probes[i].name, err);
			detach(i);
			return err;
		}
	}
	return 0;
}

/**
 * vagus_sense_init - attach to the tracepoints; ring and table must be there
 */
int vagus_sense_init(void)
{
	int err = -ENOMEM;

	sense.waits = vzalloc(array_size(WAITS, sizeof(*sense.waits)));
	sense.stalls = kvcalloc(BIT(STALLS_BITS), sizeof(*sense.stalls), GFP_KERNEL);
	if (!sense.waits || !sense.stalls)
		goto err_free;
	err = attach();
	if (err)
		goto err_free;
	return 0;

err_free:
	kvfree(sense.stalls);
	vfree(sense.waits);
	return err;
}

/**
 * vagus_sense_exit - detach; when it returns no handler runs any more
 */
void vagus_sense_exit(void)
{
	detach(ARRAY_SIZE(probes));
	kvfree(sense.stalls);
	vfree(sense.waits);
}

/**
 * vagus_sense_get - what goes to the ring now
 */
struct vagus_sense_config vagus_sense_get(void)
{
	return sense.config;
}

/**
 * vagus_sense_set - set what goes to the ring
 * @config: copied; each field takes effect by itself
 */
void vagus_sense_set(const struct vagus_sense_config *config)
{
	WRITE_ONCE(sense.config.runq_ns, config->runq_ns);
	WRITE_ONCE(sense.config.reclaim_ns, config->reclaim_ns);
	WRITE_ONCE(sense.config.rate_per_s, config->rate_per_s);
}

/**
 * vagus_sense_switches - switches to tasks of tracked workloads since load
 */
u64 vagus_sense_switches(void)
{
	unsigned int cpu;
	u64 sum = 0;

	for_each_possible_cpu(cpu)
		sum += per_cpu(switches, cpu);
	return sum;
}

/**
 * vagus_sense_limited - records not made since load because of the rate limit
 */
u64 vagus_sense_limited(void)
{
	return atomic64_read(&sense.limited);
}
