// SPDX-License-Identifier: GPL-2.0-only
/*
 * How leases end: at the deadline, by their owner's or somebody's word, with the
 * owner's socket, with the module.
 *
 * However it ends, the target is read first: if it is not as the lease left it,
 * somebody else has set it and theirs stays; else the saved state goes back.
 *
 * Every owner has one work that ends its leases, newest first, so that changes
 * that were made one upon the other are unwound.  A target whose writes may wait
 * for something, and one that has to be tried again, goes on in a work of its own.
 */
#include <linux/cleanup.h>
#include <linux/jiffies.h>
#include <linux/netlink.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <net/net_namespace.h>

#include "held.h"
#include "netlink.h"

#define TRIES_MAX	6	/* attempts to put back, the first one included */
#define EXACT_JIFFIES	60	/* kernel/time/timer.c: the first level of the timer wheel */
#define RETRY_MS	100	/* before the second attempt; doubles each time */

struct vagus_held vagus_held = {
	.lock = __MUTEX_INITIALIZER(vagus_held.lock),
	.owners = LIST_HEAD_INIT(vagus_held.owners),
	.all = LIST_HEAD_INIT(vagus_held.all),
	.settling = __WAIT_QUEUE_HEAD_INITIALIZER(vagus_held.settling),
};

/* Soon, also on a machine that is busy or short of memory: gives back what was taken. */
static struct workqueue_struct *queue;
/* For writes that wait for works which are not for reclaim: the former must not. */
static struct workqueue_struct *patient;

static struct workqueue_struct *queue_of(const struct vagus_lease *lease)
{
	return lease->target.knob && lease->target.knob->flushes ? patient : queue;
}

/* ---- owners ---- */

static void end_due(struct work_struct *work);

static struct vagus_owner *owner_of(u32 port)
{
	struct vagus_owner *owner;

	lockdep_assert_held(&vagus_held.lock);
	list_for_each_entry(owner, &vagus_held.owners, node)
		if (owner->port == port && !owner->gone)
			return owner;
	return NULL;
}

/**
 * vagus_owner_get - find or make an owner
 * @port: of its socket
 *
 * Under the lock.  Return: NULL when there is no memory.
 */
struct vagus_owner *vagus_owner_get(u32 port)
{
	struct vagus_owner *owner = owner_of(port);

	if (owner)
		return owner;
	/* Every socket that closes waits for the lock: nothing is reclaimed under it. */
	owner = kzalloc(sizeof(*owner), GFP_ATOMIC);
	if (!owner)
		return NULL;
	INIT_LIST_HEAD(&owner->leases);
	INIT_DELAYED_WORK(&owner->work, end_due);
	owner->armed_ns = U64_MAX;
	owner->port = port;
	list_add_tail(&owner->node, &vagus_held.owners);
	return owner;
}

/**
 * vagus_owner_arm - let an owner's work run then, if it would not run before
 * @owner: whose
 * @when_ns: CLOCK_MONOTONIC
 *
 * Under the lock.
 */
void vagus_owner_arm(struct vagus_owner *owner, u64 when_ns)
{
	u64 now = ktime_get_ns();
	unsigned long delay;

	lockdep_assert_held(&vagus_held.lock);
	if (when_ns >= owner->armed_ns)
		return;
	owner->armed_ns = when_ns;
	delay = when_ns > now ? nsecs_to_jiffies(when_ns - now) + 1 : 0;
	/* From afar the timer is late by an eighth: the work comes early and looks again. */
	if (delay > EXACT_JIFFIES)
		delay -= delay / 4;
	mod_delayed_work(queue, &owner->work, delay);
}

/**
 * vagus_owner_kick - let an owner's work run at once, whatever it was armed for
 * @owner: whose
 *
 * Under the lock.
 */
void vagus_owner_kick(struct vagus_owner *owner)
{
	lockdep_assert_held(&vagus_held.lock);
	owner->armed_ns = 0;
	mod_delayed_work(queue, &owner->work, 0);
}

/* Called by the owner's own work, the only place where owners are freed. */
static void rest(struct vagus_owner *owner)
{
	struct vagus_lease *lease;
	u64 next = U64_MAX;

	guard(mutex)(&vagus_held.lock);
	if (owner->gone && list_empty(&owner->leases)) {
		list_del(&owner->node);
		/* It may be queued again, but nobody can find it any more. */
		cancel_delayed_work(&owner->work);
		kfree(owner);
		return;
	}
	list_for_each_entry(lease, &owner->leases, in_owner)
		if (lease->state == LIVE)
			next = min(next, vagus_lease_due_ns(lease));
	owner->armed_ns = U64_MAX;
	if (next != U64_MAX)
		vagus_owner_arm(owner, next);
}

/**
 * vagus_lease_free - free a lease that is in no list
 * @lease: not to be used after
 */
void vagus_lease_free(struct vagus_lease *lease)
{
	vagus_target_close(&lease->target);
	kfree(lease);
}

/**
 * vagus_lease_drop - take a BUSY lease out of all lists and free it
 * @lease: not to be used after
 */
void vagus_lease_drop(struct vagus_lease *lease)
{
	struct vagus_owner *owner = lease->owner;

	scoped_guard(mutex, &vagus_held.lock) {
		hash_del(&lease->by_id);
		hash_del(&lease->by_target);
		list_del(&lease->in_all);
		list_del(&lease->in_owner);
		vagus_held.counts.live--;
		if (owner->gone)
			vagus_owner_kick(owner);
	}
	vagus_lease_free(lease);
}

/**
 * vagus_lease_wake - tell those who wait that a lease is not BUSY any more
 */
void vagus_lease_wake(void)
{
	atomic_inc(&vagus_held.settled);
	wake_up_all(&vagus_held.settling);
}

/**
 * vagus_lease_show - a lease as others may see it
 * @lease: held BUSY, or the lock is
 * @view: set to it
 */
void vagus_lease_show(const struct vagus_lease *lease, struct vagus_lease_view *view)
{
	u64 now = ktime_get_ns();

	view->id = lease->id;
	view->cookie = lease->cookie;
	view->kind = lease->target.kind;
	view->owner = lease->owner->port;
	view->left_ms = lease->deadline_ns > now ?
			div_u64(lease->deadline_ns - now, NSEC_PER_MSEC) : 0;
	strscpy(view->path, lease->target.path);
	vagus_target_show(&lease->target, lease->saved.s, &view->old);
	vagus_target_show(&lease->target, lease->value.s, &view->value);
}

/**
 * vagus_lease_is_gone - whether an error means that there is no target any more
 * @err: from a read or write of a target
 */
bool vagus_lease_is_gone(int err)
{
	return err == -ENODEV || err == -ESRCH;
}

/* Return how it ended, or an error that may pass. */
static int put_back(struct vagus_lease *lease, struct vagus_text *now)
{
	int err = vagus_target_read(&lease->target, now);

	if (vagus_lease_is_gone(err))
		return VAGUS_END_GONE;
	if (err)
		return err;
	if (strcmp(now->s, lease->value.s))
		return VAGUS_END_LOST;
	err = vagus_target_put_back(&lease->target, lease->restore.s);
	/* What the owner wanted instead may be nonsense; what was there is not. */
	if (err && !vagus_lease_is_gone(err) && strcmp(lease->restore.s, lease->saved.s))
		err = vagus_target_put_back(&lease->target, lease->saved.s);
	if (vagus_lease_is_gone(err))
		return VAGUS_END_GONE;
	if (err) {
		/* Half of a compound knob may be back: that was not somebody else. */
		if (lease->target.twin && !vagus_target_read(&lease->target, now)) {
			guard(mutex)(&vagus_held.lock);
			lease->value = *now;
		}
		return err;
	}
	/* Only for the report: a cgroup may go at any time. */
	if (vagus_target_read(&lease->target, now))
		strscpy(now->s, lease->restore.s);
	return VAGUS_END_RESTORED;
}

static void tally(enum vagus_lease_end end)
{
	guard(mutex)(&vagus_held.lock);
	if (end == VAGUS_END_RESTORED)
		vagus_held.counts.restored++;
	else if (end == VAGUS_END_LOST)
		vagus_held.counts.lost++;
	else if (end == VAGUS_END_FAILED)
		vagus_held.counts.failed++;
}

/**
 * vagus_lease_finish - a BUSY lease has ended: tell, and free it
 * @lease: not to be used after
 * @end: how
 * @error: of the last attempt to put back, or 0
 * @now: state of the target
 */
void vagus_lease_finish(struct vagus_lease *lease, enum vagus_lease_end end, int error,
			const struct vagus_text *now)
{
	struct vagus_lease_view *view = kzalloc(sizeof(*view), GFP_KERNEL);
	struct sk_buff *event = NULL;

	if (view) {
		vagus_lease_show(lease, view);
		vagus_target_show(&lease->target, now->s, &view->now);
		view->end = end;
		view->cause = lease->cause;
		view->error = error;
		view->time_ns = ktime_get_ns();
		view->took_ns = view->time_ns - lease->cause_ns;
		event = vagus_netlink_event(view);
		kfree(view);
	}
	if (end == VAGUS_END_FAILED)
		pr_warn("%s could not be put back to \"%s\" (%d)\n", lease->target.path,
			lease->restore.s, error);
	lease->target.gone = end == VAGUS_END_GONE;
	tally(end);
	vagus_lease_drop(lease);
	/* Only now: who hears of the end may have the target again. */
	vagus_netlink_send(event);
	vagus_lease_wake();
}

static bool try_again(struct vagus_lease *lease)
{
	guard(mutex)(&vagus_held.lock);
	if (++lease->tries >= TRIES_MAX)
		return false;
	lease->state = RETRY;
	queue_delayed_work(queue_of(lease), &lease->work,
			   msecs_to_jiffies(RETRY_MS << (lease->tries - 1)));
	return true;
}

static void end_lease(struct vagus_lease *lease)
{
	struct vagus_text now = {};
	int end = put_back(lease, &now);

	if (end >= 0)
		vagus_lease_finish(lease, end, 0, &now);
	else if (try_again(lease))
		vagus_lease_wake();
	else
		vagus_lease_finish(lease, VAGUS_END_FAILED, end, &now);
}

/**
 * vagus_lease_end_alone - end the lease that a work belongs to
 * @work: the lease's own
 */
void vagus_lease_end_alone(struct work_struct *work)
{
	struct vagus_lease *lease = container_of(to_delayed_work(work), struct vagus_lease, work);

	scoped_guard(mutex, &vagus_held.lock)
		lease->state = BUSY;
	end_lease(lease);
}

/* The newest lease of an owner that has to end, made BUSY. */
static struct vagus_lease *next_due(struct vagus_owner *owner)
{
	struct vagus_lease *lease;
	u64 now = ktime_get_ns();

	guard(mutex)(&vagus_held.lock);
	list_for_each_entry(lease, &owner->leases, in_owner) {
		if (lease->state != LIVE || (!lease->ending && lease->deadline_ns > now))
			continue;
		if (!lease->ending) {
			lease->ending = true;
			lease->cause = VAGUS_CAUSE_DEADLINE;
			lease->cause_ns = lease->deadline_ns;
		}
		lease->state = BUSY;
		return lease;
	}
	return NULL;
}

static void end_due(struct work_struct *work)
{
	struct vagus_owner *owner = container_of(to_delayed_work(work), struct vagus_owner, work);
	struct vagus_lease *lease;

	while ((lease = next_due(owner))) {
		if (lease->target.alone)
			queue_delayed_work(queue_of(lease), &lease->work, 0);
		else
			end_lease(lease);
	}
	rest(owner);
}

/**
 * vagus_lease_mark - a lease is to end; the first cause counts
 * @lease: the lock is held
 * @cause: why
 */
void vagus_lease_mark(struct vagus_lease *lease, enum vagus_lease_cause cause)
{
	lockdep_assert_held(&vagus_held.lock);
	if (lease->ending)
		return;
	lease->ending = true;
	lease->cause = cause;
	lease->cause_ns = ktime_get_ns();
}

static u32 mark_all(struct vagus_owner *owner, enum vagus_lease_cause cause)
{
	struct vagus_lease *lease;
	u32 marked = 0;

	lockdep_assert_held(&vagus_held.lock);
	list_for_each_entry(lease, &owner->leases, in_owner) {
		marked += !lease->ending;
		vagus_lease_mark(lease, cause);
	}
	vagus_owner_kick(owner);
	return marked;
}

/**
 * vagus_lease_end_all - let every lease of every owner end now
 * @cause: why
 *
 * Return: how many.
 */
u32 vagus_lease_end_all(enum vagus_lease_cause cause)
{
	struct vagus_owner *owner;
	u32 marked = 0;

	guard(mutex)(&vagus_held.lock);
	list_for_each_entry(owner, &vagus_held.owners, node)
		marked += mark_all(owner, cause);
	return marked;
}

/* ---- owner's end, module's end ---- */

/*
 * A netlink socket has closed, perhaps because its process was killed: this runs
 * in the dying task, so all it does is to let the work run.
 */
static int on_release(struct notifier_block *block, unsigned long event, void *data)
{
	const struct netlink_notify *notify = data;
	struct vagus_owner *owner;

	if (event != NETLINK_URELEASE || notify->protocol != NETLINK_GENERIC ||
	    !net_eq(notify->net, &init_net))
		return NOTIFY_DONE;
	guard(mutex)(&vagus_held.lock);
	owner = owner_of(notify->portid);
	if (owner) {
		owner->gone = true;
		mark_all(owner, VAGUS_CAUSE_OWNER);
	}
	return NOTIFY_DONE;
}

static struct notifier_block release = {
	.notifier_call = on_release,
};

/**
 * vagus_lease_init - leases may be granted when it returns
 */
int vagus_lease_init(void)
{
	int err = -ENOMEM;

	queue = alloc_workqueue("vagus", WQ_UNBOUND | WQ_HIGHPRI | WQ_MEM_RECLAIM, 0);
	if (!queue)
		return err;
	patient = alloc_workqueue("vagus_patient", WQ_UNBOUND | WQ_HIGHPRI, 0);
	if (patient)
		err = netlink_register_notifier(&release);
	if (!err)
		return 0;
	if (patient)
		destroy_workqueue(patient);
	destroy_workqueue(queue);
	return err;
}

static bool none_left(void)
{
	guard(mutex)(&vagus_held.lock);
	return list_empty(&vagus_held.all);
}

/**
 * vagus_lease_close - end every lease and grant no more
 *
 * What cannot be put back is tried as often as ever, which takes 3 s at most.
 * The netlink family must still be there: it tells of the ends.
 */
void vagus_lease_close(void)
{
	int before;

	scoped_guard(mutex, &vagus_held.lock)
		vagus_held.closing = true;
	vagus_lease_end_all(VAGUS_CAUSE_UNLOAD);
	for (;;) {
		before = atomic_read(&vagus_held.settled);
		if (none_left())
			break;
		wait_event_timeout(vagus_held.settling,
				   atomic_read(&vagus_held.settled) != before, HZ);
	}
	/* A lease is out of the lists before its end is told. */
	flush_workqueue(queue);
	flush_workqueue(patient);
}

/**
 * vagus_lease_exit - give everything back; the family is gone, no lease lives
 */
void vagus_lease_exit(void)
{
	struct vagus_owner *owner;

	netlink_unregister_notifier(&release);
	scoped_guard(mutex, &vagus_held.lock) {
		list_for_each_entry(owner, &vagus_held.owners, node) {
			owner->gone = true;
			vagus_owner_kick(owner);
		}
	}
	drain_workqueue(queue);
	destroy_workqueue(patient);
	destroy_workqueue(queue);
}
