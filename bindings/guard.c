// SPDX-License-Identifier: MIT
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

#include "guard.h"

/*
 * A signal handler has no argument of ours, so its context has to be static.
 * The lock guards all of it; it is held while our handler is installed.
 */
static pthread_mutex_t guard_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous;
static pthread_t guarded_thread;
static sigjmp_buf way_out;

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	if (pthread_equal(pthread_self(), guarded_thread))
		siglongjmp(way_out, 1);
	/* Another thread's: fault again, under the handler that was there. */
	sigaction(SIGBUS, &previous, NULL);
}

int vagus_guarded(void (*work)(void *data), void *data)
{
	/*
	 * SA_NODEFER: we leave the handler by a jump that restores no mask, so
	 * the signal must not be blocked inside it.
	 */
	struct sigaction ours = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};
	int ret;

	sigemptyset(&ours.sa_mask);
	pthread_mutex_lock(&guard_lock);
	guarded_thread = pthread_self();
	sigaction(SIGBUS, &ours, &previous);
	if (sigsetjmp(way_out, 0) == 0) {
		work(data);
		ret = 0;
	} else {
		ret = -ENODEV;
	}
	sigaction(SIGBUS, &previous, NULL);
	pthread_mutex_unlock(&guard_lock);
	return ret;
}
