/* SPDX-License-Identifier: MIT */
/*
 * Read vagus.ko's table of workloads: struct vagus_table, a directory of rows,
 * and for each row one cell a CPU, which that CPU alone writes.
 */
#ifndef VAGUS_TABLE_H
#define VAGUS_TABLE_H

#ifndef VAGUS_CDEF
#include <stddef.h>
#include <stdint.h>
#endif
#include "vagus.h"

/**
 * struct vagus_reading - one slot, added up over all CPUs
 * @slot: which; by the caller
 * @error: 0; -ERANGE no such slot; -EAGAIN it was written all the time
 * @row: its directory entry at the time of reading
 * @version: grows whenever a cell of the slot was written
 * @sum: counters and histograms added (mod 2^32 where they are u32), max_ns the
 *	largest, last_preemptor that of the CPU with most such preemptions
 */
struct vagus_reading {
	uint32_t slot;
	int32_t error;
	struct vagus_row row;
	uint64_t version;
	struct vagus_cell sum;
};

struct vagus_table_reader;

/* Map the table that the module publishes as the file @path. */
int vagus_table_open_file(const char *path, struct vagus_table_reader **ret);
/* Read a table in plain memory, aligned to 8, for tests and replay. */
int vagus_table_open_memory(const void *memory, size_t bytes,
			    struct vagus_table_reader **ret);
void vagus_table_close(struct vagus_table_reader *reader);
uint32_t vagus_table_slots(const struct vagus_table_reader *reader);
uint32_t vagus_table_cpus(const struct vagus_table_reader *reader);

/*
 * Read the slots named in @readings.  Where @readings[i].version is what it
 * was at the last call, nothing was written since and the sum is not touched.
 * Return how many changed, or -ENODEV when the module was unloaded.
 */
int vagus_table_read(struct vagus_table_reader *reader,
		     struct vagus_reading *readings, uint32_t count);

#endif
