// SPDX-License-Identifier: MIT
/*
 * `tocsin bench record`: how fast one thread can be recorded.
 *
 * A program of our own emits events of 16 bytes on one CPU, and this process records it on the
 * other, into files. First in rings that block, so that the program goes as fast as the recording
 * can follow, and nothing is lost; then at the promised rate in rings that discard, where what is
 * lost is counted. Beside it the program runs into rings that overwrite, with nobody reading, and
 * this process writes as many bytes to a file.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../collector/record.h"
#include "bench_program.h"
#include "bench_record_kernel.h"
#include "bench_run.h"
#include "bench_worker.h"

#define EVENTS     100000000ull /* 2.4 GB: more than the page cache takes without a pause */
#define RATE       25000000ull
#define RING_BYTES (64u << 20)
#define BLOCK_NS   1000000000u
#define WAIT_NS    100000000ull
#define WRITE_SIZE (512u * 1024)
#define PROGRAM    "tocsin-bench-record"

struct session {
	struct bench_run *run;
	struct tocsin_err *err;
	char program[PATH_MAX];
	char dir[PATH_MAX];
	int out_fd; /* what the program prints */
};

struct outcome {
	double events_per_s; /* as the program has it */
	double cpu_ns;       /* of this process, an event */
	struct record_stats stats;
};

void bench_dir_remove(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(d), entry->d_name, 0); /* rmdir() tells */
	if (d)
		(void)closedir(d);
	(void)rmdir(path); /* in the folder of temporary files, at the worst */
}

static double cpu_ns_now(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u); /* cannot fail */
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

/* Return: pid, or -errno. */
static pid_t program_start(struct session *s, uint64_t rate, int arena_fd)
{
	char name[] = PROGRAM, nr[24], per_s[24], fd[16];
	char *argv[] = {name, nr, rate ? per_s : NULL, NULL};
	pid_t pid;

	(void)snprintf(nr, sizeof(nr), "%llu", EVENTS);
	(void)snprintf(per_s, sizeof(per_s), "%llu", (unsigned long long)rate);
	(void)snprintf(fd, sizeof(fd), "%d", arena_fd);
	if (ftruncate(s->out_fd, 0) < 0 || lseek(s->out_fd, 0, SEEK_SET) < 0)
		return -errno;
	pid = bench_fork(s->run->other_cpu >= 0 ? s->run->other_cpu : -1);
	if (pid == 0) {
		if (arena_fd >= 0 && setenv(ARENA_ENV, fd, 1))
			_exit(1);
		if (dup2(s->out_fd, STDOUT_FILENO) < 0)
			_exit(1);
		(void)execv(s->program, argv);
		_exit(1);
	}
	return pid;
}

static int program_time(struct session *s, double *ret_events_per_s)
{
	char text[128] = {0};
	double ns;

	if (pread(s->out_fd, text, sizeof(text) - 1, 0) < 0)
		return -errno;
	ns = bench_program_value(text, "took_ns");
	if (ns <= 0)
		return tocsin_err_fail(-EIO, s->err, "'%s' did not do its work", PROGRAM);
	*ret_events_per_s = (double)EVENTS * 1e9 / ns;
	return 0;
}

static int record_until_end(struct recorder *rec, pid_t pid)
{
	int status, r = 0;

	for (;;) {
		bool ended = waitpid(pid, &status, WNOHANG) == pid;

		r = r ?: record_poll(rec);
		if (ended)
			return r;
		record_wait(rec, WAIT_NS);
	}
}

static int record_once(struct session *s, uint32_t mode, uint64_t rate, struct outcome *ret)
{
	struct record_options opts = {
		.trace = {.dir = s->dir, .version = TOCSIN_VERSION, .command = PROGRAM},
		.wish = {.mode = mode, .block_ns = BLOCK_NS, .ring_bytes = RING_BYTES},
	};
	struct recorder *rec = NULL;
	double cpu_ns;
	int r, closed, arena_fd = -1;
	pid_t pid;

	(void)record_wish_rule(&opts.wish, "*", UCHAR_MAX, true); /* the first: there is room */
	r = record_open(&opts, NULL, NULL, s->err, &rec);
	if (r < 0)
		return r;
	r = record_arena(rec, 1ull << 36, &arena_fd);
	cpu_ns = cpu_ns_now();
	pid = r < 0 ? r : program_start(s, rate, arena_fd);
	r = pid < 0 ? (int)pid : record_until_end(rec, pid);
	r = record_stop(rec) ?: r;
	ret->cpu_ns = (cpu_ns_now() - cpu_ns) / (double)EVENTS;
	record_get_stats(rec, &ret->stats);
	rec = record_close(rec, &closed);
	bench_dir_remove(s->dir);
	return r ?: closed ?: program_time(s, &ret->events_per_s);
}

/* As many bytes as a recording writes, in as large pieces. */
static int floor_disk(struct session *s, double bytes)
{
	void *buf TOCSIN_CLEANUP(tocsin_free_voidp) = calloc(1, WRITE_SIZE);
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	char path[PATH_MAX + 8];
	uint64_t start;
	double done = 0;

	(void)snprintf(path, sizeof(path), "%s.floor", s->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || !buf)
		return fd < 0 ? -errno : -ENOMEM;
	(void)unlink(path); /* gone with the descriptor */
	start = clock_now_ns();
	for (; done < bytes; done += WRITE_SIZE)
		if (write(fd, buf, WRITE_SIZE) != (ssize_t)WRITE_SIZE)
			return -EIO;
	bench_add(s->run, BENCH_V_write_bytes_per_s, done * 1e9 / (double)(clock_now_ns() - start));
	return 0;
}

/* The program alone: its rings overwrite, and nobody reads. */
static int floor_ring(struct session *s)
{
	struct outcome o;
	struct record_options opts = {
		.trace = {.dir = s->dir, .version = TOCSIN_VERSION, .command = PROGRAM},
		.wish = {.mode = CONTROL_MODE_OVERWRITE, .ring_bytes = RING_BYTES},
	};
	struct recorder *rec = NULL;
	int r, closed, status, arena_fd = -1;
	pid_t pid;

	(void)record_wish_rule(&opts.wish, "*", UCHAR_MAX, true); /* the first: there is room */
	r = record_open(&opts, NULL, NULL, s->err, &rec);
	if (r < 0)
		return r;
	r = record_arena(rec, 1ull << 36, &arena_fd);
	pid = r < 0 ? r : program_start(s, 0, arena_fd);
	if (pid > 0 && waitpid(pid, &status, 0) != pid)
		pid = -errno;
	rec = record_close(rec, &closed);
	bench_dir_remove(s->dir);
	r = pid < 0 ? (int)pid : program_time(s, &o.events_per_s);
	if (r == 0)
		bench_add(s->run, BENCH_V_ring_events_per_s, o.events_per_s);
	return r;
}

static int round_measure(struct session *s)
{
	struct outcome full, paced;
	int r = record_once(s, CONTROL_MODE_BLOCK, 0, &full);

	r = r ?: record_once(s, CONTROL_MODE_DISCARD, RATE, &paced);
	r = r ?: floor_ring(s);
	r = r ?: floor_disk(s, (double)full.stats.bytes);
	if (r)
		return r;
	if (full.stats.lost == 0)
		bench_add(s->run, BENCH_V_events_per_s_no_loss, full.events_per_s);
	bench_add(s->run, BENCH_V_record_share, (double)RATE / full.events_per_s);
	bench_add(s->run, BENCH_V_lost, (double)paced.stats.lost);
	bench_add(s->run, BENCH_V_paced_events_per_s, paced.events_per_s);
	bench_add(s->run, BENCH_V_bytes_per_event_16,
		  (double)full.stats.bytes / (double)full.stats.events);
	bench_add(s->run, BENCH_V_collector_cpu_ns_per_event, paced.cpu_ns);
	return 0;
}

int bench_record(struct bench_run *run, struct tocsin_err *err)
{
	struct session s = {.run = run, .err = err};
	const char *tmp = getenv("TMPDIR") ?: "/var/tmp";
	cpu_set_t before, one;
	int r = bench_program_find(PROGRAM, s.program, sizeof(s.program));

	if (r)
		return tocsin_err_fail(r, err, "no '%s' beside this program", PROGRAM);
	if (snprintf(s.dir, sizeof(s.dir), "%s/tocsin-bench-%d", tmp, (int)getpid()) >=
	    (int)sizeof(s.dir))
		return -ENAMETOOLONG;
	s.out_fd = open(tmp, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s.out_fd < 0)
		return tocsin_err_fail(-errno, err, "cannot make a file in '%s'", tmp);
	CPU_ZERO(&one);
	CPU_SET((size_t)run->cpu, &one);
	if (sched_getaffinity(0, sizeof(before), &before) == 0)
		(void)sched_setaffinity(0, sizeof(one), &one); /* noisier without */
	for (unsigned i = 0; i < run->rounds && r == 0; i++)
		r = round_measure(&s);
	r = r ?: bench_record_kernel(run, s.dir, err);
	(void)sched_setaffinity(0, sizeof(before), &before);
	if (run->other_cpu < 0)
		bench_note(run, "one CPU only: program and recording took turns on it");
	(void)close(s.out_fd);
	return r;
}
