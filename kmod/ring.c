// SPDX-License-Identifier: GPL-2.0-only
/*
 * The event ring, laid out and mapped like a BPF ring buffer:
 *
 *   page 0        consumer position     written by the one consumer
 *   page 1        producer position     read-only for user space
 *   pages 2...    data, then the same   read-only for user space; mapped twice,
 *                 data pages again      so that a record never wraps
 *
 * Records are written whole under one lock, so a reader never meets a busy one.
 * The consumer position is only ever used to tell how much room there is, and a
 * position that cannot be is taken as "no room": a hostile consumer can lose
 * records, its own, and nothing else.
 *
 * The ring is a binary attribute of sysfs and not a device: an open or mapped
 * device node would pin the module.
 */
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/kernfs.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "ring.h"

#define CONSUMER_PAGE	0
#define PRODUCER_PAGE	1
#define HEAD_PAGES	2

struct header {
	u32 len;
	u32 page;
};

static_assert(sizeof(struct header) == VAGUS_RING_HEADER_BYTES);

struct ring {
	/* Guards *producer, the data and the counters; taken under a run queue's lock. */
	raw_spinlock_t lock;
	unsigned long *consumer;
	unsigned long *producer;
	u8 *data;
	unsigned long bytes;
	u64 events;
	u64 drops;
	u64 untold;			/* drops since the last LOST record */
	unsigned long drop_wake;	/* jiffies of the last wake-up for a drop */

	struct irq_work wake;
	struct kernfs_node *node;
	struct page **pages;
	unsigned int nr_pages;
	void *area;

	/* Held from the look whether the consumer page is mapped until it is. */
	struct mutex map_lock;
};

static struct ring ring;

static void wake(struct irq_work *work)
{
	kernfs_notify(ring.node);
}

static bool put(const struct vagus_event *event, bool *caught_up)
{
	const u32 total = round_up(sizeof(*event) + sizeof(struct header), 8);
	unsigned long position = *ring.producer;
	/* Pairs with the consumer's release after it has read a record. */
	unsigned long consumed = smp_load_acquire(ring.consumer);
	unsigned long used = position - consumed;
	unsigned long offset = position & (ring.bytes - 1);
	struct header *header = (struct header *)(ring.data + offset);

	lockdep_assert_held(&ring.lock);
	if (used > ring.bytes || ring.bytes - used < total)
		return false;
	header->len = sizeof(*event);
	header->page = HEAD_PAGES + (offset >> PAGE_SHIFT);
	memcpy(header + 1, event, sizeof(*event));
	/* Pairs with the consumer's acquire: a record is whole when it is seen. */
	smp_store_release(ring.producer, position + total);
	ring.events++;
	/*
	 * Pairs with the reader's full barrier between storing its position and
	 * looking once more: either it sees this record, or it is woken.
	 */
	smp_mb();
	*caught_up |= READ_ONCE(*ring.consumer) == position;
	return true;
}

static bool put_lost(const struct vagus_event *event, bool *caught_up)
{
	struct vagus_event lost = {
		.type = VAGUS_EVENT_LOST,
		.time_ns = event->time_ns,
		.cpu = event->cpu,
		.value = ring.untold,
	};

	if (!ring.untold)
		return true;
	if (!put(&lost, caught_up))
		return false;
	ring.untold = 0;
	return true;
}

/**
 * vagus_ring_put - hand one event to the consumer, or count it as dropped
 * @event: the caller's, complete but for the time and the CPU
 *
 * Any context but NMI.  The consumer is woken when it had read everything
 * before, and at most once a jiffy while records are dropped.
 */
void vagus_ring_put(struct vagus_event *event)
{
	bool wanted = false;
	unsigned long flags;

	event->time_ns = ktime_get_mono_fast_ns();
	raw_spin_lock_irqsave(&ring.lock, flags);
	event->cpu = smp_processor_id();
	if (!put_lost(event, &wanted) || !put(event, &wanted)) {
		ring.drops++;
		ring.untold++;
		wanted = time_after(jiffies, ring.drop_wake);
		ring.drop_wake = jiffies;
	}
	raw_spin_unlock_irqrestore(&ring.lock, flags);
	if (wanted)
		irq_work_queue(&ring.wake);
}

/**
 * vagus_ring_bytes - size of the data area
 */
u32 vagus_ring_bytes(void)
{
	return ring.bytes;
}

/**
 * vagus_ring_events - records committed since load
 */
u64 vagus_ring_events(void)
{
	return READ_ONCE(ring.events);
}

/**
 * vagus_ring_drops - records lost since load because the ring was full
 */
u64 vagus_ring_drops(void)
{
	return READ_ONCE(ring.drops);
}

/*
 * There is one consumer: the consumer page is mapped once at a time.  kernfs
 * allows no close callback for a mapping, so the page itself tells whether it is
 * mapped.
 */
static int map_consumer(struct vm_area_struct *vma)
{
	if (vma->vm_flags & VM_WRITE && !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_flags & VM_WRITE && vma_pages(vma) != 1)
		return -EPERM;
	/* A forked child would be a second consumer. */
	vm_flags_set(vma, VM_DONTCOPY);
	guard(mutex)(&ring.map_lock);
	if (folio_mapcount(page_folio(ring.pages[CONSUMER_PAGE])))
		return -EBUSY;
	return remap_vmalloc_range(vma, ring.area, CONSUMER_PAGE);
}

static int ring_mmap(struct file *file, struct kobject *kobj, BIN_ATTRIBUTE *attr,
		     struct vm_area_struct *vma)
{
	if (vma->vm_pgoff != CONSUMER_PAGE && vma->vm_flags & VM_WRITE)
		return -EPERM;
	if (!(vma->vm_flags & VM_WRITE))
		vm_flags_clear(vma, VM_MAYWRITE);
	if (vma->vm_pgoff == CONSUMER_PAGE)
		return map_consumer(vma);
	return remap_vmalloc_range(vma, ring.area, vma->vm_pgoff);
}

static struct bin_attribute attribute = {
	.attr = { .name = "ring", .mode = 0600 },
	.mmap = ring_mmap,
};

static int map_pages(unsigned int nr_data)
{
	struct page **twice;
	unsigned int i, nr = HEAD_PAGES + nr_data;

	twice = kvmalloc_array(nr + nr_data, sizeof(*twice), GFP_KERNEL);
	if (!twice)
		return -ENOMEM;
	for (i = 0; i < nr + nr_data; i++)
		twice[i] = ring.pages[i < nr ? i : i - nr_data];
	ring.area = vmap(twice, nr + nr_data, VM_MAP | VM_USERMAP, PAGE_KERNEL);
	kvfree(twice);
	if (!ring.area)
		return -ENOMEM;
	ring.consumer = ring.area + CONSUMER_PAGE * PAGE_SIZE;
	ring.producer = ring.area + PRODUCER_PAGE * PAGE_SIZE;
	ring.data = ring.area + HEAD_PAGES * PAGE_SIZE;
	attribute.size = (nr + nr_data) * PAGE_SIZE;
	return 0;
}

static void free_pages_of_ring(void)
{
	while (ring.nr_pages)
		__free_page(ring.pages[--ring.nr_pages]);
	kvfree(ring.pages);
}

/**
 * vagus_ring_init - make the ring
 * @kib: size of the data area in KiB, a power of two from 64 to 65,536
 */
int vagus_ring_init(unsigned int kib)
{
	unsigned int nr_data = kib / (PAGE_SIZE / SZ_1K);
	int err = -ENOMEM;

	if (!is_power_of_2(kib) || kib < 64 || kib > SZ_64M / SZ_1K)
		return -EINVAL;
	raw_spin_lock_init(&ring.lock);
	mutex_init(&ring.map_lock);
	init_irq_work(&ring.wake, wake);
	ring.bytes = nr_data * PAGE_SIZE;
	ring.pages = kvcalloc(HEAD_PAGES + nr_data, sizeof(*ring.pages), GFP_KERNEL);
	if (!ring.pages)
		return -ENOMEM;
	while (ring.nr_pages < HEAD_PAGES + nr_data) {
		struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);

		if (!page)
			goto err_pages;
		ring.pages[ring.nr_pages++] = page;
	}
	err = map_pages(nr_data);
	if (err)
		goto err_pages;
	return 0;

err_pages:
	free_pages_of_ring();
	return err;
}

/**
 * vagus_ring_exit - free the ring; nobody puts, and it is withdrawn
 */
void vagus_ring_exit(void)
{
	vunmap(ring.area);
	free_pages_of_ring();
}

/**
 * vagus_ring_publish - show the ring in sysfs
 * @parent: /sys/kernel/vagus
 */
int vagus_ring_publish(struct kobject *parent)
{
	int err;

	err = sysfs_create_bin_file(parent, &attribute);
	if (err)
		return err;
	ring.node = sysfs_get_dirent(parent->sd, attribute.attr.name);
	return 0;
}

/**
 * vagus_ring_withdraw - take the ring out of sysfs; mappings of it are cut
 * @parent: /sys/kernel/vagus
 *
 * The tracepoints that put records must be gone.
 */
void vagus_ring_withdraw(struct kobject *parent)
{
	irq_work_sync(&ring.wake);
	sysfs_put(ring.node);
	sysfs_remove_bin_file(parent, &attribute);
}
