// SPDX-License-Identifier: MIT
/*
 * Feed the readers garbage, or a real producer in another thread.
 * Built with the sanitizers by tests/unit/test_sanitized.py.
 * usage: ring_fuzz random|table|race COUNT SEED
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ring.h"
#include "table.h"

#define PAGE 64
#define DATA 1024
#define BYTES (2 * PAGE + 2 * DATA)
#define KEPT 16

static uint64_t state;

/* xorshift64: the same numbers on every machine for a seed. */
static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void fill(void *memory, size_t bytes)
{
	for (size_t i = 0; i < bytes / 8; i++)
		((uint64_t *)memory)[i] = next();
}

/* Headers that are mostly plausible reach deeper than pure noise. */
static void plausible(unsigned char *memory)
{
	uint64_t at = next() & ~7ULL, ahead = next() % (DATA / 8 + 2) * 8;

	memcpy(memory, &at, 8);
	at += ahead;
	memcpy(memory + PAGE, &at, 8);
	for (size_t i = 0; i < 2 * DATA; i += 8) {
		uint32_t length = (uint32_t)(next() % 300);

		if (next() % 8 == 0)
			length |= (uint32_t)next() & 0xC0000000U;
		if (next() % 64 == 0)
			length = (uint32_t)next();
		memcpy(memory + 2 * PAGE + i, &length, 4);
	}
}

static void check_kept(const struct vagus_drain *drain)
{
	for (uint32_t i = 0; i < drain->kept_count; i++) {
		const struct vagus_exec *kept = &drain->kept[i];

		if (kept->args_len > VAGUS_ARGS_LEN ||
		    !memchr(kept->event.comm, 0, VAGUS_COMM_LEN))
			abort();
	}
}

static uint64_t random_ring(void)
{
	/* Heap blocks of the exact size: one byte beyond is a report. */
	unsigned char *memory = malloc(BYTES);
	struct vagus_exec *kept = malloc(KEPT * sizeof(*kept));
	struct vagus_fold *folds = calloc(8, sizeof(*folds));
	struct vagus_drain drain = { .keep_types = next(), .kept = kept,
				     .kept_capacity = KEPT, .folds = folds,
				     .folds_capacity = 8 };
	struct vagus_ring_counts counts;
	struct vagus_ring *ring;

	fill(memory, BYTES);
	if (next() % 4)
		plausible(memory);
	if (vagus_ring_open_memory(memory, BYTES, PAGE, &ring))
		abort();
	for (int i = 0; i < 4; i++) {
		drain.kept_count = 0;
		vagus_ring_drain(ring, &drain);
		check_kept(&drain);
	}
	vagus_ring_read_counts(ring, &counts);
	vagus_ring_close(ring);
	free(folds);
	free(kept);
	free(memory);
	return counts.seen + counts.malformed + counts.discarded;
}

static void random_table(void)
{
	size_t bytes = 64 + next() % 512 * 8;
	struct vagus_reading *readings = calloc(4, sizeof(*readings));
	struct vagus_table *memory = malloc(bytes);
	struct vagus_table_reader *reader;

	fill(memory, bytes);
	memory->abi = VAGUS_ABI_VERSION;
	memory->slots = next() % 5;
	memory->cpus = next() % 3;
	if (next() % 2)
		memory->cell_bytes = sizeof(struct vagus_cell) + next() % 3 * 8;
	if (next() % 2)
		memory->rows_offset = next() % (bytes + 16) & ~7ULL;
	if (next() % 2)
		memory->cells_offset = next() % (bytes + 16) & ~7ULL;
	if (!vagus_table_open_memory(memory, bytes, &reader)) {
		for (int i = 0; i < 4; i++)
			readings[i].slot = (uint32_t)(next() % 6);
		vagus_table_read(reader, readings, 4);
		vagus_table_close(reader);
	}
	free(memory);
	free(readings);
}

/* ------------------------------------------------- a producer in a thread */

struct race {
	unsigned char *memory;
	uint64_t count;
};

static void put_bytes(unsigned char *memory, uint64_t at, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t to = (at + i) % DATA;

		memory[2 * PAGE + to] = ((const unsigned char *)from)[i];
		memory[2 * PAGE + DATA + to] = ((const unsigned char *)from)[i];
	}
}

static void set_header(unsigned char *memory, uint64_t at, uint32_t value)
{
	uint32_t *header = (uint32_t *)(memory + 2 * PAGE + at % DATA);

	/* Only the copy that is read must be stored atomically, and last. */
	__atomic_store_n(header + DATA / 4, value, __ATOMIC_RELEASE);
	__atomic_store_n(header, value, __ATOMIC_RELEASE);
}

static void *produce(void *data)
{
	struct race *race = data;
	uint64_t *consumer = (uint64_t *)race->memory;
	uint64_t *producer = (uint64_t *)(race->memory + PAGE);
	uint64_t at = 0;

	for (uint64_t value = 0; value < race->count;) {
		struct vagus_event event = { .type = VAGUS_EVENT_RUNQ, .value = value };

		if (at + 72 - __atomic_load_n(consumer, __ATOMIC_ACQUIRE) > DATA)
			continue;
		/* As the kernel: reserve busy, publish, write, commit. */
		set_header(race->memory, at, 64 | (uint32_t)VAGUS_RING_BUSY);
		__atomic_store_n(producer, at + 72, __ATOMIC_RELEASE);
		put_bytes(race->memory, at + 8, &event, sizeof(event));
		set_header(race->memory, at, 64);
		at += 72;
		value++;
	}
	return NULL;
}

static void run_race(uint64_t count)
{
	struct race race = { .memory = calloc(1, BYTES), .count = count };
	struct vagus_exec kept[KEPT];
	struct vagus_drain drain = { .keep_types = ~0ULL, .kept = kept,
				     .kept_capacity = KEPT };
	struct vagus_ring *ring;
	pthread_t thread;
	uint64_t expected = 0;

	if (vagus_ring_open_memory(race.memory, BYTES, PAGE, &ring))
		abort();
	pthread_create(&thread, NULL, produce, &race);
	while (expected < count) {
		drain.kept_count = 0;
		vagus_ring_drain(ring, &drain);
		for (uint32_t i = 0; i < drain.kept_count; i++)
			if (kept[i].event.value != expected++)
				abort();
	}
	pthread_join(thread, NULL);
	vagus_ring_close(ring);
	free(race.memory);
}

int main(int argc, char **argv)
{
	uint64_t count, records = 0;

	if (argc != 4)
		return 2;
	count = strtoull(argv[2], NULL, 10);
	state = strtoull(argv[3], NULL, 10) | 1;
	if (!strcmp(argv[1], "race")) {
		run_race(count);
		records = count;
	} else if (!strcmp(argv[1], "random")) {
		while (records < count)
			records += random_ring() + 1;
	} else {
		for (; records < count; records++)
			random_table();
	}
	printf("%llu\n", (unsigned long long)records);
	return 0;
}
