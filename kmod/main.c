// SPDX-License-Identifier: GPL-2.0-only
/*
 * vagus.ko: leases on kernel settings, histograms of who waits, a ring of
 * outliers.  The contract with user space is uapi/vagus.h; here is only the
 * order in which things come up and go down.
 */
#include <linux/kobject.h>
#include <linux/module.h>

#include "lease.h"
#include "netlink.h"
#include "ring.h"
#include "sense.h"
#include "table.h"

static unsigned int ring_kib = 256;
module_param(ring_kib, uint, 0444);
MODULE_PARM_DESC(ring_kib, "data area of the event ring, KiB; a power of two, 64 to 65536");

static unsigned int slots = 256;
module_param(slots, uint, 0444);
MODULE_PARM_DESC(slots, "workloads tracked at once, 1 to 4096; each used one takes 1 KiB per CPU");

static struct kobject *directory;	/* /sys/kernel/vagus */

static int publish(void)
{
	int err;

	directory = kobject_create_and_add(KBUILD_MODNAME, kernel_kobj);
	if (!directory)
		return -ENOMEM;
	err = vagus_ring_publish(directory);
	if (err)
		goto err_directory;
	err = vagus_table_publish(directory);
	if (err)
		goto err_ring;
	return 0;

err_ring:
	vagus_ring_withdraw(directory);
err_directory:
	kobject_put(directory);
	return err;
}

static void withdraw(void)
{
	vagus_table_withdraw(directory);
	vagus_ring_withdraw(directory);
	kobject_put(directory);
}

static int __init vagus_init(void)
{
	int err;

	err = vagus_ring_init(ring_kib);
	if (err == -EINVAL)
		pr_err("ring_kib=%u: a power of two from 64 to 65536 is wanted\n", ring_kib);
	if (err)
		return err;
	err = vagus_table_init(slots);
	if (err == -EINVAL)
		pr_err("slots=%u: 1 to %u are possible\n", slots, VAGUS_SLOTS_MAX);
	if (err)
		goto err_ring;
	err = publish();
	if (err)
		goto err_table;
	err = vagus_sense_init();
	if (err)
		goto err_publish;
	err = vagus_lease_init();
	if (err)
		goto err_sense;
	err = vagus_netlink_init();
	if (err)
		goto err_lease;
	return 0;

err_lease:
	vagus_lease_exit();
err_sense:
	vagus_sense_exit();
err_publish:
	withdraw();
err_table:
	vagus_table_exit();
err_ring:
	vagus_ring_exit();
	return err;
}

static void __exit vagus_exit(void)
{
	/* Leases first, while the family can still tell of their ends. */
	vagus_lease_close();
	vagus_netlink_exit();
	vagus_lease_exit();
	vagus_sense_exit();
	withdraw();
	vagus_table_exit();
	vagus_ring_exit();
}

module_init(vagus_init);
module_exit(vagus_exit);

MODULE_DESCRIPTION("Leases on kernel settings, and histograms of who waits");
MODULE_AUTHOR("The Vagus authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
