/* SPDX-License-Identifier: GPL-2.0-only */
/* The generic netlink family. */
#ifndef VAGUS_NETLINK_H
#define VAGUS_NETLINK_H

struct genl_family;
struct genl_info;
struct netlink_callback;
struct sk_buff;
struct vagus_lease_view;

extern struct genl_family vagus_family;

int vagus_netlink_init(void);
void vagus_netlink_exit(void);

/* lease_netlink.c */
int vagus_cmd_grant(struct sk_buff *skb, struct genl_info *info);
int vagus_cmd_renew(struct sk_buff *skb, struct genl_info *info);
int vagus_cmd_revoke(struct sk_buff *skb, struct genl_info *info);
int vagus_cmd_off(struct sk_buff *skb, struct genl_info *info);
int vagus_dump_leases(struct sk_buff *skb, struct netlink_callback *cb);
struct sk_buff *vagus_netlink_event(const struct vagus_lease_view *view);
void vagus_netlink_send(struct sk_buff *event);

#endif
