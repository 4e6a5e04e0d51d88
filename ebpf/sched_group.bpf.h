/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The share of a cgroup: its weight among what is active beside it, times the
 * same of its parent, up to the root, whose share is the machine.  Beside a
 * group stand its active siblings and the runnable tasks of its parent.
 */
#ifndef VAGUS_SCHED_GROUP_BPF_H
#define VAGUS_SCHED_GROUP_BPF_H

#include "sched_state.bpf.h"

/* A scale is computed anew when it is older; between, activity is as it was. */
#define SCALE_TTL_NS 2000000

static __always_inline __u64 cgroup_id(struct cgroup *cgroup)
{
	return cgroup->kn->id;
}

static __always_inline __u32 find_group(struct cgroup *cgroup)
{
	__u64 id = cgroup_id(cgroup);
	__u32 *index = bpf_map_lookup_elem(&group_ids, &id);

	return index ? *index : 0;
}

/* Number and sum of weights in one word: both change at once, without a lock. */
#define MEMBERS_SHIFT 40

/* One of this weight, to be added or taken off; 0 is nobody. */
static __always_inline __s64 member(__u32 weight)
{
	return weight ? (1LL << MEMBERS_SHIFT) + weight : 0;
}

static __always_inline __u64 sum_of(const struct group *group)
{
	return group->members & ((1ULL << MEMBERS_SHIFT) - 1);
}

/* Return what has changed of a group's own part in its parent. */
static __always_inline __s64 recount(struct group *group)
{
	__u32 before, after;

	bpf_spin_lock(&group->lock);
	before = group->counted;
	after = group->members >> MEMBERS_SHIFT ? group->weight : 0;
	group->counted = after;
	bpf_spin_unlock(&group->lock);
	return member(after) - member(before);
}

/* Add members to a group; say whether these were the first or the last. */
static __always_inline bool change_members(struct group *group, __s64 change)
{
	__u64 before = __sync_fetch_and_add(&group->members, change);

	return !(before >> MEMBERS_SHIFT) != !((before + change) >> MEMBERS_SHIFT);
}

/*
 * Bring a group's part in its parent up to date, and so on.  It goes up as a
 * difference, so that orders do not matter: who recounts last sees all before.
 */
static __noinline int pass_up(__u32 index)
{
	int i;

	bpf_for(i, 0, DEPTH_MAX) {
		struct group *group = group_at(index), *parent;
		__s64 change;

		if (!group || group->parent == index)
			break;
		index = group->parent;
		parent = group_at(index);
		change = recount(group);
		if (!parent || !change || !change_members(parent, change))
			break;
	}
	return 0;
}

static __always_inline void group_add(__u32 index, __s64 change)
{
	struct group *group = change ? group_at(index) : NULL;

	if (group && change_members(group, change))
		pass_up(index);
}

static __noinline __u64 compute_scale(struct group *group, __u32 index)
{
	__u64 scale = SCALE_ONE;

	for (int i = 0; i < DEPTH_MAX; i++) {
		struct group *parent = group_at(group->parent);

		if (!parent || group->parent == index)
			break;
		scale = scale * max(sum_of(parent), group->weight) / max(group->weight, 1);
		scale = min(scale, SCALE_MAX);
		index = group->parent;
		group = parent;
	}
	return scale;
}

/* Return how much faster than the machine's clock the group's own goes. */
static __always_inline __u64 group_scale(struct group *group, __u32 index, __u64 now)
{
	if (now - group->scale_at > SCALE_TTL_NS || group->scaled_by != own_generation) {
		group->scaled_by = own_generation;
		group->scale = compute_scale(group, index);
		group->scale_at = now;
	}
	return group->scale;
}

static __always_inline __s32 group_init(struct cgroup *cgroup, __u32 weight, bool idle)
{
	__u64 id = cgroup_id(cgroup);
	__u32 index = 0, parent = 0;
	struct group *group;

	if (cgroup->level) {
		__u64 parent_id = BPF_CORE_READ(cgroup, self.parent, cgroup, kn, id);
		__u32 *found = bpf_map_lookup_elem(&group_ids, &parent_id);

		parent = found ? *found : 0;
		/* Out of room: it is counted as a part of its parent. */
		if (bpf_map_pop_elem(&groups_free, &index))
			return bpf_map_update_elem(&group_ids, &id, &parent, BPF_ANY);
	}
	group = group_at(index);
	if (!group)
		return -22; /* EINVAL */
	group->id = id;
	group->parent = parent;
	group->weight = weight;
	group->idle = idle;
	group->members = group->counted = 0;
	group->scale_at = 0;
	for (int i = 0; i < CLOCKS; i++)
		group->vtime[i] = clocks[i];
	return bpf_map_update_elem(&group_ids, &id, &index, BPF_ANY);
}

static __always_inline void group_exit(struct cgroup *cgroup)
{
	__u64 id = cgroup_id(cgroup);
	__u32 index = find_group(cgroup);
	struct group *group = group_at(index);

	bpf_map_delete_elem(&group_ids, &id);
	if (index && group && group->id == id)
		bpf_map_push_elem(&groups_free, &index, 0);
}

static __always_inline void group_weight(struct cgroup *cgroup, __u32 weight)
{
	__u32 index = find_group(cgroup);
	struct group *group = group_at(index);

	if (!group || group->id != cgroup_id(cgroup))
		return;
	group->weight = weight;
	pass_up(index);
	__sync_fetch_and_add(&own_generation, 1);
}

/* Say whether the group or one above it has cpu.idle set. */
static __always_inline bool group_idle(__u32 index)
{
	for (int i = 0; i < DEPTH_MAX; i++) {
		struct group *group = group_at(index);

		if (!group || group->idle)
			return group;
		if (group->parent == index)
			return false;
		index = group->parent;
	}
	return false;
}

#endif
