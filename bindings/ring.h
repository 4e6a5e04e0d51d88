/* SPDX-License-Identifier: MIT */
/*
 * One reader for two rings: vagus.ko's and a BPF_MAP_TYPE_RINGBUF map's.
 *
 *   offset 0        page      consumer position (u64), ours to write
 *   offset page     page      producer position (u64), read-only
 *   offset 2*page   data      records
 *   then            data      the same pages again, so none is ever split
 *
 * A record is a u32 length with the busy and discard bits, a u32 that we do
 * not use, and the payload, padded to 8 bytes (kernel/bpf/ringbuf.c).
 * Nothing in the memory is trusted: whatever it holds, the reader stays inside
 * it, ends, and counts what it could not use.
 */
#ifndef VAGUS_RING_H
#define VAGUS_RING_H

#ifndef VAGUS_CDEF
#include <stddef.h>
#include <stdint.h>
#endif
#include "vagus.h"

/**
 * struct vagus_fold - what all records of one workload and type add up to
 * @cgroup_id: the workload
 * @type: enum vagus_event_type
 * @pad: zero
 * @count: records; 0 where the entry is free
 * @sum: of vagus_event.value
 * @max: of vagus_event.value
 */
struct vagus_fold {
	uint64_t cgroup_id;
	uint32_t type;
	uint32_t pad;
	uint64_t count;
	uint64_t sum;
	uint64_t max;
};

enum {
	/* Twice the tick in which a ring is read whoever wakes its reader. */
	VAGUS_RING_LATE_NS = 2000000000,
};

/**
 * struct vagus_ring_counts - what became of the records since open
 * @seen: well-formed records, kept or folded
 * @lost: records that the producer said it lost (VAGUS_EVENT_LOST)
 * @discarded: records that the producer took back
 * @malformed: records of a wrong length, and damaged rings passed over
 * @unfolded: records for which the fold table had no room
 * @late: of those seen, read more than VAGUS_RING_LATE_NS after their time_ns
 */
struct vagus_ring_counts {
	uint64_t seen;
	uint64_t lost;
	uint64_t discarded;
	uint64_t malformed;
	uint64_t unfolded;
	uint64_t late;
};

/**
 * struct vagus_drain - where a drain puts what it reads; all by the caller
 * @keep_types: bit (1 << type) set: records of this type are copied to @kept
 * @kept: copied records; a record shorter than this is filled up with zeroes
 * @kept_capacity: room in @kept
 * @kept_count: used in @kept; the drain adds to it
 * @folds: open-addressed table over (cgroup_id, type), or NULL
 * @folds_capacity: entries in @folds, a power of two
 * @folds_count: used in @folds; the drain adds to it
 *
 * comm is NUL-terminated and args_len within args in every kept record.
 */
struct vagus_drain {
	uint64_t keep_types;
	struct vagus_exec *kept;
	uint32_t kept_capacity;
	uint32_t kept_count;
	struct vagus_fold *folds;
	uint32_t folds_capacity;
	uint32_t folds_count;
};

struct vagus_ring;

/*
 * Map the ring that the module publishes as the file @path, whose size is all
 * of the above: two pages and twice the data.
 */
int vagus_ring_open_file(const char *path, struct vagus_ring **ret);
/* Map the ring of a BPF ring buffer map; @map_fd stays the caller's. */
int vagus_ring_open_map(int map_fd, struct vagus_ring **ret);
/*
 * Read a ring laid out in plain memory, for tests and replay; @memory is
 * aligned to 8, @bytes is two pages of @page_bytes and twice the data, a power
 * of two.
 */
int vagus_ring_open_memory(void *memory, size_t bytes, size_t page_bytes,
			   struct vagus_ring **ret);
void vagus_ring_close(struct vagus_ring *ring);

/* The descriptor to wait on, or -1: the file's own or a duplicate of the map's. */
int vagus_ring_fd(const struct vagus_ring *ring);
/* Bytes of the data area. */
uint64_t vagus_ring_data_bytes(const struct vagus_ring *ring);
void vagus_ring_read_counts(const struct vagus_ring *ring,
			    struct vagus_ring_counts *counts);

/*
 * Read all committed records, as far as @drain has room.  Return 0 when the
 * ring is drained, 1 when records are left for want of room, -ENODEV when the
 * module was unloaded.
 */
int vagus_ring_drain(struct vagus_ring *ring, struct vagus_drain *drain);

/*
 * Move the used entries of @folds to @to, which has room for folds_count, and
 * empty the table.  Return how many there were.
 */
uint32_t vagus_drain_take_folds(struct vagus_drain *drain, struct vagus_fold *to);

#endif
