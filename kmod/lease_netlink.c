// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the netlink family does with leases: its commands, the dump, the events.
 */
#include <linux/slab.h>
#include <net/genetlink.h>

#include "attrs.h"
#include "lease.h"
#include "netlink.h"

/* Most bytes that one lease adds to an answer or event. */
#define LEASE_BYTES	(3 * nla_total_size(VAGUS_VALUE_LEN) + \
			 nla_total_size(VAGUS_PATH_LEN) + \
			 nla_total_size(VAGUS_WHY_LEN) + 16 * nla_total_size_64bit(8))

static u32 kind_of(struct nlattr **attrs)
{
	return attrs[VAGUS_L_KIND] ? nla_get_u32(attrs[VAGUS_L_KIND]) : VAGUS_LEASE_KNOB;
}

static int check_grant(struct nlattr **attrs, struct genl_info *info, void *data)
{
	int err = vagus_attrs_need(info, attrs, VAGUS_L_VALUE, "the value");

	if (!err)
		err = vagus_attrs_need(info, attrs, VAGUS_L_TTL_MS, "the time to live");
	if (err)
		return err;
	if (kind_of(attrs) == VAGUS_LEASE_KNOB)
		return vagus_attrs_need(info, attrs, VAGUS_L_FD, "the knob's descriptor");
	if (attrs[VAGUS_L_RESTORE]) {
		NL_SET_ERR_MSG_ATTR(info->extack, attrs[VAGUS_L_RESTORE],
				    "a thread gets back what it had");
		return -EINVAL;
	}
	err = vagus_attrs_need(info, attrs, VAGUS_L_PIDFD, "the pidfd");
	return err ? err : vagus_attrs_need(info, attrs, VAGUS_L_TID, "the thread id");
}

static int put_granted(struct sk_buff *skb, const struct vagus_granted *granted, int err)
{
	struct nlattr *nest = nla_nest_start(skb, VAGUS_A_LEASE);

	if (!nest ||
	    nla_put_u64_64bit(skb, VAGUS_L_COOKIE, granted->cookie, VAGUS_L_PAD) ||
	    nla_put_string(skb, VAGUS_L_PATH, granted->path))
		return -EMSGSIZE;
	if (err && (nla_put_s32(skb, VAGUS_L_ERROR, err) ||
		    nla_put_string(skb, VAGUS_L_MESSAGE, granted->why)))
		return -EMSGSIZE;
	if (!err && (nla_put_u64_64bit(skb, VAGUS_L_ID, granted->id, VAGUS_L_PAD) ||
		     nla_put_string(skb, VAGUS_L_OLD, granted->old.s) ||
		     nla_put_string(skb, VAGUS_L_VALUE, granted->value.s)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int do_grant(struct nlattr **attrs, struct genl_info *info, void *answer)
{
	struct vagus_granted *granted = kzalloc(sizeof(*granted), GFP_KERNEL);
	struct vagus_request request = {
		.kind = kind_of(attrs),
		.ttl_ms = nla_get_u32(attrs[VAGUS_L_TTL_MS]),
		.value = nla_data(attrs[VAGUS_L_VALUE]),
	};
	int err;

	if (!granted)
		return -ENOMEM;
	if (request.kind == VAGUS_LEASE_KNOB) {
		request.fd = nla_get_s32(attrs[VAGUS_L_FD]);
	} else {
		request.fd = nla_get_s32(attrs[VAGUS_L_PIDFD]);
		request.tid = nla_get_u32(attrs[VAGUS_L_TID]);
	}
	if (attrs[VAGUS_L_RESTORE])
		request.restore = nla_data(attrs[VAGUS_L_RESTORE]);
	if (attrs[VAGUS_L_COOKIE])
		request.cookie = nla_get_u64(attrs[VAGUS_L_COOKIE]);
	err = vagus_lease_grant(info->snd_portid, &request, granted);
	err = put_granted(answer, granted, err);
	kfree(granted);
	return err;
}

static int check_renew(struct nlattr **attrs, struct genl_info *info, void *data)
{
	int err = vagus_attrs_need(info, attrs, VAGUS_L_ID, "the lease's id");

	return err ? err : vagus_attrs_need(info, attrs, VAGUS_L_TTL_MS, "the time to live");
}

static int check_revoke(struct nlattr **attrs, struct genl_info *info, void *data)
{
	return vagus_attrs_need(info, attrs, VAGUS_L_ID, "the lease's id");
}

static const char *lease_words(int err)
{
	switch (err) {
	case 0:
		return "";
	case -ENOENT:
		return "the lease has ended";
	case -EPERM:
		return "the lease is another owner's";
	case -ESTALE:
		return "somebody else has set the knob: the lease is lost";
	case -EAGAIN:
		return "the lease is just being changed";
	default:
		return "what was leased is gone";
	}
}

static int put_lease_error(struct sk_buff *skb, u64 id, int err)
{
	struct nlattr *nest = nla_nest_start(skb, VAGUS_A_LEASE);

	if (!nest || nla_put_u64_64bit(skb, VAGUS_L_ID, id, VAGUS_L_PAD) ||
	    nla_put_s32(skb, VAGUS_L_ERROR, err) ||
	    nla_put_string(skb, VAGUS_L_MESSAGE, lease_words(err)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int do_renew(struct nlattr **attrs, struct genl_info *info, void *answer)
{
	u64 id = nla_get_u64(attrs[VAGUS_L_ID]);
	u32 ttl_ms = nla_get_u32(attrs[VAGUS_L_TTL_MS]);

	return put_lease_error(answer, id, vagus_lease_renew(info->snd_portid, id, ttl_ms));
}

static int do_revoke(struct nlattr **attrs, struct genl_info *info, void *answer)
{
	u64 id = nla_get_u64(attrs[VAGUS_L_ID]);

	return put_lease_error(answer, id, vagus_lease_revoke(info->snd_portid, id));
}

static const struct vagus_batch grant_batch = {
	VAGUS_A_LEASE, VAGUS_L_MAX, vagus_lease_policy, check_grant, do_grant
};

static const struct vagus_batch renew_batch = {
	VAGUS_A_LEASE, VAGUS_L_MAX, vagus_lease_policy, check_renew, do_renew
};

static const struct vagus_batch revoke_batch = {
	VAGUS_A_LEASE, VAGUS_L_MAX, vagus_lease_policy, check_revoke, do_revoke
};

/**
 * vagus_cmd_grant - grant or replace leases, with an answer for each
 * @skb: the message
 * @info: parsed head
 */
int vagus_cmd_grant(struct sk_buff *skb, struct genl_info *info)
{
	return vagus_attrs_batch(info, &grant_batch, LEASE_BYTES);
}

/**
 * vagus_cmd_renew - new deadlines for leases
 * @skb: the message
 * @info: parsed head
 */
int vagus_cmd_renew(struct sk_buff *skb, struct genl_info *info)
{
	return vagus_attrs_batch(info, &renew_batch, LEASE_BYTES);
}

/**
 * vagus_cmd_revoke - end leases, and wait until what they held is back
 * @skb: the message
 * @info: parsed head
 */
int vagus_cmd_revoke(struct sk_buff *skb, struct genl_info *info)
{
	int err = vagus_attrs_batch(info, &revoke_batch, LEASE_BYTES);

	if (!err)
		vagus_lease_settle(info->snd_portid);
	return err;
}

/**
 * vagus_cmd_off - end every lease of every owner, and wait likewise
 * @skb: the message
 * @info: parsed head
 */
int vagus_cmd_off(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *attrs[VAGUS_A_MAX + 1];
	struct sk_buff *answer;
	void *head;
	int err = vagus_attrs_parse(info, vagus_empty_policy, attrs);

	if (err)
		return err;
	answer = vagus_attrs_answer(info, nla_total_size(4), &head);
	if (!answer)
		return -ENOMEM;
	nla_put_u32(answer, VAGUS_A_ENDED, vagus_lease_off());
	vagus_lease_settle(0);
	genlmsg_end(answer, head);
	return genlmsg_reply(answer, info);
}

static int put_view(struct sk_buff *skb, const struct vagus_lease_view *view, bool ended)
{
	struct nlattr *nest = nla_nest_start(skb, VAGUS_A_LEASE);

	if (!nest || nla_put_u64_64bit(skb, VAGUS_L_ID, view->id, VAGUS_L_PAD) ||
	    nla_put_u64_64bit(skb, VAGUS_L_COOKIE, view->cookie, VAGUS_L_PAD) ||
	    nla_put_u32(skb, VAGUS_L_KIND, view->kind) ||
	    nla_put_u32(skb, VAGUS_L_OWNER, view->owner) ||
	    nla_put_string(skb, VAGUS_L_PATH, view->path) ||
	    nla_put_string(skb, VAGUS_L_OLD, view->old.s) ||
	    nla_put_string(skb, VAGUS_L_VALUE, view->value.s))
		return -EMSGSIZE;
	if (!ended && nla_put_u32(skb, VAGUS_L_TTL_MS, view->left_ms))
		return -EMSGSIZE;
	if (ended && (nla_put_string(skb, VAGUS_L_NOW, view->now.s) ||
		      nla_put_u32(skb, VAGUS_L_END, view->end) ||
		      nla_put_u32(skb, VAGUS_L_CAUSE, view->cause) ||
		      nla_put_s32(skb, VAGUS_L_ERROR, view->error) ||
		      nla_put_u64_64bit(skb, VAGUS_L_TIME_NS, view->time_ns, VAGUS_L_PAD) ||
		      nla_put_u64_64bit(skb, VAGUS_L_TOOK_NS, view->took_ns, VAGUS_L_PAD)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/**
 * vagus_dump_leases - the live leases of every owner, by id
 * @skb: to be filled
 * @cb: args[0]: the last id told
 */
int vagus_dump_leases(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct vagus_lease_view *view;
	u64 id = cb->args[0];
	bool is_done = true;
	int err = vagus_attrs_dump(cb);

	if (err)
		return err;
	view = kzalloc(sizeof(*view), GFP_KERNEL);
	if (!view)
		return -ENOMEM;
	while (vagus_lease_next(&id, view)) {
		void *head = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
					 cb->nlh->nlmsg_seq, &vagus_family, NLM_F_MULTI,
					 VAGUS_CMD_LEASES);

		if (!head || put_view(skb, view, false)) {
			if (head)
				genlmsg_cancel(skb, head);
			is_done = false;
			break;
		}
		genlmsg_end(skb, head);
		cb->args[0] = id;
	}
	kfree(view);
	return is_done ? 0 : skb->len;
}

/* ---- events ---- */

/**
 * vagus_netlink_event - make the message that tells of the end of a lease
 * @view: the lease
 *
 * Return: for vagus_netlink_send(); NULL when there was no memory.
 */
struct sk_buff *vagus_netlink_event(const struct vagus_lease_view *view)
{
	struct sk_buff *skb = genlmsg_new(LEASE_BYTES, GFP_KERNEL);
	void *head;

	if (!skb)
		return NULL;
	head = genlmsg_put(skb, 0, 0, &vagus_family, 0, VAGUS_CMD_EVENT);
	if (!head || put_view(skb, view, true)) {
		nlmsg_free(skb);
		return NULL;
	}
	genlmsg_end(skb, head);
	return skb;
}

/**
 * vagus_netlink_send - tell everybody who listens
 * @event: from vagus_netlink_event(); may be NULL
 */
void vagus_netlink_send(struct sk_buff *event)
{
	/* That nobody listens is no error. */
	if (event)
		genlmsg_multicast(&vagus_family, event, 0, 0, GFP_KERNEL);
}
