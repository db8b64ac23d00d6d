/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_RING_STRESS_H
#define TOCSIN_TESTS_RING_STRESS_H

/*
 * A process whose threads write records to rings under every kind of trouble, and another one that
 * reads them and compares with what the writers say they did. Shared memory holds the truth.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ring/ring.h"

#define LANES_MAX \
	4096 /* a thread, a thread's handler, or a forked child: one sequence of records */
#define RINGS_MAX 4096

struct options {
	unsigned threads;
	unsigned mode; /* enum ring_mode */
	uint64_t ring_bytes, side_bytes, block_ns;
	unsigned run_ms;
	unsigned read_us;   /* pause of the reader */
	bool has_signals;   /* handlers that write, at any moment */
	bool has_migration; /* threads move from CPU to CPU */
	bool has_forks;     /* threads fork children that write */
	bool has_large;     /* payloads for the side ring */
	bool has_restarts;  /* the reader dies and another takes over */
	bool is_killed;     /* SIGKILL in the middle */
	bool is_monotonic;  /* not the counter: CLOCK_MONOTONIC */
	bool retires;       /* rings are retired and made anew all the time */
	unsigned pause_us;  /* of a writer, now and then */
};

/* Written by the writers only: what was begun, what write said. */
struct lane {
	_Atomic uint64_t begun;
	_Atomic uint64_t written;
	_Atomic uint64_t lost;
	uint64_t pad[5];
};

struct shared {
	_Atomic uint32_t nr_lanes;
	_Atomic uint32_t nr_rings;
	_Atomic uint32_t nr_open; /* the reader has those before this one */
	_Atomic uint64_t nowhere; /* lost without even a side ring */
	_Atomic uint32_t stop;
	_Atomic uint32_t wakes;
	struct lane lane[LANES_MAX];
	struct ring_entry {
		_Atomic int fd; /* in process `pid`; stored last, + 1 */
		pid_t pid;
		int index;
	} ring[RINGS_MAX];
};

extern struct options options;
extern struct shared *shared;

/* payload_fill() - the @seq-th record of a lane: words that a reader can check. Return: bytes. */
static inline uint64_t payload_word(uint32_t lane, uint64_t seq, unsigned i)
{
	uint64_t x = (seq * 0x9e3779b97f4a7c15ULL) ^ ((uint64_t)lane << 40) ^ i;

	return x * 0xbf58476d1ce4e5b9ULL ^ x >> 29;
}

static inline uint32_t payload_bytes(uint64_t seq)
{
	uint64_t x = payload_word(0, seq, 7) >> 20;

	if (options.has_large && x % 512 == 5)
		return 4104 + (uint32_t)(x >> 9) % 7000 * 8;
	if (x % 64 == 3)
		return (uint32_t)((x >> 6) % 500 + 2) * 8;
	return (uint32_t)((x >> 6) % 6 + 2) * 8;
}

/* Ids: most compact, some extended. */
static inline uint32_t payload_id(uint64_t seq)
{
	return seq % 97 == 1 ? 70000 : (uint32_t)(seq % 60000);
}

/* writers_run() - the writing process, until shared->stop. Never returns. */
void writers_run(void) __attribute__((noreturn));

/* checks_run() - read the rings of @writer until it has ended. Return: findings, each said. */
unsigned checks_run(pid_t writer);

#endif
