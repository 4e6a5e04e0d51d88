/* SPDX-License-Identifier: GPL-2.0-only */
/* Leases: values that the kernel takes back by itself. */
#ifndef VAGUS_LEASE_H
#define VAGUS_LEASE_H

#include <linux/types.h>
#include <vagus.h>

#include "knobs.h"

/**
 * struct vagus_request - a lease that an owner asks for
 * @kind: enum vagus_lease_kind
 * @fd: the knob (knob lease) or a pidfd (task lease), in the calling process
 * @tid: the thread (task lease)
 * @ttl_ms: time to live
 * @cookie: the owner's own
 * @value: to be set
 * @restore: to be set at the end, or NULL for the value found
 */
struct vagus_request {
	u32 kind;
	int fd;
	u32 tid;
	u32 ttl_ms;
	u64 cookie;
	const char *value;
	const char *restore;
};

/**
 * struct vagus_granted - what came of a request
 * @id: of the lease
 * @cookie: the owner's own
 * @path: of the target
 * @old: the value found before the lease
 * @value: the value as read back
 * @why: a sentence, where it was refused; else ""
 */
struct vagus_granted {
	u64 id;
	u64 cookie;
	char path[VAGUS_PATH_LEN];
	struct vagus_text old;
	struct vagus_text value;
	char why[VAGUS_WHY_LEN];
};

/**
 * struct vagus_lease_view - a lease as others may see it
 * @id: of the lease
 * @cookie: the owner's own
 * @kind: enum vagus_lease_kind
 * @owner: port id
 * @left_ms: time to live that is left
 * @path: of the target
 * @old: the value found before
 * @value: the value held
 * @now: the value found at the end (ended leases)
 * @end: enum vagus_lease_end (ended leases)
 * @cause: enum vagus_lease_cause (ended leases)
 * @time_ns: when it ended, CLOCK_MONOTONIC (ended leases)
 * @took_ns: from the cause to the end (ended leases)
 * @error: of the last attempt to put back, or 0 (ended leases)
 */
struct vagus_lease_view {
	u64 id;
	u64 cookie;
	u32 kind;
	u32 owner;
	u32 left_ms;
	char path[VAGUS_PATH_LEN];
	struct vagus_text old;
	struct vagus_text value;
	struct vagus_text now;
	u32 end;
	u32 cause;
	u64 time_ns;
	u64 took_ns;
	int error;
};

/**
 * struct vagus_lease_counts - what became of leases since load
 * @granted: given or replaced
 * @renewed: got a new deadline
 * @restored: ended with the old value written back
 * @lost: ended because somebody else had set the target
 * @failed: ended with the old value refused
 * @live: alive now
 */
struct vagus_lease_counts {
	u64 granted;
	u64 renewed;
	u64 restored;
	u64 lost;
	u64 failed;
	u32 live;
};

int vagus_lease_init(void);
void vagus_lease_close(void);
void vagus_lease_exit(void);

int vagus_lease_grant(u32 port, const struct vagus_request *request,
		      struct vagus_granted *granted);
int vagus_lease_renew(u32 port, u64 id, u32 ttl_ms);
int vagus_lease_revoke(u32 port, u64 id);
void vagus_lease_settle(u32 port);
u32 vagus_lease_off(void);

bool vagus_lease_next(u64 *id, struct vagus_lease_view *view);
struct vagus_lease_counts vagus_lease_count(void);

#endif
