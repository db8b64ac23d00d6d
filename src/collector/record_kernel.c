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
#include "../bpf/record_keep.h"
#include "caps.h"
#include "kernel_clock.h"
#include "kernel_wish.h"

struct record_kernel_part {
	struct record_kernel *half; /* NULL: a snapshot of `kept` */
	struct record_kept kept;
	struct record_process *process; /* in the recording's list */
	struct kernel_clock clock;
	void *buf; /* of a converted extent */
};

static struct record_process *process_make(struct recorder *rec,
					   const struct control_class *const *class,
					   uint32_t nr_classes, uint32_t contexts)
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
	if (!p->ring ||
	    record_trace_shape(rec->trace, NULL, &contexts, 1, class, nr_classes, &p->shape)) {
		record_process_free(p);
		return NULL;
	}
	return p;
}

static int ring_open(struct record_process *p, int fd, unsigned cpu, uint64_t data_bytes,
		     bool can_write, struct tocsin_err *err)
{
	struct record_ring *ring = p->nr_rings < RECORD_RINGS_MAX ? calloc(1, sizeof(*ring)) : NULL;
	int r;

	if (!ring)
		return -ENOMEM;
	p->ring[p->nr_rings++] = ring;
	ring->place = cpu;
	ring->stream = (struct ctf_ring_stream)CTF_RING_STREAM_NONE;
	r = ring_reader_open_map(&ring->reader, fd,
				 RING_HEADER_BYTES + data_bytes + KERNEL_RING_SLACK, can_write);
	if (r < 0)
		return tocsin_err_fail(r, err, "cannot map the ring of CPU %u: %s", cpu,
				       strerror(-r));
	ring->is_open = true;
	return 0;
}

static int rings_open(struct record_kernel_part *k, uint64_t data_bytes, struct tocsin_err *err)
{
	int r = 0;

	for (unsigned i = 0; i < record_kernel_nr_rings(k->half) && !r; i++) {
		unsigned cpu;
		int fd = record_kernel_ring(k->half, i, &cpu);

		r = ring_open(k->process, fd, cpu, data_bytes, true, err);
	}
	return r;
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

static int half_open(const struct record_kernel_options *opts, bool follow,
		     struct record_kernel **ret, struct tocsin_err *err)
{
	const struct kernel_wish *wish = opts->wish;
	struct record_kernel_config cfg = {
		.tracepoint = wish->tracepoint,
		.nr_tracepoints = wish->nr_tracepoints,
		.contexts = opts->contexts,
		.context_bytes = context_bytes(opts->contexts),
		.ring_bytes = opts->ring_bytes,
		.is_overwriting = opts->is_overwriting,
		.all = opts->is_all,
		.follow = follow,
		.with_self = opts->with_self,
	};
	int r;

	memcpy(cfg.event, wish->event, sizeof(cfg.event));
	if (opts->ring_bytes > KERNEL_RING_BYTES_MAX)
		return tocsin_err_fail(-EINVAL, err, "rings for kernel events have 256M at most");
	r = record_kernel_open(&cfg, ret, err);
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
	return half_open(&rec->opts->kernel, rec->opts->wish.is_inherited, &rec->kernel->half, err);
}

int record_kernel_begin(struct recorder *rec, struct tocsin_err *err)
{
	if (!rec->kernel)
		return 0;
	rec->kernel->buf = malloc(2 * (RECORD_EXTENT_BYTES + RING_RECORD_MAX));
	rec->kernel->process = process_make(
		rec, (const struct control_class *const *)rec->opts->kernel.wish->class,
		rec->opts->kernel.wish->nr_classes, rec->opts->kernel.contexts);
	if (!rec->kernel->buf || !rec->kernel->process)
		return tocsin_err_fail(-ENOMEM, err, "out of memory");
	record_process_link(rec, rec->kernel->process);
	record_kernel_measured(rec);
	return rings_open(rec->kernel, rec->opts->kernel.ring_bytes, err);
}

void record_kernel_go(struct recorder *rec)
{
	if (rec->kernel && rec->kernel->half)
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
	return rec->kernel && rec->kernel->half &&
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

	if (rec->kernel->half)
		record_kernel_losses(rec->kernel->half, loss);
	else
		memcpy(loss, rec->kernel->kept.loss, sizeof(loss));
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
	if (!rec->kernel->clock.nr_points) /* its other end */
		kernel_clock_point(&rec->kernel->clock, &rec->tb.line[0].origin);
	kernel_clock_point(&rec->kernel->clock, &rec->tb.last);
}

void record_kernel_end(struct recorder *rec)
{
	if (!rec->kernel)
		return;
	(void)record_kernel_close(rec->kernel->half);
	record_kept_done(&rec->kernel->kept);
	free(rec->kernel->buf);
	free(rec->kernel); /* the process is the list's */
	rec->kernel = NULL;
}

/* --- the flight recorder --- */

#define ABOUT_MAGIC   0x74676c666e636f74ull
#define ABOUT_VERSION 1

/* What a snapshot must know of the recorder: then the descriptions of its events follow. */
struct about {
	uint64_t magic;
	uint32_t version, contexts;
	uint64_t ring_bytes;
	uint64_t tick, ns; /* both clocks when it was switched on; 0: no counter */
	uint32_t nr_classes, class_bytes;
};

static int about_make(const struct record_kernel_options *opts, struct about **ret,
		      size_t *ret_bytes)
{
	struct timebase_point now = {0};
	struct about *about;
	size_t bytes = sizeof(*about);
	char *at;

	for (uint32_t i = 0; i < opts->wish->nr_classes; i++)
		bytes += opts->wish->class[i]->bytes;
	about = calloc(1, bytes);
	if (!about)
		return -ENOMEM;
	(void)timebase_read_counter(NULL, &now); /* zeros say so */
	*about = (struct about){
		.magic = ABOUT_MAGIC,
		.version = ABOUT_VERSION,
		.contexts = opts->contexts,
		.ring_bytes = opts->ring_bytes,
		.tick = now.tick,
		.ns = now.ns,
		.nr_classes = opts->wish->nr_classes,
		.class_bytes = (uint32_t)(bytes - sizeof(*about)),
	};
	at = (char *)(about + 1);
	for (uint32_t i = 0; i < opts->wish->nr_classes; i++) {
		memcpy(at, opts->wish->class[i], opts -> wish -> class[i] -> bytes);
		at += opts->wish->class[i]->bytes;
	}
	*ret = about;
	*ret_bytes = bytes;
	return 0;
}

int record_kernel_flight(const struct record_kernel_options *opts, const pid_t *pid, size_t nr,
			 bool follow, struct tocsin_err *err)
{
	struct record_kernel *half = NULL;
	struct about *about = NULL;
	size_t bytes;
	int r;

	if (!opts)
		return record_kept_remove(err);
	r = half_open(opts, follow, &half, err);
	for (size_t i = 0; i < nr && !r; i++)
		r = record_kernel_add_process(half, (uint32_t)pid[i]);
	r = r ?: about_make(opts, &about, &bytes);
	r = r ?: record_kernel_keep(half, about, bytes, err);
	if (!r)
		record_kernel_switch(half, true);
	(void)record_kernel_close(half); /* the pins hold it */
	free(about);
	return r;
}

/* The descriptions out of `about`: ours, but from another run, so they are looked at. */
static int classes_read(const struct record_kept *kept, const struct control_class **class)
{
	const struct about *about = kept->about;
	const char *at = (const char *)(about + 1), *end = (const char *)about + kept->about_bytes;

	for (uint32_t i = 0; i < about->nr_classes; i++) {
		const struct control_class *c = (const void *)at;

		if (end - at < (ptrdiff_t)sizeof(*c) || c->bytes < sizeof(*c) ||
		    c->bytes > (size_t)(end - at))
			return -EBADMSG;
		class[i] = c;
		at += c->bytes;
	}
	return 0;
}

static int snapshot_begin(struct recorder *rec, struct tocsin_err *err)
{
	struct record_kernel_part *k = rec->kernel;
	const struct about *about = k->kept.about;
	const struct control_class **class TOCSIN_CLEANUP(tocsin_free_voidp) = NULL;
	int r = 0;

	if (k->kept.about_bytes < sizeof(*about) || about->magic != ABOUT_MAGIC ||
	    about->version != ABOUT_VERSION || about->nr_classes > CONTROL_CLASSES)
		return tocsin_err_fail(
			-EPROTO, err, "the flight recorder of kernel events is of another version");
	class = calloc(about->nr_classes + 1, sizeof(*class));
	if (!class)
		return -ENOMEM;
	if (classes_read(&k->kept, class))
		return tocsin_err_fail(-EPROTO, err,
				       "the flight recorder's list of events is broken");
	k->buf = malloc(2 * (RECORD_EXTENT_BYTES + RING_RECORD_MAX));
	k->process = process_make(rec, class, about->nr_classes, about->contexts);
	if (!k->buf || !k->process)
		return -ENOMEM;
	record_process_link(rec, k->process);
	if (rec->has_tb && about->tick) {
		const struct timebase_point on = {.tick = about->tick, .ns = about->ns};

		kernel_clock_point(&k->clock, &on);
	}
	for (unsigned i = 0; i < k->kept.nr_rings && !r; i++)
		r = ring_open(k->process, k->kept.ring[i].fd, k->kept.ring[i].cpu,
			      about->ring_bytes, false, err);
	return r;
}

int record_kernel_snapshot(struct recorder *rec, struct tocsin_err *err)
{
	int r;

	rec->kernel = calloc(1, sizeof(*rec->kernel));
	if (!rec->kernel)
		return -ENOMEM;
	r = record_kept_open(&rec->kernel->kept, err);
	if (r) {
		record_kernel_end(rec);
		return r;
	}
	r = snapshot_begin(rec, err);
	return r ?: record_snapshot_rings(rec, rec->kernel->process);
}
