// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of tracked workloads.
 *
 * Layout, as struct vagus_table says: the head, a row for each slot, and from
 * the next page on a cell for each slot and CPU.  A cell is a power of two, so
 * none spans two pages, and pages are allocated when a slot is first tracked
 * or when a reader first looks.
 *
 * A cgroup is named by its id and never held: tracking keeps nothing alive.
 * The context-switch path finds the workload of a cgroup in a small cache of
 * its CPU; a miss walks the ancestors.  A change of what is tracked raises the
 * epoch, which empties every cache at once.
 */
#include <linux/bitmap.h>
#include <linux/cgroup.h>
#include <linux/hash.h>
#include <linux/kernfs.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nsproxy.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "compat.h"
#include "table.h"

struct table {
	/* Guards everything here but what RCU readers use: the buckets. */
	struct mutex lock;
	struct hlist_head *buckets;
	unsigned int bucket_bits;

	u32 slots;
	u64 cells_offset;
	unsigned long nr_pages;
	struct page **pages;
	unsigned long *used;		/* bitmap of slots */
	/* A freed slot may be written until this grace period has passed. */
	unsigned long freed;
	bool any_freed;
};

static struct table table;
DEFINE_PER_CPU(struct vagus_cache *, vagus_caches);
u32 vagus_table_epoch = 1;
u32 vagus_table_used;

/* The page at @index, made when it is not there yet. */
static struct page *page_at(unsigned long index)
{
	lockdep_assert_held(&table.lock);
	if (!table.pages[index])
		table.pages[index] = alloc_page(GFP_KERNEL | __GFP_ZERO);
	return table.pages[index];
}

/* The address of @offset; its page must be there. */
static void *at(u64 offset)
{
	return page_address(table.pages[offset >> PAGE_SHIFT]) + offset_in_page(offset);
}

static struct vagus_row *row_of(u32 slot)
{
	return at(sizeof(struct vagus_table) + slot * sizeof(struct vagus_row));
}

static u64 cell_offset(u32 slot, unsigned int cpu)
{
	return table.cells_offset +
	       ((u64)slot * nr_cpu_ids + cpu) * sizeof(struct vagus_cell);
}

static struct hlist_head *bucket_of(u64 cgroup_id)
{
	return &table.buckets[hash_64(cgroup_id, table.bucket_bits)];
}

static struct vagus_workload *lookup(u64 cgroup_id)
{
	struct vagus_workload *workload;

	hlist_for_each_entry_rcu(workload, bucket_of(cgroup_id), node,
				 lockdep_is_held(&table.lock) || irqs_disabled())
		if (workload->cgroup_id == cgroup_id)
			return workload;
	return NULL;
}

static struct vagus_tracked search(struct cgroup *cgroup)
{
	struct vagus_tracked found = {};

	for (; cgroup; cgroup = cgroup_parent(cgroup)) {
		found.workload = lookup(cgroup_id(cgroup));
		if (found.workload) {
			found.cell = at(cell_offset(found.workload->slot, smp_processor_id()));
			break;
		}
	}
	return found;
}

/**
 * vagus_table_learn - find the workload of a cgroup and keep it in the cache
 * @cgroup: of the unified hierarchy
 * @epoch: of the table, read before
 *
 * As vagus_table_find(), for what that does not find in the cache.
 */
void vagus_table_learn(struct cgroup *cgroup, u32 epoch)
{
	struct vagus_cache *cache = this_cpu_read(vagus_caches);
	struct vagus_cached *entry;

	if (cache->epoch != epoch) {
		memset(cache->entries, 0, sizeof(cache->entries));
		cache->epoch = epoch;
	}
	entry = &cache->entries[cgroup_id(cgroup) % VAGUS_CACHE_ENTRIES];
	entry->tracked = search(cgroup);
	entry->cgroup_id = cgroup_id(cgroup);
}

/* What is tracked has changed: every cache is stale. */
static void changed(void)
{
	lockdep_assert_held(&table.lock);
	/* Pairs with the acquire in vagus_table_find(). */
	smp_store_release(&vagus_table_epoch, vagus_table_epoch + 1);
}

/**
 * vagus_table_alive - whether there is such a cgroup
 * @cgroup_id: of the unified hierarchy
 */
bool vagus_table_alive(u64 cgroup_id)
{
	struct cgroup *cgroup = cgroup_get_from_id(cgroup_id);

	if (IS_ERR(cgroup))
		return false;
	cgroup_put(cgroup);
	return true;
}

static int clear_cells(u32 slot)
{
	unsigned int cpu;

	lockdep_assert_held(&table.lock);
	for_each_possible_cpu(cpu) {
		u64 offset = cell_offset(slot, cpu);

		if (!page_at(offset >> PAGE_SHIFT))
			return -ENOMEM;
		memset(at(offset), 0, sizeof(struct vagus_cell));
	}
	return 0;
}

static void forget(struct vagus_workload *workload)
{
	lockdep_assert_held(&table.lock);
	hlist_del_rcu(&workload->node);
	changed();
	WRITE_ONCE(row_of(workload->slot)->cgroup_id, 0);
	__clear_bit(workload->slot, table.used);
	WRITE_ONCE(vagus_table_used, vagus_table_used - 1);
	table.freed = get_state_synchronize_rcu();
	table.any_freed = true;
	kfree_rcu(workload, rcu);
}

/* Slots of cgroups that are gone are given back when there is no other. */
static void forget_dead(void)
{
	u32 slot;

	lockdep_assert_held(&table.lock);
	/* Who sees only a part of the hierarchy would take all else for gone. */
	if (cgroup_parent(current->nsproxy->cgroup_ns->root_cset->dfl_cgrp))
		return;
	for_each_set_bit(slot, table.used, table.slots) {
		u64 id = row_of(slot)->cgroup_id;

		if (!vagus_table_alive(id))
			forget(lookup(id));
	}
}

static int take_slot(u32 *slot)
{
	lockdep_assert_held(&table.lock);
	*slot = find_first_zero_bit(table.used, table.slots);
	if (*slot >= table.slots) {
		forget_dead();
		*slot = find_first_zero_bit(table.used, table.slots);
	}
	if (*slot >= table.slots)
		return -ENOSPC;
	/* Its last owner's events may still be under way on other CPUs. */
	if (table.any_freed)
		cond_synchronize_rcu(table.freed);
	table.any_freed = false;
	WRITE_ONCE(row_of(*slot)->generation, row_of(*slot)->generation + 1);
	/*
	 * Pairs with the reader, who looks at the generation again after the cells:
	 * if it has begun before the slot was freed, it sees that it was given away.
	 */
	smp_wmb();
	return clear_cells(*slot);
}

/**
 * vagus_table_track - count for a cgroup and what is below it
 * @cgroup_id: of the unified hierarchy
 * @slot: set to its row
 * @generation: set to the generation of that row
 *
 * Return: 0, also when it was tracked before; -ENOENT when there is no such
 * cgroup, -ENOSPC when all slots are taken by living ones.
 */
int vagus_table_track(u64 cgroup_id, u32 *slot, u32 *generation)
{
	struct vagus_workload *workload;
	struct vagus_row *row;
	int err;

	guard(mutex)(&table.lock);
	workload = lookup(cgroup_id);
	if (workload) {
		*slot = workload->slot;
		*generation = workload->generation;
		return 0;
	}
	if (!vagus_table_alive(cgroup_id))
		return -ENOENT;
	err = take_slot(slot);
	if (err)
		return err;
	workload = kzalloc(sizeof(*workload), GFP_KERNEL);
	if (!workload)
		return -ENOMEM;
	row = row_of(*slot);
	*generation = row->generation;
	workload->cgroup_id = cgroup_id;
	workload->slot = *slot;
	workload->generation = *generation;
	/* A reader that sees the id sees the generation and cells of zeroes. */
	smp_store_release(&row->cgroup_id, cgroup_id);
	__set_bit(*slot, table.used);
	hlist_add_head_rcu(&workload->node, bucket_of(cgroup_id));
	WRITE_ONCE(vagus_table_used, vagus_table_used + 1);
	changed();
	return 0;
}

/**
 * vagus_table_untrack - stop counting for a cgroup
 * @cgroup_id: of the unified hierarchy; it may be gone
 *
 * Return: 0, or -ENOENT when it was not tracked.
 */
int vagus_table_untrack(u64 cgroup_id)
{
	struct vagus_workload *workload;

	guard(mutex)(&table.lock);
	workload = lookup(cgroup_id);
	if (!workload)
		return -ENOENT;
	forget(workload);
	return 0;
}

/**
 * vagus_table_next - walk the tracked workloads
 * @slot: where to look first; set to where one was found
 * @cgroup_id: set to its cgroup
 * @generation: set to the generation of its row
 *
 * Return: false when there is none from @slot on.
 */
bool vagus_table_next(u32 *slot, u64 *cgroup_id, u32 *generation)
{
	guard(mutex)(&table.lock);
	*slot = find_next_bit(table.used, table.slots, *slot);
	if (*slot >= table.slots)
		return false;
	*cgroup_id = row_of(*slot)->cgroup_id;
	*generation = row_of(*slot)->generation;
	return true;
}

/**
 * vagus_table_slots - workloads that can be tracked at once
 */
u32 vagus_table_slots(void)
{
	return table.slots;
}

/**
 * vagus_table_tracked - workloads tracked now
 */
u32 vagus_table_tracked(void)
{
	return READ_ONCE(vagus_table_used);
}

static vm_fault_t fault(struct vm_fault *vmf)
{
	if (vmf->pgoff >= table.nr_pages)
		return VM_FAULT_SIGBUS;
	guard(mutex)(&table.lock);
	vmf->page = page_at(vmf->pgoff);
	if (!vmf->page)
		return VM_FAULT_OOM;
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct vm_ops = {
	.fault = fault,
};

static int table_mmap(struct file *file, struct kobject *kobj, BIN_ATTRIBUTE *attr,
		      struct vm_area_struct *vma)
{
	if (vma->vm_flags & VM_WRITE)
		return -EPERM;
	if (vma->vm_pgoff + vma_pages(vma) > table.nr_pages)
		return -EINVAL;
	vm_flags_mod(vma, VM_DONTEXPAND | VM_DONTDUMP, VM_MAYWRITE);
	vma->vm_ops = &vm_ops;
	return 0;
}

static struct bin_attribute attribute = {
	.attr = { .name = "table", .mode = 0400 },
	.mmap = table_mmap,
};

static void free_caches(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		kvfree(per_cpu(vagus_caches, cpu));
		per_cpu(vagus_caches, cpu) = NULL;
	}
}

static int make_caches(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct vagus_cache *cache = kvzalloc_node(sizeof(*cache), GFP_KERNEL,
							  cpu_to_node(cpu));

		if (!cache) {
			free_caches();
			return -ENOMEM;
		}
		per_cpu(vagus_caches, cpu) = cache;
	}
	return 0;
}

static int write_head(void)
{
	struct vagus_table *head;
	unsigned long i;

	guard(mutex)(&table.lock);
	for (i = 0; i < table.cells_offset >> PAGE_SHIFT; i++)
		if (!page_at(i))
			return -ENOMEM;
	head = at(0);
	head->abi = VAGUS_ABI_VERSION;
	head->slots = table.slots;
	head->cpus = nr_cpu_ids;
	head->cell_bytes = sizeof(struct vagus_cell);
	head->rows_offset = sizeof(*head);
	head->cells_offset = table.cells_offset;
	return 0;
}

static void free_all(void)
{
	unsigned long i;

	for (i = 0; table.pages && i < table.nr_pages; i++)
		if (table.pages[i])
			__free_page(table.pages[i]);
	kvfree(table.pages);
	kvfree(table.buckets);
	bitmap_free(table.used);
}

/**
 * vagus_table_init - make the table
 * @slots: workloads that can be tracked at once, 1 to VAGUS_SLOTS_MAX
 */
int vagus_table_init(unsigned int slots)
{
	int err = -ENOMEM;

	if (slots < 1 || slots > VAGUS_SLOTS_MAX)
		return -EINVAL;
	mutex_init(&table.lock);
	table.slots = slots;
	table.bucket_bits = ilog2(roundup_pow_of_two(slots)) + 1;
	table.cells_offset = PAGE_ALIGN(sizeof(struct vagus_table) +
					slots * sizeof(struct vagus_row));
	table.nr_pages = PAGE_ALIGN(cell_offset(slots, 0)) >> PAGE_SHIFT;
	attribute.size = table.nr_pages << PAGE_SHIFT;
	table.pages = kvcalloc(table.nr_pages, sizeof(*table.pages), GFP_KERNEL);
	table.buckets = kvcalloc(1UL << table.bucket_bits, sizeof(*table.buckets),
				 GFP_KERNEL);
	table.used = bitmap_zalloc(slots, GFP_KERNEL);
	if (!table.pages || !table.buckets || !table.used)
		goto err_free;
	err = write_head();
	if (err)
		goto err_free;
	err = make_caches();
	if (err)
		goto err_free;
	return 0;

err_free:
	free_all();
	return err;
}

/**
 * vagus_table_exit - free the table; nobody finds, tracks or maps any more
 */
void vagus_table_exit(void)
{
	u32 slot;

	scoped_guard(mutex, &table.lock)
		for_each_set_bit(slot, table.used, table.slots)
			forget(lookup(row_of(slot)->cgroup_id));
	free_caches();
	free_all();
}

/**
 * vagus_table_publish - show the table in sysfs
 * @parent: /sys/kernel/vagus
 */
int vagus_table_publish(struct kobject *parent)
{
	return sysfs_create_bin_file(parent, &attribute);
}

/**
 * vagus_table_withdraw - take the table out of sysfs; mappings of it are cut
 * @parent: /sys/kernel/vagus
 */
void vagus_table_withdraw(struct kobject *parent)
{
	sysfs_remove_bin_file(parent, &attribute);
}
