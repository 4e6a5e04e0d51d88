// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may be in a message, and messages that say the same thing several times.
 *
 * They are parsed here and not by generic netlink, for two reasons: leases and
 * workloads repeat, and an unknown attribute is -EOPNOTSUPP.
 */
#include <linux/capability.h>
#include <linux/ctype.h>
#include <net/genetlink.h>

#include "attrs.h"

/* One array of parsed attributes serves both kinds of nest. */
static_assert((int)VAGUS_L_MAX >= (int)VAGUS_W_MAX);

/* ---- policies: ranges first ---- */

static int check_ttl(const struct nlattr *attr, struct netlink_ext_ack *extack)
{
	u32 ttl_ms = nla_get_u32(attr);

	if (ttl_ms >= VAGUS_TTL_MIN_MS && ttl_ms <= VAGUS_TTL_MAX_MS)
		return 0;
	NL_SET_ERR_MSG_ATTR_FMT(extack, attr, "time to live must be %u to %u ms",
				VAGUS_TTL_MIN_MS, VAGUS_TTL_MAX_MS);
	return -ERANGE;
}

static int check_text(const struct nlattr *attr, struct netlink_ext_ack *extack)
{
	const char *text = nla_data(attr);
	size_t len = strlen(text);

	if (len >= VAGUS_VALUE_LEN) {
		NL_SET_ERR_MSG_ATTR_FMT(extack, attr, "value longer than %u bytes",
					VAGUS_VALUE_LEN - 1);
		return -E2BIG;
	}
	for (; *text; text++) {
		if (iscntrl(*text) && *text != '\t') {
			NL_SET_ERR_MSG_ATTR(extack, attr, "control character in a value");
			return -EINVAL;
		}
	}
	return 0;
}

const struct nla_policy vagus_lease_policy[VAGUS_L_MAX + 1] = {
	[VAGUS_L_ID] = { .type = NLA_U64 },
	[VAGUS_L_KIND] = NLA_POLICY_MAX(NLA_U32, VAGUS_LEASE_KIND_MAX),
	[VAGUS_L_FD] = NLA_POLICY_MIN(NLA_S32, 0),
	[VAGUS_L_VALUE] = NLA_POLICY_VALIDATE_FN(NLA_NUL_STRING, check_text),
	[VAGUS_L_RESTORE] = NLA_POLICY_VALIDATE_FN(NLA_NUL_STRING, check_text),
	[VAGUS_L_TTL_MS] = NLA_POLICY_VALIDATE_FN(NLA_U32, check_ttl),
	[VAGUS_L_PIDFD] = NLA_POLICY_MIN(NLA_S32, 0),
	[VAGUS_L_TID] = NLA_POLICY_MIN(NLA_U32, 1),
	[VAGUS_L_COOKIE] = { .type = NLA_U64 },
};

const struct nla_policy vagus_workload_policy[VAGUS_W_MAX + 1] = {
	[VAGUS_W_CGROUP_ID] = NLA_POLICY_MIN(NLA_U64, 1),
};

/* From a microsecond, below which the ring would only tell of itself. */
static const struct netlink_range_validation threshold_range = {
	.min = NSEC_PER_USEC,
	.max = U64_MAX,
};

const struct nla_policy vagus_config_policy[VAGUS_A_MAX + 1] = {
	[VAGUS_A_RUNQ_THRESHOLD_NS] = NLA_POLICY_FULL_RANGE(NLA_U64, &threshold_range),
	[VAGUS_A_RECLAIM_THRESHOLD_NS] = NLA_POLICY_FULL_RANGE(NLA_U64, &threshold_range),
	[VAGUS_A_RATE_PER_S] = { .type = NLA_U32 },
};

/* What is in the nests is checked one by one, in each(). */
static const struct nla_policy batch_policy[VAGUS_A_MAX + 1] = {
	[VAGUS_A_LEASE] = { .type = NLA_NESTED },
	[VAGUS_A_WORKLOAD] = { .type = NLA_NESTED },
};

/* Of commands without attributes; and so that generic netlink lets all pass. */
const struct nla_policy vagus_empty_policy[VAGUS_A_MAX + 1] = {};

/* ---- parsing ---- */

/* What a policy does not name is unknown: the command has no use for it. */
static int check_known(const struct nlattr *head, int len, int max,
		       const struct nla_policy *policy, struct netlink_ext_ack *extack)
{
	const struct nlattr *attr;
	int rest;

	nla_for_each_attr(attr, head, len, rest) {
		int type = nla_type(attr);

		if (type > max || policy[type].type == NLA_UNSPEC) {
			NL_SET_ERR_MSG_ATTR_FMT(extack, attr,
						"attribute %d is unknown to this command",
						type);
			return -EOPNOTSUPP;
		}
	}
	return 0;
}

/**
 * vagus_attrs_parse - the top-level attributes of a command
 * @info: the message
 * @policy: of the command; what it does not name is refused
 * @attrs: VAGUS_A_MAX + 1; set
 */
int vagus_attrs_parse(const struct genl_info *info, const struct nla_policy *policy,
		      struct nlattr **attrs)
{
	const struct nlattr *head = genlmsg_data(info->genlhdr);
	int len = genlmsg_len(info->genlhdr);
	int err = check_known(head, len, VAGUS_A_MAX, policy, info->extack);

	if (err)
		return err;
	return nla_parse(attrs, VAGUS_A_MAX, head, len, policy, info->extack);
}

/**
 * vagus_attrs_flags - refuse flags that a command does not know
 * @nlh: head of the message
 * @known: those that it knows
 * @extack: for the words
 */
int vagus_attrs_flags(const struct nlmsghdr *nlh, int known, struct netlink_ext_ack *extack)
{
	int unknown = nlh->nlmsg_flags & ~known;

	if (!unknown)
		return 0;
	NL_SET_ERR_MSG_FMT(extack, "flags 0x%x are unknown to this command", unknown);
	return -EOPNOTSUPP;
}

/**
 * vagus_attrs_dump - a dump takes no attributes, and no flags but its own
 * @cb: of the dump
 *
 * One that is begun and not read to its end keeps the module loaded: not everybody
 * may do that.
 */
int vagus_attrs_dump(const struct netlink_callback *cb)
{
	int err = vagus_attrs_flags(cb->nlh, VAGUS_FLAGS_KNOWN | NLM_F_DUMP, cb->extack);

	if (err)
		return err;
	if (!netlink_capable(cb->skb, CAP_SYS_ADMIN)) {
		NL_SET_ERR_MSG(cb->extack, "CAP_SYS_ADMIN is needed");
		return -EPERM;
	}
	if (!nlmsg_attrlen(cb->nlh, GENL_HDRLEN))
		return 0;
	NL_SET_ERR_MSG(cb->extack, "an attribute is unknown to this command: it takes none");
	return -EOPNOTSUPP;
}

static int parse_nest(const struct nlattr *nest, int max, const struct nla_policy *policy,
		      struct nlattr **attrs, struct netlink_ext_ack *extack)
{
	int err = check_known(nla_data(nest), nla_len(nest), max, policy, extack);

	if (err)
		return err;
	return nla_parse_nested(attrs, max, nest, policy, extack);
}

static int each(struct genl_info *info, const struct vagus_batch *batch,
		vagus_each_fn fn, void *data)
{
	struct nlattr *attrs[VAGUS_L_MAX + 1];
	const struct nlattr *attr;
	int rest, err;

	nla_for_each_attr(attr, genlmsg_data(info->genlhdr), genlmsg_len(info->genlhdr),
			  rest) {
		if (nla_type(attr) != batch->type)
			continue;
		err = parse_nest(attr, batch->max, batch->policy, attrs, info->extack);
		if (!err)
			err = fn(attrs, info, data);
		if (err)
			return err;
	}
	return 0;
}

static int count_nests(const struct genl_info *info, int type)
{
	const struct nlattr *attr;
	int rest, nests = 0;

	nla_for_each_attr(attr, genlmsg_data(info->genlhdr), genlmsg_len(info->genlhdr),
			  rest)
		nests += nla_type(attr) == type;
	return nests;
}

/**
 * vagus_attrs_answer - begin an answer
 * @info: what is answered
 * @bytes: room for attributes
 * @head: for genlmsg_end()
 *
 * Return: NULL when there is no memory.
 */
struct sk_buff *vagus_attrs_answer(struct genl_info *info, size_t bytes, void **head)
{
	struct sk_buff *skb = genlmsg_new(bytes, GFP_KERNEL);

	if (!skb)
		return NULL;
	*head = genlmsg_put_reply(skb, info, info->family, 0, info->genlhdr->cmd);
	if (*head)
		return skb;
	nlmsg_free(skb);
	return NULL;
}

/**
 * vagus_attrs_batch - check all, make room for the answer, and only then do all
 * @info: the message
 * @batch: what it repeats, and what is to be done
 * @item_bytes: most that one adds to the answer
 */
int vagus_attrs_batch(struct genl_info *info, const struct vagus_batch *batch,
		      size_t item_bytes)
{
	struct nlattr *attrs[VAGUS_A_MAX + 1];
	struct sk_buff *answer;
	void *head;
	int nests, other, err;

	err = vagus_attrs_parse(info, batch_policy, attrs);
	if (err)
		return err;
	other = batch->type == VAGUS_A_LEASE ? VAGUS_A_WORKLOAD : VAGUS_A_LEASE;
	if (attrs[other]) {
		NL_SET_ERR_MSG_ATTR_FMT(info->extack, attrs[other],
					"attribute %d is unknown to this command", other);
		return -EOPNOTSUPP;
	}
	nests = count_nests(info, batch->type);
	if (!nests || nests > VAGUS_BATCH_MAX) {
		NL_SET_ERR_MSG_FMT(info->extack, "1 to %u in one message, not %d",
				   VAGUS_BATCH_MAX, nests);
		return nests ? -E2BIG : -EINVAL;
	}
	err = each(info, batch, batch->check, NULL);
	if (err)
		return err;
	answer = vagus_attrs_answer(info, nests * (item_bytes + nla_total_size(0)), &head);
	if (!answer)
		return -ENOMEM;
	err = each(info, batch, batch->act, answer);
	if (err) {
		nlmsg_free(answer);
		return err;
	}
	genlmsg_end(answer, head);
	return genlmsg_reply(answer, info);
}

/**
 * vagus_attrs_need - refuse what lacks an attribute
 * @info: the message
 * @attrs: parsed
 * @type: of the attribute
 * @name: what to call it
 */
int vagus_attrs_need(struct genl_info *info, struct nlattr **attrs, int type,
		     const char *name)
{
	if (attrs[type])
		return 0;
	NL_SET_ERR_MSG_FMT(info->extack, "%s is missing", name);
	return -EINVAL;
}
