/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_WORKER_H
#define TOCSIN_CLI_BENCH_WORKER_H

/*
 * A child process that does what the bench measures: the kernel half never watches the collector's
 * own process, so another one has to run into the probes. It is forked, so functions and shared
 * memory have the same addresses in both, and a job is a function and two numbers through a pipe.
 *
 * Start workers before the kernel half is loaded: then they hold none of its descriptors, and it
 * goes when this process does. A worker ends with its parent, whatever ends that.
 */

#include <stdint.h>
#include <sys/types.h>

#include "../base/err.h"

struct bench_worker {
	pid_t pid; /* 0: not started */
	int ask_fd;
	int answer_fd;
};

/** bench_job_fn - runs in the worker. @area: memory shared with the parent. Return: 0, or -errno.
 */
typedef int (*bench_job_fn)(void *area, uint64_t a, uint64_t b);

/** bench_area_new() - zeroed memory that processes forked later share. Return: NULL: no memory. */
void *bench_area_new(size_t bytes);

/** bench_area_free() - give it back. @area may be NULL. Return: NULL. */
void *bench_area_free(void *area, size_t bytes);

/**
 * bench_worker_start() - fork a worker that waits for jobs.
 * @w:    zeroed; to be ended with bench_worker_end()
 * @area: given to every job, lent
 * @cpu:  the only one that it runs on
 *
 * Return: 0, or -errno.
 */
int bench_worker_start(struct bench_worker *w, void *area, int cpu, struct tocsin_err *err);

/** bench_worker_ask() - begin a job. Return: 0, or -errno (-EPIPE: the worker is gone). */
int bench_worker_ask(struct bench_worker *w, bench_job_fn run, uint64_t a, uint64_t b);

/** bench_worker_wait() - until the job is done. Return: what it returned, -EPIPE, -ETIMEDOUT. */
int bench_worker_wait(struct bench_worker *w);

/** bench_worker_do() - ask and wait. */
int bench_worker_do(struct bench_worker *w, bench_job_fn run, uint64_t a, uint64_t b);

/** bench_worker_end() - end it, whatever it does. @w may be zeroed. */
void bench_worker_end(struct bench_worker *w);

/** bench_fork() - fork a process that ends with this one. @cpu: the only one that it runs on, -1:
 * any. Return: as fork(), or -errno. */
pid_t bench_fork(int cpu);

/** bench_reap() - end a process and take its status. */
void bench_reap(pid_t pid);

#endif
