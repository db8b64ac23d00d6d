// SPDX-License-Identifier: MIT
/*
 * What a kernel event costs the program: a worker makes a system call in a loop, alone, then with
 * the beginning of each recorded and this process draining on the other CPU, then while another
 * process is recorded. The difference is all of it: the kernel's way to its tracepoint, the
 * program there, the record.
 */
#include "bench_record_kernel.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../collector/kernel_wish.h"
#include "../collector/record.h"
#include "bench_worker.h"

#define CALLS      2000000u
#define RING_BYTES (64u << 20)
#define WAIT_MS    1

struct area {
	double call_ns;
};

static int job_calls(void *at, uint64_t nr, uint64_t unused)
{
	struct area *area = at;
	uint64_t start = clock_now_ns();

	(void)unused;
	for (uint64_t i = 0; i < nr; i++)
		(void)syscall(SYS_getppid); /* cannot fail */
	area->call_ns = (double)(clock_now_ns() - start) / (double)nr;
	return 0;
}

/* @pid: whose events are recorded. */
static int calls_recorded(struct bench_worker *w, const struct kernel_wish *wish, const char *dir,
			  pid_t pid, struct record_stats *ret_stats, struct tocsin_err *err)
{
	struct record_options opts = {
		.trace = {.dir = dir, .version = TOCSIN_VERSION, .command = "bench"},
		.kernel = {.wish = wish,
			   .contexts = 1u << CONTEXT_TID | 1u << CONTEXT_PID,
			   .ring_bytes = RING_BYTES},
	};
	struct recorder *rec = NULL;
	int r = record_open(&opts, NULL, NULL, err, &rec), closed = 0;

	r = r ?: record_add_kernel(rec, pid, err);
	if (r == 0)
		record_go(rec);
	r = r ?: bench_worker_ask(w, job_calls, CALLS, 0);
	if (r == 0) {
		struct pollfd answer = {.fd = w->answer_fd, .events = POLLIN};

		do
			r = record_poll(rec);
		while (r == 0 && poll(&answer, 1, WAIT_MS) == 0);
		r = bench_worker_wait(w) ?: r;
	}
	if (rec) {
		r = record_stop(rec) ?: r;
		record_get_stats(rec, ret_stats);
		(void)record_close(rec, &closed);
		bench_dir_remove(dir);
	}
	return r ?: closed;
}

static int round_measure(struct bench_run *run, struct bench_worker *w, struct area *area,
			 const struct kernel_wish *wish, const char *dir, struct tocsin_err *err)
{
	struct record_stats stats, ignored;
	double alone_ns, recorded_ns;
	int r = bench_worker_do(w, job_calls, CALLS, 0);

	alone_ns = area->call_ns;
	r = r ?: calls_recorded(w, wish, dir, w->pid, &stats, err);
	recorded_ns = area->call_ns;
	r = r ?: calls_recorded(w, wish, dir, 1, &ignored, err);
	if (r)
		return r;
	if (stats.kernel_events + stats.kernel_lost < CALLS)
		return tocsin_err_fail(
			-EIO, err, "%llu kernel events of %u",
			(unsigned long long)(stats.kernel_events + stats.kernel_lost), CALLS);
	bench_add(run, BENCH_V_kernel_syscall_ns, alone_ns);
	bench_add(run, BENCH_V_kernel_event_ns, recorded_ns - alone_ns);
	bench_add(run, BENCH_V_kernel_other_ns, area->call_ns - alone_ns);
	bench_add(run, BENCH_V_kernel_lost, (double)(stats.kernel_lost + stats.lost_kernel));
	return 0;
}

int bench_record_kernel(struct bench_run *run, const char *dir, struct tocsin_err *err)
{
	struct area *area = bench_area_new(sizeof(*area));
	struct kernel_wish wish = {0};
	struct bench_worker w = {0};
	int r = area ? 0 : -ENOMEM;

	r = r ?: bench_worker_start(&w, area, run->other_cpu >= 0 ? run->other_cpu : run->cpu, err);
	r = r ?: kernel_wish_add(&wish, "syscall:enter", err);
	for (unsigned i = 0; i < run->rounds && r == 0; i++)
		r = round_measure(run, &w, area, &wish, dir, err);
	if (r == -EPERM || r == -EACCES) {
		bench_note(
			run,
			"kernel events were not measured: they take root, or cap_bpf and cap_perfmon");
		*err = (struct tocsin_err){0};
		r = 0;
	}
	bench_worker_end(&w);
	kernel_wish_done(&wish);
	(void)bench_area_free(area, sizeof(*area));
	return r;
}
