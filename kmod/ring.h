/* SPDX-License-Identifier: GPL-2.0-only */
/* The event ring: /sys/kernel/vagus/ring. */
#ifndef VAGUS_RING_H
#define VAGUS_RING_H

#include <linux/types.h>
#include <vagus.h>

struct kobject;

int vagus_ring_init(unsigned int kib);
void vagus_ring_exit(void);
int vagus_ring_publish(struct kobject *parent);
void vagus_ring_withdraw(struct kobject *parent);

void vagus_ring_put(struct vagus_event *event);
u32 vagus_ring_bytes(void);
u64 vagus_ring_events(void);
u64 vagus_ring_drops(void);

#endif
