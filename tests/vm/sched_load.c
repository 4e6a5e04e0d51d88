// SPDX-License-Identifier: MIT
/*
 * Loads for the scheduler's tests; work is counted in rounds of a fixed loop, so
 * that a share of the CPU is seen by what was done and not by what was asked.
 *
 * sched_load hog SECONDS [THREADS]
 *	spin; print rounds
 * sched_load forks SECONDS [CHILDREN]
 *	keep so many children alive that each do a little and end; print rounds
 * sched_load tick SECONDS PERIOD_US BUSY_US
 *	be due every period and then work; print a line for each:
 *	"WAKE_NS DONE_NS", from when it was due to when it ran, and was ready
 * sched_load open SECONDS PERIOD_US PORT REQUEST END
 *	send a request every period, answered or not, over several connections; an
 *	answer ends with END; print a line for each: "LATENCY_NS LATENCY_NS", from
 *	when it was due; what is not answered at the end counts as if it were then
 * sched_load pipe SECONDS
 *	two processes hand each other a byte; print round trips
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000LL
#define TICKS_MAX 200000
/* More requests than this are not under way at once; the others wait here. */
#define CONNECTIONS 32

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

/* About 10 us at 1,000 million instructions a second. */
static void work(void)
{
	for (volatile int i = 0; i < 2000; i++)
		;
}

static atomic_llong *total;

static void *spin(void *end)
{
	long long rounds = 0;

	while (now_ns(CLOCK_MONOTONIC) < *(int64_t *)end) {
		for (int i = 0; i < 20; i++)
			work();
		rounds += 20;
	}
	atomic_fetch_add(total, rounds);
	return NULL;
}

static void hog(int64_t end, int threads)
{
	pthread_t others[64];

	if (threads > 64)
		threads = 64;
	for (int i = 1; i < threads; i++)
		pthread_create(&others[i], NULL, spin, &end);
	spin(&end);
	for (int i = 1; i < threads; i++)
		pthread_join(others[i], NULL);
}

static void forks(int64_t end, int children)
{
	int alive = 0;

	while (now_ns(CLOCK_MONOTONIC) < end) {
		if (alive++ < children) {
			if (fork())
				continue;
			for (int i = 0; i < 20; i++)
				work();
			atomic_fetch_add(total, 20);
			_exit(0);
		}
		wait(NULL);
		alive -= 2;
	}
	while (wait(NULL) > 0)
		;
}

static void tick(int64_t end, int64_t period_ns, int64_t busy_ns)
{
	static int64_t wake[TICKS_MAX], done[TICKS_MAX];
	int64_t due = now_ns(CLOCK_MONOTONIC) + period_ns;
	int count = 0;

	for (; due < end && count < TICKS_MAX; due += period_ns, count++) {
		struct timespec at = { due / NS, due % NS };
		int64_t cpu;

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		wake[count] = now_ns(CLOCK_MONOTONIC) - due;
		cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
		while (now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu < busy_ns)
			work();
		done[count] = now_ns(CLOCK_MONOTONIC) - due;
	}
	for (int i = 0; i < count; i++)
		printf("%lld %lld\n", (long long)wake[i], (long long)done[i]);
}

struct connection {
	int64_t due; /* of the request under way; 0 while there is none */
	size_t kept;
	char tail[64]; /* the last bytes that were received */
};

static struct pollfd sockets[CONNECTIONS];
static struct connection connections[CONNECTIONS];

static void dial(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < CONNECTIONS; i++) {
		sockets[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		sockets[i].events = POLLIN;
		if (connect(sockets[i].fd, (struct sockaddr *)&to, sizeof(to)))
			exit(3);
	}
}

/* Send what is due on the connections that are free. */
static int64_t launch(int64_t due, int64_t period, const char *request)
{
	size_t size = strlen(request);

	for (int i = 0; i < CONNECTIONS && due <= now_ns(CLOCK_MONOTONIC); i++) {
		if (connections[i].due)
			continue;
		if (send(sockets[i].fd, request, size, MSG_NOSIGNAL) != (ssize_t)size)
			exit(3);
		connections[i] = (struct connection){ .due = due };
		due += period;
	}
	return due;
}

/* Read an answer; return whether it is whole. */
static int take(int i, const char *end)
{
	struct connection *c = &connections[i];
	size_t size = strlen(end), drop;
	char buffer[65536];
	ssize_t got = recv(sockets[i].fd, buffer, sizeof(buffer), MSG_DONTWAIT);

	if (got <= 0)
		exit(3);
	drop = got > (ssize_t)sizeof(c->tail) / 2 ? got - sizeof(c->tail) / 2 : 0;
	got -= drop;
	if (c->kept + got > sizeof(c->tail)) {
		memmove(c->tail, c->tail + c->kept - 16, 16);
		c->kept = 16;
	}
	memcpy(c->tail + c->kept, buffer + drop, got);
	c->kept += got;
	return c->kept >= size && !memcmp(c->tail + c->kept - size, end, size);
}

static void ask(int64_t until, int64_t period, char **words)
{
	static int64_t took[TICKS_MAX];
	int64_t due = now_ns(CLOCK_MONOTONIC) + period, now;
	int count = 0;

	dial(atoi(words[0]));
	while ((now = now_ns(CLOCK_MONOTONIC)) < until && count < TICKS_MAX - CONNECTIONS) {
		int64_t wait = due > now ? due - now : period;
		struct timespec at = { wait / NS, wait % NS };

		ppoll(sockets, CONNECTIONS, &at, NULL);
		for (int i = 0; i < CONNECTIONS; i++) {
			if (!(sockets[i].revents & POLLIN) || !take(i, words[2]))
				continue;
			took[count++] = now_ns(CLOCK_MONOTONIC) - connections[i].due;
			connections[i].due = 0;
		}
		due = launch(due, period, words[1]);
	}
	for (int i = 0; i < CONNECTIONS; i++)
		if (connections[i].due)
			took[count++] = now - connections[i].due;
	for (; due < now && count < TICKS_MAX; due += period)
		took[count++] = now - due;
	for (int i = 0; i < count; i++)
		printf("%lld %lld\n", (long long)took[i], (long long)took[i]);
}

static void ping(int64_t end)
{
	long long trips = 0;
	int to[2], from[2];
	char byte = 0;

	if (pipe(to) || pipe(from))
		exit(1);
	if (!fork()) {
		close(to[1]);
		while (read(to[0], &byte, 1) == 1 && write(from[1], &byte, 1) == 1)
			;
		_exit(0);
	}
	while (now_ns(CLOCK_MONOTONIC) < end) {
		if (write(to[1], &byte, 1) != 1 || read(from[0], &byte, 1) != 1)
			exit(1);
		trips++;
	}
	atomic_fetch_add(total, trips);
}

/* Wait for START_NS of the environment, on CLOCK_MONOTONIC, for all to begin at once. */
static int64_t begun(void)
{
	const char *said = getenv("START_NS");
	int64_t start = said ? atoll(said) : 0, now = now_ns(CLOCK_MONOTONIC);
	struct timespec at = { start / NS, start % NS };

	/* Timers are to be as exact as the scheduler is. */
	prctl(PR_SET_TIMERSLACK, 1);
	if (!said)
		return now;
	if (now > start) {
		fprintf(stderr, "sched_load: %lld ms late\n", (long long)(now - start) / 1000000);
		exit(3);
	}
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	return start;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";
	int64_t end = begun();
	int third = argc > 3 ? atoi(argv[3]) : 1;

	/* Shared with the children. */
	total = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	if (total == MAP_FAILED)
		return 1;
	end += (int64_t)(atof(argc > 2 ? argv[2] : "0") * NS);
	if (!strcmp(mode, "hog"))
		hog(end, third);
	else if (!strcmp(mode, "forks"))
		forks(end, third);
	else if (!strcmp(mode, "pipe"))
		ping(end);
	else if (!strcmp(mode, "tick") && argc > 4) {
		tick(end, third * 1000LL, atoi(argv[4]) * 1000LL);
		return 0;
	} else if (!strcmp(mode, "open") && argc > 6) {
		ask(end, third * 1000LL, argv + 4);
		return 0;
	} else {
		return 2;
	}
	printf("%lld\n", (long long)*total);
	return 0;
}
