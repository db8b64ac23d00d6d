/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_EXPORT_INTERNAL_H
#define TOCSIN_EXPORT_INTERNAL_H

/* What the formats share. */

#include "../report/json_text.h"
#include "export.h"
#include "stacks.h"

struct export
{
	const struct export_ops *ops;
	struct out out;  /* where to */
	struct out line; /* one element, kept until it is whole */
	bool has_element;
	struct export_stats stats;
	struct stacks stacks; /* of the formats that are about stacks */
	bool has_base;
	int64_t base_ns; /* since 1970: where the times of the output begin */
};

/* Each returns 0 or -errno; NULL: the format has no place for it. */
struct export_ops {
	int (*begin)(struct export *e);
	int (*violation)(struct export *e, const struct violation *v);
	int (*event)(struct export *e, struct load *l, const struct load_item *item);
	int (*end)(struct export *e);
};

extern const struct export_ops export_chrome, export_folded, export_speedscope, export_otlp;

/** export_element() - move e->line to the output, with @between before it unless it is the first.
 * Return: 0, -errno. */
int export_element(struct export *e, const char *between);

/** A stretch of a violation in one state. */
struct stretch {
	uint64_t begin_ns, end_ns; /* CLOCK_MONOTONIC */
	enum tocsin_state state;
	const struct spell *spell; /* NULL: between spells */
	enum cause_kind kind;      /* of a spell's part */
};

/**
 * export_stretches() - a violation from its start to its end, without holes: its spells, each taken
 * apart into sleeping and waiting, and what is between them.
 *
 * What is between is running, or unknown where the violation claims no split. Return: what @fn
 * returned first that is not 0, or 0.
 */
typedef int stretch_fn(void *context, const struct violation *v, const struct stretch *s);
int export_stretches(const struct violation *v, stretch_fn *fn, void *context);

#endif
