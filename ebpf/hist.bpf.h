/* SPDX-License-Identifier: GPL-2.0-only */
/* The log-linear rule by which every histogram counts; after vmlinux.h. */
#ifndef VAGUS_HIST_BPF_H
#define VAGUS_HIST_BPF_H

#include "vagus.h"

/*
 * Return the bucket of a value: one below 2^MIN_SHIFT, then 2^SUB_BITS in an
 * octave, one above; the module counts by the same rule.
 */
static __always_inline __u32 hist_bucket(__u64 value)
{
	__u32 shift = 0;

	if (value < 1ULL << VAGUS_HIST_MIN_SHIFT)
		return 0;
	if (value >> (VAGUS_HIST_MIN_SHIFT + VAGUS_HIST_OCTAVES))
		return VAGUS_HIST_BUCKETS - 1;
	/* The highest bit; the value is below 2^30 here. */
	for (__u32 step = 16; step; step >>= 1)
		if (value >> (shift + step))
			shift += step;
	return 1 + ((shift - VAGUS_HIST_MIN_SHIFT) << VAGUS_HIST_SUB_BITS) +
	       ((value >> (shift - VAGUS_HIST_SUB_BITS)) &
		((1 << VAGUS_HIST_SUB_BITS) - 1));
}

#endif
