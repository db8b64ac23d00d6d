// SPDX-License-Identifier: MIT
/* The writing side of the stress test. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/control.h"
#include "percpu/rseq.h"
#include "stress.h"

#define PAYLOAD_WORDS (RING_SIDE_PAYLOAD_MAX / 8)

static struct ring_writer *writer;
static __thread uint32_t own_lane, handler_lane;
static pthread_t thread[64];

static uint32_t new_lane(void)
{
	uint32_t n = atomic_fetch_add(&shared->nr_lanes, 1);

	if (n >= LANES_MAX)
		abort();
	return n;
}

static int make_ring(struct ring_writer *w, int index)
{
	struct ring_params params = {
		.kind = index == RING_INDEX_SIDE ? RING_SIDE : RING_INDEXED,
		.mode = options.mode,
		.index = index == RING_INDEX_SIDE ? 0 : (uint32_t)index,
		.watermark = (uint32_t)(options.ring_bytes / 2),
		.data_bytes = index == RING_INDEX_SIDE ? options.side_bytes : options.ring_bytes,
		.block_ns = options.block_ns,
		.fd = -1,
	};
	struct ring_made made;
	uint32_t n;
	int r = ring_make(&params, &made);

	if (r < 0)
		return r;
	n = atomic_load(&shared->nr_rings) < RINGS_MAX ? atomic_fetch_add(&shared->nr_rings, 1)
						       : RINGS_MAX;
	if (n >= RINGS_MAX) {
		ring_unmake(&params, &made);
		return -ENOSPC;
	}
	shared->ring[n].pid = getpid();
	shared->ring[n].index = index;
	/* Known to the reader before the first record can be in it. */
	atomic_store(&shared->ring[n].fd, made.fd + 1);
	if (ring_publish(w, index, made.ring) < 0)
		(void)munmap(made.ring, RING_HEADER_BYTES); /* stays empty; the reader has it */
	return 0;
}

static void count_nowhere(struct ring_writer *w)
{
	(void)w;
	atomic_fetch_add(&shared->nowhere, 1);
}

static void count_wake(struct ring_writer *w)
{
	(void)w;
	atomic_fetch_add(&shared->wakes, 1);
}

static const struct ring_hooks hooks = {
	.missing = make_ring, .wake = count_wake, .lost = count_nowhere};

static void emit(struct ring_writer *w, uint32_t lane, uint64_t *payload)
{
	struct lane *l = &shared->lane[lane];
	uint64_t seq = atomic_load_explicit(&l->begun, memory_order_relaxed);
	uint32_t bytes = payload_bytes(seq), id = payload_id(seq);
	int r;

	payload[0] = (uint64_t)lane << 48 | seq;
	for (uint32_t i = 1; i < bytes / 8; i++)
		payload[i] = payload_word(lane, seq, i);
	atomic_store_explicit(&l->begun, seq + 1, memory_order_relaxed);
	if (bytes == 16)
		r = ring_write(w, id, payload, 16); /* the unrolled form */
	else
		r = ring_write(w, id, payload, bytes);
	if (r == 0)
		atomic_fetch_add_explicit(&l->written, 1, memory_order_relaxed);
	else
		atomic_fetch_add_explicit(&l->lost, 1, memory_order_relaxed);
}

static void on_signal(int sig)
{
	static __thread uint64_t payload[PAYLOAD_WORDS];
	int saved = errno;

	(void)sig;
	errno = 4242;
	if (handler_lane)
		emit(writer, handler_lane, payload);
	if (errno != 4242)
		abort();
	errno = saved;
}

/* Move a thread, at whatever it is just doing. */
static void move_about(pthread_t who, uint64_t n)
{
	cpu_set_t set;
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	CPU_ZERO(&set);
	CPU_SET(n % (uint64_t)cpus, &set);
	(void)pthread_setaffinity_np(who, sizeof(set), &set); /* the CPU may be off just now */
}

static void fork_one(uint64_t *payload)
{
	pid_t pid = fork();

	if (pid == 0) {
		uint32_t lane = new_lane();
		struct ring_writer *w = NULL;

		handler_lane = 0;
		if (writer->made || writer->side || ring_writer_new(&w) < 0)
			abort();
		writer = w;
		for (int i = 0; i < 300; i++)
			emit(w, lane, payload);
		/* The reader opens rings by our descriptors: wait until it has. */
		for (uint32_t nr = atomic_load(&shared->nr_rings);
		     atomic_load(&shared->nr_open) < nr;)
			(void)sched_yield();
		_exit(0);
	}
}

static void *write_thread(void *arg)
{
	uint64_t *payload = calloc(PAYLOAD_WORDS, 8);
	bool is_first = arg == NULL;

	if (!payload)
		abort();
	own_lane = new_lane();
	handler_lane = new_lane();
	for (uint64_t n = 0; !atomic_load_explicit(&shared->stop, memory_order_relaxed); n++) {
		emit(writer, own_lane, payload);
		if (options.has_migration && n % 200 == 0)
			move_about(pthread_self(), n / 200 + own_lane);
		if (options.has_forks && is_first && n % 4000 == 100 && n < 30000)
			fork_one(payload);
		if (options.retires && is_first && n % 5000 == 77)
			(void)ring_retire(writer, (int)(n / 5000 % 3) - 1);
		if (options.pause_us && n % 64 == 0) {
			struct timespec t = {.tv_nsec = (long)options.pause_us * 1000};

			(void)nanosleep(&t, NULL);
		}
	}
	handler_lane = 0;
	free(payload);
	return NULL;
}

void writers_run(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	uint64_t n = 0;

	(void)nice(5); /* the reader goes first, in the middle of whatever we do; or not */
	(void)rseq_init();
	ring_init(options.is_monotonic ? CONTROL_CLOCK_MONOTONIC : CONTROL_CLOCK_TSC, &hooks);
	if (ring_writer_new(&writer) < 0)
		abort();
	(void)sigaction(SIGUSR1, &action, NULL);
	(void)new_lane(); /* lane 0 is nobody's */
	for (unsigned i = 0; i < options.threads; i++)
		if (pthread_create(&thread[i], NULL, write_thread, i ? &thread[i] : NULL))
			abort();
	while (!atomic_load(&shared->stop)) {
		struct timespec t = {.tv_nsec = 50000};

		if (options.has_signals)
			(void)pthread_kill(thread[n % options.threads], SIGUSR1);
		if (options.has_migration)
			move_about(thread[n % options.threads], n / 3);
		n++;
		(void)nanosleep(&t, NULL);
	}
	for (unsigned i = 0; i < options.threads; i++)
		(void)pthread_join(thread[i], NULL);
	while (wait(NULL) > 0)
		;
	/* The descriptors live until the reader has opened all of them. */
	atomic_store(&shared->stop, 2);
	for (;;)
		(void)pause();
}
