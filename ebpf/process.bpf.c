// SPDX-License-Identifier: GPL-2.0-only
/* Processes: who starts, what they run, how they end. */
#include "common.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 512);
	__type(key, struct vagus_stat_key);
	__type(value, struct vagus_process_stat);
} process_stats SEC(".maps");

static const struct vagus_process_stat zero;

/* Linux include/linux/sched/signal.h: the whole process is being killed. */
#define SIGNAL_GROUP_EXIT 0x00000004

static __always_inline struct vagus_process_stat *process_stat(__u64 workload)
{
	struct vagus_stat_key key = { .cgroup_id = workload };

	return workload ? stat_of(&process_stats, &key, &zero) : NULL;
}

/*
 * A task is made: 0 to 5,000 a second, a compiler's run at the upper end.
 * The child is in its parent's cgroup already (or in that of CLONE_INTO_CGROUP).
 */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u64 workload = workload_of(child);
	struct vagus_process_stat *stat = process_stat(workload);
	bool is_process = child->tgid == child->pid;
	struct vagus_event *event;

	if (stat && is_process)
		stat->forks++;
	else if (stat)
		stat->threads++;
	if (!is_process || !is_wanted(VAGUS_EVENT_FORK))
		return 0;
	event = reserve(sizeof(*event));
	if (!event)
		return 0;
	fill_event(event, VAGUS_EVENT_FORK, child, workload);
	event->value = parent->tgid;
	submit(event, false);
	return 0;
}

/* Copy the head of the argument list; the pages were just written, so resident. */
static __always_inline void fill_args(struct vagus_exec *exec, struct task_struct *task)
{
	__u64 start = task->mm->arg_start;
	__u64 length = task->mm->arg_end - start;

	if (length > VAGUS_ARGS_LEN)
		length = VAGUS_ARGS_LEN;
	__builtin_memset(exec->args, 0, sizeof(exec->args));
	if (bpf_probe_read_user(exec->args, length, (void *)start))
		length = 0;
	exec->args_len = length;
}

/* A program is started: 0 to 2,000 a second. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, pid_t old_pid,
	     struct linux_binprm *bprm)
{
	__u64 workload = workload_of(task);
	struct vagus_process_stat *stat = process_stat(workload);
	struct vagus_exec *exec;

	if (stat)
		stat->execs++;
	if (!is_wanted(VAGUS_EVENT_EXEC))
		return 0;
	exec = reserve(sizeof(*exec));
	if (!exec)
		return 0;
	fill_event(&exec->event, VAGUS_EVENT_EXEC, task, workload);
	exec->event.value = task->real_parent->tgid;
	exec->event.extra = task->start_time;
	exec->uid = task->cred->uid.val;
	fill_args(exec, task);
	submit(exec, false);
	return 0;
}

/* As wait() tells it: one thread's exit code, or that of a killed process. */
static __always_inline __u32 wait_status(struct task_struct *task)
{
	struct signal_struct *signal = task->signal;

	if (signal->flags & SIGNAL_GROUP_EXIT)
		return signal->group_exit_code;
	return task->exit_code;
}

/*
 * A task ends: 0 to 5,000 a second.  A process counts when its first thread
 * ends, since the last one cannot be told from its neighbours on 6.12; one
 * whose first thread leaves early is told early.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	struct vagus_process_stat *stat;
	struct vagus_event *event;
	__u64 workload;

	if (task->tgid != task->pid)
		return 0;
	workload = workload_of(task);
	stat = process_stat(workload);
	if (stat)
		stat->exits++;
	if (!is_wanted(VAGUS_EVENT_EXIT))
		return 0;
	event = reserve(sizeof(*event));
	if (!event)
		return 0;
	fill_event(event, VAGUS_EVENT_EXIT, task, workload);
	event->value = wait_status(task);
	event->extra = event->time_ns - task->start_time;
	submit(event, false);
	return 0;
}
