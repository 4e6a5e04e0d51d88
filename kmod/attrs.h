/* SPDX-License-Identifier: GPL-2.0-only */
/* Attributes in: policies, parsing, batches. */
#ifndef VAGUS_ATTRS_H
#define VAGUS_ATTRS_H

#include <linux/types.h>
#include <vagus.h>

struct genl_info;
struct netlink_callback;
struct netlink_ext_ack;
struct nla_policy;
struct nlattr;
struct nlmsghdr;
struct sk_buff;

extern const struct nla_policy vagus_lease_policy[VAGUS_L_MAX + 1];
extern const struct nla_policy vagus_workload_policy[VAGUS_W_MAX + 1];
extern const struct nla_policy vagus_config_policy[VAGUS_A_MAX + 1];
extern const struct nla_policy vagus_empty_policy[VAGUS_A_MAX + 1];

typedef int (*vagus_each_fn)(struct nlattr **attrs, struct genl_info *info, void *data);

/**
 * struct vagus_batch - a message that repeats one nest
 * @type: of the nest
 * @max: highest attribute in it
 * @policy: of what is in it
 * @check: semantic checks of one; before anything is done
 * @act: does one
 */
struct vagus_batch {
	int type;
	int max;
	const struct nla_policy *policy;
	vagus_each_fn check;
	vagus_each_fn act;
};

/* Of every command. */
#define VAGUS_FLAGS_KNOWN	(NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO)

int vagus_attrs_flags(const struct nlmsghdr *nlh, int known,
		      struct netlink_ext_ack *extack);
int vagus_attrs_parse(const struct genl_info *info, const struct nla_policy *policy,
		      struct nlattr **attrs);
int vagus_attrs_dump(const struct netlink_callback *cb);
struct sk_buff *vagus_attrs_answer(struct genl_info *info, size_t bytes, void **head);
int vagus_attrs_batch(struct genl_info *info, const struct vagus_batch *batch,
		      size_t item_bytes);
int vagus_attrs_need(struct genl_info *info, struct nlattr **attrs, int type,
		     const char *name);

#endif
