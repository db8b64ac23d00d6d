/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_SITES_H
#define TOCSIN_CLI_BENCH_SITES_H

/* Places to bind sections to, of the kinds that programs have (bench_sites.S), and the kernel half
 * with probes there. */

#include <stdbool.h>
#include <stdint.h>

#include "../base/err.h"
#include "../bpf/watch.h"

#ifdef __x86_64__
#	define BENCH_HAS_SITES 1
#else
#	define BENCH_HAS_SITES 0
#endif

#define BENCH_NO_SITES "the bench has no probe sites for this kind of processor"

/* The sections, too: each kind of site is the section of that index. */
enum bench_site {
	BENCH_NOP5, /* a 5-byte nop, which the kernel can replace by a call */
	BENCH_FUNC, /* push %rbp, as functions with a frame pointer begin */
	BENCH_USDT, /* a 1-byte nop, as <sys/sdt.h> leaves */
	BENCH_SITES_NR,
};

typedef void (*bench_site_fn)(void);

/** bench_site_begin(), bench_site_end() - the functions that a section starts and stops in. */
bench_site_fn bench_site_begin(enum bench_site site);
bench_site_fn bench_site_end(enum bench_site site);

/** bench_site_offset() - where in this program's file a function is. Return: 0, or -ENOENT. */
int bench_site_offset(bench_site_fn fn, uint64_t *ret_offset);

/* The kernel half and the probes of a bench. */
struct bench_half {
	struct watch_kernel *kernel;
	struct watch_link *link[2 * BENCH_SITES_NR];
};

/**
 * bench_half_open() - load the kernel half.
 * @pid: the only process to be watched; 0: every one
 *
 * Return: 0, or as watch_kernel_open(); -EOPNOTSUPP where there are no sites.
 */
int bench_half_open(struct bench_half *half, pid_t pid, struct tocsin_err *err);

/** bench_half_attach() - bind a section of this budget to a site, for one process or (0) for all.
 * Return: 0, or -errno. */
int bench_half_attach(struct bench_half *half, enum bench_site site, uint64_t budget_ns, pid_t pid,
		      struct tocsin_err *err);

/** bench_half_detach() - take all probes away. */
void bench_half_detach(struct bench_half *half);

/** bench_half_set() - what the probes of a site do: start and stop a section, or (empty) nothing.
 * Return: 0, or -errno. */
int bench_half_set(struct bench_half *half, enum bench_site site, uint64_t budget_ns,
		   bool is_empty);

struct bench_count {
	uint64_t closed; /* sections that ended */
	uint64_t over;   /* those of them over budget */
	uint64_t abandoned;
};

/** bench_half_count() - how many sections of a site there were so far. Return: 0, or -errno. */
int bench_half_count(struct bench_half *half, enum bench_site site, struct bench_count *ret);

/** bench_half_close() - take everything away. @half may be zeroed. */
void bench_half_close(struct bench_half *half);

#endif
