// SPDX-License-Identifier: GPL-2.0-only
/*
 * Block requests: how long they wait and how long the device takes, for each
 * workload and operation.  Any request-based device: virtio-blk, NVMe, SCSI,
 * null_blk; what lies above (device mapper, md) is seen at the device below.
 *
 * Whose request: the cgroup that the bio was charged to, since writeback is
 * submitted by kernel threads; where the io controller does not reach down to
 * the workload, the task that submitted it.
 */
#include "common.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* One request on its way, from its creation to its completion. */
struct flight {
	__u64 workload;
	__u64 created_ns;
	__u64 issued_ns;
	__u64 bytes;
	__u32 op;
	__u32 tgid;
	__u32 tid;
	__u32 pad;
	char comm[VAGUS_COMM_LEN];
};

/*
 * Requests on their way, by address.  A request that is merged away leaves its
 * entry until the address is used again, which bounds them by the tags.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct flight);
} flights SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct vagus_stat_key);
	__type(value, struct vagus_block_stat);
} block_stats SEC(".maps");

static const struct vagus_block_stat zero;

/* Requests slower than this go to the ring, ns from issue to completion. */
const volatile __u64 outlier_ns = 100000000;

/* Linux include/linux/blk_types.h: REQ_OP_MASK */
#define OP_MASK 0xff

static __always_inline __u32 op_of(struct request *request)
{
	switch (request->cmd_flags & OP_MASK) {
	case REQ_OP_READ:
		return VAGUS_BLOCK_READ;
	case REQ_OP_WRITE:
	case REQ_OP_ZONE_APPEND:
		return VAGUS_BLOCK_WRITE;
	default:
		return VAGUS_BLOCK_OTHER;
	}
}

static __always_inline __u64 request_workload(struct request *request)
{
	/* What is read through a null pointer here is 0. */
	struct cgroup *charged = request->bio->bi_blkg->blkcg->css.cgroup;
	__u64 workload = charged ? tracked_ancestor(charged) : 0;

	return workload ?: workload_of(bpf_get_current_task_btf());
}

/*
 * A request is made, by the task that wants it or for it: up to what the
 * device can do, 100,000 a second on NVMe.  Untracked ones end here.
 */
SEC("tp_btf/block_io_start")
int BPF_PROG(block_start, struct request *request)
{
	__u64 address = (__u64)request;
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct flight flight = {
		.workload = request_workload(request),
		.created_ns = bpf_ktime_get_ns(),
		.op = op_of(request),
		.tgid = pid_tgid >> 32,
		.tid = (__u32)pid_tgid,
	};

	if (!flight.workload) {
		/* The address may be that of an earlier, merged request. */
		bpf_map_delete_elem(&flights, &address);
		return 0;
	}
	bpf_get_current_comm(flight.comm, sizeof(flight.comm));
	if (bpf_map_update_elem(&flights, &address, &flight, BPF_ANY))
		count(VAGUS_COUNTER_REQUESTS_FULL);
	return 0;
}

/* A request goes to the device, again after a requeue: as often as above. */
SEC("tp_btf/block_rq_issue")
int BPF_PROG(block_issue, struct request *request)
{
	__u64 address = (__u64)request;
	struct flight *flight = bpf_map_lookup_elem(&flights, &address);

	if (flight)
		flight->issued_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline void count_request(const struct flight *flight, __u64 now_ns)
{
	struct vagus_stat_key key = { .cgroup_id = flight->workload, .op = flight->op };
	struct vagus_block_stat *stat = stat_of(&block_stats, &key, &zero);
	__u64 device_ns = now_ns - flight->issued_ns;
	__u64 queue_ns = flight->issued_ns - flight->created_ns;
	__u32 bucket;

	if (!stat)
		return;
	stat->requests++;
	stat->bytes += flight->bytes;
	stat->device_sum_ns += device_ns;
	stat->queue_sum_ns += queue_ns;
	if (device_ns > stat->device_max_ns)
		stat->device_max_ns = device_ns;
	if (queue_ns > stat->queue_max_ns)
		stat->queue_max_ns = queue_ns;
	bucket = hist_bucket(device_ns);
	if (bucket < VAGUS_HIST_BUCKETS)
		stat->device_hist[bucket]++;
	bucket = hist_bucket(queue_ns);
	if (bucket < VAGUS_HIST_BUCKETS)
		stat->queue_hist[bucket]++;
}

static __always_inline void tell_outlier(const struct flight *flight, __u64 now_ns)
{
	struct vagus_event *event;

	if (now_ns - flight->issued_ns < outlier_ns || !is_wanted(VAGUS_EVENT_BLOCK))
		return;
	event = reserve(sizeof(*event));
	if (!event)
		return;
	event->time_ns = now_ns;
	event->cgroup_id = flight->workload;
	event->type = VAGUS_EVENT_BLOCK;
	event->cpu = bpf_get_smp_processor_id();
	event->tgid = flight->tgid;
	event->tid = flight->tid;
	event->value = now_ns - flight->issued_ns;
	event->extra = flight->bytes;
	__builtin_memcpy(event->comm, flight->comm, sizeof(event->comm));
	submit(event, true);
}

/*
 * A request, or a part of it, is done; in the device's interrupt: as often as
 * above and a little more.
 */
SEC("tp_btf/block_rq_complete")
int BPF_PROG(block_complete, struct request *request, blk_status_t error,
	     unsigned int bytes)
{
	__u64 address = (__u64)request;
	struct flight *flight = bpf_map_lookup_elem(&flights, &address);
	__u64 now_ns;

	if (!flight)
		return 0;
	flight->bytes += bytes;
	/* What is left still counts the part that is now done. */
	if (bytes < request->__data_len)
		return 0;
	now_ns = bpf_ktime_get_ns();
	if (flight->issued_ns) {
		count_request(flight, now_ns);
		tell_outlier(flight, now_ns);
	}
	bpf_map_delete_elem(&flights, &address);
	return 0;
}
