// SPDX-License-Identifier: MIT
/*
 * Load the real objects through libbpf on a kernel that throws dice, and read
 * per-CPU maps of random shapes.  The linker puts the functions below in the place
 * of those that would ask the kernel (--wrap, tests/unit/test_sanitized.py).
 * usage: bpf_fuzz objects|maps COUNT SEED [OBJECT ...]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf.h"

#define CPUS_MAX 5
#define CHECK(what)                                                            \
	do {                                                                   \
		if (!(what)) {                                                 \
			fprintf(stderr, "%d: not so: %s\n", __LINE__, #what);  \
			abort();                                               \
		}                                                              \
	} while (0)

static uint64_t state;

/* xorshift64: the same numbers on every machine for a seed. */
static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* ------------------------------------------------------- a kernel of dice */

/* A heap block: one that is not destroyed, or twice, is a report. */
struct link {
	int fd;
};

static int links; /* alive */
static int cpus;
static struct bpf_map_info shape;
static uint64_t *held; /* the map's values as they are in the kernel */
static uint32_t held_count;

static void *throw_link(int fd)
{
	struct link *link = malloc(sizeof(*link));

	if (!link || next() % 4 == 0) {
		free(link);
		errno = next() % 2 ? EACCES : EBUSY;
		return NULL;
	}
	link->fd = fd;
	links++;
	return link;
}

int __wrap_bpf_object__load(struct bpf_object *object)
{
	(void)object;
	return next() % 8 ? 0 : -EPERM;
}

int __wrap_libbpf_find_vmlinux_btf_id(const char *name, enum bpf_attach_type type)
{
	(void)type;
	CHECK(*name);
	return next() % 4 ? 1 : -ESRCH;
}

struct bpf_link *__wrap_bpf_program__attach(const struct bpf_program *program)
{
	(void)program;
	return throw_link(-1);
}

/* As libbpf's: the descriptor is the link's from now on, unless there is none. */
struct bpf_link *__wrap_bpf_program__attach_perf_event(const struct bpf_program *of,
						       int fd)
{
	(void)of;
	return throw_link(fd);
}

struct bpf_link *__wrap_bpf_map__attach_struct_ops(const struct bpf_map *map)
{
	(void)map;
	return throw_link(-1);
}

int __wrap_bpf_link__destroy(struct bpf_link *given)
{
	struct link *link = (struct link *)given;

	if (!link)
		return 0;
	if (link->fd >= 0)
		close(link->fd);
	free(link);
	links--;
	return 0;
}

/* Only perf_event_open() is called so. */
long __wrap_syscall(long number, ...)
{
	(void)number;
	if (next() % 4)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	errno = next() % 2 ? ENODEV : EACCES;
	return -1;
}

int __wrap_libbpf_num_possible_cpus(void)
{
	return cpus;
}

int __wrap_bpf_map_get_info_by_fd(int fd, struct bpf_map_info *info, uint32_t *size)
{
	CHECK(*size == sizeof(*info));
	if (fd < 0)
		return -EBADF;
	*info = shape;
	return 0;
}

int __wrap_bpf_map_lookup_batch(int fd, void *from, void *to, void *keys,
				void *values, uint32_t *count,
				const struct bpf_map_batch_opts *opts)
{
	(void)fd, (void)from, (void)opts;
	CHECK(*count == shape.max_entries);
	memset(to, 0, shape.key_size); /* arrays: a whole key, else a u32 */
	if (next() % 16 == 0)
		return -EFAULT;
	*count = held_count;
	memset(keys, 1, (size_t)held_count * shape.key_size);
	memcpy(values, held, (size_t)held_count * (size_t)cpus * shape.value_size);
	return next() % 2 ? 0 : -ENOENT;
}

/* ------------------------------------------------------------ the objects */

static void ask_before_load(struct vagus_bpf *bpf)
{
	static const char *const names[] = { "event_types", "outlier_ns", "partial",
					     "tracked", "sched", "slice_ns", "" };
	const char *name = names[next() % 7];
	int ret = vagus_bpf_set_option(bpf, name, next() >> next() % 64);

	CHECK(!ret || ret == -ENOENT || ret == -ERANGE);
	vagus_bpf_set_ops(bpf, name, "flags", next() >> next() % 64);
	vagus_bpf_resize_map(bpf, name, (uint32_t)next() % 5000);
	CHECK(vagus_bpf_reuse_map(bpf, name, -1) < 0);
	vagus_bpf_leave_out(bpf, name);
}

/* Return how many programs there are, and how many are not left out. */
static uint32_t count_programs(const struct vagus_bpf *bpf, uint32_t *running)
{
	const char *name, *hook;
	uint32_t count = 0;
	int why;

	*running = 0;
	while (!vagus_bpf_program(bpf, count, &name, &hook, &why)) {
		CHECK(*name && *hook && why <= 0);
		*running += !why;
		count++;
	}
	return count;
}

static void one_object(const char *path)
{
	uint32_t count, running;
	struct vagus_bpf *bpf;
	const char *name;
	const char *hook;
	int why;

	cpus = 1 + (int)(next() % CPUS_MAX);
	CHECK(!vagus_bpf_open(path, &bpf));
	count = count_programs(bpf, &running);
	CHECK(count && running == count);
	for (int i = 0; i < 4; i++)
		ask_before_load(bpf);
	CHECK(!vagus_bpf_program(bpf, (uint32_t)next() % count, &name, &hook, &why));
	if (next() % 2)
		CHECK(!vagus_bpf_leave_out(bpf, name));
	if (!vagus_bpf_load(bpf)) {
		int attached = vagus_bpf_attach(bpf);

		CHECK(attached >= 0 && attached <= (int)count && attached <= links);
		/* What runs runs already. */
		CHECK(!vagus_bpf_attach(bpf));
		vagus_bpf_attach_ops(bpf, "vagus_ops");
		vagus_bpf_attach_ops(bpf, "vagus_ops");
		if (next() % 2)
			vagus_bpf_detach_ops(bpf);
	}
	CHECK(strlen(vagus_bpf_log(bpf)) < 16384);
	vagus_bpf_close(bpf);
	CHECK(!links);
}

/* An object that was written in part: refused with a word, and nothing is left. */
static void cut_object(const char *path)
{
	static unsigned char bytes[1 << 20];
	char cut[] = "/tmp/cut-XXXXXX";
	struct vagus_bpf *bpf;
	FILE *from = fopen(path, "rb");
	size_t size;
	int fd = mkstemp(cut);

	CHECK(from && fd >= 0);
	size = fread(bytes, 1, sizeof(bytes), from);
	fclose(from);
	CHECK(size > 64);
	size = next() % (size - 64);
	CHECK(write(fd, bytes, size) == (ssize_t)size);
	close(fd);
	CHECK(vagus_bpf_open(cut, &bpf) < 0 && *vagus_bpf_log(bpf));
	vagus_bpf_close(bpf);
	unlink(cut);
}

/* ------------------------------------------------------------------- maps */

static uint64_t expected(uint32_t entry, uint32_t word, uint32_t sum_words)
{
	uint32_t words = shape.value_size / 8;
	uint64_t found = 0;

	for (int cpu = 0; cpu < cpus; cpu++) {
		uint64_t one =
			held[((size_t)entry * (size_t)cpus + (size_t)cpu) * words + word];

		if (word < sum_words)
			found += one;
		else if (one > found)
			found = one;
	}
	return found;
}

static void one_map(void)
{
	static const uint32_t types[] = { BPF_MAP_TYPE_PERCPU_HASH,
					  BPF_MAP_TYPE_PERCPU_ARRAY,
					  BPF_MAP_TYPE_HASH };
	uint32_t words = (uint32_t)(next() % 9), entries = 1 + (uint32_t)(next() % 20);
	uint32_t sum_words = (uint32_t)(next() % 10);
	size_t values;
	uint64_t *sums;
	char *keys;
	int ret;

	cpus = 1 + (int)(next() % CPUS_MAX);
	shape = (struct bpf_map_info){ .type = types[next() % 3],
				       .key_size = 4 << next() % 4,
				       .value_size = words * 8 + (next() % 16 ? 0 : 4),
				       .max_entries = entries };
	held_count = (uint32_t)(next() % (entries + 1));
	values = (size_t)held_count * (size_t)cpus * words;
	/* Heap blocks of the exact size: one byte beyond is a report. */
	held = malloc(values * 8 + 4 * (size_t)held_count * (size_t)cpus + 1);
	keys = malloc((size_t)entries * shape.key_size);
	sums = malloc((size_t)entries * words * 8 + 1);
	for (size_t i = 0; i < values; i++)
		held[i] = next();
	ret = vagus_map_read_percpu(next() % 16 ? 3 : -1, keys, sums, entries, sum_words);
	CHECK(ret == -EINVAL || ret == -EBADF || ret == -EFAULT ||
	      ret == (int)held_count);
	for (uint32_t i = 0; ret > 0 && i < held_count * words; i++)
		CHECK(sums[i] == expected(i / words, i % words, sum_words));
	free(sums);
	free(keys);
	free(held);
}

int main(int argc, char **argv)
{
	unsigned long long count, done = 0;

	if (argc < 4)
		return 2;
	count = strtoull(argv[2], NULL, 10);
	state = strtoull(argv[3], NULL, 10) | 1;
	for (; done < count; done++) {
		const char *path = argc > 4 ? argv[4 + next() % (argc - 4)] : "";

		if (!strcmp(argv[1], "maps"))
			one_map();
		else if (next() % 4)
			one_object(path);
		else
			cut_object(path);
	}
	printf("%llu\n", done);
	return 0;
}
