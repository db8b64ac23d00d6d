// SPDX-License-Identifier: MIT
/*
 * Allocates and frees, and says what it did: a JSON line an event, in the words of the trace. What
 * counts is between two marks, allocations of sizes that nobody else asks for, of each thread.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MARK_BEGIN 777771
#define MARK_END   777773
#define THREADS    3

/* One a thread, printed at the end, so that stdio's own buffer is none of it. */
struct log {
	char text[1 << 19];
	size_t used;
};
static struct log logs[THREADS + 1];
static __thread struct log *here = &logs[0];

static __attribute__((format(printf, 1, 2))) void did(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	here->used += (size_t)snprintf(here->text + here->used, 200, "{\"tid\": %ld, ",
				       syscall(SYS_gettid));
	here->used += (size_t)vsnprintf(here->text + here->used, 200, fmt, args);
	va_end(args);
	if (here->used > sizeof(here->text) - 1000)
		abort();
}

static void flush(struct log *log)
{
	for (size_t at = 0; at < log->used;) {
		ssize_t n = write(STDOUT_FILENO, log->text + at, log->used - at);

		if (n <= 0)
			abort();
		at += (size_t)n;
	}
	log->used = 0;
}

#define U(p) ((unsigned long long)(uintptr_t)(p))

static void *a_malloc(size_t size)
{
	void *volatile p = malloc(size);

	did("\"name\": \"malloc:malloc\", \"size\": %zu, \"address\": %llu}\n", size, U(p));
	return p;
}

static void a_free(void *p)
{
	did("\"name\": \"malloc:free\", \"address\": %llu}\n", U(p));
	free(p);
}

static void *a_realloc(void *old, size_t size)
{
	unsigned long long was = U(old);
	void *volatile p = realloc(old, size);

	did("\"name\": \"malloc:realloc\", \"old\": %llu, \"size\": %zu, \"address\": %llu}\n", was,
	    size, U(p));
	return p;
}

static void *a_calloc(size_t nr, size_t size)
{
	void *volatile p = calloc(nr, size);

	did("\"name\": \"malloc:calloc\", \"nr\": %zu, \"size\": %zu, \"address\": %llu}\n", nr,
	    size, U(p));
	return p;
}

static void *a_aligned(size_t align, size_t size, void *p)
{
	did("\"name\": \"malloc:memalign\", \"align\": %zu, \"size\": %zu, \"address\": %llu}\n",
	    align, size, U(p));
	return p;
}

static void mark(size_t size)
{
	free(malloc(size));
}

static bool has_pvalloc = true; /* jemalloc leaves it to libc, whose memory it cannot free */

static void all_kinds(int turns)
{
	void *volatile reallocated;
	void *p = NULL;

	mark(MARK_BEGIN);
	for (int i = 0; i < turns; i++) {
		void *q = a_malloc((size_t)(i * 37 % 5000));

		a_free(a_calloc((size_t)(i % 7), 24));
		q = a_realloc(q, (size_t)(i + 1) * 40);
		a_free(q);
		a_free(a_realloc(NULL, 30));
		a_free(a_aligned(64, 200, memalign(64, 200)));
		a_free(a_aligned(32, 320, aligned_alloc(32, 320)));
		if (posix_memalign(&p, 128, 100))
			abort();
		a_free(a_aligned(128, 100, p));
		a_free(a_aligned(4096, 10, valloc(10)));
		if (has_pvalloc)
			a_free(a_aligned(4096, 20, pvalloc(20)));
		reallocated = reallocarray(NULL, 3, 50); /* which calls realloc() */
		did("\"name\": \"malloc:realloc\", \"old\": 0, \"size\": 150, \"address\": %llu}\n",
		    U(reallocated));
		a_free(reallocated);
		a_free(NULL);
	}
	errno = 0;
	if (a_malloc(PTRDIFF_MAX) || errno != ENOMEM) /* the event left errno alone */
		abort();
	errno = E2BIG;
	a_free(a_malloc(1));
	if (errno != E2BIG)
		abort();
	mark(MARK_END);
}

static void *run_thread(void *arg)
{
	here = arg;
	all_kinds(20);
	return NULL;
}

static int threads_main(void)
{
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, run_thread, &logs[i + 1]))
			abort();
	for (int i = 0; i < THREADS; i++) {
		(void)pthread_join(thread[i], NULL);
		flush(&logs[i + 1]);
	}
	return 0;
}

static int fork_main(void)
{
	int status;
	pid_t pid;

	all_kinds(3);
	flush(here);
	pid = fork();
	all_kinds(5);
	flush(here);
	if (pid == 0)
		_exit(7);
	return waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7 ? 0 : 1;
}

/* A child that shares our memory until it executes another program, which is traced too. */
static int vfork_main(char *self)
{
	char *const argv[] = {self, (char[]){"once"}, NULL};
	int status;
	pid_t pid;

	all_kinds(2);
	flush(here);
	pid = vfork();
	if (pid == 0) {
		execv(self, argv);
		_exit(127);
	}
	all_kinds(2);
	flush(here);
	return waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 0 ? 0 : 1;
}

static volatile sig_atomic_t nr_signals;

static void on_alarm(int number)
{
	(void)number;
	nr_signals++;
}

/* Signals all the time, at any instruction of the tracer. */
static int signals_main(void)
{
	const struct sigaction act = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	const struct itimerspec often = {{0, 50000}, {0, 50000}};
	timer_t timer;

	if (sigaction(SIGALRM, &act, NULL) || timer_create(CLOCK_MONOTONIC, &event, &timer) ||
	    timer_settime(timer, 0, &often, NULL))
		abort();
	for (int i = 0; i < 20 || nr_signals < 100; i++) {
		all_kinds(10);
		flush(here);
	}
	return timer_delete(timer);
}

/* Cancelled at any instruction: it must end, and others go on. */
static void *run_cancelled(void *arg)
{
	(void)arg;
	(void)pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
	for (;;) {
		free(malloc(100));
		pthread_testcancel();
	}
	return NULL;
}

static int cancel_main(void)
{
	for (int i = 0; i < 50; i++) {
		pthread_t thread;
		void *result;

		if (pthread_create(&thread, NULL, run_cancelled, NULL))
			abort();
		(void)usleep(100);
		(void)pthread_cancel(thread);
		if (pthread_join(thread, &result) || result != PTHREAD_CANCELED)
			abort();
	}
	all_kinds(5);
	flush(here);
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "once";

	has_pvalloc = argc < 3 || strcmp(argv[2], "no_pvalloc") != 0;
	if (!strcmp(mode, "threads"))
		return threads_main();
	if (!strcmp(mode, "fork"))
		return fork_main();
	if (!strcmp(mode, "vfork"))
		return vfork_main(argv[0]);
	if (!strcmp(mode, "signals"))
		return signals_main();
	if (!strcmp(mode, "cancel"))
		return cancel_main();
	all_kinds(50);
	flush(here);
	return 0;
}
