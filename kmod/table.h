/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracked workloads and their histograms: /sys/kernel/vagus/table. */
#ifndef VAGUS_TABLE_H
#define VAGUS_TABLE_H

#include <linux/atomic.h>
#include <linux/cgroup.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/types.h>
#include <vagus.h>

struct kobject;

/**
 * struct vagus_workload - one tracked cgroup
 * @node: in the hash of tracked workloads; RCU
 * @rcu: frees it
 * @cgroup_id: its cgroup, which is not held and may be gone
 * @slot: its row
 * @generation: of that row
 * @second: the second that @made counts in, from the monotonic clock
 * @made: ring records made in that second
 */
struct vagus_workload {
	struct hlist_node node;
	struct rcu_head rcu;
	u64 cgroup_id;
	u32 slot;
	u32 generation;
	u32 second;
	atomic_t made;
};

/**
 * struct vagus_tracked - what the CPU at hand knows of a cgroup
 * @workload: its nearest tracked ancestor, or NULL
 * @cell: where this CPU counts for it
 */
struct vagus_tracked {
	struct vagus_workload *workload;
	struct vagus_cell *cell;
};

#define VAGUS_CACHE_ENTRIES	1024

/**
 * struct vagus_cached - a cgroup whose workload is known
 * @cgroup_id: the cgroup
 * @tracked: what its tasks count for
 */
struct vagus_cached {
	u64 cgroup_id;
	struct vagus_tracked tracked;
};

/**
 * struct vagus_cache - what one CPU knows; 24 KiB
 * @epoch: of the table when @entries were right
 * @entries: by cgroup id
 */
struct vagus_cache {
	u32 epoch;
	struct vagus_cached entries[VAGUS_CACHE_ENTRIES];
};

DECLARE_PER_CPU(struct vagus_cache *, vagus_caches);
extern u32 vagus_table_epoch;		/* moves with every change of what is tracked */
extern u32 vagus_table_used;		/* slots */

int vagus_table_init(unsigned int slots);
void vagus_table_exit(void);
int vagus_table_publish(struct kobject *parent);
void vagus_table_withdraw(struct kobject *parent);

int vagus_table_track(u64 cgroup_id, u32 *slot, u32 *generation);
int vagus_table_untrack(u64 cgroup_id);
bool vagus_table_next(u32 *slot, u64 *cgroup_id, u32 *generation);
bool vagus_table_alive(u64 cgroup_id);
u32 vagus_table_slots(void);
u32 vagus_table_tracked(void);

void vagus_table_learn(struct cgroup *cgroup, u32 epoch);

/**
 * vagus_table_idle - true while nothing is tracked
 */
static inline bool vagus_table_idle(void)
{
	return !READ_ONCE(vagus_table_used);
}

/**
 * vagus_table_find - the workload that tasks of a cgroup count for
 * @cgroup: of the unified hierarchy
 *
 * Interrupts must be off: the cache and the cell are this CPU's, and so the
 * section is one of RCU.  Nothing found may be used after it.  Here and not in
 * table.c, because every context switch asks twice.
 */
static __always_inline struct vagus_tracked vagus_table_find(struct cgroup *cgroup)
{
	u64 id = cgroup_id(cgroup);
	struct vagus_cache *cache = this_cpu_read(vagus_caches);
	struct vagus_cached *entry = &cache->entries[id % VAGUS_CACHE_ENTRIES];
	/* Pairs with the release in changed(). */
	u32 epoch = smp_load_acquire(&vagus_table_epoch);

	if (unlikely(cache->epoch != epoch || entry->cgroup_id != id))
		vagus_table_learn(cgroup, epoch);
	return entry->tracked;
}

#endif
