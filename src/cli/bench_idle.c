// SPDX-License-Identifier: MIT
/*
 * `tocsin bench idle`: what the process `tocsin watch` itself takes.
 *
 * A real one is started, on this program's own file, to watch a worker. Windows in which the worker
 * runs 50,000 sections a second, all within budget, and windows in which it does nothing take
 * turns; the watch's CPU time is read at both ends of each, its resident memory at the end of the
 * quiet ones. What it prints is kept in memory and says at the end how many sections it saw.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/parse.h"
#include "bench_run.h"
#include "bench_sites.h"
#include "bench_worker.h"

#define SITE BENCH_NOP5

#define SECTIONS_PER_MS 50
#define WINDOW_NS       750000000ull
#define ARM_NS          30000000000ull
#define END_NS          10000000000ull
#define TEXT_MAX        65536

struct area {
	uint64_t nr; /* sections made in the last window */
	uint64_t took_ns;
};

/* --- in the worker --- */

static int work(void *shared, uint64_t window_ns, uint64_t unused)
{
	struct area *area = shared;
	bench_site_fn begin = bench_site_begin(SITE), end = bench_site_end(SITE);
	uint64_t start = clock_now_ns(), next = start;

	(void)unused;
	area->nr = 0;
	while (next < start + window_ns) {
		struct timespec t;

		for (int i = 0; i < SECTIONS_PER_MS; i++) {
			begin();
			end();
		}
		area->nr += SECTIONS_PER_MS;
		next += 1000000;
		t = (struct timespec){.tv_sec = (time_t)(next / 1000000000),
				      .tv_nsec = (long)(next % 1000000000)};
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
			;
	}
	area->took_ns = clock_now_ns() - start;
	return 0;
}

/* --- in the bench --- */

struct idle {
	struct bench_run *run;
	struct area *area;
	struct bench_worker worker;
	pid_t watch; /* 0: not running */
	clockid_t cpu_clock;
	int out_fd, err_fd; /* what it prints */
	uint64_t nr_sections;
	struct tocsin_err *err;
};

static void sleep_ns(uint64_t ns)
{
	struct timespec t = {.tv_sec = (time_t)(ns / 1000000000),
			     .tv_nsec = (long)(ns % 1000000000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
		;
}

/* The start of a file, as text. Return: 0, or -errno. */
static int text_read(int fd, char *buf, size_t len)
{
	ssize_t got = pread(fd, buf, len - 1, 0);

	if (got < 0)
		return -errno;
	buf[got] = 0;
	return 0;
}

/* Resident memory of a process. Return: 0, or -errno. */
static int rss_of(pid_t pid, uint64_t *ret_kib)
{
	char path[64], text[8192], *line;
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : text_read(fd, text, sizeof(text));
	if (r)
		return r;
	line = strstr(text, "\nVmRSS:");
	if (!line)
		return -ESRCH; /* a zombie has none */
	line += strlen("\nVmRSS:");
	line += strspn(line, " \t");
	line[strcspn(line, " \n")] = 0;
	return tocsin_parse_u64(line, ret_kib);
}

/* In the child. */
static void watch_exec(struct idle *d, char *section)
{
	char name[] = "tocsin", watch[] = "watch", json[] = "--json", p[] = "-p", pid[16];
	char *argv[] = {name, watch, json, p, pid, section, NULL};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)snprintf(pid, sizeof(pid), "%d", (int)d->worker.pid);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(d->out_fd, STDOUT_FILENO) < 0 ||
	    dup2(d->err_fd, STDERR_FILENO) < 0)
		_exit(1);
	(void)execv("/proc/self/exe", argv);
	_exit(1);
}

static int watch_start(struct idle *d)
{
	unsigned long long begin = 0, end = 0;
	uint64_t offset;
	char section[256];
	pid_t pid;
	int r;

	r = bench_site_offset(bench_site_begin(SITE), &offset);
	begin = offset;
	r = r ?: bench_site_offset(bench_site_end(SITE), &offset);
	end = offset;
	if (r)
		return tocsin_err_fail(r, d->err, "cannot find the bench's own probe sites");
	(void)snprintf(section, sizeof(section),
		       "bench: /proc/%d/exe:0x%llx .. /proc/%d/exe:0x%llx < 1s", (int)d->worker.pid,
		       begin, (int)d->worker.pid, end);
	pid = bench_fork(-1);
	if (pid == 0)
		watch_exec(d, section);
	if (pid < 0)
		return tocsin_err_fail((int)pid, d->err, "cannot fork");
	d->watch = pid;
	return clock_getcpuclockid(pid, &d->cpu_clock) ? -ESRCH : 0;
}

/* What it said last, as the cause of its failure. */
static int watch_failed(struct idle *d, int r)
{
	char text[TEXT_MAX];

	if (text_read(d->err_fd, text, sizeof(text)) == 0 && text[0]) {
		text[strcspn(text, "\n")] = 0;
		tocsin_err_add(d->err, "%s", text);
	}
	return tocsin_err_fail(r, d->err, "'tocsin watch' failed");
}

static bool watch_ended(struct idle *d)
{
	int status;

	if (waitpid(d->watch, &status, WNOHANG) != d->watch)
		return false;
	d->watch = 0;
	return true;
}

static int watch_wait_armed(struct idle *d)
{
	uint64_t end = clock_now_ns() + ARM_NS;
	char text[TEXT_MAX];

	while (clock_now_ns() < end) {
		int r = text_read(d->err_fd, text, sizeof(text));

		if (r)
			return r;
		if (strncmp(text, "armed:", 6) == 0 || strstr(text, "\narmed:"))
			return 0;
		if (watch_ended(d))
			return watch_failed(d, -EIO);
		sleep_ns(20000000);
	}
	return watch_failed(d, -ETIMEDOUT);
}

/* Interrupt it, and see that it saw what the worker did. */
static int watch_finish(struct idle *d)
{
	static const char closed[] = "\"closed\":";
	uint64_t end = clock_now_ns() + END_NS, seen;
	char text[TEXT_MAX], *at;
	int r;

	(void)kill(d->watch, SIGINT); /* not waited for yet, so it is there */
	while (!watch_ended(d)) {
		if (clock_now_ns() > end)
			return watch_failed(d, -ETIMEDOUT);
		sleep_ns(20000000);
	}
	r = text_read(d->out_fd, text, sizeof(text));
	if (r)
		return r;
	at = strstr(text, closed);
	if (!at)
		return watch_failed(d, -EIO);
	at += strlen(closed);
	at[strspn(at, "0123456789")] = 0;
	r = tocsin_parse_u64(at, &seen);
	if (!r && seen != d->nr_sections)
		r = tocsin_err_fail(-EIO, d->err, "it saw %llu sections, the program made %llu",
				    (unsigned long long)seen, (unsigned long long)d->nr_sections);
	return r;
}

static int cpu_read(struct idle *d, uint64_t *ret_ns)
{
	struct timespec t;

	if (clock_gettime(d->cpu_clock, &t))
		return watch_failed(d, -errno);
	*ret_ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	return 0;
}

/* One window, in which the worker works or does not. */
static int window(struct idle *d, bool is_quiet)
{
	uint64_t begin = clock_now_ns(), cpu_before = 0, cpu_after = 0;
	int r = cpu_read(d, &cpu_before);

	if (r)
		return r;
	if (is_quiet) {
		sleep_ns(WINDOW_NS);
	} else {
		r = bench_worker_do(&d->worker, work, WINDOW_NS, 0);
		if (r)
			return tocsin_err_fail(r, d->err, "the bench's own child failed");
		d->nr_sections += d->area->nr;
		bench_add(d->run, BENCH_V_sections_per_s,
			  (double)d->area->nr / (double)d->area->took_ns * 1e9);
	}
	r = cpu_read(d, &cpu_after);
	if (r)
		return r;
	bench_add(d->run, is_quiet ? BENCH_V_watch_quiet_cpu_percent : BENCH_V_watch_cpu_percent,
		  100 * (double)(cpu_after - cpu_before) / (double)(clock_now_ns() - begin));
	return 0;
}

static int round_of(struct idle *d)
{
	uint64_t kib;
	int r = window(d, true);

	r = r ?: rss_of(d->watch, &kib);
	if (r)
		return r;
	bench_add(d->run, BENCH_V_watch_rss_kib, (double)kib);
	return window(d, false);
}

static int start(struct idle *d)
{
	uint64_t kib;
	int r = rss_of(getpid(), &kib);

	if (r)
		return r;
	bench_add(d->run, BENCH_V_bench_rss_kib, (double)kib);
	d->out_fd = memfd_create("out", MFD_CLOEXEC);
	d->err_fd = memfd_create("err", MFD_CLOEXEC);
	if (d->out_fd < 0 || d->err_fd < 0)
		return tocsin_err_fail(-errno, d->err, "cannot make a file in memory");
	d->area = bench_area_new(sizeof(*d->area));
	if (!d->area)
		return -ENOMEM;
	r = bench_worker_start(&d->worker, d->area, d->run->cpu, d->err);
	r = r ?: watch_start(d);
	return r ?: watch_wait_armed(d);
}

int bench_idle(struct bench_run *run, struct tocsin_err *err)
{
	struct idle d = {.run = run, .out_fd = -1, .err_fd = -1, .err = err};
	int r = 0;

	if (!BENCH_HAS_SITES)
		r = tocsin_err_fail(-EOPNOTSUPP, err, "%s", BENCH_NO_SITES);
	r = r ?: start(&d);
	for (unsigned i = 0; i < run->rounds && !r; i++)
		r = round_of(&d);
	r = r ?: watch_finish(&d);
	bench_reap(d.watch);
	bench_worker_end(&d.worker);
	(void)bench_area_free(d.area, sizeof(*d.area));
	tocsin_close_fdp(&d.out_fd);
	tocsin_close_fdp(&d.err_fd);
	return r;
}
