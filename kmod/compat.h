/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernels this module is built for, and only that. */
#ifndef VAGUS_COMPAT_H
#define VAGUS_COMPAT_H

#include <linux/version.h>

/* Callbacks of a binary attribute are given it as const since 6.13. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define BIN_ATTRIBUTE const struct bin_attribute
#else
#define BIN_ATTRIBUTE struct bin_attribute
#endif

/*
 * What the tracepoints of reclaim tell.  Whoever attaches by name gets no help from
 * the compiler; sense.c asks it with these.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
#define RECLAIM_BEGIN_PROTO \
	void *data, gfp_t gfp_flags, int order, struct mem_cgroup *memcg
#define RECLAIM_END_PROTO \
	void *data, unsigned long reclaimed, struct mem_cgroup *memcg
#else
#define RECLAIM_BEGIN_PROTO	void *data, int order, gfp_t gfp_flags
#define RECLAIM_END_PROTO	void *data, unsigned long reclaimed
#endif

/*
 * An unset cpuset.cpus of a cgroup with tasks: 6.12.117 lets it be set and then
 * refuses to unset it again (ENOSPC); 7.3.4 unsets it.
 */
#define CPUSET_CAN_BE_UNSET (LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0))

#endif
