// SPDX-License-Identifier: MIT
/*
 * A page is the head of page/page.html, the data, and its end. The data stand in a script element
 * of a type that browsers leave alone: one JSON object a line. In JSON a '<' can only stand in a
 * string, and there it is written as \u003c: so no data can end the element.
 */
#include "html.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "json.h"
#include "json_text.h"
#include "page.h"
#include "pen.h"

#define TOGETHER_BYTES ((size_t)256 * 1024) /* written at a time */

struct html_report {
	struct out out;  /* of the page */
	struct out line; /* one object, not yet escaped; it goes to no descriptor */
	char *path;      /* owned */
	char *new_path;  /* owned: it is written here first */
	int fd;
	int failed; /* -errno */
	bool has_offset;
	int64_t offset_ns; /* last said */
};

static int html_free(struct html_report *html, int r)
{
	if (html->fd >= 0)
		(void)close(html->fd); /* looked at before, where it matters */
	if (r < 0 && html->new_path)
		(void)unlink(html->new_path); /* what is left of a page that is given up */
	out_done(&html->out);
	out_done(&html->line);
	free(html->path);
	free(html->new_path);
	free(html);
	return r;
}

/* The object in html->line, into the page. */
static int line_take(struct html_report *html)
{
	struct out *line = &html->line;
	const char *from = line->buf, *end = from + line->len, *at;
	int r = line->failed;

	while (r == 0 && (at = memchr(from, '<', (size_t)(end - from)))) {
		pen_bytes(&html->out, from, (size_t)(at - from));
		pen_bytes(&html->out, "\\u003c", 6);
		from = at + 1;
	}
	if (r == 0)
		pen_bytes(&html->out, from, (size_t)(end - from));
	line->len = 0;
	line->failed = 0;
	if (r == 0 && (html->out.len >= TOGETHER_BYTES || html->out.failed))
		r = out_write(&html->out);
	if (r < 0)
		html->failed = r;
	return r;
}

static void env_put(struct out *o, const struct trace *trace, const char *name)
{
	const struct meta_env *env =
		trace_get_stats(trace).streams ? meta_env_find(trace_meta(trace, 0), name) : NULL;

	if (env && env->text)
		json_str(o, name, env->text);
}

/* What the counters of a summary mean. */
static void sentences_put(struct out *o, const struct loss_text *text, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		json_str(o, text[i].name, text[i].sentence);
}

/* The first line: what the page is about. */
static int head_put(struct html_report *html, const char *const *traces, size_t nr,
		    const struct trace *trace)
{
	struct out *o = &html->line;

	json_open(o, NULL, '{');
	json_str(o, "type", "report");
	json_open(o, "traces", '[');
	for (size_t i = 0; i < nr; i++)
		json_str(o, NULL, traces[i]);
	json_close(o, ']');
	env_put(o, trace, "hostname");
	env_put(o, trace, "kernel_release");
	json_open(o, "sentences", '{');
	sentences_put(o, loss_text, LOSS_NR);
	sentences_put(o, sink_text, SINK_NR);
	json_close(o, '}');
	json_close(o, '}');
	out_add(o, "\n");
	return line_take(html);
}

int html_open(const char *path, const char *const *traces, size_t nr, const struct trace *trace,
	      struct tocsin_err *err, struct html_report **ret_html)
{
	struct html_report *html = calloc(1, sizeof(*html));
	char why[64];
	int r;

	if (!html)
		return tocsin_err_fail(-ENOMEM, err, "cannot write '%s': out of memory", path);
	out_init(&html->line, OUT_KEPT);
	out_init(&html->out, OUT_KEPT);
	html->fd = -1;
	html->path = strdup(path);
	if (asprintf(&html->new_path, "%s.new", path) < 0)
		html->new_path = NULL;
	r = html->path && html->new_path ? 0 : -ENOMEM;
	if (r == 0) {
		html->fd = open(html->new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		r = html->fd < 0 ? -errno : 0;
		html->out.fd = html->fd;
	}
	if (r == 0) {
		out_add_bytes(&html->out, page_head, page_head_len);
		r = head_put(html, traces, nr, trace);
	}
	if (r < 0) {
		(void)html_free(html, html->fd < 0 ? 0 : r); /* returns it */
		return tocsin_err_fail(r, err, "cannot write '%s': %s", path,
				       tocsin_errno_text(r, why, sizeof(why)));
	}
	*ret_html = html;
	return 0;
}

int html_violation(struct html_report *html, const struct violation *v)
{
	struct out *o = &html->line;

	int r = 0;

	/* Times are CLOCK_MONOTONIC; whose offset to 1970 is that of the trace. */
	if (!html->has_offset || v->realtime_offset_ns != html->offset_ns) {
		json_open(o, NULL, '{');
		json_str(o, "type", "offset");
		json_i64(o, "realtime_offset_ns", v->realtime_offset_ns);
		json_close(o, '}');
		out_add(o, "\n");
		r = line_take(html);
		html->has_offset = true;
		html->offset_ns = v->realtime_offset_ns;
	}
	if (r < 0)
		return r;
	(void)json_violation(o, v); /* only keeps it; o->failed says if not */
	return line_take(html);
}

int html_summary(struct html_report *html, const struct watch_summary *summary,
		 const struct sink_losses *sinks)
{
	(void)json_summary(&html->line, summary, sinks); /* as above */
	return line_take(html);
}

int html_gap(struct html_report *html, const struct trace_event *e)
{
	struct out *o = &html->line;

	json_open(o, NULL, '{');
	json_str(o, "type", e->name);
	if (e->state == TRACE_LOSS) {
		json_u64(o, "events", e->nr_lost);
		json_u64(o, "packets", e->nr_lost_packets);
		json_i64(o, "begin_ns", e->lost_begin_ns);
		json_i64(o, "end_ns", e->lost_end_ns);
	} else {
		json_str(o, "text", e->wrong);
	}
	json_close(o, '}');
	out_add(o, "\n");
	return line_take(html);
}

int html_finish(struct html_report *html)
{
	int r = html->failed;

	if (r == 0) {
		out_add_bytes(&html->out, page_tail, page_tail_len);
		r = out_write(&html->out);
	}
	if (r == 0 && close(html->fd) < 0)
		r = -errno;
	else if (r == 0)
		html->fd = -1;
	if (r == 0 && rename(html->new_path, html->path) < 0)
		r = -errno;
	return html_free(html, r);
}
