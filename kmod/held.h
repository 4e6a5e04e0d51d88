/* SPDX-License-Identifier: GPL-2.0-only */
/* The leases that are held and who holds them; for lease.c and ending.c alone. */
#ifndef VAGUS_HELD_H
#define VAGUS_HELD_H

#include <linux/atomic.h>
#include <linux/hashtable.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/time64.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "lease.h"

/**
 * struct vagus_owner - a netlink socket that has leases
 * @node: in the list of owners
 * @leases: newest first
 * @work: ends what has to end; the only place that frees the owner
 * @armed_ns: when @work runs; U64_MAX: not armed
 * @port: of the socket
 * @gone: the socket has closed
 */
struct vagus_owner {
	struct list_head node;
	struct list_head leases;
	struct delayed_work work;
	u64 armed_ns;
	u32 port;
	bool gone;
};

/**
 * enum vagus_lease_state - who may touch the target of a lease
 * @BUSY: whoever made it so: reads or writes are under way
 * @LIVE: nobody, until it is made BUSY
 * @RETRY: the lease's own work, after a while
 */
enum vagus_lease_state { BUSY, LIVE, RETRY };

/**
 * struct vagus_lease - one target held at one value
 * @by_id: in the hash of ids
 * @by_target: in the hash of targets
 * @in_all: in the list of all, by id
 * @in_owner: in the owner's list
 * @owner: whose it is
 * @work: puts back slow targets, and tries again
 * @id: never used twice
 * @cookie: the owner's own
 * @deadline_ns: U64_MAX while it is being granted
 * @cause_ns: when @cause arose
 * @state: see enum vagus_lease_state
 * @cause: why it ends, once @ending
 * @ending: it is to end
 * @tries: attempts to put back that failed
 * @target: what it holds
 * @saved: state found before
 * @restore: state to put back
 * @value: state as read back after the write, which is what is compared
 */
struct vagus_lease {
	struct hlist_node by_id;
	struct hlist_node by_target;
	struct list_head in_all;
	struct list_head in_owner;
	struct vagus_owner *owner;
	struct delayed_work work;
	u64 id;
	u64 cookie;
	u64 deadline_ns;
	u64 cause_ns;
	enum vagus_lease_state state;
	enum vagus_lease_cause cause;
	bool ending;
	u8 tries;
	struct vagus_target target;
	struct vagus_text saved;
	struct vagus_text restore;
	struct vagus_text value;
};

/**
 * struct vagus_held - all leases
 * @lock: guards everything here, and of each owner and lease everything but what
 *	the holder of a BUSY lease uses: target and texts
 * @owners: list of struct vagus_owner
 * @all: list of struct vagus_lease, by id
 * @ids: hash by id
 * @targets: hash by target
 * @counts: since load
 * @last_id: given to a lease
 * @closing: the module is being unloaded: no more leases
 * @settled: moves whenever a lease stops being BUSY
 * @settling: those who wait for that, never under @lock
 */
struct vagus_held {
	struct mutex lock;		/* guards all of this */
	struct list_head owners;
	struct list_head all;
	DECLARE_HASHTABLE(ids, 10);
	DECLARE_HASHTABLE(targets, 10);
	struct vagus_lease_counts counts;
	u64 last_id;
	bool closing;
	atomic_t settled;
	wait_queue_head_t settling;
};

extern struct vagus_held vagus_held;

/* Deadlines nearer to each other than this are one: those of a batch, say. */
#define VAGUS_TOGETHER_NS	(20 * NSEC_PER_MSEC)

/**
 * vagus_lease_due_ns - when a LIVE lease is to end
 * @lease: the lock is held
 *
 * A little after its deadline: what was granted one upon the other has deadlines one
 * after the other, and is to end newest first all the same.
 */
static inline u64 vagus_lease_due_ns(const struct vagus_lease *lease)
{
	lockdep_assert_held(&vagus_held.lock);
	return lease->ending ? 0 : lease->deadline_ns + VAGUS_TOGETHER_NS;
}

struct vagus_owner *vagus_owner_get(u32 port);
void vagus_owner_arm(struct vagus_owner *owner, u64 when_ns);
void vagus_owner_kick(struct vagus_owner *owner);

void vagus_lease_end_alone(struct work_struct *work);
void vagus_lease_mark(struct vagus_lease *lease, enum vagus_lease_cause cause);
u32 vagus_lease_end_all(enum vagus_lease_cause cause);
bool vagus_lease_is_gone(int err);
void vagus_lease_finish(struct vagus_lease *lease, enum vagus_lease_end end, int error,
			const struct vagus_text *now);
void vagus_lease_drop(struct vagus_lease *lease);
void vagus_lease_free(struct vagus_lease *lease);
void vagus_lease_wake(void);
void vagus_lease_show(const struct vagus_lease *lease, struct vagus_lease_view *view);

#endif
