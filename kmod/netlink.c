// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family: what each command does, and what it answers.
 *
 * A message is checked whole before any of it is done (attrs.c); after that each
 * lease or workload has its own error in the answer.
 *
 * Commands run in parallel: a knob that takes long holds up its owner alone.
 */
#include <linux/capability.h>
#include <linux/cleanup.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <net/genetlink.h>

#include "attrs.h"
#include "lease.h"
#include "netlink.h"
#include "ring.h"
#include "sense.h"
#include "table.h"

/* Most bytes that one workload adds to an answer. */
#define WORKLOAD_BYTES	(5 * nla_total_size_64bit(8))

/* ---- workloads ---- */

static int check_workload(struct nlattr **attrs, struct genl_info *info, void *data)
{
	return vagus_attrs_need(info, attrs, VAGUS_W_CGROUP_ID, "the cgroup's id");
}

static int put_workload(struct sk_buff *skb, u64 cgroup_id, u32 slot, u32 generation,
			int err)
{
	struct nlattr *nest = nla_nest_start(skb, VAGUS_A_WORKLOAD);

	if (!nest || nla_put_u64_64bit(skb, VAGUS_W_CGROUP_ID, cgroup_id, VAGUS_W_PAD))
		return -EMSGSIZE;
	if (err && nla_put_s32(skb, VAGUS_W_ERROR, err))
		return -EMSGSIZE;
	if (slot != U32_MAX && (nla_put_u32(skb, VAGUS_W_SLOT, slot) ||
				nla_put_u32(skb, VAGUS_W_GENERATION, generation)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int do_track(struct nlattr **attrs, struct genl_info *info, void *answer)
{
	u64 id = nla_get_u64(attrs[VAGUS_W_CGROUP_ID]);
	u32 slot, generation;
	int err = vagus_table_track(id, &slot, &generation);

	return put_workload(answer, id, err ? U32_MAX : slot, generation, err);
}

static int do_untrack(struct nlattr **attrs, struct genl_info *info, void *answer)
{
	u64 id = nla_get_u64(attrs[VAGUS_W_CGROUP_ID]);

	return put_workload(answer, id, U32_MAX, 0, vagus_table_untrack(id));
}

static const struct vagus_batch track_batch = {
	VAGUS_A_WORKLOAD, VAGUS_W_MAX, vagus_workload_policy, check_workload, do_track
};

static const struct vagus_batch untrack_batch = {
	VAGUS_A_WORKLOAD, VAGUS_W_MAX, vagus_workload_policy, check_workload, do_untrack
};

static int cmd_track(struct sk_buff *skb, struct genl_info *info)
{
	return vagus_attrs_batch(info, &track_batch, WORKLOAD_BYTES);
}

static int cmd_untrack(struct sk_buff *skb, struct genl_info *info)
{
	return vagus_attrs_batch(info, &untrack_batch, WORKLOAD_BYTES);
}

static int dump_tracked(struct sk_buff *skb, struct netlink_callback *cb)
{
	u32 slot = cb->args[0], generation;
	bool is_done = true;
	u64 id;
	int err = vagus_attrs_dump(cb);

	if (err)
		return err;
	for (; vagus_table_next(&slot, &id, &generation); slot++) {
		void *head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
					 cb->nlh->nlmsg_seq, &vagus_family, NLM_F_MULTI,
					 VAGUS_CMD_TRACKED);

		err = vagus_table_alive(id) ? 0 : -ENOENT;
		if (!head || put_workload(skb, id, slot, generation, err)) {
			if (head)
				genlmsg_cancel(skb, head);
			is_done = false;
			break;
		}
		genlmsg_end(skb, head);
	}
	cb->args[0] = slot;
	/* All that is left fits: the dump ends with it, and lets go of the module. */
	return is_done ? 0 : skb->len;
}

/* ---- the module itself ---- */

static int put_counts(struct sk_buff *skb)
{
	struct vagus_lease_counts counts = vagus_lease_count();
	const struct { int type; u64 value; } counters[] = {
		{ VAGUS_A_EVENTS, vagus_ring_events() },
		{ VAGUS_A_DROPS, vagus_ring_drops() },
		{ VAGUS_A_LIMITED, vagus_sense_limited() },
		{ VAGUS_A_GRANTED, counts.granted },
		{ VAGUS_A_RENEWED, counts.renewed },
		{ VAGUS_A_RESTORED, counts.restored },
		{ VAGUS_A_LOST, counts.lost },
		{ VAGUS_A_FAILED, counts.failed },
		{ VAGUS_A_SWITCHES, vagus_sense_switches() },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(counters); i++)
		if (nla_put_u64_64bit(skb, counters[i].type, counters[i].value,
				      VAGUS_A_PAD))
			return -EMSGSIZE;
	return nla_put_u32(skb, VAGUS_A_LIVE, counts.live);
}

static int put_info(struct sk_buff *skb)
{
	struct vagus_sense_config config = vagus_sense_get();

	if (nla_put_u32(skb, VAGUS_A_ABI, VAGUS_ABI_VERSION) ||
	    nla_put_u32(skb, VAGUS_A_SLOTS, vagus_table_slots()) ||
	    nla_put_u32(skb, VAGUS_A_TRACKED, vagus_table_tracked()) ||
	    nla_put_u32(skb, VAGUS_A_RING_BYTES, vagus_ring_bytes()) ||
	    nla_put_u64_64bit(skb, VAGUS_A_RUNQ_THRESHOLD_NS, config.runq_ns, VAGUS_A_PAD) ||
	    nla_put_u64_64bit(skb, VAGUS_A_RECLAIM_THRESHOLD_NS, config.reclaim_ns,
			      VAGUS_A_PAD) ||
	    nla_put_u32(skb, VAGUS_A_RATE_PER_S, config.rate_per_s))
		return -EMSGSIZE;
	return put_counts(skb);
}

static int cmd_info(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *attrs[VAGUS_A_MAX + 1];
	struct sk_buff *answer;
	void *head;
	int err = vagus_attrs_parse(info, vagus_empty_policy, attrs);

	if (err)
		return err;
	answer = vagus_attrs_answer(info, NLMSG_GOODSIZE, &head);
	if (!answer)
		return -ENOMEM;
	err = put_info(answer);
	if (err) {
		nlmsg_free(answer);
		return err;
	}
	genlmsg_end(answer, head);
	return genlmsg_reply(answer, info);
}

static int cmd_config(struct sk_buff *skb, struct genl_info *info)
{
	/* Commands run in parallel: what this one does not name is to stay. */
	static DEFINE_MUTEX(changing);
	struct vagus_sense_config config;
	struct nlattr *attrs[VAGUS_A_MAX + 1];
	int err = vagus_attrs_parse(info, vagus_config_policy, attrs);

	if (err)
		return err;
	guard(mutex)(&changing);
	config = vagus_sense_get();
	if (attrs[VAGUS_A_RUNQ_THRESHOLD_NS])
		config.runq_ns = nla_get_u64(attrs[VAGUS_A_RUNQ_THRESHOLD_NS]);
	if (attrs[VAGUS_A_RECLAIM_THRESHOLD_NS])
		config.reclaim_ns = nla_get_u64(attrs[VAGUS_A_RECLAIM_THRESHOLD_NS]);
	if (attrs[VAGUS_A_RATE_PER_S])
		config.rate_per_s = nla_get_u32(attrs[VAGUS_A_RATE_PER_S]);
	vagus_sense_set(&config);
	return 0;
}

/* ---- the family ---- */

/* GENL_ADMIN_PERM would be content with CAP_NET_ADMIN; it is not asked for dumps. */
static int may(const struct genl_split_ops *ops, struct sk_buff *skb,
	       struct genl_info *info)
{
	int err = vagus_attrs_flags(info->nlhdr, VAGUS_FLAGS_KNOWN, info->extack);

	if (err)
		return err;
	if (ops->cmd == VAGUS_CMD_INFO || netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(info->extack, "CAP_SYS_ADMIN is needed");
	return -EPERM;
}

/* Nothing is parsed for us: see the top of this file. */
#define OWN_PARSER	(GENL_DONT_VALIDATE_STRICT | GENL_DONT_VALIDATE_DUMP)
#define DO(command, function) { .cmd = (command), .validate = OWN_PARSER, .doit = (function) }
#define DUMP(command, function) { .cmd = (command), .validate = OWN_PARSER, .dumpit = (function) }

static const struct genl_small_ops ops[] = {
	DO(VAGUS_CMD_INFO, cmd_info),
	DO(VAGUS_CMD_TRACK, cmd_track),
	DO(VAGUS_CMD_UNTRACK, cmd_untrack),
	DUMP(VAGUS_CMD_TRACKED, dump_tracked),
	DO(VAGUS_CMD_GRANT, vagus_cmd_grant),
	DO(VAGUS_CMD_RENEW, vagus_cmd_renew),
	DO(VAGUS_CMD_REVOKE, vagus_cmd_revoke),
	DUMP(VAGUS_CMD_LEASES, vagus_dump_leases),
	DO(VAGUS_CMD_OFF, vagus_cmd_off),
	DO(VAGUS_CMD_CONFIG, cmd_config),
};

static const struct genl_multicast_group groups[] = {
	{ .name = VAGUS_GENL_GROUP, .flags = GENL_MCAST_CAP_SYS_ADMIN },
};

struct genl_family vagus_family __ro_after_init = {
	.name = VAGUS_GENL_NAME,
	.version = VAGUS_ABI_VERSION,
	.module = THIS_MODULE,
	.maxattr = VAGUS_A_MAX,
	.policy = vagus_empty_policy,
	/* Below it a family may have a parser of its own. */
	.resv_start_op = __VAGUS_CMD_AFTER_LAST,
	.parallel_ops = true,
	.pre_doit = may,
	.small_ops = ops,
	.n_small_ops = ARRAY_SIZE(ops),
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
};

/**
 * vagus_netlink_init - register the family: from now on commands come
 */
int vagus_netlink_init(void)
{
	return genl_register_family(&vagus_family);
}

/**
 * vagus_netlink_exit - unregister the family; no command runs when it returns
 */
void vagus_netlink_exit(void)
{
	genl_unregister_family(&vagus_family);
}
