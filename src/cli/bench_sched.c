// SPDX-License-Identifier: MIT
/*
 * `tocsin bench sched`: what the hooks in the scheduler cost.
 *
 * Two processes send one byte to and fro through pipes, on one CPU (every turn is two switches) and
 * on two (every turn wakes two CPUs): hardly anything switches more. A mode is who is watched
 * meanwhile: hooks loaded and nobody watched, somebody else watched, both, both with a section
 * open. Every measurement has processes of its own, as a watched thread stays watched until it
 * ends.
 *
 * The machine's mood changes over seconds, and loading takes one. So rounds with the hooks loaded
 * stand between measurements without, and each ratio is against the mean of those just before and
 * just after its round; the order of the modes turns round every round. And each short slice of
 * turns is followed by one of plain system calls, which no hook slows: a measurement is what an
 * undisturbed turn takes in such calls, not in nanoseconds. Where others work, that is twice as
 * steady.
 *
 * That the mode was what it claims to be is checked by the sections that the kernel half counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "bench_run.h"
#include "bench_sites.h"
#include "bench_worker.h"
#include "cli.h"

#define SITE BENCH_NOP5

#define BUDGET_NS 3600000000000ull /* nothing comes due while it is measured */
#define WARM_NS   20000000
#define TAKE_NS   120000000
#define SLICE_NS  100000
#define SLICES    1000
#define CALLS     4 /* for each turn; about as long */

/* After the hooks went, the kernel frees what they were; that is nobody's cost here. */
#define SETTLE_NS 100000000

enum mode {
	NOTHING, /* loaded */
	NOBODY,
	OTHER,
	REGISTERED,
	OPEN,
	MODES_NR,
};

/* Sections that end, and that are given up as their process ends, in one measurement. */
static const struct {
	unsigned closed, abandoned;
} expected[MODES_NR] = {
	[OTHER] = {1, 0},
	[REGISTERED] = {2, 0},
	[OPEN] = {0, 2},
};

enum pipes { PIPE1, PIPE2, PIPES_NR };

static const enum bench_value ratio[PIPES_NR][MODES_NR] = {
	[PIPE1] = {BENCH_V_sched_pipe1_self_ratio, BENCH_V_sched_pipe1_nobody_ratio,
		   BENCH_V_sched_pipe1_other_ratio, BENCH_V_sched_pipe1_ratio,
		   BENCH_V_sched_pipe1_open_ratio},
	[PIPE2] = {BENCH_V_sched_pipe2_self_ratio, BENCH_V_sched_pipe2_ratio,
		   BENCH_V_sched_pipe2_other_ratio, BENCH_V_sched_pipe2_registered_ratio,
		   BENCH_V_sched_pipe2_open_ratio},
};

struct area {
	int cpu[2];
	_Atomic int is_ready; /* the bystander has been registered */
	double ns;            /* there and back */
	double calls;         /* the same, in system calls */
};

/* --- in the worker: two players and a bystander --- */

static void take_part(enum mode mode)
{
	if (mode != REGISTERED && mode != OPEN)
		return;
	bench_site_begin(SITE)();
	if (mode == REGISTERED)
		bench_site_end(SITE)();
}

/* Return: false when the other side is gone. */
static bool turns(int out_fd, int in_fd, unsigned n)
{
	char byte = 0;

	for (unsigned i = 0; i < n; i++)
		if (write(out_fd, &byte, 1) != 1 || read(in_fd, &byte, 1) != 1)
			return false;
	return true;
}

static void calls(int out_fd, unsigned n)
{
	char byte = 0;

	for (unsigned i = 0; i < n; i++)
		(void)!write(out_fd, &byte, 0); /* nothing: it is the call that counts */
}

static int serve(struct area *area, int out_fd, int in_fd)
{
	double turn[SLICES], call[SLICES];
	uint64_t begin = clock_now_ns(), now = begin;
	unsigned n = 0, nr = 0, each;

	for (; now < begin + WARM_NS; now = clock_now_ns(), n += 10)
		if (!turns(out_fd, in_fd, 10))
			return 1;
	each = (unsigned)((uint64_t)n * SLICE_NS / (now - begin + 1)) + 1;
	begin = now;
	while (nr < SLICES && now < begin + TAKE_NS) {
		uint64_t start = clock_now_ns(), between;

		if (!turns(out_fd, in_fd, each))
			return 1;
		between = clock_now_ns();
		calls(out_fd, CALLS * each);
		now = clock_now_ns();
		turn[nr] = (double)(between - start) / each;
		call[nr++] = (double)(now - between) / (CALLS * each);
	}
	area->ns = bench_undisturbed(turn, nr);
	area->calls = area->ns / bench_undisturbed(call, nr);
	return 0;
}

static pid_t bystander_start(struct area *area, int cpu)
{
	pid_t pid = bench_fork(cpu);

	if (pid)
		return pid;
	bench_site_begin(SITE)();
	bench_site_end(SITE)();
	area->is_ready = 1;
	for (;;)
		(void)pause(); /* returns only for a signal, and there is nothing else to do */
}

static int exit_status_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPIPE;
}

/* Two processes, and the pipes between them, which only they hold. */
static int play(struct area *area, enum mode mode)
{
	int there[2], back[2], r = cli_pipe_pair(there, back);
	pid_t server, returner;

	if (r)
		return r;
	server = bench_fork(area->cpu[0]);
	if (server == 0) {
		(void)close(there[0]);
		(void)close(back[1]);
		take_part(mode);
		_exit(serve(area, there[1], back[0]));
	}
	returner = server < 0 ? server : bench_fork(area->cpu[1]);
	if (returner == 0) {
		char byte;

		(void)close(there[1]);
		(void)close(back[0]);
		take_part(mode);
		while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
			;
		_exit(0);
	}
	for (int i = 0; i < 2; i++) {
		(void)close(there[i]);
		(void)close(back[i]);
	}
	r = server < 0 ? (int)server : exit_status_of(server); /* ends when the other is missing */
	return returner < 0 ? (int)returner : exit_status_of(returner) ?: r;
}

static int measure(void *shared, uint64_t wanted, uint64_t unused)
{
	struct area *area = shared;
	enum mode mode = (enum mode)wanted;
	struct timespec moment = {.tv_nsec = 1000000};
	pid_t bystander = 0;
	int r = 0;

	(void)unused;
	area->is_ready = 0;
	if (mode == OTHER)
		bystander = bystander_start(area, area->cpu[0]);
	if (bystander < 0)
		return (int)bystander;
	for (int i = 0; bystander && !area->is_ready; i++) {
		if (i == 5000) {
			r = -ETIMEDOUT;
			break;
		}
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
	}
	r = r ?: play(area, mode);
	bench_reap(bystander);
	return r;
}

/* --- in the bench --- */

struct sched {
	struct bench_run *run;
	struct area *area;
	struct bench_worker worker;
	struct bench_half half;
	unsigned nr_pipes;
	double nothing[PIPES_NR]; /* the last measurement without hooks, in calls */
	struct tocsin_err *err;
};

static int take(struct sched *s, enum pipes pipes, enum mode mode, double *ret_calls)
{
	int r;

	s->area->cpu[0] = s->run->cpu;
	s->area->cpu[1] = pipes == PIPE1 ? s->run->cpu : s->run->other_cpu;
	r = bench_worker_do(&s->worker, measure, mode, 0);
	if (r)
		return tocsin_err_fail(r, s->err, "the bench's own children failed");
	*ret_calls = s->area->calls;
	return 0;
}

/* The same with the hooks, if everything was counted that should have been, and nothing else. */
static int take_loaded(struct sched *s, enum pipes pipes, enum mode mode, double *ret_calls)
{
	struct bench_count before, after;
	int r = bench_half_count(&s->half, SITE, &before);

	r = r ?: take(s, pipes, mode, ret_calls);
	r = r ?: bench_half_count(&s->half, SITE, &after);
	if (r)
		return r;
	if (after.closed - before.closed != expected[mode].closed ||
	    after.abandoned - before.abandoned != expected[mode].abandoned) {
		return tocsin_err_fail(-EIO, s->err,
				       "%llu sections ended and %llu were given up, not %u and %u",
				       (unsigned long long)(after.closed - before.closed),
				       (unsigned long long)(after.abandoned - before.abandoned),
				       expected[mode].closed, expected[mode].abandoned);
	}
	return 0;
}

/* Without hooks: the base of the ratios on both sides. */
static int take_nothing(struct sched *s, double *ret_calls)
{
	int r = 0;

	for (unsigned p = 0; p < s->nr_pipes && !r; p++) {
		r = take(s, (enum pipes)p, NOTHING, &ret_calls[p]);
		if (!r)
			bench_add(s->run,
				  p == PIPE1 ? BENCH_V_sched_pipe1_ns : BENCH_V_sched_pipe2_ns,
				  s->area->ns);
	}
	return r;
}

static int round_of(struct sched *s, unsigned round)
{
	struct timespec settle = {.tv_nsec = SETTLE_NS};
	double loaded[PIPES_NR][MODES_NR] = {0}, after[PIPES_NR] = {0};
	int r = bench_half_open(&s->half, 0, s->err);

	r = r ?: bench_half_attach(&s->half, SITE, BUDGET_NS, 0, s->err);
	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &settle, NULL);
	for (int i = NOBODY; i < MODES_NR && !r; i++) {
		int mode = round % 2 ? MODES_NR - i : i;

		for (unsigned p = 0; p < s->nr_pipes && !r; p++)
			r = take_loaded(s, (enum pipes)p, (enum mode)mode, &loaded[p][mode]);
	}
	bench_half_close(&s->half);
	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &settle, NULL);
	r = r ?: take_nothing(s, after);
	for (unsigned p = 0; p < s->nr_pipes && !r; p++) {
		double base = (s->nothing[p] + after[p]) / 2;

		bench_add(s->run, ratio[p][NOTHING], after[p] / s->nothing[p]);
		for (int mode = NOBODY; mode < MODES_NR; mode++)
			bench_add(s->run, ratio[p][mode], loaded[p][mode] / base);
		s->nothing[p] = after[p];
	}
	return r;
}

int bench_sched(struct bench_run *run, struct tocsin_err *err)
{
	struct sched s = {.run = run, .err = err, .nr_pipes = run->other_cpu < 0 ? 1 : 2};
	int r = -ENOMEM;

	if (!BENCH_HAS_SITES)
		return tocsin_err_fail(-EOPNOTSUPP, err, "%s", BENCH_NO_SITES);
	if (run->other_cpu < 0)
		bench_note(run, "sched_pipe2_*: not measured, there is only one CPU to run on");
	s.area = bench_area_new(sizeof(*s.area));
	if (s.area)
		r = bench_worker_start(&s.worker, s.area, run->cpu, err);
	r = r ?: take_nothing(&s, s.nothing);
	for (unsigned i = 0; i < run->rounds && !r; i++)
		r = round_of(&s, i);
	bench_worker_end(&s.worker);
	(void)bench_area_free(s.area, sizeof(*s.area));
	return r;
}
