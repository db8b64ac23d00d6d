// SPDX-License-Identifier: MIT
/* What the two forms of a printed trace share. */
#include "print.h"

#define TOGETHER_BYTES ((size_t)64 * 1024) /* written at a time */

void print_init(struct print *p, int fd, struct out_style style)
{
	*p = (struct print){.style = style, .second = INT64_MIN};
	out_init(&p->out, fd);
}

void print_done(struct print *p)
{
	out_done(&p->out);
	trace_packets_done(&p->packets);
	print_classes_done(&p->classes);
}

int print_flush(struct print *p)
{
	return p->out.len || p->out.failed ? out_write(&p->out) : 0;
}

int print_event(struct print *p, struct trace *t, const struct trace_event *e)
{
	int r = p->is_json ? print_json_line(p, t, e) : print_text_line(p, t, e);

	if (r < 0)
		return r;
	p->nr_events += e->state == TRACE_EVENT;
	p->has_last = true;
	p->last_ns = e->t_ns;
	if (p->out.len >= TOGETHER_BYTES || p->is_flushed || p->out.failed)
		return print_flush(p);
	return 0;
}
