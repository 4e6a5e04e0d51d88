// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leases: what their owners ask for.
 *
 * The invariant: a target differs from its saved state only while a live lease
 * covers it, or because somebody other than vagus changed it.
 *
 * Reads and writes of targets may sleep for long, so no lock is held over them.
 * Whoever reads or writes has made the lease BUSY under the lock, and nobody
 * else touches the target, or frees the lease, until it is not:
 *
 *   grant --> BUSY --> LIVE --> BUSY --> freed
 *                       ^ |      | ^
 *       replace, renew  | v      v | after a while
 *                      BUSY     RETRY
 *
 * How a lease ends is in ending.c.
 */
#include <linux/cleanup.h>
#include <linux/jiffies.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "held.h"

#define LEASES_MAX	16384	/* live at once, so that no loop can eat the memory */
#define SETTLE_MS	1000	/* how long a command waits for leases that are ending */

/* ---- finding ---- */

static struct vagus_lease *lease_of(u64 id)
{
	struct vagus_lease *lease;

	lockdep_assert_held(&vagus_held.lock);
	hash_for_each_possible(vagus_held.ids, lease, by_id, id)
		if (lease->id == id)
			return lease;
	return NULL;
}

static struct vagus_lease *lease_on(const struct vagus_target *target)
{
	struct vagus_lease *lease;

	lockdep_assert_held(&vagus_held.lock);
	hash_for_each_possible(vagus_held.targets, lease, by_target, target->identity)
		if (lease->target.identity == target->identity &&
		    lease->target.device == target->device &&
		    lease->target.kind == target->kind)
			return lease;
	return NULL;
}

/* ---- grant ---- */

/* A BUSY lease lives: on, again, or to be ended at once. */
static void live(struct vagus_lease *lease, u64 deadline_ns)
{
	scoped_guard(mutex, &vagus_held.lock) {
		lease->state = LIVE;
		lease->deadline_ns = deadline_ns;
		if (vagus_held.closing)
			vagus_lease_mark(lease, VAGUS_CAUSE_UNLOAD);
		vagus_owner_arm(lease->owner, vagus_lease_due_ns(lease));
	}
	vagus_lease_wake();
}

/*
 * Look whether a BUSY lease still holds its target.  If not, the lease has ended
 * and is not to be touched.
 */
static int look(struct vagus_lease *lease, struct vagus_text *now)
{
	int err = vagus_target_read(&lease->target, now);
	enum vagus_lease_end end = vagus_lease_is_gone(err) ? VAGUS_END_GONE : VAGUS_END_LOST;

	if (!vagus_lease_is_gone(err)) {
		/* Unreadable for the moment: as it was, for all that is known. */
		if (err)
			*now = lease->value;
		if (!strcmp(now->s, lease->value.s))
			return 0;
	}
	scoped_guard(mutex, &vagus_held.lock)
		vagus_lease_mark(lease, VAGUS_CAUSE_CHANGED);
	vagus_lease_finish(lease, end, 0, now);
	return err ? err : -ESTALE;
}

static struct vagus_lease *new_lease(const struct vagus_request *request, char *why)
{
	struct vagus_lease *lease = kzalloc(sizeof(*lease), GFP_KERNEL);
	int err;

	if (!lease)
		return ERR_PTR(-ENOMEM);
	INIT_DELAYED_WORK(&lease->work, vagus_lease_end_alone);
	lease->cookie = request->cookie;
	lease->target.kind = request->kind;
	if (request->kind == VAGUS_LEASE_KNOB)
		err = vagus_knob_open(&lease->target, request->fd, request->value, why);
	else
		err = vagus_task_open(&lease->target, request->fd, request->tid, why);
	if (!err)
		return lease;
	vagus_lease_free(lease);
	return ERR_PTR(err);
}

static int insert(struct vagus_lease *lease, u32 port, char *why)
{
	lockdep_assert_held(&vagus_held.lock);
	if (vagus_held.closing) {
		vagus_say(why, "the module is being unloaded");
		return -ESHUTDOWN;
	}
	if (vagus_held.counts.live >= LEASES_MAX) {
		vagus_say(why, "there are %u leases already", LEASES_MAX);
		return -ENOSPC;
	}
	lease->owner = vagus_owner_get(port);
	if (!lease->owner)
		return -ENOMEM;
	lease->id = ++vagus_held.last_id;
	lease->state = BUSY;
	lease->deadline_ns = U64_MAX;
	hash_add(vagus_held.ids, &lease->by_id, lease->id);
	hash_add(vagus_held.targets, &lease->by_target, lease->target.identity);
	list_add_tail(&lease->in_all, &vagus_held.all);
	list_add(&lease->in_owner, &lease->owner->leases);
	vagus_held.counts.live++;
	return 0;
}

/*
 * Make the lease on a target BUSY, or @fresh the lease on it.  -EAGAIN: there is
 * one, and it is busy.
 */
static struct vagus_lease *claim(struct vagus_lease *fresh, u32 port, char *why)
{
	struct vagus_lease *lease;
	int err;

	guard(mutex)(&vagus_held.lock);
	lease = lease_on(&fresh->target);
	if (!lease) {
		err = insert(fresh, port, why);
		return err ? ERR_PTR(err) : fresh;
	}
	if (lease->owner->port != port && !lease->ending) {
		vagus_say(why, "leased by port %u: %s", lease->owner->port,
			  lease->target.path);
		return ERR_PTR(-EBUSY);
	}
	if (lease->state != LIVE || lease->ending) {
		vagus_say(why, "just being put back: %s", lease->target.path);
		return ERR_PTR(-EAGAIN);
	}
	lease->state = BUSY;
	return lease;
}

static struct vagus_lease *claim_wait(struct vagus_lease *fresh, u32 port, char *why)
{
	long left = msecs_to_jiffies(SETTLE_MS);
	struct vagus_lease *lease;

	do {
		int before = atomic_read(&vagus_held.settled);

		lease = claim(fresh, port, why);
		if (lease != ERR_PTR(-EAGAIN))
			return lease;
		left = wait_event_interruptible_timeout(vagus_held.settling,
							atomic_read(&vagus_held.settled) != before,
							left);
	} while (left > 0);
	return lease;
}

static int read_state(const struct vagus_target *target, struct vagus_text *state, char *why)
{
	int err = vagus_target_read(target, state);

	if (err == -E2BIG)
		vagus_say(why, "what %.60s holds is too long to be kept",
			  kbasename(target->path));
	return err;
}

/*
 * Set @target and keep in @after what the kernel made of the value; undo what was
 * half done.  @held: the state that a lease holds now, or NULL.
 */
static int set(const struct vagus_target *target, const char *value, const char *held,
	       const struct vagus_text *before, struct vagus_text *after, char *why)
{
	int err = vagus_target_set(target, value, held);

	if (err)
		vagus_say(why, "the kernel refused \"%.60s\" for %.60s", value,
			  kbasename(target->path));
	else
		err = read_state(target, after, why);
	if (!err)
		return 0;
	/* What cannot be read, because it is too long now, is put back all the same. */
	if (vagus_target_read(target, after) || strcmp(after->s, before->s))
		vagus_target_put_back(target, before->s);
	return err;
}

/* Make of the saved state in @state what the owner wants put back, if it said. */
static int restore_text(const struct vagus_target *target, const char *given,
			struct vagus_text *state, char *why)
{
	int err = given ? vagus_target_restore_text(target, given, state) : 0;

	if (err)
		vagus_say(why, "what to restore must start with \"%s \"", target->key);
	return err;
}

static int begin(struct vagus_lease *lease, const struct vagus_request *request, char *why)
{
	int err = read_state(&lease->target, &lease->saved, why);

	if (err)
		return err;
	err = vagus_target_check(&lease->target, &lease->saved, request->restore, why);
	if (err)
		return err;
	lease->restore = lease->saved;
	err = restore_text(&lease->target, request->restore, &lease->restore, why);
	if (err)
		return err;
	return set(&lease->target, request->value, NULL, &lease->saved, &lease->value, why);
}

/*
 * A new value for a lease that is held; the first saved state stays.  @fresh is
 * nobody else's: the lease changes at once, under the lock.
 */
static int replace(struct vagus_lease *lease, struct vagus_lease *fresh,
		   const struct vagus_request *request, char *why)
{
	int err = look(lease, &fresh->saved);

	if (err) {
		vagus_say(why, err == -ESTALE ? "somebody else has set %s" : "gone: %s",
			  fresh->target.path);
		return err;
	}
	fresh->restore = request->restore ? lease->saved : lease->restore;
	err = restore_text(&fresh->target, request->restore, &fresh->restore, why);
	if (!err)
		err = set(&fresh->target, request->value, lease->value.s, &fresh->saved,
			  &fresh->value, why);
	if (err) {
		live(lease, lease->deadline_ns);
		return err;
	}
	guard(mutex)(&vagus_held.lock);
	/* cpu.idle or cpu.weight, whichever was named last. */
	swap(lease->target, fresh->target);
	lease->restore = fresh->restore;
	lease->value = fresh->value;
	lease->cookie = request->cookie;
	return 0;
}

static void report(const struct vagus_lease *lease, struct vagus_granted *granted)
{
	granted->id = lease->id;
	granted->cookie = lease->cookie;
	strscpy(granted->path, lease->target.path);
	vagus_target_show(&lease->target, lease->saved.s, &granted->old);
	vagus_target_show(&lease->target, lease->value.s, &granted->value);
}

/**
 * vagus_lease_grant - set a value for a while
 * @port: of the owner's socket, in whose system call this runs
 * @request: what for
 * @granted: zeroed; set to what came of it
 *
 * A lease that the owner has on the same target is replaced: new value, new
 * deadline, the state that was saved first.  The deadline counts from when the
 * value is in place.
 *
 * Return: 0, or why not, with a sentence in @granted->why for most cases.
 */
int vagus_lease_grant(u32 port, const struct vagus_request *request,
		      struct vagus_granted *granted)
{
	struct vagus_lease *fresh = new_lease(request, granted->why);
	struct vagus_lease *lease;
	int err;

	granted->cookie = request->cookie;
	if (IS_ERR(fresh))
		return PTR_ERR(fresh);
	strscpy(granted->path, fresh->target.path);
	lease = claim_wait(fresh, port, granted->why);
	if (IS_ERR(lease)) {
		err = PTR_ERR(lease);
	} else if (lease == fresh) {
		err = begin(lease, request, granted->why);
		if (err) {
			vagus_lease_drop(lease);
			vagus_lease_wake();
			return err;
		}
	} else {
		err = replace(lease, fresh, request, granted->why);
	}
	if (!err) {
		report(lease, granted);
		scoped_guard(mutex, &vagus_held.lock)
			vagus_held.counts.granted++;
		live(lease, ktime_get_ns() + (u64)request->ttl_ms * NSEC_PER_MSEC);
	}
	if (lease != fresh)
		vagus_lease_free(fresh);
	return err;
}

/* ---- renew, revoke, off ---- */

/* The caller's own lease, if it still lives. */
static struct vagus_lease *own(u32 port, u64 id)
{
	struct vagus_lease *lease = lease_of(id);

	lockdep_assert_held(&vagus_held.lock);
	if (!lease)
		return ERR_PTR(-ENOENT);
	if (lease->owner->port != port)
		return ERR_PTR(-EPERM);
	if (lease->ending)
		return ERR_PTR(-ENOENT);
	return lease;
}

/**
 * vagus_lease_renew - a new deadline
 * @port: of the owner's socket
 * @id: of the lease
 * @ttl_ms: from now
 *
 * Return: 0; -ESTALE when somebody else had set the target, which ends the
 * lease; -ENOENT when it has ended; -EPERM when it is another's.
 */
int vagus_lease_renew(u32 port, u64 id, u32 ttl_ms)
{
	struct vagus_text now = {};
	struct vagus_lease *lease;
	int err;

	scoped_guard(mutex, &vagus_held.lock) {
		lease = own(port, id);
		if (IS_ERR(lease))
			return PTR_ERR(lease);
		if (lease->state != LIVE)
			return -EAGAIN;
		lease->state = BUSY;
	}
	err = look(lease, &now);
	if (err)
		return err;
	scoped_guard(mutex, &vagus_held.lock)
		vagus_held.counts.renewed++;
	live(lease, ktime_get_ns() + (u64)ttl_ms * NSEC_PER_MSEC);
	return 0;
}

/**
 * vagus_lease_revoke - let a lease end now
 * @port: of the owner's socket
 * @id: of the lease
 *
 * vagus_lease_settle() waits for it.  Return as vagus_lease_renew().
 */
int vagus_lease_revoke(u32 port, u64 id)
{
	struct vagus_lease *lease;

	guard(mutex)(&vagus_held.lock);
	lease = own(port, id);
	if (IS_ERR(lease))
		return PTR_ERR(lease);
	vagus_lease_mark(lease, VAGUS_CAUSE_REVOKED);
	vagus_owner_kick(lease->owner);
	return 0;
}

/* True while something that was told to end has not; @port 0: of any owner. */
static bool unsettled(u32 port)
{
	struct vagus_lease *lease;

	guard(mutex)(&vagus_held.lock);
	list_for_each_entry(lease, &vagus_held.all, in_all)
		if (lease->ending && !lease->target.slow && lease->state != RETRY &&
		    (!port || lease->owner->port == port))
			return true;
	return false;
}

/**
 * vagus_lease_settle - wait until what was told to end has been put back
 * @port: of the owner's socket, or 0 for all
 *
 * Neither slow targets are awaited nor those that have to be tried again.
 */
void vagus_lease_settle(u32 port)
{
	u64 until = ktime_get_ns() + SETTLE_MS * NSEC_PER_MSEC;
	int before;

	do {
		before = atomic_read(&vagus_held.settled);
		if (!unsettled(port))
			return;
		wait_event_killable_timeout(vagus_held.settling,
					    atomic_read(&vagus_held.settled) != before,
					    msecs_to_jiffies(SETTLE_MS));
	} while (ktime_get_ns() < until && !fatal_signal_pending(current));
}

/**
 * vagus_lease_off - let every lease of every owner end now
 *
 * vagus_lease_settle() waits for it.  Return: how many leases.
 */
u32 vagus_lease_off(void)
{
	return vagus_lease_end_all(VAGUS_CAUSE_OFF);
}

/* ---- dump, counts ---- */

/**
 * vagus_lease_next - walk the leases
 * @id: look behind this one; set to the one found
 * @view: set to it
 *
 * Return: false when there is none.
 */
bool vagus_lease_next(u64 *id, struct vagus_lease_view *view)
{
	struct vagus_lease *lease;

	guard(mutex)(&vagus_held.lock);
	list_for_each_entry(lease, &vagus_held.all, in_all) {
		/* What never lived is just being granted. */
		if (lease->id <= *id || lease->deadline_ns == U64_MAX)
			continue;
		*id = lease->id;
		vagus_lease_show(lease, view);
		return true;
	}
	return false;
}

/**
 * vagus_lease_count - counters since load, and how many live
 */
struct vagus_lease_counts vagus_lease_count(void)
{
	guard(mutex)(&vagus_held.lock);
	return vagus_held.counts;
}
