// SPDX-License-Identifier: MIT
/*
 * The account of a violation.
 *
 * The kernel half gives two things that it measured apart: the split, exact to the nanosecond, of
 * the elapsed time into states; and the spells, each with its evidence. The split is the money, the
 * spells say what it was spent on. Each state is a pool, and each part of a spell draws from the
 * pool of its state, never more than is in it. What remains is what no spell explains: on a CPU it
 * is simply running; off it, it is the spells too short to be looked into as far as the record
 * counts them, and beyond these it is unknown. So the causes sum to the elapsed time whatever the
 * spells hold: a spell that lies outside of the section, overlaps another or contradicts itself
 * draws nothing twice.
 *
 * Without a split (a switch was missed, or the section moved to another thread) nothing is claimed:
 * all of it is unknown, with the reason.
 */
#include "verdict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/banned.h"
#include "../base/cleanup.h"
#include "../base/text.h"
#include "decide.h"
#include "explain.h"
#include "sentence.h"

#define SPELLS_MAX     (8 * WATCH_SPELLS) /* looked at; the kernel half keeps WATCH_SPELLS */
#define VERDICT_CAUSES 3

/* All that has the same reason. */
struct share {
	struct finding finding;
	uint64_t ns;
	uint64_t likely_ns; /* of it, by spells whose evidence is only likely */
	unsigned nr_spells;
	uint64_t longest_ns;
	const struct spell *longest; /* lent; NULL: not from a spell */
};

struct account {
	struct violation *v;
	const struct explain_context *ctx;
	uint64_t elapsed_ns;
	uint64_t pool[TS_NR];
	struct share *share;
	size_t nr;
	size_t capacity;
};

static void account_done(struct account *a)
{
	free(a->share);
}

static bool is_same(const struct finding *a, const struct finding *b)
{
	return a->kind == b->kind && (a->kind != CAUSE_UNKNOWN || a->state == b->state) &&
	       a->peer.tid == b->peer.tid && !strcmp(a->subject, b->subject);
}

/* The share of a reason, made when it is the first of it; NULL without memory. */
static struct share *share_get(struct account *a, const struct finding *f)
{
	for (size_t i = 0; i < a->nr; i++)
		if (is_same(&a->share[i].finding, f))
			return &a->share[i];
	if (a->nr == a->capacity) {
		size_t capacity = a->capacity ? a->capacity * 2 : 16;
		struct share *more = reallocarray(a->share, capacity, sizeof(*more));

		if (!more)
			return NULL;
		a->share = more;
		a->capacity = capacity;
	}
	a->share[a->nr] = (struct share){.finding = *f};
	return &a->share[a->nr++];
}

/* Draw up to @ns from the pool of the finding's state and put it to its reason. */
static int account_draw(struct account *a, const struct finding *f, uint64_t ns,
			const struct spell *s)
{
	uint64_t *pool = &a->pool[f->state];
	struct share *share;

	if (ns > *pool)
		ns = *pool;
	if (!ns)
		return 0;
	share = share_get(a, f);
	if (!share)
		return -ENOMEM;
	*pool -= ns;
	share->ns += ns;
	if (f->confidence == CONFIDENCE_LIKELY)
		share->likely_ns += ns;
	if (share->finding.state != f->state)
		share->finding.state = TS_UNKNOWN;
	if (share->finding.syscall != f->syscall)
		share->finding.syscall = NULL;
	if (s) {
		share->nr_spells++;
		if (ns > share->longest_ns) {
			share->longest_ns = ns;
			share->longest = s;
			share->finding.frame = f->frame;
			share->finding.why = f->why;
			share->finding.peer = f->peer; /* it may have changed its name since */
		}
	}
	return 0;
}

/* Time that no spell stands for. */
static int account_rest(struct account *a, enum tocsin_state state, enum cause_kind kind,
			const char *subject)
{
	struct finding f = {.kind = kind, .confidence = CONFIDENCE_CERTAIN, .state = state};

	if (kind == CAUSE_UNKNOWN)
		f.confidence = CONFIDENCE_NONE;
	finding_subject(&f, subject, sizeof(f.subject));
	return account_draw(a, &f, UINT64_MAX, NULL);
}

static int account_spell(struct account *a, struct spell *s, const struct finding *blocked,
			 uint64_t *from_ns)
{
	struct evidence e = {.spell = s, .tid = a->v->raw.tid};
	struct spell_parts parts = spell_parts(&s->raw, *from_ns, a->v->raw.end_ns);
	uint64_t end = s->raw.t_in ?: a->v->raw.end_ns;
	const char *path = NULL;
	struct finding f;
	int r;

	if (end > a->v->raw.end_ns)
		end = a->v->raw.end_ns;
	if (*from_ns < end)
		*from_ns = end;
	r = account_draw(a, blocked, parts.blocked_ns, s);
	if (r < 0)
		return r;
	if (parts.throttled_ns) {
		if (s->raw.cgroup_id && a->ctx->cgroup_path)
			path = a->ctx->cgroup_path(a->ctx->arg, s->raw.cgroup_id);
		decide_throttled(&e, path, &f);
		r = account_draw(a, &f, parts.throttled_ns, s);
		if (r < 0)
			return r;
	}
	decide_waiting(&e, parts.waited_ns, &f);
	s->wait_kind = parts.throttled_ns > parts.waited_ns ? CAUSE_QUOTA : f.kind;
	if (s->raw.state == TS_WAITING || s->raw.state == TS_THROTTLED)
		s->kind = s->wait_kind;
	return account_draw(a, &f, parts.waited_ns, s);
}

/*
 * A wait for a heavy lock may be interrupted by timers (PostgreSQL looks for deadlocks after a
 * second) and go on: only its last spell is ended by the one that gave up the lock, and he is to be
 * asked for all of it.
 */
static void heavy_locks_join(const struct spell *s, struct finding *f, size_t nr)
{
	const struct finding *next = NULL;

	while (nr--) {
		if (s[nr].raw.state == TS_WAITING || s[nr].raw.state == TS_THROTTLED)
			continue;
		if (f[nr].kind != CAUSE_HEAVY_LOCK) {
			next = NULL;
			continue;
		}
		if (next && !f[nr].peer.tid && !strcmp(next->subject, f[nr].subject))
			f[nr].peer = next->peer;
		next = &f[nr];
	}
}

static int account_spells(struct account *a)
{
	struct violation *v = a->v;
	size_t nr = v->nr_spells < SPELLS_MAX ? v->nr_spells : SPELLS_MAX;
	TOCSIN_CLEANUP(tocsin_free_voidp) struct finding *f = calloc(nr ?: 1, sizeof(*f));
	uint64_t from_ns = v->raw.start_ns;
	struct evidence e;
	int r = 0;

	if (!f)
		return -ENOMEM;
	for (size_t i = 0; i < v->nr_spells; i++) {
		spell_resolve(&v->spell[i], v, a->ctx, &e);
		if (i >= nr)
			continue;
		decide_blocked(&e, &f[i]);
		v->spell[i].kind = f[i].kind;
	}
	heavy_locks_join(v->spell, f, nr);
	for (size_t i = 0; i < nr && !r; i++)
		r = account_spell(a, &v->spell[i], &f[i], &from_ns);
	return r;
}

/* Spells too short for a look, in whatever state they were: as much of what is left in each pool as
 * their share of all that is left. */
static int account_short(struct account *a)
{
	static const enum tocsin_state states[] = {TS_WAITING, TS_BLOCKED, TS_STOPPED};
	uint64_t short_ns = a->v->raw.short_ns, left = 0;
	int r = 0;

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		left += a->pool[states[i]];
	if (short_ns > left)
		short_ns = left;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]) && left && !r; i++) {
		uint64_t pool = a->pool[states[i]];
		uint64_t ns = (uint64_t)((unsigned __int128)short_ns * pool / left);
		struct finding f = {
			.kind = CAUSE_SHORT, .confidence = CONFIDENCE_CERTAIN, .state = states[i]};

		r = account_draw(a, &f, ns, NULL);
		short_ns -= ns;
		left -= pool;
	}
	return r;
}

static int account_leftovers(struct account *a)
{
	int r = account_rest(a, TS_RUNNING, CAUSE_CPU, "");

	r = r ?: account_short(a);
	r = r ?: account_rest(a, TS_THROTTLED, CAUSE_QUOTA, "");
	r = r ?: account_rest(a, TS_WAITING, CAUSE_UNKNOWN, "");
	r = r ?: account_rest(a, TS_BLOCKED, CAUSE_UNKNOWN, "");
	r = r ?: account_rest(a, TS_STOPPED, CAUSE_UNKNOWN, "");
	return r ?: account_rest(a, TS_UNKNOWN, CAUSE_UNKNOWN, "a scheduler switch was not seen");
}

/* Why the split is not to be used, or NULL. */
static const char *split_fault(const struct violation *v, uint64_t elapsed_ns)
{
	uint64_t sum = 0;

	if (v->raw.flags & SECTION_MOVED)
		return "it was stopped by another thread than started it";
	if (v->raw.flags & (SECTION_GAP | SECTION_NO_SPLIT))
		return "a scheduler switch was not seen";
	for (unsigned i = 0; i < TS_NR; i++)
		if (__builtin_add_overflow(sum, v->raw.split_ns[i], &sum))
			return "the parts do not add up";
	return sum == elapsed_ns ? NULL : "the parts do not add up";
}

static void cause_fill(struct cause *c, const struct account *a, const struct share *share)
{
	const struct violation *v = a->v;
	const struct finding *f = &share->finding;
	struct tocsin_text t;

	*c = (struct cause){.kind = f->kind,
			    .confidence = f->confidence,
			    .state = f->state,
			    .ns = share->ns,
			    .nr_spells = share->nr_spells,
			    .peer = f->peer,
			    .syscall = f->syscall,
			    .quota_ns = f->quota_ns,
			    .period_ns = f->period_ns};
	memcpy(c->subject, f->subject, sizeof(c->subject));
	if (c->confidence != CONFIDENCE_NONE)
		c->confidence =
			share->likely_ns > share->ns / 10 ? CONFIDENCE_LIKELY : CONFIDENCE_CERTAIN;
	if (c->kind == CAUSE_SHORT)
		c->nr_spells = v->raw.spells_short;
	cause_sentence(c, v->raw.tgid, false);
	if (share->longest) {
		spell_evidence(share->longest, f, c->evidence, sizeof(c->evidence));
	} else if (c->kind == CAUSE_UNKNOWN && c->state != TS_UNKNOWN) {
		tocsin_text_init(&t, c->evidence, sizeof(c->evidence));
		tocsin_text_add(&t, "spells=%u kept=%u lost=%u", v->raw.spells_long, v->nr_spells,
				v->nr_spells_lost);
	}
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

/* The causes that matter: a tenth of the time or more, and in any case the first. */
static void verdict_join(struct violation *v, uint64_t elapsed_ns)
{
	struct tocsin_text t;

	tocsin_text_init(&t, v->verdict, sizeof(v->verdict));
	for (unsigned i = 0; i < v->nr_causes && i < VERDICT_CAUSES; i++) {
		if (i && v->cause[i].ns < elapsed_ns / 10)
			break;
		tocsin_text_add(&t, "%s%s", i ? "; " : "", v->cause[i].text);
	}
}

static int account_close(struct account *a)
{
	struct violation *v = a->v;

	if (!a->nr)
		return 0;
	v->cause = calloc(a->nr, sizeof(*v->cause));
	if (!v->cause)
		return -ENOMEM;
	v->nr_causes = (unsigned)a->nr;
	for (size_t i = 0; i < a->nr; i++)
		cause_fill(&v->cause[i], a, &a->share[i]);
	qsort(v->cause, a->nr, sizeof(*v->cause), by_ns);
	verdict_join(v, a->elapsed_ns);
	return 0;
}

static int explain_closed(struct violation *v, const struct explain_context *ctx)
{
	TOCSIN_CLEANUP(account_done) struct account a = {.v = v, .ctx = ctx};
	const char *fault;
	int r;

	if (v->raw.end_ns > v->raw.start_ns)
		a.elapsed_ns = v->raw.end_ns - v->raw.start_ns;
	fault = split_fault(v, a.elapsed_ns);
	if (!fault)
		memcpy(a.pool, v->raw.split_ns, sizeof(a.pool));
	r = account_spells(&a); /* without a split they draw from empty pools, and are named */
	if (fault)
		a.pool[TS_UNKNOWN] = a.elapsed_ns;
	r = r ?: fault ? account_rest(&a, TS_UNKNOWN, CAUSE_UNKNOWN, fault) : account_leftovers(&a);
	return r ?: account_close(&a);
}

/* "now: blocked 9.8 ms in fdatasync on the disk" */
static void say_now(struct violation *v, const struct finding *f, uint64_t ns)
{
	struct cause c = {.kind = f->kind,
			  .confidence = f->confidence,
			  .state = f->state,
			  .ns = ns,
			  .peer = f->peer,
			  .syscall = f->syscall,
			  .quota_ns = f->quota_ns,
			  .period_ns = f->period_ns};
	struct tocsin_text t;

	memcpy(c.subject, f->subject, sizeof(c.subject));
	cause_sentence(&c, v->raw.tgid, true);
	tocsin_text_init(&t, v->verdict, sizeof(v->verdict));
	tocsin_text_add(&t, "now: %s", c.text);
}

static void explain_now(struct violation *v, const struct explain_context *ctx, struct spell *s)
{
	struct spell_parts parts;
	const char *path = NULL;
	struct evidence e;
	struct finding f;

	spell_resolve(s, v, ctx, &e);
	/* what it is in now may have begun before the section */
	parts = spell_parts(&s->raw, 0, v->raw.end_ns);
	decide_blocked(&e, &f);
	s->kind = f.kind;
	if (s->raw.state == TS_BLOCKED || s->raw.state == TS_STOPPED) {
		if (!s->raw.t_wake || s->raw.t_wake >= v->raw.end_ns) {
			say_now(v, &f, parts.blocked_ns);
			return;
		}
	}
	decide_waiting(&e, parts.waited_ns, &f);
	if (v->raw.state == TS_THROTTLED || parts.throttled_ns > parts.waited_ns) {
		if (s->raw.cgroup_id && ctx->cgroup_path)
			path = ctx->cgroup_path(ctx->arg, s->raw.cgroup_id);
		decide_throttled(&e, path, &f);
	}
	s->wait_kind = f.kind;
	if (s->raw.state == TS_WAITING || s->raw.state == TS_THROTTLED)
		s->kind = f.kind;
	say_now(v, &f, parts.throttled_ns + parts.waited_ns);
}

static int explain_open(struct violation *v, const struct explain_context *ctx)
{
	char ran[SPAN_TEXT_LEN], elapsed[SPAN_TEXT_LEN];
	struct tocsin_text t;

	if (v->raw.flags & SECTION_SPELL_OPEN) {
		free(v->spell);
		v->nr_spells = 0;
		v->spell = calloc(1, sizeof(*v->spell));
		if (!v->spell)
			return -ENOMEM;
		v->nr_spells = 1;
		v->spell[0].raw = v->raw.now;
		explain_now(v, ctx, &v->spell[0]);
		return 0;
	}
	tocsin_text_init(&t, v->verdict, sizeof(v->verdict));
	if (v->raw.state != TS_RUNNING || v->raw.end_ns < v->raw.start_ns)
		return 0; /* nothing more is known than the state, which the record has */
	tocsin_text_add(&t, "now: on a CPU, ran %s of %s so far",
			span_text(v->raw.split_ns[TS_RUNNING], ran),
			span_text(v->raw.end_ns - v->raw.start_ns, elapsed));
	return 0;
}

int violation_explain(struct violation *v, const struct explain_context *ctx)
{
	free(v->cause);
	v->cause = NULL;
	v->nr_causes = 0;
	v->verdict[0] = '\0';
	return v->flags & VIOLATION_OPEN ? explain_open(v, ctx) : explain_closed(v, ctx);
}
