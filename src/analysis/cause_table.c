// SPDX-License-Identifier: MIT
/* Totals of causes: see cause_table.h for what is kept when there are too many. */
#include "cause_table.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "../base/banned.h"
#include "../base/cleanup.h"
#include "sentence.h"

struct entry {
	enum cause_kind kind;
	enum tocsin_state state;
	struct peer peer; /* tid is the process, of a lock the thread; 0 with a comm: several */
	const char *syscall;
	char *subject; /* owned */
	uint64_t ns;
	uint64_t likely_ns; /* of it, what was only likely */
	unsigned nr_spells;
	uint64_t quota_ns;
	uint64_t period_ns;
};

struct cause_table {
	struct entry *entry;
	size_t nr;
	size_t capacity;
	uint64_t other_ns;
};

struct cause_table *cause_table_new(void)
{
	return calloc(1, sizeof(struct cause_table));
}

struct cause_table *cause_table_free(struct cause_table *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->nr; i++)
		free(t->entry[i].subject);
	free(t->entry);
	free(t);
	return NULL;
}

/* Totals of hostile records may pass 64 bits: they stay at the end of the range. */
static uint64_t sum(uint64_t a, uint64_t b)
{
	uint64_t c;

	return __builtin_add_overflow(a, b, &c) ? UINT64_MAX : c;
}

/* Who holds a lock is one thread, and which one is what is to be known; who wakes or is in the way
 * is a process. */
static uint32_t peer_number(const struct cause *c)
{
	if (c->kind == CAUSE_LOCK || c->kind == CAUSE_KERNEL_LOCK)
		return c->peer.tid;
	return c->peer.tgid ?: c->peer.tid;
}

static bool is_same_reason(const struct entry *e, const struct cause *c)
{
	size_t class = subject_class(c->kind, c->subject);

	return e->kind == c->kind && (c->kind != CAUSE_UNKNOWN || e->state == c->state) &&
	       !strncmp(e->subject, c->subject, class) && !e->subject[class] &&
	       !strcmp(e->peer.comm, c->peer.comm);
}

/* With any process of that name when @any_process, which makes the entry stand for several. */
static struct entry *entry_find(struct cause_table *t, const struct cause *c, bool any_process)
{
	for (size_t i = 0; i < t->nr; i++) {
		struct entry *e = &t->entry[i];

		if (!is_same_reason(e, c))
			continue;
		if (e->peer.tid == peer_number(c))
			return e;
		if (any_process && c->peer.comm[0]) {
			e->peer.tid = 0;
			e->peer.tgid = 0;
			return e;
		}
	}
	return NULL;
}

static struct entry *entry_new(struct cause_table *t)
{
	struct entry *least = NULL;

	if (t->nr == CAUSE_TABLE_MAX) {
		for (size_t i = 0; i < t->nr; i++)
			if (!least || t->entry[i].ns < least->ns)
				least = &t->entry[i];
		return least;
	}
	if (t->nr == t->capacity) {
		size_t capacity = t->capacity ? t->capacity * 2 : 8;
		struct entry *more = reallocarray(t->entry, capacity, sizeof(*more));

		if (!more)
			return NULL;
		t->entry = more;
		t->capacity = capacity;
	}
	t->entry[t->nr] = (struct entry){0};
	return &t->entry[t->nr++];
}

static void cause_add(struct cause_table *t, const struct cause *c)
{
	struct entry *e = entry_find(t, c, false);
	char *subject = NULL;

	if (!e && t->nr == CAUSE_TABLE_MAX)
		e = entry_find(t, c, true);
	if (!e) {
		subject = strndup(c->subject, subject_class(c->kind, c->subject));
		e = subject ? entry_new(t) : NULL;
		if (!e || e->ns >= c->ns) {
			free(subject); /* no memory, or all entries are in use for larger ones */
			t->other_ns = sum(t->other_ns, c->ns);
			return;
		}
		t->other_ns = sum(t->other_ns, e->ns);
		free(e->subject);
		*e = (struct entry){.kind = c->kind,
				    .state = c->state,
				    .peer = c->peer,
				    .syscall = c->syscall,
				    .subject = subject};
		e->peer.tid = peer_number(c);
	}
	e->ns = sum(e->ns, c->ns);
	if (c->confidence == CONFIDENCE_LIKELY)
		e->likely_ns = sum(e->likely_ns, c->ns);
	if (__builtin_add_overflow(e->nr_spells, c->nr_spells, &e->nr_spells))
		e->nr_spells = UINT_MAX;
	if (e->syscall != c->syscall)
		e->syscall = NULL;
	if (e->state != c->state)
		e->state = TS_UNKNOWN;
	if (c->quota_ns) { /* the newest: it may be changed while we watch */
		e->quota_ns = c->quota_ns;
		e->period_ns = c->period_ns;
	}
}

void cause_table_add(struct cause_table *t, const struct violation *v)
{
	for (unsigned i = 0; i < v->nr_causes; i++)
		if (v->cause[i].ns)
			cause_add(t, &v->cause[i]);
}

static int by_ns(const void *a, const void *b)
{
	const struct cause *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns > y->ns ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return strcmp(x->subject, y->subject);
}

int cause_table_top(const struct cause_table *t, struct cause **ret_cause, unsigned *ret_nr,
		    uint64_t *ret_other_ns)
{
	struct cause *cause = NULL;

	if (t->nr) {
		cause = calloc(t->nr, sizeof(*cause));
		if (!cause)
			return -ENOMEM;
	}
	for (size_t i = 0; i < t->nr; i++) {
		const struct entry *e = &t->entry[i];
		struct cause *c = &cause[i];

		*c = (struct cause){.kind = e->kind,
				    .state = e->state,
				    .ns = e->ns,
				    .nr_spells = e->nr_spells,
				    .peer = e->peer,
				    .syscall = e->syscall,
				    .quota_ns = e->quota_ns,
				    .period_ns = e->period_ns};
		c->confidence = CONFIDENCE_CERTAIN;
		if (e->kind == CAUSE_UNKNOWN)
			c->confidence = CONFIDENCE_NONE;
		else if (e->likely_ns > e->ns / 10)
			c->confidence = CONFIDENCE_LIKELY;
		memcpy(c->subject, e->subject, strlen(e->subject) + 1);
		cause_sentence(c, 0, false);
	}
	if (cause)
		qsort(cause, t->nr, sizeof(*cause), by_ns);
	*ret_cause = cause;
	*ret_nr = (unsigned)t->nr;
	*ret_other_ns = t->other_ns;
	return 0;
}
