/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note OR MIT */
/*
 * The contract between vagus.ko, the eBPF programs and user space.
 *
 * Included by the module, by eBPF (after vmlinux.h) and, preprocessed, by the
 * cffi build.  Enum constants, fixed-width structs and size asserts only, so
 * that every side takes its numbers from here and none types them again.
 *
 * Time stamps are CLOCK_MONOTONIC nanoseconds.  A cgroup is named by the inode
 * number of its directory in cgroup2 (what name_to_handle_at and
 * bpf_get_current_cgroup_id give).  A workload is a tracked cgroup; a task
 * belongs to its nearest tracked ancestor.
 */
#ifndef _UAPI_VAGUS_H
#define _UAPI_VAGUS_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define VAGUS_GENL_NAME "vagus"
#define VAGUS_GENL_GROUP "events"

/**
 * enum vagus_const - sizes and versions
 * @VAGUS_ABI_VERSION: raised by every incompatible change of this file
 * @VAGUS_COMM_LEN: bytes of a command name with its final NUL (TASK_COMM_LEN)
 * @VAGUS_ARGS_LEN: bytes of the head of an argument list kept in an exec event
 * @VAGUS_VALUE_LEN: longest text of a knob value, with its final NUL
 * @VAGUS_PATH_LEN: longest path reported for a knob, with its final NUL
 * @VAGUS_TTL_MIN_MS: shortest time to live of a lease
 * @VAGUS_TTL_MAX_MS: longest time to live of a lease (one hour)
 * @VAGUS_BATCH_MAX: most leases or workloads in one message
 * @VAGUS_SLOTS_MAX: most workloads tracked at once
 * @VAGUS_HIST_MIN_SHIFT: values below 2^this ns share the first bucket
 * @VAGUS_HIST_SUB_BITS: log2 of the sub-buckets in an octave (4: 12 % error)
 * @VAGUS_HIST_OCTAVES: octaves resolved above the first bucket (to 2^30 ns)
 * @VAGUS_HIST_BUCKETS: 1 below + octaves * 4 + 1 above
 */
enum vagus_const {
	VAGUS_ABI_VERSION = 1,
	VAGUS_COMM_LEN = 16,
	VAGUS_ARGS_LEN = 128,
	VAGUS_VALUE_LEN = 256,
	VAGUS_PATH_LEN = 256,
	VAGUS_TTL_MIN_MS = 100,
	VAGUS_TTL_MAX_MS = 3600000,
	VAGUS_BATCH_MAX = 64,
	VAGUS_SLOTS_MAX = 4096,
	VAGUS_HIST_MIN_SHIFT = 12,
	VAGUS_HIST_SUB_BITS = 2,
	VAGUS_HIST_OCTAVES = 18,
	VAGUS_HIST_BUCKETS = 74,
};

/* ------------------------------------------------------------------ events */

/**
 * enum vagus_event_type - what a ring record tells
 * @VAGUS_EVENT_LOST: a source lost records; value: how many since the last one
 * @VAGUS_EVENT_RUNQ: a run-queue wait over the threshold (module); value: ns
 *	waited; extra: cgroup id of the workload that had the CPU meanwhile
 * @VAGUS_EVENT_RECLAIM: a direct-reclaim stall over the threshold (module);
 *	value: ns stalled; extra: pages reclaimed
 * @VAGUS_EVENT_FORK: process created (eBPF); value: tgid of the parent
 * @VAGUS_EVENT_EXEC: program started (eBPF); struct vagus_exec
 * @VAGUS_EVENT_EXIT: process ended (eBPF); value: wait status; extra: ns lived
 * @VAGUS_EVENT_BLOCK: block request over the threshold (eBPF); value: ns from
 *	issue to completion; extra: bytes
 * @VAGUS_EVENT_OOM: a process was chosen by the OOM killer (eBPF); value: its
 *	resident pages; extra: cgroup id of the memory cgroup that was out
 * @VAGUS_EVENT_LEASE: unused in rings; kept for records of lease events
 */
enum vagus_event_type {
	VAGUS_EVENT_UNSPEC,
	VAGUS_EVENT_LOST,
	VAGUS_EVENT_RUNQ,
	VAGUS_EVENT_RECLAIM,
	VAGUS_EVENT_FORK,
	VAGUS_EVENT_EXEC,
	VAGUS_EVENT_EXIT,
	VAGUS_EVENT_BLOCK,
	VAGUS_EVENT_OOM,
	VAGUS_EVENT_LEASE,
	__VAGUS_EVENT_AFTER_LAST,
	VAGUS_EVENT_MAX = __VAGUS_EVENT_AFTER_LAST - 1,
};

/**
 * struct vagus_event - payload of every ring record, or its head
 * @time_ns: when it happened, CLOCK_MONOTONIC
 * @cgroup_id: the workload, or the task's own cgroup where none is tracked
 * @type: enum vagus_event_type
 * @cpu: where it happened
 * @tgid: process, in the initial pid namespace
 * @tid: thread, in the initial pid namespace
 * @value: see enum vagus_event_type
 * @extra: see enum vagus_event_type
 * @comm: command name, NUL-terminated, chosen by the process: never trusted
 */
struct vagus_event {
	__u64 time_ns;
	__u64 cgroup_id;
	__u32 type;
	__u32 cpu;
	__u32 tgid;
	__u32 tid;
	__u64 value;
	__u64 extra;
	char comm[VAGUS_COMM_LEN];
};

_Static_assert(sizeof(struct vagus_event) == 64, "vagus_event");

/**
 * struct vagus_exec - payload of VAGUS_EVENT_EXEC
 * @event: the common head; value: tgid of the parent; extra: start time, ns
 * @uid: real user id
 * @args_len: bytes used in @args; at most VAGUS_ARGS_LEN
 * @args: head of the argument list, NUL-separated, chosen by the process
 */
struct vagus_exec {
	struct vagus_event event;
	__u32 uid;
	__u32 args_len;
	char args[VAGUS_ARGS_LEN];
};

_Static_assert(sizeof(struct vagus_exec) == 200, "vagus_exec");

/**
 * enum vagus_ring_bits - the record header of both rings, as BPF's (linux/bpf.h)
 * @VAGUS_RING_BUSY: reserved, not yet committed: stop here
 * @VAGUS_RING_DISCARD: committed, to be passed over
 * @VAGUS_RING_HEADER_BYTES: u32 length with the bits above, u32 page offset
 */
enum vagus_ring_bits {
	VAGUS_RING_BUSY = -2147483647 - 1,
	VAGUS_RING_DISCARD = 1073741824,
	VAGUS_RING_HEADER_BYTES = 8,
};

/* ------------------------------------------------------------------- table */

/**
 * enum vagus_hist_kind - which histogram of a cell
 * @VAGUS_HIST_RUNQ: run-queue wait of a task before it ran, ns
 * @VAGUS_HIST_SLICE: on-CPU time of a task between two switches, ns
 * @VAGUS_HIST_RECLAIM: direct-reclaim stall, ns
 */
enum vagus_hist_kind {
	VAGUS_HIST_RUNQ,
	VAGUS_HIST_SLICE,
	VAGUS_HIST_RECLAIM,
	VAGUS_HIST_KINDS,
};

/**
 * struct vagus_cell - one workload on one CPU, written by that CPU alone
 * @seq: odd while the cell is being written; read again when it moved
 * @preempted: times a task was switched out while it could still run
 * @preempted_by_other: of those, times the CPU went to another workload
 * @switches: times a task of the workload was switched in
 * @sum_ns: sum of the values in each histogram
 * @max_ns: largest value in each histogram since the row was tracked
 * @last_preemptor: cgroup id of the latest other workload that preempted
 * @hist: log-linear counts; wrap at 2^32, so take differences modulo 2^32
 * @migrations: times this CPU moved a task of the workload to another CPU
 * @stalls: direct reclaims, counted where they ended
 * @pad: zero; fills the cell to a power of two, so that none spans two pages
 */
struct vagus_cell {
	__u32 seq;
	__u32 preempted;
	__u32 preempted_by_other;
	__u32 switches;
	__u64 sum_ns[VAGUS_HIST_KINDS];
	__u64 max_ns[VAGUS_HIST_KINDS];
	__u64 last_preemptor;
	__u32 hist[VAGUS_HIST_KINDS][VAGUS_HIST_BUCKETS];
	__u32 migrations;
	__u32 stalls;
	__u64 pad[7];
};

_Static_assert(sizeof(struct vagus_cell) == 1024, "vagus_cell");

/**
 * struct vagus_row - the directory entry of one slot
 * @cgroup_id: the tracked cgroup, or 0 where the slot is free
 * @generation: raised when the slot is given to another cgroup
 * @pad: zero
 */
struct vagus_row {
	__u64 cgroup_id;
	__u32 generation;
	__u32 pad;
};

_Static_assert(sizeof(struct vagus_row) == 16, "vagus_row");

/**
 * struct vagus_table - start of /sys/kernel/vagus/table, mapped read-only
 * @abi: VAGUS_ABI_VERSION
 * @slots: rows in the directory
 * @cpus: cells of a slot, one for each possible CPU
 * @cell_bytes: distance of two cells: sizeof(struct vagus_cell)
 * @rows_offset: bytes from the start to struct vagus_row[slots]
 * @cells_offset: bytes from the start to struct vagus_cell[slots][cpus]
 * @pad: zero
 *
 * A slot that was never tracked reads as zeroes.  A slot given to another cgroup
 * starts again from zero, with a new generation in its row.
 */
struct vagus_table {
	__u32 abi;
	__u32 slots;
	__u32 cpus;
	__u32 cell_bytes;
	__u64 rows_offset;
	__u64 cells_offset;
	__u64 pad[4];
};

_Static_assert(sizeof(struct vagus_table) == 64, "vagus_table");

/* ------------------------------------------------------------------- eBPF */

/**
 * enum vagus_block_op - kinds of block requests told apart
 * @VAGUS_BLOCK_READ: data from the device
 * @VAGUS_BLOCK_WRITE: data to the device
 * @VAGUS_BLOCK_OTHER: discard, write zeroes, secure erase
 */
enum vagus_block_op {
	VAGUS_BLOCK_READ,
	VAGUS_BLOCK_WRITE,
	VAGUS_BLOCK_OTHER,
	VAGUS_BLOCK_OPS,
};

/**
 * struct vagus_stat_key - key of the per-CPU maps of the eBPF programs
 * @cgroup_id: the workload
 * @op: enum vagus_block_op in block's map, else 0
 * @pad: zero
 */
struct vagus_stat_key {
	__u64 cgroup_id;
	__u32 op;
	__u32 pad;
};

_Static_assert(sizeof(struct vagus_stat_key) == 16, "vagus_stat_key");

/**
 * struct vagus_process_stat - processes of one workload, on one CPU
 * @forks: processes created
 * @threads: threads created in existing processes
 * @execs: programs started
 * @exits: processes ended
 */
struct vagus_process_stat {
	__u64 forks;
	__u64 threads;
	__u64 execs;
	__u64 exits;
};

_Static_assert(sizeof(struct vagus_process_stat) == 32, "vagus_process_stat");

/**
 * struct vagus_block_stat - requests of one workload and op, on one CPU
 * @requests: completed
 * @bytes: completed
 * @device_sum_ns: from issue to completion
 * @queue_sum_ns: from creation to issue
 * @device_hist: log-linear counts of the former
 * @queue_hist: log-linear counts of the latter
 * @device_max_ns: largest so far; a maximum, where all before it are sums
 * @queue_max_ns: largest so far; likewise
 */
struct vagus_block_stat {
	__u64 requests;
	__u64 bytes;
	__u64 device_sum_ns;
	__u64 queue_sum_ns;
	__u64 device_hist[VAGUS_HIST_BUCKETS];
	__u64 queue_hist[VAGUS_HIST_BUCKETS];
	__u64 device_max_ns;
	__u64 queue_max_ns;
};

_Static_assert(sizeof(struct vagus_block_stat) == 1232, "vagus_block_stat");

/**
 * struct vagus_memory_stat - memory trouble of one workload, on one CPU
 * @major_faults: page faults that had to wait for a device
 * @swapins: of those, pages that came back from swap
 * @refaults: pages that were evicted and needed again
 * @oom_kills: processes chosen by the OOM killer
 */
struct vagus_memory_stat {
	__u64 major_faults;
	__u64 swapins;
	__u64 refaults;
	__u64 oom_kills;
};

_Static_assert(sizeof(struct vagus_memory_stat) == 32, "vagus_memory_stat");

/**
 * enum vagus_counter - index in the per-CPU array of counters of all programs
 * @VAGUS_COUNTER_EVENTS: records committed to the BPF ring
 * @VAGUS_COUNTER_RING_FULL: records lost because the ring was full
 * @VAGUS_COUNTER_STATS_FULL: events not counted for want of a map entry
 * @VAGUS_COUNTER_REQUESTS_FULL: block requests not followed for want of room
 */
enum vagus_counter {
	VAGUS_COUNTER_EVENTS,
	VAGUS_COUNTER_RING_FULL,
	VAGUS_COUNTER_STATS_FULL,
	VAGUS_COUNTER_REQUESTS_FULL,
	VAGUS_COUNTERS,
};

/* ------------------------------------------------------------- scheduler */

/**
 * enum vagus_sched_class - how the sched_ext scheduler treats a task
 * @VAGUS_SCHED_YIELD: runs when nobody else wants to, and its minimum share
 * @VAGUS_SCHED_NORMAL: a fair share by weight
 * @VAGUS_SCHED_PROTECT: runs before the others, who keep a share of their own
 */
enum vagus_sched_class {
	VAGUS_SCHED_YIELD,
	VAGUS_SCHED_NORMAL,
	VAGUS_SCHED_PROTECT,
	VAGUS_SCHED_CLASSES,
};

/**
 * struct vagus_sched_stance - what a cgroup or a thread is to the scheduler
 * @deadline_ns: CLOCK_MONOTONIC time from which it counts as normal again
 * @sched_class: enum vagus_sched_class
 * @strength: 1 to 3; unused for normal
 */
struct vagus_sched_stance {
	__u64 deadline_ns;
	__u32 sched_class;
	__u32 strength;
};

_Static_assert(sizeof(struct vagus_sched_stance) == 16, "vagus_sched_stance");

/**
 * struct vagus_sched_stat - one class on one CPU since the scheduler was loaded
 * @ran_ns: CPU time
 * @direct: tasks sent to an idle CPU, or put next on a busy one, without queueing
 * @queued: tasks put into the queue of the class
 * @preempted: tasks that lost the CPU before their slice was used up
 * @kicks: CPUs taken from a lower class for a task of this one
 * @floors: times the class ran only because of its minimum share
 * @waits: values in @wait_hist
 * @wait_sum_ns: their sum
 * @wait_hist: run-queue waits, log-linear counts
 * @wait_max_ns: largest wait; a maximum, where all before it are sums
 */
struct vagus_sched_stat {
	__u64 ran_ns;
	__u64 direct;
	__u64 queued;
	__u64 preempted;
	__u64 kicks;
	__u64 floors;
	__u64 waits;
	__u64 wait_sum_ns;
	__u64 wait_hist[VAGUS_HIST_BUCKETS];
	__u64 wait_max_ns;
};

_Static_assert(sizeof(struct vagus_sched_stat) == 664, "vagus_sched_stat");

/**
 * struct vagus_sched_exit - why the kernel ended the scheduler
 * @kind: enum scx_exit_kind of the kernel; 0 while it runs
 * @code: exit code, where the scheduler ended itself
 * @reason: the kernel's words for @kind, NUL-terminated
 * @message: details, NUL-terminated
 */
struct vagus_sched_exit {
	__u64 kind;
	__u64 code;
	char reason[64];
	char message[192];
};

_Static_assert(sizeof(struct vagus_sched_exit) == 272, "vagus_sched_exit");

/* ----------------------------------------------------------------- netlink */

/**
 * enum vagus_cmd - commands of the generic netlink family
 * @VAGUS_CMD_INFO: abi, features, parameters and counters
 * @VAGUS_CMD_TRACK: track workloads (WORKLOAD, repeated); answers each slot
 * @VAGUS_CMD_UNTRACK: stop tracking workloads
 * @VAGUS_CMD_TRACKED: dump of tracked workloads
 * @VAGUS_CMD_GRANT: grant or replace leases (LEASE, repeated); answers each
 *	with ID, OLD and VALUE as read back, or ERROR and REASON
 * @VAGUS_CMD_RENEW: new deadline for leases by ID and TTL_MS
 * @VAGUS_CMD_REVOKE: end leases by ID; the old values are written back, and
 *	only then is it answered, except where a write may block (memory.high)
 * @VAGUS_CMD_LEASES: dump of live leases of every owner
 * @VAGUS_CMD_OFF: end every lease of every owner
 * @VAGUS_CMD_CONFIG: set outlier thresholds and the rate limit of the ring
 * @VAGUS_CMD_EVENT: multicast: a lease ended, with REASON
 */
enum vagus_cmd {
	VAGUS_CMD_UNSPEC,
	VAGUS_CMD_INFO,
	VAGUS_CMD_TRACK,
	VAGUS_CMD_UNTRACK,
	VAGUS_CMD_TRACKED,
	VAGUS_CMD_GRANT,
	VAGUS_CMD_RENEW,
	VAGUS_CMD_REVOKE,
	VAGUS_CMD_LEASES,
	VAGUS_CMD_OFF,
	VAGUS_CMD_CONFIG,
	VAGUS_CMD_EVENT,
	__VAGUS_CMD_AFTER_LAST,
	VAGUS_CMD_MAX = __VAGUS_CMD_AFTER_LAST - 1,
};

/**
 * enum vagus_attr - top-level attributes
 * @VAGUS_A_ABI: u32, VAGUS_ABI_VERSION of the module
 * @VAGUS_A_LEASE: nest of enum vagus_lease_attr, repeated
 * @VAGUS_A_WORKLOAD: nest of enum vagus_workload_attr, repeated
 * @VAGUS_A_SLOTS: u32, workloads that can be tracked
 * @VAGUS_A_RING_BYTES: u32, size of the data area of the ring
 * @VAGUS_A_RUNQ_THRESHOLD_NS: u64, waits at least this long go to the ring
 * @VAGUS_A_RECLAIM_THRESHOLD_NS: u64, stalls at least this long go to the ring
 * @VAGUS_A_RATE_PER_S: u32, most ring records of one workload a second
 * @VAGUS_A_EVENTS: u64, records committed to the ring since load
 * @VAGUS_A_DROPS: u64, records lost since load because the ring was full
 * @VAGUS_A_LIMITED: u64, records not made since load because of the rate limit
 * @VAGUS_A_GRANTED: u64, leases granted since load
 * @VAGUS_A_RENEWED: u64, leases renewed since load
 * @VAGUS_A_RESTORED: u64, old values written back since load
 * @VAGUS_A_LOST: u64, leases that ended because somebody else set the knob
 * @VAGUS_A_FAILED: u64, restores given up after retries
 * @VAGUS_A_LIVE: u32, live leases
 * @VAGUS_A_SWITCHES: u64, context switches seen in tracked workloads
 * @VAGUS_A_ENDED: u32, leases that OFF has ended
 * @VAGUS_A_TRACKED: u32, workloads tracked now
 */
enum vagus_attr {
	VAGUS_A_UNSPEC,
	VAGUS_A_ABI,
	VAGUS_A_LEASE,
	VAGUS_A_WORKLOAD,
	VAGUS_A_SLOTS,
	VAGUS_A_RING_BYTES,
	VAGUS_A_RUNQ_THRESHOLD_NS,
	VAGUS_A_RECLAIM_THRESHOLD_NS,
	VAGUS_A_RATE_PER_S,
	VAGUS_A_EVENTS,
	VAGUS_A_DROPS,
	VAGUS_A_LIMITED,
	VAGUS_A_GRANTED,
	VAGUS_A_RENEWED,
	VAGUS_A_RESTORED,
	VAGUS_A_LOST,
	VAGUS_A_FAILED,
	VAGUS_A_LIVE,
	VAGUS_A_SWITCHES,
	VAGUS_A_PAD,
	VAGUS_A_ENDED,
	VAGUS_A_TRACKED,
	__VAGUS_A_AFTER_LAST,
	VAGUS_A_MAX = __VAGUS_A_AFTER_LAST - 1,
};

/**
 * enum vagus_workload_attr - one tracked workload
 * @VAGUS_W_CGROUP_ID: u64
 * @VAGUS_W_SLOT: u32, its row in the table
 * @VAGUS_W_GENERATION: u32, of that row
 * @VAGUS_W_ERROR: s32, errno as a negative number where it was refused
 */
enum vagus_workload_attr {
	VAGUS_W_UNSPEC,
	VAGUS_W_CGROUP_ID,
	VAGUS_W_SLOT,
	VAGUS_W_GENERATION,
	VAGUS_W_ERROR,
	VAGUS_W_PAD,
	__VAGUS_W_AFTER_LAST,
	VAGUS_W_MAX = __VAGUS_W_AFTER_LAST - 1,
};

/**
 * enum vagus_lease_attr - one lease
 * @VAGUS_L_ID: u64, given by the module, never used twice
 * @VAGUS_L_KIND: u32, enum vagus_lease_kind
 * @VAGUS_L_FD: s32, the knob's open file; read and write (knob lease)
 * @VAGUS_L_VALUE: string, the value to write; in answers as read back
 * @VAGUS_L_RESTORE: string, what to write at the end instead of the old value
 * @VAGUS_L_TTL_MS: u32, 100 to 3,600,000; in dumps the time left
 * @VAGUS_L_PIDFD: s32, of the process or thread (task lease)
 * @VAGUS_L_TID: u32, the thread; checked against the pidfd (task lease)
 * @VAGUS_L_COOKIE: u64, the owner's own, given back in answers and events
 * @VAGUS_L_OLD: string, the saved value
 * @VAGUS_L_PATH: string, path of the knob inside its file system
 * @VAGUS_L_OWNER: u32, netlink port id
 * @VAGUS_L_ERROR: s32, errno as a negative number
 * @VAGUS_L_MESSAGE: string, what went wrong, in plain words
 * @VAGUS_L_END: u32, enum vagus_lease_end (events)
 * @VAGUS_L_NOW: string, the knob's value found at the end (events)
 * @VAGUS_L_TIME_NS: u64, when the lease ended (events), CLOCK_MONOTONIC
 * @VAGUS_L_TOOK_NS: u64, from the cause to the written value (events)
 * @VAGUS_L_CAUSE: u32, enum vagus_lease_cause (events)
 */
enum vagus_lease_attr {
	VAGUS_L_UNSPEC,
	VAGUS_L_ID,
	VAGUS_L_KIND,
	VAGUS_L_FD,
	VAGUS_L_VALUE,
	VAGUS_L_RESTORE,
	VAGUS_L_TTL_MS,
	VAGUS_L_PIDFD,
	VAGUS_L_TID,
	VAGUS_L_COOKIE,
	VAGUS_L_OLD,
	VAGUS_L_PATH,
	VAGUS_L_OWNER,
	VAGUS_L_ERROR,
	VAGUS_L_MESSAGE,
	VAGUS_L_END,
	VAGUS_L_NOW,
	VAGUS_L_TIME_NS,
	VAGUS_L_TOOK_NS,
	VAGUS_L_CAUSE,
	VAGUS_L_PAD,
	__VAGUS_L_AFTER_LAST,
	VAGUS_L_MAX = __VAGUS_L_AFTER_LAST - 1,
};

/**
 * enum vagus_lease_kind - what a lease holds
 * @VAGUS_LEASE_KNOB: a file of cgroup2, sysfs or /proc/sys; cpu.idle and
 *	cpu.weight of one cgroup are one knob, held by one lease
 * @VAGUS_LEASE_NICE: a thread's nice value, "-20" to "19"
 * @VAGUS_LEASE_POLICY: a thread's policy: "other", "batch" or "idle"
 */
enum vagus_lease_kind {
	VAGUS_LEASE_KNOB,
	VAGUS_LEASE_NICE,
	VAGUS_LEASE_POLICY,
	__VAGUS_LEASE_AFTER_LAST,
	VAGUS_LEASE_KIND_MAX = __VAGUS_LEASE_AFTER_LAST - 1,
};

/**
 * enum vagus_lease_end - how a lease ended
 * @VAGUS_END_RESTORED: the old value was written back
 * @VAGUS_END_LOST: somebody else had set the knob; theirs stays
 * @VAGUS_END_GONE: the cgroup, device or thread no longer exists
 * @VAGUS_END_FAILED: the old value could not be written back
 */
enum vagus_lease_end {
	VAGUS_END_RESTORED,
	VAGUS_END_LOST,
	VAGUS_END_GONE,
	VAGUS_END_FAILED,
};

/**
 * enum vagus_lease_cause - why a lease ended
 * @VAGUS_CAUSE_DEADLINE: not renewed in time
 * @VAGUS_CAUSE_REVOKED: its owner asked
 * @VAGUS_CAUSE_OFF: somebody asked to end all leases
 * @VAGUS_CAUSE_OWNER: the owner's socket closed
 * @VAGUS_CAUSE_UNLOAD: the module is being unloaded
 * @VAGUS_CAUSE_CHANGED: a renewal found the knob set by somebody else, or gone
 */
enum vagus_lease_cause {
	VAGUS_CAUSE_DEADLINE,
	VAGUS_CAUSE_REVOKED,
	VAGUS_CAUSE_OFF,
	VAGUS_CAUSE_OWNER,
	VAGUS_CAUSE_UNLOAD,
	VAGUS_CAUSE_CHANGED,
};

#endif /* _UAPI_VAGUS_H */
