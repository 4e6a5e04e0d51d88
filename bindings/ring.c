// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <sys/syscall.h>

#include "guard.h"
#include "ring.h"

#define LENGTH_MASK (~((uint32_t)VAGUS_RING_BUSY | VAGUS_RING_DISCARD))

struct vagus_ring {
	uint64_t *consumer;
	const uint64_t *producer;
	const unsigned char *data; /* 2 * data_bytes, the second half mirrors */
	uint64_t data_bytes;
	size_t page_bytes;
	int fd;
	bool mapped;   /* consumer and producer are mappings to be undone */
	bool may_fault; /* the module's: touched only under vagus_guarded() */
	uint64_t now_ns; /* when this drain began */
	struct vagus_ring_counts counts;
};

static bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

static int map_pages(struct vagus_ring *ring, uint64_t data_bytes)
{
	size_t page = ring->page_bytes;
	void *consumer, *producer;

	consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	producer = mmap(NULL, page + 2 * data_bytes, PROT_READ, MAP_SHARED,
			ring->fd, (off_t)page);
	if (producer == MAP_FAILED) {
		int ret = -errno;

		munmap(consumer, page);
		return ret;
	}
	ring->consumer = consumer;
	ring->producer = producer;
	ring->data = (const unsigned char *)producer + page;
	ring->data_bytes = data_bytes;
	ring->mapped = true;
	return 0;
}

static void unmap_pages(struct vagus_ring *ring)
{
	munmap(ring->consumer, ring->page_bytes);
	munmap((void *)ring->producer, ring->page_bytes + 2 * ring->data_bytes);
}

static struct vagus_ring *new_ring(int fd)
{
	struct vagus_ring *ring = calloc(1, sizeof(*ring));

	if (ring) {
		ring->fd = fd;
		ring->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	}
	return ring;
}

/* The file's size is all that can be mapped: two pages and twice the data. */
static int map_file(struct vagus_ring *ring)
{
	uint64_t data_bytes;
	struct stat st;

	if (fstat(ring->fd, &st))
		return -errno;
	if (st.st_size <= (off_t)(2 * ring->page_bytes))
		return -EPROTO;
	data_bytes = ((uint64_t)st.st_size - 2 * ring->page_bytes) / 2;
	if (!is_power_of_two(data_bytes) || data_bytes < ring->page_bytes)
		return -EPROTO;
	return map_pages(ring, data_bytes);
}

int vagus_ring_open_file(const char *path, struct vagus_ring **ret_ring)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct vagus_ring *ring;
	int ret = -ENOMEM;

	if (fd < 0)
		return -errno;
	ring = new_ring(fd);
	if (ring)
		ret = map_file(ring);
	if (ret) {
		free(ring);
		close(fd);
		return ret;
	}
	ring->may_fault = true;
	*ret_ring = ring;
	return 0;
}

static int map_info(int map_fd, struct bpf_map_info *info)
{
	union bpf_attr attr = {
		.info.bpf_fd = (uint32_t)map_fd,
		.info.info_len = sizeof(*info),
		.info.info = (uintptr_t)info,
	};

	return syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) ?
		       -errno : 0;
}

int vagus_ring_open_map(int map_fd, struct vagus_ring **ret_ring)
{
	struct bpf_map_info info = { 0 };
	struct vagus_ring *ring;
	int fd, ret;

	ret = map_info(map_fd, &info);
	if (ret)
		return ret;
	if (info.type != BPF_MAP_TYPE_RINGBUF)
		return -EINVAL;
	fd = fcntl(map_fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	ring = new_ring(fd);
	ret = ring ? map_pages(ring, info.max_entries) : -ENOMEM;
	if (ret) {
		free(ring);
		close(fd);
		return ret;
	}
	*ret_ring = ring;
	return 0;
}

int vagus_ring_open_memory(void *memory, size_t bytes, size_t page_bytes,
			   struct vagus_ring **ret_ring)
{
	unsigned char *base = memory;
	struct vagus_ring *ring;
	uint64_t data_bytes;

	if ((uintptr_t)memory % sizeof(uint64_t) || !is_power_of_two(page_bytes) ||
	    page_bytes < sizeof(uint64_t) || page_bytes > bytes / 4)
		return -EINVAL;
	data_bytes = (bytes - 2 * page_bytes) / 2;
	if (!is_power_of_two(data_bytes) || data_bytes < VAGUS_RING_HEADER_BYTES ||
	    2 * page_bytes + 2 * data_bytes != bytes)
		return -EINVAL;
	ring = new_ring(-1);
	if (!ring)
		return -ENOMEM;
	ring->page_bytes = page_bytes;
	ring->consumer = memory;
	ring->producer = (const uint64_t *)(base + page_bytes);
	ring->data = base + 2 * page_bytes;
	ring->data_bytes = data_bytes;
	*ret_ring = ring;
	return 0;
}

void vagus_ring_close(struct vagus_ring *ring)
{
	if (!ring)
		return;
	if (ring->mapped)
		unmap_pages(ring);
	if (ring->fd >= 0)
		close(ring->fd);
	free(ring);
}

int vagus_ring_fd(const struct vagus_ring *ring)
{
	return ring->fd;
}

uint64_t vagus_ring_data_bytes(const struct vagus_ring *ring)
{
	return ring->data_bytes;
}

void vagus_ring_read_counts(const struct vagus_ring *ring,
			    struct vagus_ring_counts *counts)
{
	*counts = ring->counts;
}

/* Fibonacci hashing: cgroup ids are small and consecutive. */
static uint32_t fold_start(const struct vagus_event *event, uint32_t capacity)
{
	uint64_t key = event->cgroup_id * 16 + event->type;

	return (uint32_t)((key * 0x9E3779B97F4A7C15ULL) >> 32) & (capacity - 1);
}

static bool fold(struct vagus_drain *drain, const struct vagus_event *event)
{
	uint32_t mask = drain->folds_capacity - 1;
	uint32_t at = fold_start(event, drain->folds_capacity);

	for (uint32_t tries = 0; tries <= mask; tries++, at = (at + 1) & mask) {
		struct vagus_fold *entry = &drain->folds[at];

		if (!entry->count) {
			entry->cgroup_id = event->cgroup_id;
			entry->type = event->type;
			drain->folds_count++;
		} else if (entry->cgroup_id != event->cgroup_id ||
			   entry->type != event->type) {
			continue;
		}
		entry->count++;
		entry->sum += event->value;
		if (event->value > entry->max)
			entry->max = event->value;
		return true;
	}
	return false;
}

static bool is_kept(const struct vagus_drain *drain, uint32_t type)
{
	return type < 64 && (drain->keep_types >> type & 1);
}

static void keep(struct vagus_drain *drain, const unsigned char *payload,
		 uint32_t length)
{
	struct vagus_exec *to = &drain->kept[drain->kept_count++];
	size_t used = length < sizeof(*to) ? length : sizeof(*to);

	memcpy(to, payload, used);
	memset((unsigned char *)to + used, 0, sizeof(*to) - used);
	to->event.comm[VAGUS_COMM_LEN - 1] = '\0';
	if (to->args_len > VAGUS_ARGS_LEN)
		to->args_len = VAGUS_ARGS_LEN;
}

/* Return false where the record needs room that is not there. */
static bool take(struct vagus_ring *ring, struct vagus_drain *drain,
		 const unsigned char *payload, uint32_t length)
{
	/* Records start at multiples of 8, so the payload is aligned. */
	const struct vagus_event *event = (const void *)payload;

	if (length < sizeof(*event)) {
		ring->counts.malformed++;
		return true;
	}
	if (is_kept(drain, event->type)) {
		if (drain->kept_count >= drain->kept_capacity)
			return false;
		keep(drain, payload, length);
	}
	if (event->type == VAGUS_EVENT_LOST) {
		ring->counts.lost += event->value;
	} else {
		ring->counts.seen++;
		ring->counts.late +=
			event->time_ns + VAGUS_RING_LATE_NS < ring->now_ns;
	}
	if (drain->folds_capacity && !fold(drain, event))
		ring->counts.unfolded++;
	return true;
}

enum step { STEP_TAKEN, STEP_WAIT, STEP_FULL, STEP_DAMAGED };

/* Read the record at @at, of which @left bytes were produced at most. */
static enum step read_record(struct vagus_ring *ring, struct vagus_drain *drain,
			     uint64_t at, uint64_t left, uint64_t *size)
{
	const unsigned char *record = ring->data + (at & (ring->data_bytes - 1));
	/* Pairs with the producer's xchg or release store of the length. */
	uint32_t header = __atomic_load_n((const uint32_t *)record, __ATOMIC_ACQUIRE);
	uint32_t length = header & LENGTH_MASK;

	if (header & (uint32_t)VAGUS_RING_BUSY)
		return STEP_WAIT;
	*size = ((uint64_t)length + VAGUS_RING_HEADER_BYTES + 7) & ~7ULL;
	/* left <= data_bytes and the data lies there twice: all of it is inside. */
	if (*size > left)
		return STEP_DAMAGED;
	if (header & VAGUS_RING_DISCARD)
		ring->counts.discarded++;
	else if (!take(ring, drain, record + VAGUS_RING_HEADER_BYTES, length))
		return STEP_FULL;
	return STEP_TAKEN;
}

/* Give up what lies between @at and @end; the producer can go on. */
static enum step pass_over(struct vagus_ring *ring, uint64_t end)
{
	ring->counts.malformed++;
	__atomic_store_n(ring->consumer, end, __ATOMIC_RELEASE);
	return STEP_DAMAGED;
}

/* Read the records produced up to now. */
static enum step read_produced(struct vagus_ring *ring, struct vagus_drain *drain)
{
	uint64_t at = __atomic_load_n(ring->consumer, __ATOMIC_RELAXED);
	/* Pairs with the producer's release store of its position. */
	uint64_t end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
	enum step step = STEP_WAIT;

	if (end - at > ring->data_bytes || at % 8 || end % 8)
		return pass_over(ring, end & ~7ULL);
	while (at != end) {
		uint64_t size;

		step = read_record(ring, drain, at, end - at, &size);
		if (step == STEP_DAMAGED)
			return pass_over(ring, end);
		if (step != STEP_TAKEN)
			break;
		at += size;
		/* After the reads: the producer may now write over the record. */
		__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
	}
	return step;
}

struct drain_call {
	struct vagus_ring *ring;
	struct vagus_drain *drain;
	int ret;
};

static void drain_all(void *data)
{
	struct drain_call *call = data;
	/*
	 * A fast producer, or a damaged ring, must not hold us for ever: one
	 * pass and as many more as find records, up to a few.
	 */
	for (int pass = 0; pass < 8; pass++) {
		enum step step = read_produced(call->ring, call->drain);

		call->ret = step == STEP_FULL;
		if (step != STEP_TAKEN)
			return;
		/*
		 * A record committed after our look is told by a wake-up only if
		 * the producer saw our position: store it, then look again.
		 */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	call->ret = 1;
}

/* The clock that records are stamped by. */
static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int vagus_ring_drain(struct vagus_ring *ring, struct vagus_drain *drain)
{
	struct drain_call call = { .ring = ring, .drain = drain };
	int ret;

	if (drain->folds_capacity && !is_power_of_two(drain->folds_capacity))
		return -EINVAL;
	if (drain->kept_count > drain->kept_capacity)
		return -EINVAL;
	ring->now_ns = now_ns();
	if (!ring->may_fault) {
		drain_all(&call);
		return call.ret;
	}
	ret = vagus_guarded(drain_all, &call);
	return ret ? ret : call.ret;
}

uint32_t vagus_drain_take_folds(struct vagus_drain *drain, struct vagus_fold *to)
{
	uint32_t taken = 0;

	for (uint32_t i = 0; i < drain->folds_capacity; i++) {
		struct vagus_fold *entry = &drain->folds[i];

		if (taken == drain->folds_count)
			break;
		if (!entry->count)
			continue;
		to[taken++] = *entry;
		memset(entry, 0, sizeof(*entry));
	}
	drain->folds_count = 0;
	return taken;
}
