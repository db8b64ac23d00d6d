// SPDX-License-Identifier: MIT
/*
 * `tocsin bench read`: how fast a stored trace is read, beside babeltrace2.
 *
 * A trace of two streams is made, whose events take turns in time; one in four has a text, the
 * others 16 bytes of numbers. It is read from memory (the page cache, and once before it counts) in
 * three ways: step over every event in the order of time, its fields there to be asked for; decode
 * every field of every event as well; print every event as text.
 *
 * babeltrace2 reads the same trace with its dummy sink. That sink drops events, but the source
 * before it decodes every field of every event and cannot do otherwise. So `ratio` compares how
 * long each takes to bring every event of a trace past its reader, of which we decode nothing that
 * nobody asks for; `decoded_ratio` compares the same work. The start of babeltrace2 is in its
 * figure (some 20 ms, 2 % of it).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../ctf/writer.h"
#include "../report/print.h"
#include "../trace/trace.h"
#include "bench_run.h"

#define EVENTS      4000000u
#define EVENTS_TEXT 1000000u /* that are printed */
#define STEP_NS     250      /* between two events */

struct numbers {
	uint64_t bytes;
	uint32_t fd;
	uint32_t status;
};

struct text {
	uint32_t fd;
	const char *peer;
};

static const struct ctf_field numbers_fields[] = {
	{"bytes", CTF_U64, offsetof(struct numbers, bytes), NULL},
	{"fd", CTF_U32, offsetof(struct numbers, fd), NULL},
	{"status", CTF_U32, offsetof(struct numbers, status), NULL},
};

static const struct ctf_field text_fields[] = {
	{"fd", CTF_U32, offsetof(struct text, fd), NULL},
	{"peer", CTF_STR, offsetof(struct text, peer), NULL},
};

static const struct ctf_event_class events[] = {
	{"server:reply", numbers_fields, 3, 0},
	{"server:accept", text_fields, 2, 1},
};

static const struct ctf_stream_class stream_class = {
	.name = "ring",
	.per_cpu = true,
	.event = events,
	.nr_events = 2,
};

static const struct ctf_trace_class trace_class = {
	.stream = &stream_class,
	.nr_streams = 1,
	.realtime_offset_ns = 1700000000000000000,
};

static int trace_fill(struct ctf_writer *w, unsigned nr)
{
	static const char *const peers[] = {"192.0.2.17:40312", "client-7", "unix"};
	struct ctf_stream *s[2];
	int r = ctf_writer_add_stream(w, 0, 0, &s[0]);

	if (r == 0)
		r = ctf_writer_add_stream(w, 0, 1, &s[1]);
	for (unsigned i = 0; i < nr && r == 0; i++) {
		uint64_t t_ns = 1000000000 + (uint64_t)i * STEP_NS;

		if (i % 4 == 3) {
			struct text e = {i, peers[i % 3]};

			r = ctf_stream_append(s[i / 3 % 2], &events[1], t_ns, &e);
		} else {
			struct numbers e = {(uint64_t)i * 4096, i % 1024, i % 7};

			r = ctf_stream_append(s[i / 3 % 2], &events[0], t_ns, &e);
		}
	}
	return r ?: ctf_writer_flush(w);
}

static int trace_make(const char *dir, unsigned nr, struct tocsin_err *err)
{
	struct ctf_writer *w;
	int r = ctf_writer_open(dir, &trace_class, err, &w);

	if (r < 0)
		return r;
	r = trace_fill(w, nr);
	(void)ctf_writer_close(w); /* always NULL */
	return r < 0 ? tocsin_err_fail(r, err, "cannot write '%s': %s", dir, strerror(-r)) : 0;
}

static void dir_remove(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), entry->d_name,
				       0); /* what is left shows in rmdir */
	if (dir)
		(void)closedir(dir); /* was only read */
	(void)rmdir(path); /* a scratch directory; the system's cleaner takes what stays */
}

/* ---- ours */

enum how { STEP, DECODE, TEXT };

static int events_step(struct trace *t, uint64_t *ret_nr)
{
	const struct trace_event *e;
	int state;

	while ((state = trace_next(t, &e)) == TRACE_EVENT)
		++*ret_nr;
	return state == TRACE_END ? 0 : state < 0 ? state : -EBADMSG;
}

static int events_take(struct trace *t, enum how how, int fd, uint64_t *ret_nr)
{
	const struct ctf_values *values;
	const struct trace_event *e;
	struct print p;
	int state, r = 0;

	if (how == STEP)
		return events_step(t, ret_nr);
	print_init(&p, fd, (struct out_style){0});
	while (r == 0 && (state = trace_next(t, &e)) != TRACE_END) {
		if (state != TRACE_EVENT)
			r = state < 0 ? state : -EBADMSG;
		else if (how == DECODE)
			r = trace_values(t, &values);
		else
			r = print_event(&p, t, e);
		++*ret_nr;
	}
	r = r ?: print_flush(&p);
	print_done(&p);
	return r;
}

/* Reads a trace from its beginning to its end. */
static int trace_read(const char *dir, enum how how, int fd, uint64_t *ret_nr)
{
	const struct trace_options all = {.from_ns = INT64_MIN, .to_ns = INT64_MAX};
	struct trace *t;
	int r = trace_open(&dir, 1, &all, NULL, &t);

	if (r < 0)
		return r;
	r = events_take(t, how, fd, ret_nr);
	(void)trace_close(t); /* always NULL */
	return r;
}

static int ours(struct bench_run *run, enum bench_value value, const char *dir, enum how how)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = open("/dev/null", O_WRONLY | O_CLOEXEC);
	uint64_t start, nr = 0;
	int r = trace_read(dir, STEP, fd, &nr); /* what memory and caches hold of it */

	if (r < 0)
		return r;
	start = clock_now_ns();
	nr = 0;
	r = trace_read(dir, how, fd, &nr);
	if (r == 0)
		bench_add(run, value, (double)nr * 1e9 / (double)(clock_now_ns() - start));
	return r;
}

/* ---- babeltrace2 */

extern char **environ;

/* Return: 0, -ENOENT there is none, or -errno. */
static int other(struct bench_run *run, enum bench_value value, char *dir, unsigned nr,
		 bool is_text)
{
	char name[] = "babeltrace2", option[] = "--output-format=dummy";
	char *with[] = {name, option, dir, NULL}, *without[] = {name, dir, NULL};
	posix_spawn_file_actions_t actions;
	uint64_t start = clock_now_ns();
	int status = 0, r;
	pid_t pid;

	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (r == 0)
		r = posix_spawnp(&pid, name, &actions, NULL, is_text ? without : with, environ);
	(void)posix_spawn_file_actions_destroy(&actions); /* cannot fail */
	if (r)
		return -r;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : -EIO;
	bench_add(run, value, (double)nr * 1e9 / (double)(clock_now_ns() - start));
	return 0;
}

static void ratio_add(struct bench_run *run, enum bench_value ratio, enum bench_value share,
		      enum bench_value own, enum bench_value others)
{
	const struct bench_series *a = &run->series[own], *b = &run->series[others];
	double x = a->sample[a->nr - 1] / b->sample[b->nr - 1];

	bench_add(run, ratio, x);
	bench_add(run, share, 1 / x);
}

struct dirs {
	char all[64], text[64];
};

static int round_measure(struct bench_run *run, struct dirs *d)
{
	int r = ours(run, BENCH_V_events_per_s, d->all, STEP);

	r = r ?: ours(run, BENCH_V_decoded_events_per_s, d->all, DECODE);
	r = r ?: ours(run, BENCH_V_text_events_per_s, d->text, TEXT);
	if (r < 0)
		return r;
	r = other(run, BENCH_V_babeltrace2_events_per_s, d->all, EVENTS, false);
	r = r ?: other(run, BENCH_V_babeltrace2_text_events_per_s, d->text, EVENTS_TEXT, true);
	if (r < 0)
		return r;
	ratio_add(run, BENCH_V_ratio, BENCH_V_event_share, BENCH_V_events_per_s,
		  BENCH_V_babeltrace2_events_per_s);
	ratio_add(run, BENCH_V_decoded_ratio, BENCH_V_decoded_share, BENCH_V_decoded_events_per_s,
		  BENCH_V_babeltrace2_events_per_s);
	ratio_add(run, BENCH_V_text_ratio, BENCH_V_text_share, BENCH_V_text_events_per_s,
		  BENCH_V_babeltrace2_text_events_per_s);
	return 0;
}

int bench_read(struct bench_run *run, struct tocsin_err *err)
{
	char top[] = "/var/tmp/tocsin-bench.XXXXXX";
	struct dirs d;
	int r = 0;

	if (!mkdtemp(top))
		return tocsin_err_fail(-errno, err, "cannot make '%s': %s", top, strerror(errno));
	(void)snprintf(d.all, sizeof(d.all), "%s/all", top);
	(void)snprintf(d.text, sizeof(d.text), "%s/text", top);
	r = trace_make(d.all, EVENTS, err);
	r = r ?: trace_make(d.text, EVENTS_TEXT, err);
	for (unsigned i = 0; i < run->rounds && r == 0; i++) {
		r = round_measure(run, &d);
		if (r == -ENOENT) {
			bench_note(run, "babeltrace2 is not installed");
			r = 0;
		}
	}
	dir_remove(d.all);
	dir_remove(d.text);
	(void)rmdir(top); /* a scratch directory */
	return r;
}
