// SPDX-License-Identifier: GPL-2.0-only
/*
 * The knobs that a lease may hold, how their text goes back, and why others are
 * refused.  This list is the whole of what the module ever writes to.
 *
 * A knob is on it when its old value can be put back exactly.  Most files take
 * what they gave; the rest have a form of their own, see enum vagus_form.  The file
 * is opened anew by the module, non-blocking, so that the giver of the
 * descriptor can neither move its offset nor change its flags.
 */
#include <linux/cred.h>
#include <linux/ctype.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/namei.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "knobs.h"

#define MOVES	"moving tasks cannot be undone"
#define TRIGGER	"a write makes a pressure trigger, which cannot be undone"
#define TWINS	"it is the twin of another knob: setting one clears the other"

static const struct vagus_knob cgroup_knobs[] = {
	{ "cpu.weight", .form = SHARE, .twin = "cpu.idle" },
	{ "cpu.idle", .form = SHARE, .twin = "cpu.weight" },
	{ "cpu.max" },
	{ "cpu.max.burst" },
	{ "cpu.uclamp.min" },
	{ "cpu.uclamp.max" },
	{ "memory.min" },
	{ "memory.low" },
	{ "memory.high", .slow = true },
	{ "memory.swap.high" },
	{ "memory.swap.max" },
	{ "memory.zswap.max" },
	{ "io.weight", .form = WEIGHTS },
	{ "io.bfq.weight", .form = WEIGHTS },
	{ "io.max", .form = LIMITS },
	{ "cpuset.cpus", .form = CPUSET, .alone = true, .flushes = true },
	{ "cpuset.mems", .form = CPUSET, .slow = true, .flushes = true },
	{ "pids.max" },
	{ "cpu.weight.nice", .refusal = "it rounds: lease cpu.weight instead" },
	{ "cgroup.procs", .refusal = MOVES },
	{ "cgroup.threads", .refusal = MOVES },
	{ "cgroup.kill", .refusal = "killing cannot be undone" },
	{ "cgroup.type", .refusal = "a threaded cgroup cannot become a domain again" },
	{ "cgroup.subtree_control", .refusal = "it would reset every child's knobs" },
	{ "cpuset.cpus.partition", .refusal = "the kernel may accept it and not do it" },
	{ "cpu.pressure", .refusal = TRIGGER },
	{ "io.pressure", .refusal = TRIGGER },
	{ "memory.pressure", .refusal = TRIGGER },
	{ "irq.pressure", .refusal = TRIGGER },
	{ "cgroup.pressure", .refusal = "what was not accounted cannot be made up for" },
	{ "memory.max", .refusal = "what it kills stays dead: lease memory.high instead" },
	{ "memory.reclaim", .refusal = "reclaimed memory cannot be put back" },
	{ "memory.peak", .refusal = "a write resets what it measures" },
	{ }
};

static const struct vagus_knob sysfs_knobs[] = {
	{ "wbt_lat_usec", .parent = "queue", .alone = true },
	{ "nr_requests", .parent = "queue", .alone = true },
	{ "read_ahead_kb", .parent = "queue", .alone = true },
	{ "defrag", .parent = "transparent_hugepage", .form = BRACKET },
	{ "scheduler", .parent = "queue",
	  .refusal = "a change resets nr_requests and the scheduler's own settings" },
	{ "enabled", .parent = "transparent_hugepage",
	  .refusal = "it raises vm.min_free_kbytes and does not lower it again" },
	{ }
};

static const struct vagus_knob sysctl_knobs[] = {
	{ "swappiness", .parent = "vm" },
	{ "vfs_cache_pressure", .parent = "vm" },
	{ "watermark_scale_factor", .parent = "vm" },
	{ "compaction_proactiveness", .parent = "vm" },
	{ "page-cluster", .parent = "vm" },
	{ "dirty_expire_centisecs", .parent = "vm" },
	{ "dirty_writeback_centisecs", .parent = "vm" },
	{ "sched_autogroup_enabled", .parent = "kernel" },
	{ "dirty_bytes", .parent = "vm", .refusal = TWINS },
	{ "dirty_ratio", .parent = "vm", .refusal = TWINS },
	{ "dirty_background_bytes", .parent = "vm", .refusal = TWINS },
	{ "dirty_background_ratio", .parent = "vm", .refusal = TWINS },
	{ "drop_caches", .parent = "vm", .refusal = "dropped caches cannot be put back" },
	{ "core_pattern", .parent = "kernel", .refusal = "it names a program run as root" },
	{ }
};

/**
 * vagus_say - put a refusal in words
 * @why: VAGUS_WHY_LEN bytes
 * @format: a sentence without its full stop
 */
void vagus_say(char *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vscnprintf(why, VAGUS_WHY_LEN, format, args);
	va_end(args);
}

/* ---- which file it is ---- */

static bool parent_is(const struct dentry *dentry, const char *name)
{
	struct name_snapshot parent;
	struct dentry *up = dget_parent((struct dentry *)dentry);
	bool same;

	take_dentry_name_snapshot(&parent, up);
	same = !strcmp(parent.name.name, name);
	release_dentry_name_snapshot(&parent);
	dput(up);
	return same;
}

static const struct vagus_knob *find(const struct vagus_knob *list,
				     const struct dentry *dentry)
{
	for (; list->name; list++)
		if (!strcmp(dentry->d_name.name, list->name) &&
		    (!list->parent || parent_is(dentry, list->parent)))
			return list;
	return NULL;
}

/* /proc/sys/DIRECTORY/NAME of the initial mount: the list knows DIRECTORY. */
static bool is_sysctl(const struct file *file)
{
	struct super_block *sb = file_inode(file)->i_sb;
	struct dentry *directory = dget_parent(file->f_path.dentry);
	struct dentry *top = dget_parent(directory);
	bool is = proc_pid_ns(sb) == &init_pid_ns && top->d_parent == sb->s_root &&
		  !strcmp(top->d_name.name, "sys");

	dput(top);
	dput(directory);
	return is;
}

static const struct vagus_knob *classify(const struct file *file, char *why)
{
	const struct super_block *sb = file_inode(file)->i_sb;
	const struct vagus_knob *knob = NULL;

	switch (sb->s_magic) {
	case CGROUP2_SUPER_MAGIC:
		knob = find(cgroup_knobs, file->f_path.dentry);
		break;
	case SYSFS_MAGIC:
		knob = find(sysfs_knobs, file->f_path.dentry);
		break;
	case PROC_SUPER_MAGIC:
		if (is_sysctl(file))
			knob = find(sysctl_knobs, file->f_path.dentry);
		break;
	default:
		vagus_say(why, "the file is on %s, not on cgroup2, sysfs or proc",
			  sb->s_type->name);
		return ERR_PTR(-EINVAL);
	}
	if (!knob) {
		vagus_say(why, "%pd is not on the list of knobs that can be put back",
			  file->f_path.dentry);
		return ERR_PTR(-EPERM);
	}
	if (knob->refusal) {
		vagus_say(why, "%s cannot be leased: %s", knob->name, knob->refusal);
		return ERR_PTR(-EPERM);
	}
	return knob;
}

/* kernel_read() and kernel_write() warn when these do not hold. */
static int check_file(const struct file *file, char *why)
{
	const struct file_operations *ops = file->f_op;

	if ((file->f_mode & (FMODE_READ | FMODE_WRITE)) != (FMODE_READ | FMODE_WRITE)) {
		vagus_say(why, "open %pd for reading and writing", file->f_path.dentry);
		return -EBADF;
	}
	if (!ops->read_iter || !ops->write_iter || ops->read || ops->write) {
		vagus_say(why, "%pd is not a knob but a file of %s", file->f_path.dentry,
			  file_inode(file)->i_sb->s_type->name);
		return -EINVAL;
	}
	return 0;
}

/* ---- opening ---- */

/* The first word of @value picks the line of a knob that has several. */
static int pick_line(struct vagus_target *target, const char *value, char *why)
{
	unsigned int major, minor;
	int used = 0;

	target->device = ~0ULL;
	if (target->knob->form != LIMITS && target->knob->form != WEIGHTS)
		return 0;
	if (sscanf(value, "%u:%u%n", &major, &minor, &used) == 2 && isspace(value[used])) {
		target->device = (u64)major << 32 | minor;
		snprintf(target->key, sizeof(target->key), "%u:%u", major, minor);
		return 0;
	}
	/* Whatever has a colon the kernel takes for a device. */
	if (target->knob->form == WEIGHTS && !strchr(value, ':')) {
		strscpy(target->key, "default");
		return 0;
	}
	vagus_say(why, "%s wants MAJ:MIN and a value, not \"%.40s\"", target->knob->name,
		  value);
	return -EINVAL;
}

static void name_path(struct vagus_target *target)
{
	char *buffer = kmalloc(PATH_MAX, GFP_KERNEL);
	const char *path;
	size_t len;

	strscpy(target->path, target->knob->name);
	if (!buffer)
		return;
	path = dentry_path_raw(target->file->f_path.dentry, buffer, PATH_MAX);
	if (!IS_ERR(path)) {
		len = strlen(path);
		if (len >= sizeof(target->path))
			path += len - sizeof(target->path) + 1;
		strscpy(target->path, path);
	}
	kfree(buffer);
}

static struct file *reopen(const struct path *path)
{
	return dentry_open(path, O_RDWR | O_NONBLOCK | O_LARGEFILE, current_cred());
}

static int open_twin(struct vagus_target *target)
{
	const struct path *path = &target->file->f_path;
	struct dentry *parent = dget_parent(path->dentry);
	struct path twin;
	int err;

	/* Not what somebody has mounted over it. */
	err = vfs_path_lookup(parent, path->mnt, target->knob->twin, LOOKUP_NO_XDEV, &twin);
	dput(parent);
	/* Without cpu.idle the weight is a knob like any other. */
	if (err == -ENOENT)
		return 0;
	if (err)
		return err;
	target->twin = reopen(&twin);
	path_put(&twin);
	if (!IS_ERR(target->twin))
		return 0;
	err = PTR_ERR(target->twin);
	target->twin = NULL;
	return err;
}

/* Kernfs nodes are the same through every mount; the sysctls listed are global. */
static unsigned long identify(const struct vagus_target *target)
{
	const struct file *file = target->file;

	if (vagus_target_is_share(target))
		file = vagus_target_weight(target);
	if (file_inode(file)->i_sb->s_magic == PROC_SUPER_MAGIC)
		return (unsigned long)target->knob;
	return (unsigned long)file_inode(file)->i_private;
}

static int open_own(struct vagus_target *target, const struct file *given, char *why)
{
	int err;

	target->file = reopen(&given->f_path);
	if (IS_ERR(target->file)) {
		err = PTR_ERR(target->file);
		target->file = NULL;
		vagus_say(why, "%s cannot be opened", target->knob->name);
		return err;
	}
	err = check_file(target->file, why);
	if (err || !target->knob->twin)
		return err;
	err = open_twin(target);
	if (err)
		vagus_say(why, "%s, which goes with it, cannot be opened", target->knob->twin);
	return err;
}

/**
 * vagus_knob_open - make a target of an open file
 * @target: zeroed
 * @fd: in the calling process, open for reading and writing
 * @value: that will be set; picks the line of a knob that has several
 * @why: set to a sentence when refused
 *
 * vagus_target_close() must follow, also after an error.
 */
int vagus_knob_open(struct vagus_target *target, int fd, const char *value, char *why)
{
	struct file *given __free(fput) = fget(fd);
	int err;

	target->kind = VAGUS_LEASE_KNOB;
	if (!given) {
		vagus_say(why, "descriptor %d is not open", fd);
		return -EBADF;
	}
	target->knob = classify(given, why);
	if (IS_ERR(target->knob))
		return PTR_ERR(target->knob);
	err = check_file(given, why);
	if (err)
		return err;
	target->slow = target->knob->slow;
	target->alone = target->knob->alone || target->knob->slow;
	err = pick_line(target, value, why);
	if (err)
		return err;
	err = open_own(target, given, why);
	if (err)
		return err;
	name_path(target);
	target->identity = identify(target);
	return 0;
}
