// SPDX-License-Identifier: GPL-2.0-only
/* Memory trouble: faults that wait for a device, refaults, OOM kills. */
#include "common.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 512);
	__type(key, struct vagus_stat_key);
	__type(value, struct vagus_memory_stat);
} memory_stats SEC(".maps");

/* Tasks inside the OOM killer, and the cgroup that is out of memory. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} oom_scopes SEC(".maps");

static const struct vagus_memory_stat zero;

static __always_inline struct vagus_memory_stat *memory_stat(struct task_struct *task)
{
	struct vagus_stat_key key = { .cgroup_id = workload_of(task) };

	return key.cgroup_id ? stat_of(&memory_stats, &key, &zero) : NULL;
}

/*
 * A fault had to wait for a device: 0 to 10,000 a second.  The software event
 * is raised by these faults alone; a minor one does not come here.
 */
SEC("perf_event")
int memory_major_fault(struct bpf_perf_event_data *context)
{
	struct vagus_memory_stat *stat = memory_stat(bpf_get_current_task_btf());

	if (stat)
		stat->major_faults++;
	return 0;
}

/* A page that was swapped out is touched: 0 to 50,000 a second while swapping. */
SEC("fexit/do_swap_page")
int BPF_PROG(memory_swapin, struct vm_fault *fault, vm_fault_t result)
{
	struct vagus_memory_stat *stat;

	if (!(result & VM_FAULT_MAJOR))
		return 0;
	stat = memory_stat(bpf_get_current_task_btf());
	if (stat)
		stat->swapins++;
	return 0;
}

static __always_inline __u64 folio_pages(struct folio *folio)
{
	__u64 flags, order;

	/* The first word on every kernel, whatever its type is called there. */
	if (bpf_probe_read_kernel(&flags, sizeof(flags), folio) ||
	    !(flags >> bpf_core_enum_value(enum pageflags, PG_head) & 1))
		return 1;
	/* As folio_large_order() of Linux include/linux/mm.h. */
	order = BPF_CORE_READ(folio, _flags_1) & 0xff;
	return order < 32 ? 1ULL << order : 1;
}

/* An evicted folio is needed again: 0 to 50,000 a second while thrashing. */
SEC("fentry/workingset_refault")
int BPF_PROG(memory_refault, struct folio *folio)
{
	struct vagus_memory_stat *stat = memory_stat(bpf_get_current_task_btf());

	if (stat)
		stat->refaults += folio_pages(folio);
	return 0;
}

/* The OOM killer starts: rare. */
SEC("fentry/out_of_memory")
int BPF_PROG(memory_oom_begin, struct oom_control *control)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	__u64 scope = BPF_CORE_READ(control, memcg, css.cgroup, kn, id);

	bpf_map_update_elem(&oom_scopes, &tid, &scope, BPF_ANY);
	return 0;
}

/* The OOM killer ends: rare. */
SEC("fexit/out_of_memory")
int BPF_PROG(memory_oom_end)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&oom_scopes, &tid);
	return 0;
}

/* Resident pages as far as they are added up; CPUs hold back a few each. */
static __always_inline __u64 resident_pages(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	__s64 pages = BPF_CORE_READ(mm, rss_stat[MM_FILEPAGES].count) +
		      BPF_CORE_READ(mm, rss_stat[MM_ANONPAGES].count) +
		      BPF_CORE_READ(mm, rss_stat[MM_SHMEMPAGES].count);

	return pages > 0 ? pages : 0;
}

/* A process is chosen to be killed: rare. */
SEC("tp_btf/mark_victim")
int BPF_PROG(memory_oom_kill, struct task_struct *victim)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	__u64 *scope = bpf_map_lookup_elem(&oom_scopes, &tid);
	struct vagus_memory_stat *stat = memory_stat(victim);
	struct vagus_event *event;

	if (stat)
		stat->oom_kills++;
	if (!is_wanted(VAGUS_EVENT_OOM))
		return 0;
	event = reserve(sizeof(*event));
	if (!event)
		return 0;
	fill_event(event, VAGUS_EVENT_OOM, victim, workload_of(victim));
	event->value = resident_pages(victim);
	event->extra = scope ? *scope : 0;
	submit(event, true);
	return 0;
}
