// SPDX-License-Identifier: MIT
/* A program that is single-stepped through its events: every section is aborted for ever, so the
 * records must get out by the side ring, after TOCSIN_RSEQ_ABORT_LIMIT aborts each. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/control.h"
#include "percpu/rseq.h"
#include "ring/reader.h"
#include "ring/ring.h"

#define EVENTS 12

static int fds[2] = {-1, -1}; /* of index 0 .., of the side ring */
static struct ring_header *indexed;

static int make_ring(struct ring_writer *w, int index)
{
	bool is_side = index == RING_INDEX_SIDE;
	struct ring_params params = {
		.kind = is_side ? RING_SIDE : RING_INDEXED,
		.index = is_side ? 0 : (uint32_t)index,
		.data_bytes = is_side ? RING_SIDE_BYTES_MIN : RING_BYTES_MIN,
		.fd = -1,
	};
	struct ring_made made;
	int r = ring_make(&params, &made);

	if (r < 0)
		return r;
	fds[is_side] = made.fd;
	if (!is_side)
		indexed = made.ring;
	return ring_publish(w, index, made.ring);
}

static uint64_t count(int fd)
{
	struct ring_reader reader;
	struct ring_extent extent;
	uint64_t n = 0;

	if (fd < 0 || ring_reader_open(&reader, fd, 0, true) < 0)
		return 0;
	while (ring_reader_next(&reader, 4096, &extent) == RING_READ_MORE)
		n += extent.events;
	ring_reader_close(&reader);
	return n;
}

static void child(void)
{
	static const struct ring_hooks hooks = {.missing = make_ring};
	uint64_t payload[2] = {1, 2}, in_ring, in_side;
	struct ring_writer *w;

	(void)rseq_init();
	ring_init(CONTROL_CLOCK_MONOTONIC, &hooks);
	if (!tocsin_rseq.area || ring_writer_new(&w) < 0)
		_exit(77);
	(void)ring_write(w, 1, payload, sizeof(payload));
	(void)ring_write_side(w, 1, payload, sizeof(payload));
	(void)ptrace(PTRACE_TRACEME, 0, 0, 0);
	(void)raise(SIGSTOP);
	for (uint64_t i = 0; i < EVENTS; i++) {
		payload[0] = i;
		if (ring_write(w, 2, payload, sizeof(payload)) != 0)
			_exit(3);
	}
	(void)raise(SIGSTOP);
	in_ring = count(fds[0]);
	in_side = count(fds[1]);
	printf("# in the ring %d, in the side ring %d, gave up %d, retries %d\n", (int)in_ring,
	       (int)in_side, (int)indexed->gave_up, (int)indexed->retries);
	(void)fflush(stdout);
	if (in_ring + in_side != EVENTS + 2)
		_exit(4);
	/* Some were not stepped in the middle of a section; of the others each tried so often. */
	if (in_side < 2 || indexed->gave_up != in_side - 1 ||
	    indexed->retries < indexed->gave_up * TOCSIN_RSEQ_ABORT_LIMIT)
		_exit(5);
	_exit(0);
}

int main(void)
{
	unsigned long steps = 0;
	bool is_stepping = false;
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return 2;
	if (pid == 0)
		child();
	for (;;) {
		if (waitpid(pid, &status, 0) < 0)
			return 2;
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) == SIGSTOP)
			is_stepping = !is_stepping;
		steps++;
		if (steps > 5000000)
			(void)kill(pid, SIGKILL);
		(void)ptrace(is_stepping ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, 0, 0);
	}
	printf("# steps %lu\n", steps);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
