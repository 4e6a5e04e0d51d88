// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a lease can hold of a thread: its nice value, or which of the fair
 * policies it has.  Not its affinity: setting it from here would ignore cpusets.
 *
 * A thread is named by a pidfd and its id, checked against each other, because
 * the id alone may have been given to another thread meanwhile.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/sched/rt.h>
#include <linux/sched/task.h>
#include <uapi/linux/sched/types.h>

#include "knobs.h"

static const char *const policies[] = {
	[SCHED_NORMAL] = "other",
	[SCHED_BATCH] = "batch",
	[SCHED_IDLE] = "idle",
};

static const char *policy_name(unsigned int policy)
{
	if (policy >= ARRAY_SIZE(policies) || !policies[policy])
		return "unknown";
	return policies[policy];
}

static int policy_number(const char *name)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(policies); i++)
		if (policies[i] && !strcmp(policies[i], name))
			return i;
	return -EINVAL;
}

/**
 * vagus_task_read - nice value or policy of a thread
 * @target: of a task lease
 * @state: set to "-20" to "19", or to "other", "batch", "idle" or "unknown"
 */
int vagus_task_read(const struct vagus_target *target, struct vagus_text *state)
{
	struct task_struct *task = get_pid_task(target->pid, PIDTYPE_PID);

	if (!task)
		return -ESRCH;
	if (target->kind == VAGUS_LEASE_NICE)
		snprintf(state->s, sizeof(state->s), "%d", task_nice(task));
	else
		strscpy(state->s, policy_name(READ_ONCE(task->policy)));
	put_task_struct(task);
	return 0;
}

static int set_nice(struct task_struct *task, const char *value)
{
	int nice;

	if (kstrtoint(value, 10, &nice))
		return -EINVAL;
	if (nice < MIN_NICE || nice > MAX_NICE)
		return -ERANGE;
	set_user_nice(task, nice);
	return 0;
}

/* Everything but the policy stays as it is. */
static int set_policy(struct task_struct *task, const char *value)
{
	int policy = policy_number(value);
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_nice = task_nice(task),
		.sched_flags = task->sched_reset_on_fork ? SCHED_FLAG_RESET_ON_FORK : 0,
		.sched_runtime = task->se.custom_slice ? task->se.slice : 0,
	};

	if (policy < 0)
		return policy;
	attr.sched_policy = policy;
	return sched_setattr_nocheck(task, &attr);
}

/**
 * vagus_task_set - set nice value or policy of a thread
 * @target: of a task lease
 * @value: in the words of vagus_task_read()
 */
int vagus_task_set(const struct vagus_target *target, const char *value)
{
	struct task_struct *task = get_pid_task(target->pid, PIDTYPE_PID);
	int err;

	if (!task)
		return -ESRCH;
	err = target->kind == VAGUS_LEASE_NICE ? set_nice(task, value) :
						 set_policy(task, value);
	put_task_struct(task);
	return err;
}

/**
 * vagus_task_check - whether what a thread had can be put back later
 * @target: of a task lease
 * @saved: from vagus_task_read()
 * @why: set to a sentence when not
 */
int vagus_task_check(const struct vagus_target *target, const struct vagus_text *saved,
		     char *why)
{
	/* It may have changed its policy since it was looked at. */
	if (target->kind != VAGUS_LEASE_POLICY || policy_number(saved->s) >= 0)
		return 0;
	vagus_say(why, "%s has become real-time or left the fair class", target->path);
	return -EPERM;
}

static int check_task(struct task_struct *task, char *why)
{
	if (task->flags & PF_KTHREAD) {
		vagus_say(why, "thread %d belongs to the kernel", task->pid);
		return -EPERM;
	}
	if (policy_number(policy_name(READ_ONCE(task->policy))) < 0) {
		vagus_say(why, "thread %d is scheduled as real-time or by sched_ext",
			  task->pid);
		return -EPERM;
	}
	return 0;
}

/* A pidfd has the inode number that the kernel gave to the struct pid. */
static int check_pidfd(const struct file *file, struct pid *pid, struct task_struct *task,
		       u32 tid, char *why)
{
	u64 ino = file_inode(file)->i_ino;
	const struct pid *process;

	if (file_inode(file)->i_sb->s_magic != PID_FS_MAGIC) {
		vagus_say(why, "the descriptor is of %s, not a pidfd",
			  file_inode(file)->i_sb->s_type->name);
		return -EINVAL;
	}
	if (pid->ino == ino)
		return 0;
	guard(rcu)();
	/* NULL once it is reaped. */
	process = task_tgid(task);
	if (process && process->ino == ino)
		return 0;
	vagus_say(why, "thread %u is not what the pidfd names", tid);
	return -ESRCH;
}

/**
 * vagus_task_open - make a target of a thread
 * @target: zeroed, but for its kind
 * @pidfd: in the calling process, of the thread or of its process
 * @tid: the thread, as the calling process numbers it
 * @why: set to a sentence when refused
 *
 * vagus_target_close() must follow, also after an error.
 */
int vagus_task_open(struct vagus_target *target, int pidfd, u32 tid, char *why)
{
	struct file *file __free(fput) = fget(pidfd);
	struct task_struct *task;
	int err;

	if (!file) {
		vagus_say(why, "descriptor %d is not open", pidfd);
		return -EBADF;
	}
	scoped_guard(rcu)
		target->pid = get_pid(find_vpid(tid));
	task = get_pid_task(target->pid, PIDTYPE_PID);
	if (!task) {
		vagus_say(why, "there is no thread %u", tid);
		return -ESRCH;
	}
	err = check_pidfd(file, target->pid, task, tid, why);
	if (!err)
		err = check_task(task, why);
	put_task_struct(task);
	target->device = ~0ULL;
	target->identity = (unsigned long)target->pid;
	snprintf(target->path, sizeof(target->path), "task:%u", tid);
	return err;
}
