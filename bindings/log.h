/* SPDX-License-Identifier: MIT */
/* The end of what a library says, as much of it as there is room for. */
#ifndef VAGUS_LOG_H
#define VAGUS_LOG_H

#include <stddef.h>
#include <string.h>

#define LOG_BYTES 16384

struct log {
	size_t used;
	char text[LOG_BYTES]; /* NUL-terminated */
};

/* What is wrong is said at the end: where the log is full, its beginning goes. */
static inline void log_add(struct log *log, const char *text, size_t bytes)
{
	const size_t room = sizeof(log->text) - 1;
	size_t before = log->used;

	if (bytes > room) {
		text += bytes - room;
		bytes = room;
	}
	if (before > room - bytes)
		before = room - bytes;
	memmove(log->text, log->text + log->used - before, before);
	memcpy(log->text + before, text, bytes);
	log->used = before + bytes;
	log->text[log->used] = '\0';
}

#endif
