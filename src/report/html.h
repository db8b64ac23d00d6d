/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_HTML_H
#define TOCSIN_REPORT_HTML_H

/*
 * The result model as a page for a browser: one file, with its data, its style and its program in
 * it, that needs no network and no other file. The data are the lines of `tocsin watch --json`
 * (docs/formats/watch-json.md); report/page/ draws them.
 */

#include "../base/err.h"
#include "../trace/trace.h"
#include "fields.h"

struct html_report;

/**
 * html_open() - begin a page.
 * @path:  of the file, which is written beside it and takes its place in html_finish()
 * @traces: what it is about, for its title; lent
 * @trace: where they were made
 * @ret_html: to be given to html_finish()
 *
 * Return: 0, or -errno; @err says what. Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
int html_open(const char *path, const char *const *traces, size_t nr, const struct trace *trace,
	      struct tocsin_err *err, struct html_report **ret_html);

/*
 * Each adds one thing. Return: 0, or -errno of the write, -ENOMEM; then the page is given up in
 * html_finish(). Thread-safe: per object. Signal-safe: no. Since: 0.1.
 */
int html_violation(struct html_report *html, const struct violation *v);
/* @sinks may be NULL. */
int html_summary(struct html_report *html, const struct watch_summary *summary,
		 const struct sink_losses *sinks);
int html_gap(struct html_report *html, const struct trace_event *e);

/** html_finish() - end the page, put it in its place, free @html. Return: 0, or -errno: there is no
 * page then, and what was there before is still there. */
int html_finish(struct html_report *html);

#endif
