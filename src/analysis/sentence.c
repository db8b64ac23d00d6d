// SPDX-License-Identifier: MIT
/* The sentences of causes: what it did and how long, where, on what, and who is to be asked. */
#include "sentence.h"

#include <string.h>

#include "../base/banned.h"
#include "../base/parse.h"
#include "../base/text.h"

const char *span_text(uint64_t ns, char buf[static SPAN_TEXT_LEN])
{
	char *point, *unit, *end;

	(void)tocsin_format_duration(ns, buf, SPAN_TEXT_LEN);
	point = strchr(buf, '.');
	unit = point ? strchr(point, ' ') : NULL;
	if (!unit)
		return buf;
	for (end = unit; end[-1] == '0'; end--)
		;
	if (end[-1] == '.')
		end--;
	memmove(end, unit, strlen(unit) + 1);
	return buf;
}

size_t subject_class(enum cause_kind kind, const char *subject)
{
	const char *which = kind == CAUSE_QUOTA ? NULL : strstr(subject, " (");

	return which ? (size_t)(which - subject) : strlen(subject);
}

struct sentence {
	const struct cause *cause;
	uint32_t own_tgid;
	bool is_open;
	struct tocsin_text text;
	char span[SPAN_TEXT_LEN];
};

#define ADD(s, ...) tocsin_text_add(&(s)->text, __VA_ARGS__)

static bool has_peer(const struct sentence *s)
{
	return s->cause->peer.tid || s->cause->peer.comm[0];
}

/* "its own thread worker 4718", "postgres 4712", "java 4712 (thread 4718)", "postgres (several)" */
static void add_by(struct sentence *s, const char *by)
{
	const struct peer *p = &s->cause->peer;

	if (!has_peer(s))
		return;
	ADD(s, "%s", by);
	if (p->tgid && p->tgid == s->own_tgid && p->tid)
		ADD(s, "its own thread ");
	ADD(s, "%s", p->comm[0] ? p->comm : "pid");
	if (!p->tid)
		ADD(s, " (several)");
	else if (p->tgid && p->tgid != p->tid && p->tgid != s->own_tgid)
		ADD(s, " %u (thread %u)", p->tgid, p->tid);
	else
		ADD(s, " %u", p->tid);
}

static void say_waiting(struct sentence *s)
{
	const struct cause *c = s->cause;

	ADD(s, "waited %s for a CPU", s->span);
	if (c->peer.tid && c->peer.tgid && c->peer.tgid != c->peer.tid)
		ADD(s, " behind %s (pid %u, thread %u)", c->peer.comm, c->peer.tgid, c->peer.tid);
	else if (c->peer.tid)
		ADD(s, " behind %s (pid %u)", c->peer.comm, c->peer.tid);
	else if (has_peer(s))
		ADD(s, " behind %s (several)", c->peer.comm);
	else if (c->subject[0])
		ADD(s, " that was idle");
	else if (!s->is_open)
		ADD(s, ", behind whom is not known");
	if (has_peer(s) && c->confidence == CONFIDENCE_LIKELY)
		ADD(s, " and others");
	if (c->kind == CAUSE_PREEMPTED && has_peer(s))
		ADD(s, ", which preempted it");
	if (c->kind == CAUSE_SOFTIRQ)
		ADD(s, ", which served software interrupts");
}

static void say_quota(struct sentence *s)
{
	const struct cause *c = s->cause;
	char quota[SPAN_TEXT_LEN], period[SPAN_TEXT_LEN];

	ADD(s, "throttled %s by the CPU quota of %s%s", s->span,
	    c->subject[0] ? "cgroup " : "its cgroup", c->subject);
	if (c->quota_ns && c->period_ns)
		ADD(s, " (%s per %s)", span_text(c->quota_ns, quota),
		    span_text(c->period_ns, period));
}

static void say_unknown(struct sentence *s)
{
	const struct cause *c = s->cause;

	if (c->state == TS_WAITING) {
		ADD(s, "waited %s for a CPU, behind whom is not known", s->span);
		return;
	}
	if (c->state == TS_RUNNING || c->state == TS_UNKNOWN) {
		ADD(s, "%s not accounted for%s%s", s->span, c->subject[0] ? ": " : "", c->subject);
		return;
	}
	ADD(s, "%s %s", c->state == TS_STOPPED ? "stopped" : "blocked", s->span);
	if (c->subject[0])
		ADD(s, " in %s", c->subject);
	if (!s->is_open)
		ADD(s, ", why is not known");
	add_by(s, ": woken by ");
}

static const struct sleep_form {
	const char *verb;
	bool has_call;
	const char *with_subject;
	const char *without_subject;
	const char *by;
} forms[CAUSE_NR] = {
#define X(KIND, verb, has_call, with, without, by) \
	[CAUSE_##KIND] = {verb, has_call, with, without, by},
#include "sentences.def"
#undef X
};

static void say_sleep(struct sentence *s, const struct sleep_form *form)
{
	const char *subject = s->cause->subject;
	const char *object = subject[0] ? form->with_subject : form->without_subject;
	size_t class = subject_class(s->cause->kind, subject);

	ADD(s, "%s %s", form->verb, s->span);
	if (form->has_call && s->cause->syscall)
		ADD(s, " in %s", s->cause->syscall);
	if (s->cause->confidence == CONFIDENCE_LIKELY)
		ADD(s, ", probably");
	for (; *object; object++) {
		if (*object == '%') {
			ADD(s, strchr("aeio", subject[0]) ? "an " : "a ");
			tocsin_text_add_bytes(&s->text, subject, class);
		} else if (*object == '$') {
			ADD(s, "%s", subject);
		} else {
			tocsin_text_add_bytes(&s->text, object, 1);
		}
	}
	add_by(s, form->by);
}

void cause_sentence(struct cause *c, uint32_t own_tgid, bool is_open)
{
	struct sentence s = {.cause = c, .own_tgid = own_tgid, .is_open = is_open};

	tocsin_text_init(&s.text, c->text, sizeof(c->text));
	(void)span_text(c->ns, s.span);
	if ((unsigned)c->kind < CAUSE_NR && forms[c->kind].verb)
		say_sleep(&s, &forms[c->kind]);
	else if (c->kind == CAUSE_CPU)
		ADD(&s, "ran %s on a CPU", s.span);
	else if (c->kind == CAUSE_PREEMPTED || c->kind == CAUSE_RUNQUEUE ||
		 c->kind == CAUSE_SOFTIRQ)
		say_waiting(&s);
	else if (c->kind == CAUSE_FAIR_SERVER)
		ADD(&s, "waited %s for a CPU while its real-time class stood back for others",
		    s.span);
	else if (c->kind == CAUSE_QUOTA)
		say_quota(&s);
	else if (c->kind == CAUSE_SHORT)
		ADD(&s, "off the CPU %s in %u spells too short to be looked into", s.span,
		    c->nr_spells);
	else
		say_unknown(&s);
}
