/* SPDX-License-Identifier: GPL-2.0-only */
/* What the scheduler remembers: options, and a context for each task, group, CPU. */
#ifndef VAGUS_SCHED_STATE_BPF_H
#define VAGUS_SCHED_STATE_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "hist.bpf.h"
#include "vagus.h"

#define CPUS_MAX 1024
#define GROUPS_MAX 4096
/* Deeper cgroups share by the weights of the lowest levels alone. */
#define DEPTH_MAX 16
/* Classes whose tasks race on one virtual clock: yield and normal, or protect. */
#define CLOCKS 2
/* Scales are fixed-point numbers with this many fractional bits. */
#define SCALE_SHIFT 10
#define SCALE_ONE (1ULL << SCALE_SHIFT)
/* A share below 1/65536 of the machine is not told from one. */
#define SCALE_MAX (SCALE_ONE << 16)
#define WEIGHT_NORMAL 100
/* A debt beyond this many slices is forgotten. */
#define DEBT_SLICES 20

/* include/linux/sched.h and include/uapi/linux/sched.h */
#define PF_KTHREAD 0x00200000
#define SCHED_IDLE 5

#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))

/* Stop scheduling; the kernel's own scheduler takes over at once. */
#define fail(format, args...)                                                 \
	({                                                                    \
		static char fail_format[] = format;                           \
		unsigned long long fail_args[___bpf_narg(args) + 1];          \
									      \
		___bpf_fill(fail_args, args);                                 \
		scx_bpf_error_bstr(fail_format, fail_args,                    \
				   ___bpf_narg(args) * sizeof(fail_args[0])); \
	})

/* The same, by our own will: no fault. */
#define leave(text)                                                           \
	({                                                                    \
		static char leave_format[] = text;                            \
		unsigned long long leave_args[1] = {};                        \
									      \
		scx_bpf_exit_bstr(0, leave_format, leave_args, 0);            \
	})

/*
 * Longest time a task runs while others of its class wait, ns; counted at timer
 * ticks, so up to one tick (4 ms at HZ=250) longer.  More means fewer switches
 * and longer waits.
 */
const volatile __u64 slice_ns = 3000000;
/* The same while somebody protected waits, and for a class's minimum share. */
const volatile __u64 short_slice_ns = 1000000;
/* Guaranteed to yielding tasks together, per mille of the machine. */
const volatile __u32 yield_share_pm = 20;
/* Guaranteed to normal tasks together while tasks of this strength are protected. */
const volatile __u32 normal_share_1_pm = 100;
const volatile __u32 normal_share_2_pm = 50;
const volatile __u32 normal_share_3_pm = 20;
/*
 * Who has waited this long goes first whatever its class and share, ns; the
 * kernel ends a scheduler that lets somebody wait for timeout_ms.
 */
const volatile __u64 old_ns = 1000000000;
/* Of the agent's own engine, which yields instead of keeping its cpu.max. */
const volatile __u64 engine_cgroup;
/* Schedule nothing, for tests of the kernel's watchdog. */
const volatile bool hang;
/* Tasks are here because somebody put them here (SCHED_EXT), to yield. */
const volatile bool partial;

struct task_ctx {
	__u64 vtime; /* of its clock */
	__u64 ran_at; /* scx_bpf_now() */
	__u64 waits_since; /* scx_bpf_now(); 0 while it does not */
	__u64 slice; /* ns that it was given the last time */
	__u64 per; /* clock ns for a ns of CPU, scaled; as last charged */
	__u64 per_before; /* the same, by which its debt was made; 0: as now */
	__u64 scale_before; /* of its group when it began to run */
	__u64 deadline_ns; /* of its stance, CLOCK_MONOTONIC; 0 where it has none */
	__u64 css; /* address of the css_set by which its stance was found */
	__u32 generation; /* of the stances by which it was found */
	__u32 group;
	__u32 counted; /* its weight, 0 while it sleeps */
	__u32 added; /* that weight as counted in the group; 0 of a kernel thread */
	__u32 sum_before; /* of its group when it began to run */
	__u32 queued; /* the class plus 1 as which it is counted in waiting, or 0 */
	__u8 class;
	__u8 strength;
	__u8 bound; /* it may run on one CPU alone */
	__u8 clock;
	__u8 is_kernel; /* protected because it works for others */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} tasks SEC(".maps");

/* A cgroup with a cpu controller. */
struct group {
	struct bpf_spin_lock lock; /* counted, by members and weight */
	__u32 weight;
	__u64 members; /* active children and runnable tasks: see member() */
	__u32 counted; /* own weight as counted in the parent's members */
	__u32 parent; /* the root is its own */
	__u32 idle; /* cpu.idle */
	__u64 id;
	__u64 scale; /* clock ns for a ns of CPU used by the whole group */
	__u64 scale_at;
	__u32 scaled_by; /* own_generation when it was computed */
	__u64 vtime[CLOCKS]; /* where the group as a whole stands on each clock */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GROUPS_MAX);
	__type(key, __u32);
	__type(value, struct group);
} groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, GROUPS_MAX);
	__type(value, __u32);
} groups_free SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4 * GROUPS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} group_ids SEC(".maps");

struct cpu_ctx {
	__u64 since; /* scx_bpf_now() when the running task began */
	__u32 running; /* its class plus 1; 0 while none of ours runs */
	__u8 kicked; /* somebody has taken the CPU already */
	__u8 floor; /* it runs by its class's minimum share */
	__u8 floor_next; /* the next one will */
	__u8 next; /* so many were put next here: see put_next() */
	__u32 came; /* how many had come to wait when the next one was looked for */
	__u32 leaving; /* it is being taken offline */
	__u64 clocks[CLOCKS]; /* the furthest that began to run here */
	__u64 line[11]; /* a cache line of its own */
};

/* Not a map, of which each look-up would cost more. */
struct cpu_ctx cpus[CPUS_MAX];

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VAGUS_SCHED_CLASSES);
	__type(key, __u32);
	__type(value, struct vagus_sched_stat);
} sched_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct vagus_sched_exit);
} sched_exit SEC(".maps");

/* Rounded up, so that a mask is a bound that the verifier understands. */
#define CLASSES_ROOM 4
#define CLASS_MASK (CLASSES_ROOM - 1)
/*
 * Not static: clang splits static arrays, and their types no longer match.
 * How many wait in each queue, or are on the way there, or from there to a CPU.
 */
__u32 waiting[CLASSES_ROOM];
/* Counted up when somebody comes to wait, in any of them. */
__u32 came;
/* CPU time that a class is short of its minimum share, ns. */
__s64 owed_ns[CLASSES_ROOM];
/* Counted up here when a weight or cpu.idle changes. */
__u32 own_generation;
/* The furthest that a task was when it began to run anywhere. */
__u64 clocks[CLOCKS];
/* scx_bpf_now() when the queues were last searched for who waits too long. */
__u64 searched_at;
/* By which stances that was. */
__u32 searched_generation;
/* Whether anybody was found so: 0 only if nobody waits in that queue. */
__u32 old_waiting;
/* CPUs on which a yielding task runs. */
__u32 yields_running;
__u32 nr_cpus;

static __always_inline struct task_ctx *task_ctx(struct task_struct *p)
{
	struct task_ctx *t = bpf_task_storage_get(&tasks, p, 0, 0);

	if (!t)
		fail("no context for thread %d", p->pid);
	return t;
}

static __always_inline struct group *group_at(__u32 index)
{
	return bpf_map_lookup_elem(&groups, &index);
}

/* The mask is a bound that the verifier understands: more CPUs are refused. */
static __always_inline struct cpu_ctx *cpu_ctx(__u32 cpu)
{
	return &cpus[cpu & (CPUS_MAX - 1)];
}

static __always_inline struct vagus_sched_stat *stat_of(__u32 class)
{
	return bpf_map_lookup_elem(&sched_stats, &class);
}

/* Who runs this very program may not leave the CPU, for as long as it runs. */
static __always_inline bool is_bound(const struct task_struct *p)
{
	return p->nr_cpus_allowed == 1 || p->migration_disabled > 1 ||
	       (p->migration_disabled && p != bpf_get_current_task_btf());
}

static __always_inline bool is_before(__u64 a, __u64 b)
{
	return (__s64)(a - b) < 0;
}

#endif
