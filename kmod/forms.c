// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading a target and writing it, whatever it is.  Most files take what they
 * gave; what the others need is said at enum vagus_form.
 */
#include <linux/ctype.h>
#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/pid.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat.h"
#include "knobs.h"

/* Bytes of the largest knob read whole; of one with a line for each device. */
#define READ_MAX	PAGE_SIZE
#define LINES_MAX	(4 * PAGE_SIZE)

/* ---- text ---- */

static int read_whole(struct file *file, char *buffer, size_t size)
{
	size_t len = 0;
	loff_t pos = 0;
	ssize_t got;

	do {
		got = kernel_read(file, buffer + len, size - 1 - len, &pos);
		if (got < 0)
			return got;
		len += got;
	} while (got && len < size - 1);
	buffer[len] = '\0';
	return len < size - 1 ? 0 : -E2BIG;
}

static int write_text(struct file *file, const char *text)
{
	/* Zero bytes change nothing, anywhere. */
	const char *out = *text ? text : "\n";
	size_t len = strlen(out);
	loff_t pos = 0;
	ssize_t put = kernel_write(file, out, len, &pos);

	if (put < 0)
		return put;
	return put == len ? 0 : -EIO;
}

static int keep(struct vagus_text *text, const char *start, size_t len)
{
	while (len && isspace(start[len - 1]))
		len--;
	if (len >= sizeof(text->s))
		return -E2BIG;
	memcpy(text->s, start, len);
	text->s[len] = '\0';
	return 0;
}

static int keep_bracket(struct vagus_text *text, const char *all)
{
	const char *open = strchr(all, '[');
	const char *close = open ? strchr(open, ']') : NULL;

	if (!close)
		return keep(text, all, strlen(all));
	return keep(text, open + 1, close - open - 1);
}

/* The line that starts with the target's key, or what its absence means. */
static int keep_line(struct vagus_text *text, const struct vagus_target *target,
		     const char *all)
{
	size_t len = strlen(target->key);
	const char *line, *end;

	for (line = all; *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		if (!strncmp(line, target->key, len) && line[len] == ' ')
			return keep(text, line, end - line);
	}
	snprintf(text->s, sizeof(text->s), target->knob->form == LIMITS ?
		 "%s rbps=max wbps=max riops=max wiops=max" : "%s default", target->key);
	return 0;
}

static int read_form(const struct vagus_target *target, char *all, size_t size,
		     struct vagus_text *state)
{
	int err = read_whole(target->file, all, size);

	if (err)
		return err;
	switch (target->knob->form) {
	case BRACKET:
		return keep_bracket(state, all);
	case LIMITS:
	case WEIGHTS:
		return keep_line(state, target, all);
	default:
		return keep(state, all, strlen(all));
	}
}

/* ---- cpu.idle and cpu.weight: one knob, its state "IDLE WEIGHT" ---- */

static bool by_idle(const struct vagus_target *target)
{
	return !strcmp(target->knob->name, "cpu.idle");
}

static struct file *idle_of(const struct vagus_target *target)
{
	return by_idle(target) ? target->file : target->twin;
}

/**
 * vagus_target_weight - the cpu.weight of a compound knob
 * @target: with a twin
 */
struct file *vagus_target_weight(const struct vagus_target *target)
{
	return by_idle(target) ? target->twin : target->file;
}

static int read_share(const struct vagus_target *target, char *all,
		      struct vagus_text *state)
{
	int idle, weight, err;

	err = read_whole(idle_of(target), all, READ_MAX);
	if (!err)
		err = kstrtoint(strim(all), 10, &idle);
	if (!err)
		err = read_whole(vagus_target_weight(target), all, READ_MAX);
	if (!err)
		err = kstrtoint(strim(all), 10, &weight);
	if (err)
		return err;
	snprintf(state->s, sizeof(state->s), "%d %d", idle, weight);
	return 0;
}

static int put_back_share(const struct vagus_target *target, const char *state)
{
	const char *weight = strchrnul(state, ' ');
	char idle[2] = { state[0] };
	int err = write_text(idle_of(target), idle);

	/* An idle cgroup has no weight to set. */
	if (err || idle[0] != '0' || !*weight)
		return err;
	return write_text(vagus_target_weight(target), weight + 1);
}

static int set_share(const struct vagus_target *target, const char *value,
		     const char *held)
{
	/* The idleness that this very lease has set is in the way of a weight. */
	if (!by_idle(target) && held && held[0] == '1') {
		int err = write_text(idle_of(target), "0");

		if (err)
			return err;
	}
	return write_text(target->file, value);
}

/* ---- a target's state, whatever it is ---- */

/**
 * vagus_target_is_share - whether it is cpu.idle and cpu.weight in one
 * @target: open
 */
bool vagus_target_is_share(const struct vagus_target *target)
{
	return target->kind == VAGUS_LEASE_KNOB && target->twin;
}

/**
 * vagus_target_read - the present state
 * @target: open
 * @state: set to canonical text
 *
 * Return: 0; -ENODEV or -ESRCH when the cgroup, device or thread is gone;
 * -E2BIG when the text is too long to be kept; what the file said.
 */
int vagus_target_read(const struct vagus_target *target, struct vagus_text *state)
{
	size_t size = READ_MAX;
	char *all;
	int err;

	if (target->kind != VAGUS_LEASE_KNOB)
		return vagus_task_read(target, state);
	if (target->key[0])
		size = LINES_MAX;
	all = kvmalloc(size, GFP_KERNEL);
	if (!all)
		return -ENOMEM;
	err = vagus_target_is_share(target) ? read_share(target, all, state) :
				 read_form(target, all, size, state);
	kvfree(all);
	return err;
}

/**
 * vagus_target_set - write a value as the owner of a lease gave it
 * @target: open
 * @value: for the file that @target names
 * @held: the state that the lease holds now; NULL for a new lease
 */
int vagus_target_set(const struct vagus_target *target, const char *value,
		     const char *held)
{
	if (target->kind != VAGUS_LEASE_KNOB)
		return vagus_task_set(target, value);
	if (vagus_target_is_share(target))
		return set_share(target, value, held);
	return write_text(target->file, value);
}

/**
 * vagus_target_put_back - write canonical text
 * @target: open
 * @state: from vagus_target_read() or vagus_target_restore_text()
 */
int vagus_target_put_back(const struct vagus_target *target, const char *state)
{
	if (target->kind != VAGUS_LEASE_KNOB)
		return vagus_task_set(target, state);
	if (vagus_target_is_share(target))
		return put_back_share(target, state);
	return write_text(target->file, state);
}

/**
 * vagus_target_check - whether a state can be put back later
 * @target: open
 * @saved: the state before the lease
 * @explicit_restore: the owner says itself what to put back
 * @why: set to a sentence when not
 */
int vagus_target_check(const struct vagus_target *target, const struct vagus_text *saved,
		       bool explicit_restore, char *why)
{
	if (target->kind != VAGUS_LEASE_KNOB)
		return vagus_task_check(target, saved, why);
	if (target->knob->form == CPUSET && !saved->s[0] && !explicit_restore &&
	    !CPUSET_CAN_BE_UNSET) {
		vagus_say(why, "this kernel cannot unset %s again: say what to restore",
			  target->knob->name);
		return -EPERM;
	}
	return 0;
}

/**
 * vagus_target_restore_text - make a state of what the owner wants put back
 * @target: open
 * @given: for the file that @target names
 * @state: the saved state; changed to what is to be put back
 *
 * Return: 0, or -EINVAL when @given is for something else than @target.
 */
int vagus_target_restore_text(const struct vagus_target *target, const char *given,
			      struct vagus_text *state)
{
	struct vagus_text saved = *state;
	size_t len = strlen(target->key);

	if (vagus_target_is_share(target)) {
		if (by_idle(target))
			snprintf(state->s, sizeof(state->s), "%.1s%s", given,
				 strchrnul(saved.s, ' '));
		else
			snprintf(state->s, sizeof(state->s), "%.1s %s", saved.s, given);
		return 0;
	}
	/* The line of another device would put back nothing. */
	if (len && (strncmp(given, target->key, len) || given[len] != ' '))
		return -EINVAL;
	strscpy(state->s, given);
	return 0;
}

/**
 * vagus_target_show - a state as a person would read it in the file
 * @target: open
 * @state: canonical text
 * @shown: set to the text
 */
void vagus_target_show(const struct vagus_target *target, const char *state,
		       struct vagus_text *shown)
{
	const char *weight = strchrnul(state, ' ');

	if (!vagus_target_is_share(target) || !*weight)
		strscpy(shown->s, state);
	else if (by_idle(target))
		strscpy(shown->s, state, min(weight - state + 1, (long)sizeof(shown->s)));
	else
		strscpy(shown->s, weight + 1);
}

static void close_own(struct file *file, bool gone)
{
	if (!file)
		return;
	/* Else it, and the cgroup's name, would stay cached for nobody to find. */
	if (gone)
		d_drop(file->f_path.dentry);
	fput(file);
}

/**
 * vagus_target_close - give back what an open took
 * @target: from vagus_knob_open() or vagus_task_open(), whatever that returned
 */
void vagus_target_close(struct vagus_target *target)
{
	close_own(target->file, target->gone);
	close_own(target->twin, target->gone);
	put_pid(target->pid);
}
