/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints to histograms. */
#ifndef VAGUS_SENSE_H
#define VAGUS_SENSE_H

#include <linux/types.h>

/**
 * struct vagus_sense_config - what goes to the ring
 * @runq_ns: run-queue waits at least this long
 * @reclaim_ns: direct-reclaim stalls at least this long
 * @rate_per_s: most records of one workload in a second
 */
struct vagus_sense_config {
	u64 runq_ns;
	u64 reclaim_ns;
	u32 rate_per_s;
};

int vagus_sense_init(void);
void vagus_sense_exit(void);

struct vagus_sense_config vagus_sense_get(void);
void vagus_sense_set(const struct vagus_sense_config *config);
u64 vagus_sense_switches(void);
u64 vagus_sense_limited(void);

#endif
