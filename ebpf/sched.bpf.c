// SPDX-License-Identifier: GPL-2.0-only
/*
 * A sched_ext scheduler in which a stance counts from the next decision on.
 *
 * CLASSES.  Every task is protect, normal or yield, with a strength of 1 to 3,
 * by its thread's stance, else by that of its nearest cgroup that has one, else
 * by default: kernel threads are protect 3, SCHED_IDLE and cpu.idle mean yield 3,
 * everybody else is normal.  A stance past its deadline is none.
 *
 * ORDER.  Each class has one queue for all CPUs, sorted by virtual time.  A CPU
 * that is free takes the protected first, then whoever is first among normal
 * and yield.  A task that wakes up takes an idle CPU, by the kernel's own choice
 * (its last one, one that shares caches, any); where there is none it takes the
 * CPU of a task of a lower class, at once.  A normal task so takes it from a
 * yielding one.  Within a class nobody is interrupted before the slice is over.
 * Who may run on one CPU alone does not queue where it would be first: it is put
 * next there, and if others have come when it begins, all are looked at again.
 *
 * SHARES.  A task's virtual time moves by what it runs, faster the smaller its
 * share: its weight over those of the runnable tasks and active cgroups beside
 * it, times the same of its cgroup, up to the root (sched_group.bpf.h).  The
 * share of a yielding task is 1/2, 1/5 or 1/100 of that by strength, that of a
 * protected one, among the protected, 1, 3 or 10 times.  The cgroup as a whole
 * has a virtual time too, and who wakes up or is born does not start before it:
 * a thousand short-lived tasks get no more than one long-lived.  Credit for
 * having slept is one slice; a debt is forgotten beyond twenty.
 *
 * MINIMUM SHARES.  While a class waits, a part of every ns that anybody runs is
 * owed to it: 2 % to yield; to normal 10, 5 or 2 % of what protected tasks of
 * strength 1, 2 and 3 run; and a tenth of that more.  What it runs is taken off
 * again.  Once a short slice is owed, the class comes first, and is not interrupted
 * for that long.  What it had before counts for a quarter of a second, so a class
 * that gets its share anyway comes in between only where others want the CPU for
 * longer than that; over a few seconds its share is kept.  Who has waited
 * for a second, for whatever reason, is next: the kernel would end the scheduler
 * soon.  So n tasks that would starve cost n slices a second.
 *
 * ENDS.  The kernel takes over when the agent dies (it holds the link), when a
 * task that could run has not for 2 s, when somebody sets a cpu.max, and on
 * sysrq-S.  When the agent is silent, stances lapse at their deadlines; after
 * max(5 s, a stance's time) the scheduler ends itself: nobody steers it.
 *
 * PARTIAL MODE takes only tasks that were put under SCHED_EXT, all of them to
 * yield.  The kernel serves that class after the fair one.
 *
 * GUARANTEED, while all goes well: a protected task waits for no lower class longer
 * than it takes to interrupt a CPU it may run on, unless protected tasks use up
 * more than their part of the machine, or a minimum share is just being run: that
 * ends at the next timer tick, and nobody interrupts it again; siblings of weights
 * a and b that want the CPU all the time get a:b; nobody starves.
 *
 * WHERE IT FAILS.  One queue a class is one lock: fine for dozens of CPUs, not
 * for hundreds, and a queue full of tasks bound elsewhere is searched through.
 * Shares are exact for whoever always wants to run; between sleepers they are
 * computed from who is awake when a slice ends, and cgroup activity 2 ms old.
 * Slices end at timer ticks, so with more than some 500 tasks for each CPU that
 * all want to run, the last waits for 2 s and the kernel ends us.  Weights ask
 * for a share of the whole machine, so one task cannot use more than a CPU's
 * worth of it.  Minimum shares are of the machine: where tasks are bound to one
 * CPU that protected ones never leave, they have one slice a second.  cpu.max is
 * not kept (of the agent's engine; nobody else may have one), cpu.uclamp not looked
 * at.  Who comes while another one is next on a CPU waits for a switch more.
 */
#include "sched_queue.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define BPF_STRUCT_OPS(name, args...) SEC("struct_ops/" #name) BPF_PROG(name, ##args)
#define BPF_STRUCT_OPS_SLEEPABLE(name, args...) \
	SEC("struct_ops.s/" #name) BPF_PROG(name, ##args)

/* RUNTIME_INF in microseconds or more: no limit */
#define QUOTA_NONE (~0ULL / 1000)

/* Choose a CPU at a wake-up: up to the wake-up rate. */
s32 BPF_STRUCT_OPS(vagus_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	struct task_ctx *t;

	if (!is_idle || hang)
		return cpu;
	t = task_ctx(p);
	if (!t)
		return cpu;
	classify(p, t);
	send(p, t, cpu, SCX_DSQ_LOCAL);
	return cpu;
}

/* Queue a task that found no idle CPU, or whose slice is over. */
void BPF_STRUCT_OPS(vagus_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool wakes;
	struct vagus_sched_stat *stat;
	struct task_ctx *t = task_ctx(p);
	struct cpu_ctx *c = NULL;
	__u64 slice = slice_ns;
	s32 cpu = scx_bpf_task_cpu(p);

	if (!t)
		return;
	count(p, t);
	classify(p, t);
	stat = stat_of(t->class);
	if (!stat)
		return;
	/* The newborn come without the flag. */
	wakes = enq_flags & SCX_ENQ_WAKEUP || !t->ran_at;
	/* select_cpu is not asked for these. */
	if (wakes && is_bound(p) && !hang) {
		c = cpu_ctx(cpu);
		if (!c->running && scx_bpf_test_and_clear_cpu_idle(cpu)) {
			send(p, t, cpu, SCX_DSQ_LOCAL_ON | cpu);
			poke(cpu, SCX_KICK_IDLE);
			return;
		}
	}
	place(p, t, cpu, wakes);
	if (!t->waits_since)
		t->waits_since = scx_bpf_now();
	if (c && put_next(p, t, c, stat, enq_flags))
		return;
	if (t->class < VAGUS_SCHED_PROTECT && waiting[VAGUS_SCHED_PROTECT])
		slice = short_slice_ns;
	stat->queued++;
	queue(p, t, slice, enq_flags);
	if (!is_bound(p) && !(enq_flags & SCX_ENQ_CPU_SELECTED)) {
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
		if (cpu >= 0) {
			poke(cpu, SCX_KICK_IDLE);
			return;
		}
	}
	/* Who was displaced by a real-time task looks for another CPU likewise. */
	if (wakes || enq_flags & SCX_ENQ_REENQ)
		preempt(p, t->class);
}

/* Give a CPU its next task: up to the rate of context switches. */
void BPF_STRUCT_OPS(vagus_dispatch, s32 cpu, struct task_struct *prev)
{
	struct cpu_ctx *c = cpu_ctx(cpu);
	struct task_ctx *t = NULL;
	__u64 now = scx_bpf_now();
	__u64 vtime = 0;
	__u32 class;

	if (hang)
		return;
	/* Whoever was put next has begun, or is gone. */
	c->next = 0;
	c->came = came;
	if (prev && prev->scx.flags & SCX_TASK_QUEUED)
		t = task_ctx(prev);
	search_all(now);
	/* Most often there is nothing to choose. */
	class = only_class();
	if (!t && !old_waiting && owed_ns[class & CLASS_MASK] < (__s64)short_slice_ns &&
	    move(c, class))
		return;
	if (serve_old(c))
		return;
	if (serve_floor(c, VAGUS_SCHED_YIELD) || serve_floor(c, VAGUS_SCHED_NORMAL))
		return;
	/* Another CPU's lock was held in vain, and somebody was put next meanwhile. */
	if (c->next)
		return;
	class = whose_turn(cpu, &vtime);
	if (t) {
		charge(t, now);
		classify(prev, t);
	}
	if (t && goes_on(prev, t, class, vtime)) {
		place(prev, t, cpu, false);
		advance_clock(c, t->clock, t->vtime);
		c->floor = 0;
		occupy(c, t->class + 1);
		t->slice = slice_ns;
		scx_bpf_task_set_slice(prev, slice_ns);
		return;
	}
	/* Another CPU may have taken that one: whoever is left. */
	if (move(c, class) || move(c, VAGUS_SCHED_PROTECT) || move(c, VAGUS_SCHED_NORMAL) ||
	    move(c, VAGUS_SCHED_YIELD))
		return;
	if (t && !c->next) {
		t->slice = slice_ns;
		scx_bpf_task_set_slice(prev, slice_ns);
	}
}

static __always_inline void count_wait(struct task_ctx *t, __u64 now)
{
	struct vagus_sched_stat *stat = stat_of(t->class);
	__u64 wait = now - t->waits_since;
	__u32 bucket;

	if (!t->waits_since || !stat)
		return;
	t->waits_since = 0;
	if ((__s64)wait < 0)
		wait = 0;
	stat->waits++;
	stat->wait_sum_ns += wait;
	stat->wait_max_ns = max(stat->wait_max_ns, wait);
	bucket = hist_bucket(wait);
	if (bucket < VAGUS_HIST_BUCKETS)
		stat->wait_hist[bucket]++;
}

void BPF_STRUCT_OPS(vagus_running, struct task_struct *p)
{
	/* A change of its weight or CPUs is made from any CPU. */
	s32 cpu = scx_bpf_task_cpu(p);
	struct cpu_ctx *c = cpu_ctx(cpu);
	struct task_ctx *t = task_ctx(p);
	struct group *group;
	__u64 now = scx_bpf_now();

	if (!t)
		return;
	if (t->queued)
		count_waiting(t, 0);
	count(p, t);
	count_wait(t, now);
	t->ran_at = now;
	group = group_at(t->group);
	t->sum_before = group ? sum_of(group) : t->counted;
	t->scale_before = group ? group_scale(group, t->group, now) : SCALE_ONE;
	c->since = now;
	occupy(c, t->class + 1);
	c->floor = c->floor_next;
	c->floor_next = 0;
	if (!is_next(c, t, cpu)) {
		c->kicked = 1;
		poke(cpu, SCX_KICK_PREEMPT);
	} else if (!c->floor) {
		/* Who is not the first comes from a time that the others have yet to reach. */
		advance_clock(c, t->clock, t->vtime);
	}
}

void BPF_STRUCT_OPS(vagus_stopping, struct task_struct *p, bool runnable)
{
	struct cpu_ctx *c = cpu_ctx(scx_bpf_task_cpu(p));
	struct task_ctx *t = task_ctx(p);
	struct vagus_sched_stat *stat;
	__u64 now = scx_bpf_now();

	if (!t)
		return;
	if (runnable && now - c->since < t->slice) {
		stat = stat_of(t->class);
		if (stat)
			stat->preempted++;
	}
	charge(t, now);
	if (runnable)
		t->waits_since = now;
	else
		uncount(t);
	occupy(c, 0);
}

/*
 * A CPU goes idle: look again, since a task may have been queued after the last
 * look and before the CPU could be found idle.
 */
void BPF_STRUCT_OPS(vagus_update_idle, s32 cpu, bool idle)
{
	struct cpu_ctx *c = cpu_ctx(cpu);

	/* Who is bound here has nobody to be behind of. */
	for (int i = 0; idle && i < CLOCKS; i++)
		c->clocks[i] = clocks[i];
	if (idle && !hang &&
	    (waiting[VAGUS_SCHED_PROTECT] || waiting[VAGUS_SCHED_NORMAL] ||
	     waiting[VAGUS_SCHED_YIELD]))
		poke(cpu, 0);
}

s32 BPF_STRUCT_OPS_SLEEPABLE(vagus_init_task, struct task_struct *p,
			     struct scx_init_task_args *args)
{
	struct task_ctx *t;

	t = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		return -12; /* ENOMEM */
	t->group = find_group(args->cgroup);
	t->per = SCALE_ONE;
	return 0;
}

/* It comes under this scheduler, as all do in full mode; born where its clock is. */
void BPF_STRUCT_OPS(vagus_enable, struct task_struct *p)
{
	struct task_ctx *t = task_ctx(p);

	if (!t)
		return;
	classify(p, t);
	t->clock = clock_of(t);
	t->vtime = clocks[t->clock];
}

/* It leaves for another scheduler; maybe while it waits. */
void BPF_STRUCT_OPS(vagus_disable, struct task_struct *p)
{
	struct task_ctx *t = task_ctx(p);

	if (!t)
		return;
	uncount(t);
	count_waiting(t, 0);
	t->waits_since = 0;
}

void BPF_STRUCT_OPS(vagus_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	__u32 tid = p->pid;

	/* Whoever has the number next is somebody else. */
	bpf_map_delete_elem(&sched_threads, &tid);
}

static __always_inline bool is_limited(struct cgroup *cgrp, u64 quota_us)
{
	return !partial && quota_us < QUOTA_NONE && cgroup_id(cgrp) != engine_cgroup;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(vagus_cgroup_init, struct cgroup *cgrp,
			     struct scx_cgroup_init_args *args)
{
	if (is_limited(cgrp, args->bw_quota_us)) {
		fail("cgroup %llu has a cpu.max", cgroup_id(cgrp));
		return -95; /* EOPNOTSUPP */
	}
	return group_init(cgrp, args->weight, args->sched_idle);
}

void BPF_STRUCT_OPS_SLEEPABLE(vagus_cgroup_exit, struct cgroup *cgrp)
{
	group_exit(cgrp);
}

void BPF_STRUCT_OPS(vagus_cgroup_move, struct task_struct *p, struct cgroup *from,
		    struct cgroup *to)
{
	struct task_ctx *t = task_ctx(p);

	if (!t)
		return;
	group_add(t->group, -member(t->added));
	t->group = find_group(to);
	t->generation = 0;
	group_add(t->group, member(t->added));
}

void BPF_STRUCT_OPS(vagus_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	group_weight(cgrp, weight);
}

void BPF_STRUCT_OPS(vagus_cgroup_set_bandwidth, struct cgroup *cgrp, u64 period_us,
		    u64 quota_us, u64 burst_us)
{
	if (is_limited(cgrp, quota_us))
		fail("cgroup %llu was given a cpu.max", cgroup_id(cgrp));
}

void BPF_STRUCT_OPS(vagus_cgroup_set_idle, struct cgroup *cgrp, bool idle)
{
	struct group *group = group_at(find_group(cgrp));

	if (group && group->id == cgroup_id(cgrp))
		group->idle = idle;
	/* The kernel gives who leaves cpu.idle the weight that all begin with. */
	if (!idle)
		group_weight(cgrp, WEIGHT_NORMAL);
	__sync_fetch_and_add(&own_generation, 1);
}

/*
 * A real-time task takes the CPU: who ran there, or was sent there, is queued again.
 * Else it would go on first when the CPU is ours again, before somebody protected
 * that the real-time task woke, for what is left of its slice.
 */
void BPF_STRUCT_OPS(vagus_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

void BPF_STRUCT_OPS(vagus_cpu_online, s32 cpu)
{
	cpu_ctx(cpu)->leaving = 0;
}

/* Called before the CPU stops to take part, and long before it is dead. */
void BPF_STRUCT_OPS(vagus_cpu_offline, s32 cpu)
{
	cpu_ctx(cpu)->leaving = 1;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(vagus_init)
{
	__u32 i;

	nr_cpus = scx_bpf_nr_cpu_ids();
	if (nr_cpus > CPUS_MAX) {
		fail("%d CPUs are more than %d", nr_cpus, CPUS_MAX);
		return -7; /* E2BIG */
	}
	/* Group 0 is the root. */
	bpf_for(i, 1, GROUPS_MAX)
		bpf_map_push_elem(&groups_free, &i, 0);
	bpf_for(i, 0, VAGUS_SCHED_CLASSES) {
		s32 ret = scx_bpf_create_dsq(QUEUE(i), -1);

		if (ret)
			return ret;
	}
	return scx_bpf_create_dsq(OLD_QUEUE, -1);
}

void BPF_STRUCT_OPS(vagus_exit, struct scx_exit_info *info)
{
	__u32 key = 0;
	struct vagus_sched_exit *told = bpf_map_lookup_elem(&sched_exit, &key);

	if (!told)
		return;
	bpf_probe_read_kernel_str(told->reason, sizeof(told->reason), info->reason);
	bpf_probe_read_kernel_str(told->message, sizeof(told->message), info->msg);
	told->code = info->exit_code;
	/* Last: who sees it finds the rest. */
	told->kind = info->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops vagus_ops = {
	.select_cpu = (void *)vagus_select_cpu,
	.enqueue = (void *)vagus_enqueue,
	.dispatch = (void *)vagus_dispatch,
	.running = (void *)vagus_running,
	.stopping = (void *)vagus_stopping,
	.update_idle = (void *)vagus_update_idle,
	.init_task = (void *)vagus_init_task,
	.exit_task = (void *)vagus_exit_task,
	.enable = (void *)vagus_enable,
	.disable = (void *)vagus_disable,
	.cgroup_init = (void *)vagus_cgroup_init,
	.cgroup_exit = (void *)vagus_cgroup_exit,
	.cgroup_move = (void *)vagus_cgroup_move,
	.cgroup_set_weight = (void *)vagus_cgroup_set_weight,
	.cgroup_set_bandwidth = (void *)vagus_cgroup_set_bandwidth,
	.cgroup_set_idle = (void *)vagus_cgroup_set_idle,
	.cpu_release = (void *)vagus_cpu_release,
	.cpu_online = (void *)vagus_cpu_online,
	.cpu_offline = (void *)vagus_cpu_offline,
	.init = (void *)vagus_init,
	.exit = (void *)vagus_exit,
	.flags = SCX_OPS_KEEP_BUILTIN_IDLE | SCX_OPS_ENQ_EXITING |
		 SCX_OPS_ENQ_MIGRATION_DISABLED,
	.timeout_ms = 2000,
	.name = "vagus",
};
