/* SPDX-License-Identifier: MIT */
/*
 * Touch memory that may go away.
 *
 * When vagus.ko is unloaded, its mapped ring and table stay in our address
 * space, but every access raises SIGBUS.  Work that reads them runs guarded.
 */
#ifndef VAGUS_GUARD_H
#define VAGUS_GUARD_H

/**
 * vagus_guarded() - call @work(@data) and survive SIGBUS inside it
 * @work: what touches the mapping; takes no lock and allocates nothing, since
 *	it may be left half-way
 * @data: given to @work; what it wrote there before the signal is kept
 *
 * One guarded call runs at a time in a process; others wait.
 *
 * Return: 0, or -ENODEV where the memory went away meanwhile.
 */
int vagus_guarded(void (*work)(void *data), void *data);

#endif
