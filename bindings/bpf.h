/* SPDX-License-Identifier: MIT */
/*
 * Load one CO-RE object through libbpf and read its maps.
 *
 * Every call that fails returns a negative errno; what libbpf had to say is in
 * vagus_bpf_log() until the next call on the same object: the last 16 KiB of it.
 */
#ifndef VAGUS_BPF_H
#define VAGUS_BPF_H

#ifndef VAGUS_CDEF
#include <stddef.h>
#include <stdint.h>
#endif

struct vagus_bpf;

/*
 * Read the object file; nothing is loaded yet.  On failure *ret may still be
 * set, for its log; close it in any case.
 */
int vagus_bpf_open(const char *path, struct vagus_bpf **ret);
void vagus_bpf_close(struct vagus_bpf *bpf);
const char *vagus_bpf_log(const struct vagus_bpf *bpf);

/* Before load: give a const volatile integer another value. */
int vagus_bpf_set_option(struct vagus_bpf *bpf, const char *name, uint64_t value);
/* Before load: use another object's map in the place of our @name. */
int vagus_bpf_reuse_map(struct vagus_bpf *bpf, const char *name, int fd);
int vagus_bpf_resize_map(struct vagus_bpf *bpf, const char *name,
			 uint32_t entries);
/* Before load: leave a program out. */
int vagus_bpf_leave_out(struct vagus_bpf *bpf, const char *program);

/*
 * Load.  Programs whose hook this kernel does not have are left out and named
 * by vagus_bpf_program().
 */
int vagus_bpf_load(struct vagus_bpf *bpf);
/*
 * Attach every program that was loaded; one that cannot be attached is noted,
 * the others go on.  Programs of type perf_event are attached to the software
 * event of major page faults on every CPU.  Return how many are attached.
 */
int vagus_bpf_attach(struct vagus_bpf *bpf);

/*
 * Attach a struct_ops map of the loaded object, as a sched_ext scheduler is;
 * vagus_bpf_close() or vagus_bpf_detach_ops() takes it back.
 */
int vagus_bpf_attach_ops(struct vagus_bpf *bpf, const char *map);
void vagus_bpf_detach_ops(struct vagus_bpf *bpf);

/*
 * Before load: give an integer field of the struct sched_ext_ops map @name
 * another value.
 */
int vagus_bpf_set_ops(struct vagus_bpf *bpf, const char *name, const char *field,
		      uint64_t value);
/*
 * Name, hook and state of the program at @index: 0 attached or still to be, or
 * a negative errno saying why it is left out.  Return -ENOENT after the last.
 */
int vagus_bpf_program(const struct vagus_bpf *bpf, uint32_t index,
		      const char **name, const char **hook, int *state);

/* The descriptor stays the object's. */
int vagus_bpf_map_fd(const struct vagus_bpf *bpf, const char *name);
/* Set @type, @key_size, @value_size and @entries of a map by its descriptor. */
int vagus_map_info(int fd, uint32_t *type, uint32_t *key_size,
		   uint32_t *value_size, uint32_t *entries);
/* @value has room for the value; of a per-CPU map, for all CPUs' values. */
int vagus_map_lookup(int fd, const void *key, void *value);
int vagus_map_update(int fd, const void *key, const void *value);
int vagus_map_delete(int fd, const void *key);

/*
 * Read a per-CPU hash or array whose value is made of u64 words, in batches.
 * @keys: room for @entries keys
 * @sums: room for @entries values; the first @sum_words words are added up over
 *	CPUs, of the others the largest is taken
 * Return how many entries there are, or a negative errno.
 */
int vagus_map_read_percpu(int fd, void *keys, uint64_t *sums, uint32_t entries,
			  uint32_t sum_words);
/* CPUs that a per-CPU value has room for. */
int vagus_cpus(void);

#endif
