// SPDX-License-Identifier: MIT
/* Writes traces for tests: `ctf_write known|extreme|same|fill|endless|empty DIR`. `same` prints
 * what it writes as JSON lines, too. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/report_sample.h"
#include "report/json.h"
#include "report/trace.h"

static int fail(const char *what, int r)
{
	(void)fprintf(stderr, "ctf_write: %s: %s\n", what, strerror(-r));
	return 1;
}

/* One of each event, known values; the second violation lies in another 2^32 ns, the third before
 * it. */
static int write_known(struct trace_sink *sink)
{
	static const uint64_t no_loss[LOSS_NR];
	struct sink_losses sinks = {.count = {[SINK_EXEC_SUPPRESSED] = 3}};
	struct watch_summary *summary = sample_summary();
	struct violation *v;
	int r = trace_sink_process(sink, sample_process());

	r = trace_sink_violation(sink, sample_fired()) ?: r;
	r = trace_sink_violation(sink, sample_violation()) ?: r;
	v = sample_violation();
	v->number = 8;
	v->raw.start_ns += 9ull << 32;
	v->raw.end_ns += 9ull << 32;
	r = trace_sink_violation(sink, v) ?: r;
	r = trace_sink_flush(sink) ?: r;
	v = sample_violation();
	v->number = 9;
	v->nr_spells = 0;
	v->nr_causes = 0;
	r = trace_sink_violation(sink, v) ?: r;
	summary = sample_summary();
	memcpy(summary->loss, no_loss, sizeof(no_loss));
	summary->loss[LOSS_GAP] = 12;
	summary->records_lost = UINT64_MAX;
	return trace_sink_summary(sink, summary, &sinks, (10ull << 32) + SAMPLE_START_NS) ?: r;
}

static int write_extreme(struct trace_sink *sink)
{
	return trace_sink_violation(sink, sample_extreme());
}

/* To the trace, and to standard output. */
static int both(struct trace_sink *sink, struct out *o, const struct violation *v)
{
	int r = trace_sink_violation(sink, v);

	return json_violation(o, v) ?: r;
}

/* Names with blanks, as C++ has them; inlined; unknown. A trace has no build ids. */
static struct named_stack *user_stack(void)
{
	static const struct named_frame frames[] = {
		{"operator new(unsigned long, int)", "/src/a b.cpp", 12, true, "/usr/lib/a lib.so",
		 "", false, 0x1234},
		{"main", "", 0, false, "/bin/prog", "", false, 0xfffffffffffffff0},
		{"", "", 0, false, "", "", false, 0x7f0000001000}};
	struct named_stack *stack = malloc(sizeof(*stack) + sizeof(frames)); /* for ever */

	if (!stack)
		abort();
	stack->nr = 3;
	stack->why = STACK_DEPTH;
	memcpy(stack->frame, frames, sizeof(frames));
	return stack;
}

static int write_same(struct trace_sink *sink)
{
	struct sink_losses sinks = {.count = {[SINK_EXEC_SUPPRESSED] = 3}};
	struct watch_event_process *process = sample_process();
	struct watch_summary *summary = sample_summary();
	struct violation *v;
	struct out o;
	int r;

	out_init(&o, STDOUT_FILENO);
	r = trace_sink_process(sink, process);
	r = json_process(&o, process) ?: r;
	r = both(sink, &o, sample_fired()) ?: r;
	v = sample_violation();
	v->stack = user_stack();
	v->spell[1].user_stack = user_stack();
	r = both(sink, &o, v) ?: r;
	r = both(sink, &o, sample_extreme()) ?: r;
	r = trace_sink_summary(sink, summary, &sinks, (10ull << 32) + SAMPLE_START_NS) ?: r;
	r = json_summary(&o, summary, &sinks) ?: r;
	out_done(&o);
	return r;
}

/* Numbered violations, flushed now and then, until killed (never returns), or until the disk is
 * full. */
static int write_many(struct trace_sink *sink, bool until_full)
{
	struct violation *v = sample_violation();

	for (v->number = 1;; v->number++) {
		int r;

		v->raw.end_ns += 1000;
		r = trace_sink_violation(sink, v);
		if (v->number % 97 == 0)
			r = trace_sink_flush(sink) ?: r;
		if (r < 0 && until_full)
			return r == -ENOSPC ? 0 : r;
		if (r < 0)
			return r;
	}
}

static void print_stats(const struct trace_sink *sink)
{
	struct ctf_stats s = trace_sink_get_stats(sink);

	printf("{\"packets\":%llu,\"bytes\":%llu,\"events\":%llu,\"lost\":%llu,\"retimed\":%llu,"
	       "\"failures\":%llu,\"last_failure\":%d}\n",
	       (unsigned long long)s.packets, (unsigned long long)s.bytes,
	       (unsigned long long)s.events, (unsigned long long)s.lost,
	       (unsigned long long)s.retimed, (unsigned long long)s.failures, s.last_failure);
}

int main(int argc, char **argv)
{
	struct tocsin_err err = {0};
	struct trace_sink *sink;
	int r;

	if (argc != 3)
		return fail("usage: ctf_write known|extreme|same|fill|endless|empty DIR", -EINVAL);
	r = trace_sink_open(argv[2], SAMPLE_REALTIME_NS, &err, &sink);
	if (r < 0) {
		char text[1024];

		(void)fprintf(stderr, "ctf_write: %s\n", tocsin_err_text(&err, text, sizeof(text)));
		return 1;
	}
	if (strcmp(argv[1], "known") == 0)
		r = write_known(sink);
	else if (strcmp(argv[1], "extreme") == 0)
		r = write_extreme(sink);
	else if (strcmp(argv[1], "same") == 0)
		r = write_same(sink);
	else if (strcmp(argv[1], "fill") == 0)
		r = write_many(sink, true);
	else if (strcmp(argv[1], "endless") == 0)
		r = write_many(sink, false);
	else if (strcmp(argv[1], "empty") != 0)
		r = -EINVAL;
	if (r == 0 && strcmp(argv[1], "fill") != 0)
		r = trace_sink_flush(sink);
	if (r == 0 && strcmp(argv[1], "fill") == 0)
		(void)trace_sink_flush(sink); /* the disk is full: what it cannot take is counted */
	print_stats(sink);
	sink = trace_sink_close(sink);
	return r < 0 ? fail(argv[1], r) : 0;
}
