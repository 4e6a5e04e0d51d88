/* SPDX-License-Identifier: GPL-2.0-only */
/* What a lease can hold: knobs (files) and attributes of threads. */
#ifndef VAGUS_KNOBS_H
#define VAGUS_KNOBS_H

#include <linux/types.h>
#include <vagus.h>

struct file;
struct pid;

#define VAGUS_WHY_LEN	160	/* bytes of a refusal in plain words */
#define VAGUS_KEY_LEN	24	/* bytes of "MAJ:MIN" or "default" */

/**
 * enum vagus_form - how the text of a knob goes back
 * @PLAIN: as it was read
 * @CPUSET: as it was read; empty when unset
 * @BRACKET: all choices are read, the present one in brackets; one is written
 * @LIMITS: a line for each device with limits; none means all "max"
 * @WEIGHTS: a line "default N" and one for each device with its own weight
 * @SHARE: cpu.idle and cpu.weight; leaving idle resets the weight to 100
 */
enum vagus_form { PLAIN, CPUSET, BRACKET, LIMITS, WEIGHTS, SHARE };

/**
 * struct vagus_knob - a file the module knows
 * @name: the file's
 * @parent: its directory's, where the name alone is not enough
 * @form: see enum vagus_form
 * @alone: the write may wait for others' work, as that of a disk's queue does for the
 *	requests under way: a stuck disk is to hold up no other restore
 * @slow: as @alone, and not awaited by commands either: on 6.12 the write may reclaim
 *	memory, though the file is non-blocking, or wait until memory has moved to
 *	another node
 * @flushes: on 6.12 the write waits for such moves, whoever has caused them
 * @twin: the other file of a compound knob
 * @refusal: why it is never leased; NULL when it is
 */
struct vagus_knob {
	const char *name;
	const char *parent;
	enum vagus_form form;
	bool alone;
	bool slow;
	bool flushes;
	const char *twin;
	const char *refusal;
};

/**
 * struct vagus_text - a value, never longer than the contract says
 * @s: NUL-terminated, without the newline at the end
 */
struct vagus_text {
	char s[VAGUS_VALUE_LEN];
};

/**
 * struct vagus_target - the one thing that a lease holds
 * @kind: enum vagus_lease_kind
 * @knob: entry in the list of knobs (knob lease)
 * @file: the module's own open file of it (knob lease)
 * @twin: that of the other half of a compound knob, or NULL
 * @pid: the thread (task lease)
 * @identity: equal for two targets exactly if they are the same thing
 * @device: in a knob with a line for each device, which; else ~0
 * @key: the first word of that line, or ""
 * @alone: a write may block: it goes into a work of its own, to hold up nobody else
 * @slow: and for so long that no command waits for it
 * @gone: the cgroup or device is no more
 * @path: inside the file system, its end where it is longer; or "task:TID"
 */
struct vagus_target {
	u32 kind;
	const struct vagus_knob *knob;
	struct file *file;
	struct file *twin;
	struct pid *pid;
	unsigned long identity;
	u64 device;
	char key[VAGUS_KEY_LEN];
	bool alone;
	bool slow;
	bool gone;
	char path[VAGUS_PATH_LEN];
};

/* knobs.c */
int vagus_knob_open(struct vagus_target *target, int fd, const char *value, char *why);

/* tasks.c */
int vagus_task_open(struct vagus_target *target, int pidfd, u32 tid, char *why);
int vagus_task_read(const struct vagus_target *target, struct vagus_text *state);
int vagus_task_set(const struct vagus_target *target, const char *value);
int vagus_task_check(const struct vagus_target *target, const struct vagus_text *saved,
		     char *why);

/*
 * forms.c.  State is canonical text: equal text, equal state.  For most targets it is what
 * a person would read and write; vagus_target_show() makes it so for the rest.
 */
int vagus_target_read(const struct vagus_target *target, struct vagus_text *state);
int vagus_target_set(const struct vagus_target *target, const char *value,
		     const char *held);
int vagus_target_put_back(const struct vagus_target *target, const char *state);
int vagus_target_check(const struct vagus_target *target, const struct vagus_text *saved,
		       bool explicit_restore, char *why);
int vagus_target_restore_text(const struct vagus_target *target, const char *given,
			      struct vagus_text *state);
void vagus_target_show(const struct vagus_target *target, const char *state,
		       struct vagus_text *shown);

bool vagus_target_is_share(const struct vagus_target *target);
struct file *vagus_target_weight(const struct vagus_target *target);
void vagus_target_close(struct vagus_target *target);

__printf(2, 3) void vagus_say(char *why, const char *format, ...);

#endif
