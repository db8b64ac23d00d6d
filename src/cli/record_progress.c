// SPDX-License-Identifier: MIT
/* Words about a recording. */
#include "record_progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/parse.h"
#include "cli.h"

#define LINE_NS 1000000000ull

uint64_t record_progress_lost(const struct record_stats *s)
{
	return s->lost + s->lost_disk + s->lost_corrupt + s->lost_library + s->lost_kernel +
	       s->corrupt_rings + s->missed_rings + s->missed_children;
}

void record_progress_begin(struct record_progress *p, bool is_on)
{
	*p = (struct record_progress){.is_on = is_on,
				      .is_terminal = isatty(STDERR_FILENO) == 1,
				      .begun_ns = clock_now_ns()};
	p->last_ns = p->begun_ns;
	if (is_on)
		(void)fprintf(stderr, "recording\n");
}

static void line_clear(struct record_progress *p)
{
	if (p->is_shown)
		(void)fprintf(stderr, "\r\033[K");
	p->is_shown = false;
}

void record_progress_show(struct record_progress *p, const struct recorder *rec)
{
	uint64_t now_ns = clock_now_ns();
	struct record_stats s;
	char why[64];
	double dt;

	if (now_ns - p->last_ns < LINE_NS)
		return;
	record_get_stats(rec, &s);
	if (s.disk_failure != p->told_failure) {
		line_clear(p);
		if (s.disk_failure)
			cli_error("the trace cannot be written: %s; recording goes on in memory",
				  tocsin_errno_text(s.disk_failure, why, sizeof(why)));
		else
			cli_error("the trace can be written again");
		p->told_failure = s.disk_failure;
	}
	dt = (double)(now_ns - p->last_ns) / 1e9;
	if (p->is_on && p->is_terminal) {
		(void)fprintf(stderr, "\r\033[K%.3g events/s, %.3g MB/s, %llu lost, %llu process%s",
			      (double)(s.events - p->last_events) / dt,
			      (double)(s.bytes - p->last_bytes) / dt / 1e6,
			      (unsigned long long)record_progress_lost(&s),
			      (unsigned long long)s.alive, s.alive == 1 ? "" : "es");
		(void)fflush(stderr);
		p->is_shown = true;
	}
	p->last_ns = now_ns;
	p->last_events = s.events;
	p->last_bytes = s.bytes;
}

static void say_count(uint64_t count, const char *what)
{
	if (count)
		(void)fprintf(stderr, "  %llu %s\n", (unsigned long long)count, what);
}

void record_progress_end(struct record_progress *p, const struct record_stats *s, const char *dir)
{
	char took[32];

	line_clear(p);
	(void)fprintf(stderr,
		      "%llu event%s of %llu process%s in %s, %llu bytes in '%s', %llu lost\n",
		      (unsigned long long)s->events, s->events == 1 ? "" : "s",
		      (unsigned long long)s->processes, s->processes == 1 ? "" : "es",
		      tocsin_format_duration(clock_now_ns() - p->begun_ns, took, sizeof(took)),
		      (unsigned long long)s->bytes, dir,
		      (unsigned long long)(s->lost + s->lost_disk + s->lost_corrupt +
					   s->lost_library + s->lost_kernel));
	if (s->kernel_events)
		(void)fprintf(stderr, "  %llu of them kernel events\n",
			      (unsigned long long)s->kernel_events);
	if (s->classes && !s->classes_on)
		(void)fprintf(
			stderr,
			"  none of the %llu kinds of event that there are was on (tocsin ps --events; --enable, --disable, --level)\n",
			(unsigned long long)s->classes);
	say_count(s->lost, "lost: the ring was full (--ring-size, or --enable less)");
	say_count(s->lost_disk, "lost: the disk did not take them");
	say_count(s->lost_corrupt, "lost: they made no sense, or their writer died in the middle");
	say_count(s->lost_library, "lost by the library (the trace says how)");
	say_count(s->lost_kernel, "lost by the kernel half (the trace says how)");
	say_count(s->lapped_bytes, "bytes were overwritten before they were read");
	say_count(s->corrupt_rings, "rings could not be read to their end");
	say_count(s->missed_children,
		  "children ended before they were found: their events are lost");
	say_count(s->missed_rings, "rings went with their process before they were found");
	say_count(s->denied, s->denied == 1 ? "process could not be looked into"
					    : "processes could not be looked into");
}
