// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>

#include "bpf.h"
#include "log.h"

#define PROGRAMS_MAX 32

struct program {
	struct bpf_program *program;
	struct bpf_link **links; /* one, or one a CPU */
	int links_count;
	int state;
};

struct vagus_bpf {
	struct bpf_object *object;
	struct program programs[PROGRAMS_MAX];
	uint32_t programs_count;
	struct bpf_link *ops;
	struct log log;
};

/* libbpf's print function has no argument of ours: whose call this thread is in. */
static _Thread_local struct vagus_bpf *caller;

static int print(enum libbpf_print_level level, const char *format, va_list args)
{
	int length;
	char *text;

	if (level > LIBBPF_INFO || !caller)
		return 0;
	length = vasprintf(&text, format, args);
	if (length < 0)
		return length;
	log_add(&caller->log, text, (size_t)length);
	free(text);
	return length;
}

static void log_begin(struct vagus_bpf *bpf)
{
	libbpf_set_print(print);
	bpf->log.used = 0;
	bpf->log.text[0] = '\0';
	caller = bpf;
}

static int log_end(int ret)
{
	caller = NULL;
	/* libbpf has numbers of its own beyond errno's; its words tell more. */
	return ret <= -__LIBBPF_ERRNO__START ? -ENOEXEC : ret;
}

static int collect_programs(struct vagus_bpf *bpf)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, bpf->object) {
		if (bpf->programs_count == PROGRAMS_MAX)
			return -E2BIG;
		bpf->programs[bpf->programs_count++].program = program;
	}
	return 0;
}

int vagus_bpf_open(const char *path, struct vagus_bpf **ret)
{
	struct vagus_bpf *bpf = calloc(1, sizeof(*bpf));

	*ret = bpf;
	if (!bpf)
		return -ENOMEM;
	log_begin(bpf);
	bpf->object = bpf_object__open_file(path, NULL);
	if (!bpf->object)
		return log_end(-errno);
	return log_end(collect_programs(bpf));
}

static void detach(struct program *program)
{
	for (int i = 0; i < program->links_count; i++)
		bpf_link__destroy(program->links[i]);
	free(program->links);
}

void vagus_bpf_close(struct vagus_bpf *bpf)
{
	if (!bpf)
		return;
	vagus_bpf_detach_ops(bpf);
	log_begin(bpf);
	for (uint32_t i = 0; i < bpf->programs_count; i++)
		detach(&bpf->programs[i]);
	bpf_object__close(bpf->object);
	log_end(0);
	free(bpf);
}

const char *vagus_bpf_log(const struct vagus_bpf *bpf)
{
	return bpf->log.text;
}

/* Where the variable @name lies in .rodata, by the object's own BTF. */
static const struct btf_var_secinfo *find_option(const struct btf *btf,
						 const char *name)
{
	int id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	const struct btf_var_secinfo *info;
	const struct btf_type *section;

	if (id < 0)
		return NULL;
	section = btf__type_by_id(btf, (uint32_t)id);
	info = btf_var_secinfos(section);
	for (int i = 0; i < btf_vlen(section); i++, info++) {
		const struct btf_type *var = btf__type_by_id(btf, info->type);

		if (!strcmp(btf__name_by_offset(btf, var->name_off), name))
			return info;
	}
	return NULL;
}

static struct bpf_map *find_rodata(struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		const char *name = bpf_map__name(map);
		size_t length = strlen(name);

		/* libbpf puts the object's name before it. */
		if (length >= 7 && !strcmp(name + length - 7, ".rodata"))
			return map;
	}
	return NULL;
}

/* Store the low @size bytes of @value in the byte order of this machine. */
static int store(void *to, uint64_t value, uint32_t size)
{
	uint32_t u32 = (uint32_t)value;
	uint16_t u16 = (uint16_t)value;
	uint8_t u8 = (uint8_t)value;

	if (size != 8 && value >> (8 * size))
		return -ERANGE;
	switch (size) {
	case 1:
		memcpy(to, &u8, 1);
		return 0;
	case 2:
		memcpy(to, &u16, 2);
		return 0;
	case 4:
		memcpy(to, &u32, 4);
		return 0;
	case 8:
		memcpy(to, &value, 8);
		return 0;
	}
	return -EINVAL;
}

int vagus_bpf_set_option(struct vagus_bpf *bpf, const char *name, uint64_t value)
{
	const struct btf_var_secinfo *info;
	struct bpf_map *rodata;
	size_t bytes;
	char *initial;

	log_begin(bpf);
	info = find_option(bpf_object__btf(bpf->object), name);
	rodata = find_rodata(bpf->object);
	if (!info || !rodata)
		return log_end(-ENOENT);
	initial = bpf_map__initial_value(rodata, &bytes);
	if (!initial || info->offset + info->size > bytes)
		return log_end(-EINVAL);
	return log_end(store(initial + info->offset, value, info->size));
}

int vagus_bpf_reuse_map(struct vagus_bpf *bpf, const char *name, int fd)
{
	struct bpf_map *map;

	log_begin(bpf);
	map = bpf_object__find_map_by_name(bpf->object, name);
	return log_end(map ? bpf_map__reuse_fd(map, fd) : -ENOENT);
}

int vagus_bpf_resize_map(struct vagus_bpf *bpf, const char *name, uint32_t entries)
{
	struct bpf_map *map;

	log_begin(bpf);
	map = bpf_object__find_map_by_name(bpf->object, name);
	return log_end(map ? bpf_map__set_max_entries(map, entries) : -ENOENT);
}

int vagus_bpf_leave_out(struct vagus_bpf *bpf, const char *name)
{
	for (uint32_t i = 0; i < bpf->programs_count; i++) {
		if (strcmp(bpf_program__name(bpf->programs[i].program), name))
			continue;
		bpf->programs[i].state = -ECANCELED;
		return bpf_program__set_autoload(bpf->programs[i].program, false);
	}
	return -ENOENT;
}

/* Whether this kernel has what a BTF-typed program attaches to. */
static int find_hook(const struct bpf_program *program)
{
	const char *hook = strchr(bpf_program__section_name(program), '/');
	int id;

	if (bpf_program__type(program) != BPF_PROG_TYPE_TRACING || !hook)
		return 0;
	id = libbpf_find_vmlinux_btf_id(hook + 1,
					bpf_program__expected_attach_type(program));
	return id < 0 ? id : 0;
}

int vagus_bpf_load(struct vagus_bpf *bpf)
{
	log_begin(bpf);
	for (uint32_t i = 0; i < bpf->programs_count; i++) {
		struct program *program = &bpf->programs[i];

		if (program->state)
			continue;
		program->state = find_hook(program->program);
		if (program->state)
			bpf_program__set_autoload(program->program, false);
	}
	return log_end(bpf_object__load(bpf->object));
}

static int attach_one(struct program *program)
{
	struct bpf_link *link = bpf_program__attach(program->program);

	if (!link)
		return -errno;
	program->links = malloc(sizeof(*program->links));
	if (!program->links) {
		bpf_link__destroy(link);
		return -ENOMEM;
	}
	program->links[0] = link;
	program->links_count = 1;
	return 0;
}

static int open_major_faults(int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_PAGE_FAULTS_MAJ,
		.sample_period = 1,
	};

	return (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1,
			    PERF_FLAG_FD_CLOEXEC);
}

static int attach_major_faults(struct program *program)
{
	int cpus = libbpf_num_possible_cpus();

	if (cpus < 0)
		return cpus;
	program->links = calloc((size_t)cpus, sizeof(*program->links));
	if (!program->links)
		return -ENOMEM;
	for (int cpu = 0; cpu < cpus; cpu++) {
		int fd = open_major_faults(cpu);
		struct bpf_link *link;

		if (fd < 0 && errno == ENODEV)
			continue; /* possible, not online */
		if (fd < 0)
			return -errno;
		link = bpf_program__attach_perf_event(program->program, fd);
		if (!link) {
			int ret = -errno;

			close(fd);
			return ret;
		}
		program->links[program->links_count++] = link;
	}
	return program->links_count ? 0 : -ENODEV;
}

int vagus_bpf_attach(struct vagus_bpf *bpf)
{
	int attached = 0;

	log_begin(bpf);
	for (uint32_t i = 0; i < bpf->programs_count; i++) {
		struct program *program = &bpf->programs[i];

		if (program->state || program->links_count)
			continue;
		/* struct_ops maps are attached by who owns them. */
		if (bpf_program__type(program->program) == BPF_PROG_TYPE_STRUCT_OPS)
			continue;
		if (bpf_program__type(program->program) == BPF_PROG_TYPE_PERF_EVENT)
			program->state = attach_major_faults(program);
		else
			program->state = attach_one(program);
		attached += !program->state;
	}
	return log_end(attached);
}

int vagus_bpf_attach_ops(struct vagus_bpf *bpf, const char *name)
{
	struct bpf_map *map;

	log_begin(bpf);
	map = bpf_object__find_map_by_name(bpf->object, name);
	if (!map)
		return log_end(-ENOENT);
	if (bpf->ops)
		return log_end(-EBUSY);
	bpf->ops = bpf_map__attach_struct_ops(map);
	return log_end(bpf->ops ? 0 : -errno);
}

void vagus_bpf_detach_ops(struct vagus_bpf *bpf)
{
	log_begin(bpf);
	bpf_link__destroy(bpf->ops);
	bpf->ops = NULL;
	log_end(0);
}

int vagus_bpf_set_ops(struct vagus_bpf *bpf, const char *name, const char *field,
		      uint64_t value)
{
	const struct btf *btf = bpf_object__btf(bpf->object);
	struct bpf_map *map;
	int id = btf__find_by_name_kind(btf, "sched_ext_ops", BTF_KIND_STRUCT);
	const struct btf_member *member;
	const struct btf_type *type;
	size_t bytes;
	char *initial;

	log_begin(bpf);
	map = bpf_object__find_map_by_name(bpf->object, name);
	if (id < 0 || !map)
		return log_end(-ENOENT);
	initial = bpf_map__initial_value(map, &bytes);
	type = btf__type_by_id(btf, (uint32_t)id);
	member = btf_members(type);
	for (int i = 0; initial && i < btf_vlen(type); i++, member++) {
		uint32_t at = btf_member_bit_offset(type, (uint32_t)i) / 8;
		int64_t size = btf__resolve_size(btf, member->type);

		if (strcmp(btf__name_by_offset(btf, member->name_off), field))
			continue;
		if (size < 1 || size > 8 || at + (size_t)size > bytes)
			return log_end(-EINVAL);
		return log_end(store(initial + at, value, (uint32_t)size));
	}
	return log_end(-ENOENT);
}

int vagus_bpf_program(const struct vagus_bpf *bpf, uint32_t index,
		      const char **name, const char **hook, int *state)
{
	if (index >= bpf->programs_count)
		return -ENOENT;
	*name = bpf_program__name(bpf->programs[index].program);
	*hook = bpf_program__section_name(bpf->programs[index].program);
	*state = bpf->programs[index].state;
	return 0;
}

int vagus_bpf_map_fd(const struct vagus_bpf *bpf, const char *name)
{
	return bpf_object__find_map_fd_by_name(bpf->object, name);
}

int vagus_map_info(int fd, uint32_t *type, uint32_t *key_size,
		   uint32_t *value_size, uint32_t *entries)
{
	struct bpf_map_info info = { 0 };
	uint32_t length = sizeof(info);
	int ret = bpf_map_get_info_by_fd(fd, &info, &length);

	if (ret)
		return ret;
	*type = info.type;
	*key_size = info.key_size;
	*value_size = info.value_size;
	*entries = info.max_entries;
	return 0;
}

int vagus_map_lookup(int fd, const void *key, void *value)
{
	return bpf_map_lookup_elem(fd, key, value);
}

int vagus_map_update(int fd, const void *key, const void *value)
{
	return bpf_map_update_elem(fd, key, value, BPF_ANY);
}

int vagus_map_delete(int fd, const void *key)
{
	return bpf_map_delete_elem(fd, key);
}

int vagus_cpus(void)
{
	return libbpf_num_possible_cpus();
}

/* Add up the @cpus values of one entry, each of @words words, into @sum. */
static void add_cpus(uint64_t *sum, const uint64_t *values, uint32_t words,
		     uint32_t sum_words, uint32_t cpus)
{
	memcpy(sum, values, words * sizeof(*sum));
	for (uint32_t cpu = 1; cpu < cpus; cpu++) {
		const uint64_t *value = values + (size_t)cpu * words;

		for (uint32_t i = 0; i < sum_words; i++)
			sum[i] += value[i];
		for (uint32_t i = sum_words; i < words; i++)
			if (value[i] > sum[i])
				sum[i] = value[i];
	}
}

/*
 * One call reads all: a batch that is smaller than a bucket of the hash ends
 * in -ENOSPC, and entries that come meanwhile are there at the next reading.
 */
static int read_batch(int fd, void *keys, void *values, uint32_t *count)
{
	uint64_t position[2]; /* u32 for hashes, a whole key for arrays */
	int ret = bpf_map_lookup_batch(fd, NULL, position, keys, values, count, NULL);

	/* The end of the map is told by -ENOENT, with what was read. */
	return ret == -ENOENT ? 0 : ret;
}

int vagus_map_read_percpu(int fd, void *keys, uint64_t *sums, uint32_t entries,
			  uint32_t sum_words)
{
	uint32_t type, key_size, value_size, max_entries, words, count = entries;
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values;
	int ret;

	ret = vagus_map_info(fd, &type, &key_size, &value_size, &max_entries);
	if (ret)
		return ret;
	words = value_size / 8;
	if (cpus < 0 || value_size % 8 || sum_words > words || key_size > 16 ||
	    (type != BPF_MAP_TYPE_PERCPU_HASH && type != BPF_MAP_TYPE_PERCPU_ARRAY))
		return -EINVAL;
	/* Untouched pages of a big allocation cost nothing. */
	values = malloc((size_t)entries * (size_t)cpus * value_size);
	if (!values)
		return -ENOMEM;
	ret = read_batch(fd, keys, values, &count);
	for (uint32_t i = 0; !ret && i < count; i++)
		add_cpus(sums + (size_t)i * words,
			 values + (size_t)i * (size_t)cpus * words, words,
			 sum_words, (uint32_t)cpus);
	free(values);
	return ret ? ret : (int)count;
}
