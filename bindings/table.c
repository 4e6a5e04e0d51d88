// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard.h"
#include "table.h"

/* A cell is written in under a microsecond; a longer one was interrupted. */
#define TRIES_MAX 1000

struct vagus_table_reader {
	const unsigned char *base;
	size_t bytes;
	struct vagus_table head; /* checked copy: what is mapped may change */
	bool may_fault; /* the module's: mapped, read under vagus_guarded() */
};

/* Whether @count things of @size at @offset lie inside @bytes, aligned. */
static bool fits(uint64_t offset, uint64_t count, uint64_t size, uint64_t bytes)
{
	uint64_t length;

	return !(offset % 8) && offset <= bytes &&
	       !__builtin_mul_overflow(count, size, &length) &&
	       length <= bytes - offset;
}

static int check_head(const struct vagus_table *head, uint64_t bytes)
{
	if (head->abi != VAGUS_ABI_VERSION)
		return -EPROTO;
	if (!head->slots || !head->cpus || head->cell_bytes % 8 ||
	    head->cell_bytes < sizeof(struct vagus_cell))
		return -EBADMSG;
	if (!fits(head->rows_offset, head->slots, sizeof(struct vagus_row), bytes))
		return -EBADMSG;
	/* u32 * u32 fits in u64. */
	if (!fits(head->cells_offset, (uint64_t)head->slots * head->cpus,
		  head->cell_bytes, bytes))
		return -EBADMSG;
	return 0;
}

struct head_call {
	const void *from;
	struct vagus_table *to;
};

static void copy_head(void *data)
{
	struct head_call *call = data;

	memcpy(call->to, call->from, sizeof(*call->to));
}

static int start(struct vagus_table_reader *reader)
{
	struct head_call call = { .from = reader->base, .to = &reader->head };
	int ret = 0;

	if (reader->bytes < sizeof(reader->head))
		return -EBADMSG;
	if (reader->may_fault)
		ret = vagus_guarded(copy_head, &call);
	else
		copy_head(&call);
	return ret ? ret : check_head(&reader->head, reader->bytes);
}

static int map_file(const char *path, struct vagus_table_reader *reader)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *base;
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_size <= 0) {
		close(fd);
		return -EBADMSG;
	}
	base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		ret = -errno;
	close(fd);
	reader->base = base;
	reader->bytes = (size_t)st.st_size;
	return ret;
}

int vagus_table_open_file(const char *path, struct vagus_table_reader **ret_reader)
{
	struct vagus_table_reader *reader = calloc(1, sizeof(*reader));
	int ret;

	if (!reader)
		return -ENOMEM;
	ret = map_file(path, reader);
	if (ret) {
		free(reader);
		return ret;
	}
	reader->may_fault = true;
	ret = start(reader);
	if (ret) {
		vagus_table_close(reader);
		return ret;
	}
	*ret_reader = reader;
	return 0;
}

int vagus_table_open_memory(const void *memory, size_t bytes,
			    struct vagus_table_reader **ret_reader)
{
	struct vagus_table_reader *reader;
	int ret;

	if ((uintptr_t)memory % sizeof(uint64_t))
		return -EINVAL;
	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	reader->base = memory;
	reader->bytes = bytes;
	ret = start(reader);
	if (ret) {
		free(reader);
		return ret;
	}
	*ret_reader = reader;
	return 0;
}

void vagus_table_close(struct vagus_table_reader *reader)
{
	if (!reader)
		return;
	if (reader->may_fault)
		munmap((void *)reader->base, reader->bytes);
	free(reader);
}

uint32_t vagus_table_slots(const struct vagus_table_reader *reader)
{
	return reader->head.slots;
}

uint32_t vagus_table_cpus(const struct vagus_table_reader *reader)
{
	return reader->head.cpus;
}

static const struct vagus_row *row_at(const struct vagus_table_reader *reader,
				      uint32_t slot)
{
	return (const void *)(reader->base + reader->head.rows_offset +
			      slot * sizeof(struct vagus_row));
}

static const struct vagus_cell *cell_at(const struct vagus_table_reader *reader,
					uint32_t slot, uint32_t cpu)
{
	uint64_t index = (uint64_t)slot * reader->head.cpus + cpu;

	return (const void *)(reader->base + reader->head.cells_offset +
			      index * reader->head.cell_bytes);
}

/* Copy one cell as it was between two writes; false where it never rested. */
static bool copy_cell(const struct vagus_cell *from, struct vagus_cell *to)
{
	for (int tries = 0; tries < TRIES_MAX; tries++) {
		/* Pairs with the writer's barrier after it made seq odd. */
		uint32_t before = __atomic_load_n(&from->seq, __ATOMIC_ACQUIRE);

		if (before & 1)
			continue;
		memcpy(to, from, sizeof(*to));
		/* The copy ends before seq is read again. */
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&from->seq, __ATOMIC_RELAXED) == before)
			return true;
	}
	return false;
}

static void add_cell(struct vagus_cell *sum, const struct vagus_cell *cell,
		     uint32_t *most_preempted)
{
	sum->preempted += cell->preempted;
	sum->preempted_by_other += cell->preempted_by_other;
	sum->switches += cell->switches;
	sum->migrations += cell->migrations;
	sum->stalls += cell->stalls;
	if (cell->last_preemptor && cell->preempted_by_other >= *most_preempted) {
		*most_preempted = cell->preempted_by_other;
		sum->last_preemptor = cell->last_preemptor;
	}
	for (int kind = 0; kind < VAGUS_HIST_KINDS; kind++) {
		sum->sum_ns[kind] += cell->sum_ns[kind];
		if (cell->max_ns[kind] > sum->max_ns[kind])
			sum->max_ns[kind] = cell->max_ns[kind];
		for (int bucket = 0; bucket < VAGUS_HIST_BUCKETS; bucket++)
			sum->hist[kind][bucket] += cell->hist[kind][bucket];
	}
}

static struct vagus_row copy_row(const struct vagus_row *from)
{
	struct vagus_row row = {
		.cgroup_id = __atomic_load_n(&from->cgroup_id, __ATOMIC_ACQUIRE),
		.generation = __atomic_load_n(&from->generation, __ATOMIC_ACQUIRE),
	};

	return row;
}

/*
 * What tells that a slot was written: the seqs of its cells, which only grow,
 * and its generation, in case a new workload came to the same number.
 */
static uint64_t version_of(const struct vagus_table_reader *reader, uint32_t slot,
			   const struct vagus_row *row)
{
	uint64_t version = (uint64_t)row->generation << 40;

	for (uint32_t cpu = 0; cpu < reader->head.cpus; cpu++)
		version += __atomic_load_n(&cell_at(reader, slot, cpu)->seq,
					   __ATOMIC_ACQUIRE);
	return version + 1; /* 0 is "never read" */
}

/* Return whether the slot changed since @reading was made. */
static bool read_slot(const struct vagus_table_reader *reader,
		      struct vagus_reading *reading)
{
	struct vagus_row row = copy_row(row_at(reader, reading->slot));
	uint64_t version = version_of(reader, reading->slot, &row);
	struct vagus_cell sum = { 0 }, cell;
	uint32_t most_preempted = 0;

	if (version == reading->version && row.cgroup_id == reading->row.cgroup_id)
		return false;
	reading->error = -EAGAIN;
	for (uint32_t cpu = 0; cpu < reader->head.cpus; cpu++) {
		if (!copy_cell(cell_at(reader, reading->slot, cpu), &cell))
			return true;
		add_cell(&sum, &cell, &most_preempted);
	}
	/* The slot may have been given away while we read it. */
	if (copy_row(row_at(reader, reading->slot)).generation != row.generation)
		return true;
	reading->error = 0;
	reading->row = row;
	reading->version = version;
	reading->sum = sum;
	return true;
}

struct read_call {
	const struct vagus_table_reader *reader;
	struct vagus_reading *readings;
	uint32_t count;
	int changed;
};

static void read_all(void *data)
{
	struct read_call *call = data;

	for (uint32_t i = 0; i < call->count; i++) {
		struct vagus_reading *reading = &call->readings[i];

		if (reading->slot >= call->reader->head.slots)
			reading->error = -ERANGE;
		else if (read_slot(call->reader, reading))
			call->changed++;
	}
}

int vagus_table_read(struct vagus_table_reader *reader,
		     struct vagus_reading *readings, uint32_t count)
{
	struct read_call call = {
		.reader = reader,
		.readings = readings,
		.count = count,
	};
	int ret = 0;

	if (reader->may_fault)
		ret = vagus_guarded(read_all, &call);
	else
		read_all(&call);
	return ret ? ret : call.changed;
}
