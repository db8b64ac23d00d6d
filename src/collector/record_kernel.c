// SPDX-License-Identifier: MIT
/*
 * Kernel events in a recording. The kernel half is one more process: it has a ring a CPU, a list of
 * events, losses; its records go the way of all records into files of the same trace. What is
 * special to it is here: it has no control page, its rings are BPF maps, and its clock is put on
 * that of the others (kernel_clock.c).
 */
#include "record_kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../bpf/record.h"
#include "caps.h"
#include "kernel_clock.h"
#include "kernel_wish.h"

struct record_kernel_part {
	struct record_kernel *half;
	struct record_process *process; /* in the recording's list */
	struct kernel_clock clock;
	void *buf; /* of a converted extent */
};

static struct record_process *process_make(struct recorder *rec, const struct kernel_wish *wish)
{
	struct record_process *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->is_kernel = true;
	p->pid_fd = -1;
	p->page = (struct control_file)CONTROL_FILE_NONE;
	p->clock = rec->has_tb ? CONTROL_CLOCK_TSC : CONTROL_CLOCK_MONOTONIC;
	memcpy(p->comm, "kernel", sizeof("kernel"));
	p->ring = calloc(RECORD_RINGS_MAX, sizeof(*p->ring));
	if (!p->ring || record_trace_shape(rec->trace, NULL, &rec->opts->kernel.contexts, 1,
					   (const struct control_class *const *)wish->class,
					   wish->nr_classes, &p->shape)) {
		record_process_free(p);
		return NULL;
	}
	return p;
}

static int rings_open(struct record_kernel_part *k, uint64_t data_bytes, struct tocsin_err *err)
{
	struct record_process *p = k->process;

	for (unsigned i = 0; i < record_kernel_nr_rings(k->half) && i < RECORD_RINGS_MAX; i++) {
		struct record_ring *ring = calloc(1, sizeof(*ring));
		unsigned cpu;
		int fd = record_kernel_ring(k->half, i, &cpu), r;

		if (!ring)
			return -ENOMEM;
		p->ring[p->nr_rings++] = ring;
		ring->place = cpu;
		ring->stream = (struct ctf_ring_stream)CTF_RING_STREAM_NONE;
		r = ring_reader_open_map(&ring->reader, fd,
					 RING_HEADER_BYTES + data_bytes + KERNEL_RING_SLACK, true);
		if (r < 0)
			return tocsin_err_fail(r, err, "cannot map the ring of CPU %u: %s", cpu,
					       strerror(-r));
		ring->is_open = true;
	}
	return 0;
}

/* Bytes of the chosen contexts in a record. */
static uint32_t context_bytes(uint32_t mask)
{
	uint32_t used = 0;

	for (unsigned i = 0; i < CONTEXT_NR; i++) {
		const struct ctf_context *c = ctf_context(i);
		uint32_t bytes = c->type == TOCSIN_TYPE_TEXT ? c->count : ctf_scalar_bytes(c->type);

		if (!(mask >> i & 1))
			continue;
		if (c->type != TOCSIN_TYPE_TEXT)
			used = (used + bytes - 1) & ~(bytes - 1);
		used += bytes;
	}
	return (used + 7) & ~7u;
}

/* Which capabilities it takes, and how to get them. */
static void explain_refusal(struct tocsin_err *err)
{
	char names[128], program[256] = "tocsin", remedy[512];
	uint64_t missing;
	struct caps caps;
	ssize_t len;

	if (caps_read(&caps))
		return;
	missing = caps_missing(&caps, CAPS_JOB_LOAD);
	if (!missing)
		return;
	len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	if (len > 0)
		program[len] = 0;
	tocsin_err_add(err, "%s", caps_remedy(&caps, missing, program, remedy, sizeof(remedy)));
	tocsin_err_add(err, "kernel events take capabilities that user %u lacks: %s", caps.uid,
		       caps_list(missing, names, sizeof(names)));
}

static int half_open(struct recorder *rec, const struct kernel_wish *wish, struct tocsin_err *err)
{
	const struct record_kernel_options *opts = &rec->opts->kernel;
	struct record_kernel_config cfg = {
		.tracepoint = wish->tracepoint,
		.nr_tracepoints = wish->nr_tracepoints,
		.contexts = opts->contexts,
		.context_bytes = context_bytes(opts->contexts),
		.ring_bytes = opts->ring_bytes,
		.is_overwriting = opts->is_overwriting,
		.all = opts->is_all,
		.follow = rec->opts->wish.is_inherited,
		.with_self = opts->with_self,
	};
	int r;

	memcpy(cfg.event, wish->event, sizeof(cfg.event));
	if (opts->ring_bytes > KERNEL_RING_BYTES_MAX)
		return tocsin_err_fail(-EINVAL, err, "rings for kernel events have 256M at most");
	r = record_kernel_open(&cfg, &rec->kernel->half, err);
	if (r == -EPERM || r == -EACCES)
		explain_refusal(err);
	return r;
}

int record_kernel_load(struct recorder *rec, struct tocsin_err *err)
{
	if (!rec->opts->kernel.wish)
		return 0;
	rec->kernel = calloc(1, sizeof(*rec->kernel));
	if (!rec->kernel)
		return -ENOMEM;
	return half_open(rec, rec->opts->kernel.wish, err);
}

int record_kernel_begin(struct recorder *rec, struct tocsin_err *err)
{
	if (!rec->kernel)
		return 0;
	rec->kernel->buf = malloc(2 * (RECORD_EXTENT_BYTES + RING_RECORD_MAX));
	rec->kernel->process = process_make(rec, rec->opts->kernel.wish);
	if (!rec->kernel->buf || !rec->kernel->process)
		return tocsin_err_fail(-ENOMEM, err, "out of memory");
	record_process_link(rec, rec->kernel->process);
	record_kernel_measured(rec);
	return rings_open(rec->kernel, rec->opts->kernel.ring_bytes, err);
}

void record_kernel_go(struct recorder *rec)
{
	if (rec->kernel)
		record_kernel_switch(rec->kernel->half, true);
}

void record_kernel_halt(struct recorder *rec)
{
	if (rec->kernel && rec->kernel->half)
		record_kernel_switch(rec->kernel->half, false);
}

int record_kernel_add(struct recorder *rec, pid_t pid, struct tocsin_err *err)
{
	struct pid_set set TOCSIN_CLEANUP(pid_set_done) = {0};
	int r;

	if (!rec->kernel || rec->opts->kernel.is_all)
		return 0;
	if (!process_exists(pid))
		return tocsin_err_fail(-ESRCH, err, "no process %d", (int)pid);
	/* The process first: what it makes while we look enters the table by itself. */
	r = record_kernel_add_process(rec->kernel->half, (uint32_t)pid);
	r = r ?: pid_set_add(&set, pid);
	if (!r && rec->opts->wish.is_inherited)
		r = process_add_descendants(&set);
	for (size_t i = 0; i < set.nr && !r; i++)
		r = record_kernel_add_process(rec->kernel->half, (uint32_t)set.pid[i]);
	if (r)
		return tocsin_err_fail(r, err, "cannot record kernel events of process %d: %s",
				       (int)pid, strerror(-r));
	return 0;
}

bool record_kernel_is_alive(const struct recorder *rec)
{
	return rec->kernel &&
	       (rec->opts->kernel.is_all || record_kernel_nr_processes(rec->kernel->half));
}

void record_kernel_tell_losses(struct recorder *rec)
{
	static const struct {
		const char *name, *sentence;
	} text[KERNEL_LOSS_NR] = {
#define X(NAME, name, text) {#name, text},
#include "../abi/kernel_losses.def"
#undef X
	};
	uint64_t loss[KERNEL_LOSS_NR];

	record_kernel_losses(rec->kernel->half, loss);
	for (unsigned i = 0; i < KERNEL_LOSS_NR; i++) {
		struct record_event_lost event = {
			.name = text[i].name, .count = loss[i], .sentence = text[i].sentence};

		if (!loss[i])
			continue;
		rec->stats.lost_kernel += loss[i];
		(void)record_trace_say(rec->trace, RECORD_EVENT_lost, &event); /* counted */
	}
}

int record_kernel_convert(struct recorder *rec, struct record_ring *ring,
			  const struct ring_extent *ext, struct ring_extent *ret)
{
	return kernel_clock_convert(&rec->kernel->clock, &ring->kernel_stream, ext,
				    rec->kernel->buf, ret)
		       ? 0
		       : -EBADMSG;
}

void record_kernel_measured(struct recorder *rec)
{
	if (!rec->kernel || !rec->has_tb)
		return;
	if (!rec->kernel->clock.nr_points) /* the first line's other end */
		kernel_clock_point(&rec->kernel->clock, &rec->tb.line[0].origin);
	kernel_clock_point(&rec->kernel->clock, &rec->tb.last);
}

void record_kernel_end(struct recorder *rec)
{
	if (!rec->kernel)
		return;
	(void)record_kernel_close(rec->kernel->half);
	free(rec->kernel->buf);
	free(rec->kernel); /* the process is the list's */
	rec->kernel = NULL;
}
