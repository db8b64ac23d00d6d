// SPDX-License-Identifier: MIT
/* A child process that does what the bench measures. */
#include "bench_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

#define TIMEOUT_MS 120000 /* for one job; the longest take some seconds */

struct job {
	bench_job_fn run;
	uint64_t a, b;
};

void *bench_area_new(size_t bytes)
{
	void *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return area == MAP_FAILED ? NULL : area;
}

void *bench_area_free(void *area, size_t bytes)
{
	if (area)
		(void)munmap(area, bytes); /* of our own mmap(): cannot fail */
	return NULL;
}

pid_t bench_fork(int cpu)
{
	pid_t parent = getpid(), pid = fork();
	cpu_set_t set;

	if (pid)
		return pid < 0 ? -errno : pid;
	CPU_ZERO(&set);
	if (cpu >= 0)
		CPU_SET((size_t)cpu, &set);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent ||
	    (cpu >= 0 && sched_setaffinity(0, sizeof(set), &set)))
		_exit(1);
	return 0;
}

void bench_reap(pid_t pid)
{
	if (pid <= 0)
		return;
	(void)kill(pid, SIGKILL); /* it is our child and not yet waited for, so it is there */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The whole life of a worker. */
static void serve(int ask_fd, int answer_fd, void *area)
{
	struct job job;

	while (read(ask_fd, &job, sizeof(job)) == (ssize_t)sizeof(job)) {
		int r = job.run(area, job.a, job.b);

		if (write(answer_fd, &r, sizeof(r)) != (ssize_t)sizeof(r))
			break;
	}
	_exit(0);
}

int bench_worker_start(struct bench_worker *w, void *area, int cpu, struct tocsin_err *err)
{
	int ask[2], answer[2], r = cli_pipe_pair(ask, answer);
	pid_t pid;

	if (r)
		return tocsin_err_fail(r, err, "cannot make a pipe");
	pid = bench_fork(cpu);
	if (pid == 0) {
		(void)close(ask[1]); /* so that it sees the end of the parent's */
		(void)close(answer[0]);
		serve(ask[0], answer[1], area);
	}
	(void)close(ask[0]);
	(void)close(answer[1]);
	*w = (struct bench_worker){.pid = pid, .ask_fd = ask[1], .answer_fd = answer[0]};
	if (pid > 0)
		return 0;
	w->pid = 0;
	(void)close(ask[1]);
	(void)close(answer[0]);
	return tocsin_err_fail((int)pid, err, "cannot fork");
}

int bench_worker_ask(struct bench_worker *w, bench_job_fn run, uint64_t a, uint64_t b)
{
	struct job job = {run, a, b};

	/* shorter than PIPE_BUF: all of it or nothing */
	return write(w->ask_fd, &job, sizeof(job)) < 0 ? -errno : 0;
}

int bench_worker_wait(struct bench_worker *w)
{
	struct pollfd p = {.fd = w->answer_fd, .events = POLLIN};
	int r;

	do
		r = poll(&p, 1, TIMEOUT_MS);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return r ? -errno : -ETIMEDOUT;
	if (read(w->answer_fd, &r, sizeof(r)) != (ssize_t)sizeof(r))
		return -EPIPE;
	return r;
}

int bench_worker_do(struct bench_worker *w, bench_job_fn run, uint64_t a, uint64_t b)
{
	int r = bench_worker_ask(w, run, a, b);

	return r ?: bench_worker_wait(w);
}

void bench_worker_end(struct bench_worker *w)
{
	if (!w->pid)
		return;
	bench_reap(w->pid);
	(void)close(w->ask_fd);
	(void)close(w->answer_fd);
	w->pid = 0;
}
