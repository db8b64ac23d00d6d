// SPDX-License-Identifier: MIT
/* What was found, and who is named for it. */
#include "finding.h"

#include <string.h>

#include "../base/banned.h"
#include "../base/text.h"

/* Threads of the kernel that wake others on somebody else's behalf. */
static const char *const bystanders[] = {"kworker/", "ksoftirqd/", "swapper/", "migration/",
					 "irq/",     "rcu_",       "jbd2/",    "kcompactd"};

#define NR(array) (sizeof(array) / sizeof((array)[0]))

bool text_begins(const char *text, const char *beginning)
{
	return !strncmp(text, beginning, strlen(beginning));
}

void finding_subject(struct finding *f, const char *text, size_t len)
{
	struct tocsin_text t;

	tocsin_text_init(&t, f->subject, sizeof(f->subject));
	tocsin_text_add_clean(&t, text, strnlen(text, len));
}

void peer_set(struct peer *peer, uint32_t tid, uint32_t tgid, const char comm[WATCH_COMM_LEN])
{
	struct tocsin_text t;

	*peer = (struct peer){0};
	if (!tid)
		return;
	peer->tid = tid;
	peer->tgid = tgid;
	tocsin_text_init(&t, peer->comm, sizeof(peer->comm));
	tocsin_text_add_clean(&t, comm, strnlen(comm, WATCH_COMM_LEN));
}

void finding_name_waker(const struct evidence *e, struct finding *f)
{
	const struct watch_spell *s = &e->spell->raw;
	struct peer peer;

	if (!s->t_wake || e->wake.is_interrupt || s->waker_tid == e->tid)
		return;
	peer_set(&peer, s->waker_tid, s->waker_tgid, s->waker_comm);
	for (size_t i = 0; i < NR(bystanders); i++)
		if (text_begins(peer.comm, bystanders[i]))
			return;
	f->peer = peer;
}

void finding_name_owner(const struct evidence *e, struct finding *f)
{
	const struct watch_spell *s = &e->spell->raw;

	if (s->owner_tid != e->tid)
		peer_set(&f->peer, s->owner_tid, s->owner_tgid, s->owner_comm);
}

bool finding_set(struct finding *f, enum cause_kind kind, enum confidence confidence,
		 const char *subject)
{
	f->kind = kind;
	f->confidence = confidence;
	finding_subject(f, subject, sizeof(f->subject));
	return true;
}

/* A signal that only ended the sleep early was not sent by whom it waited for. */
static bool is_cut_short(const struct evidence *e, enum cause_kind kind)
{
	return e->wake.mechanism == WAKE_SIGNAL && !e->wake.is_polled && kind != CAUSE_SIGNAL &&
	       kind != CAUSE_STOPPED && kind != CAUSE_TRACED && kind != CAUSE_FROZEN &&
	       kind != CAUSE_CHILD;
}

bool finding_waker(const struct evidence *e, struct finding *f, enum cause_kind kind,
		   enum confidence confidence, const char *subject)
{
	if (!is_cut_short(e, kind))
		finding_name_waker(e, f);
	return finding_set(f, kind, confidence, subject);
}

bool finding_unknown(const struct evidence *e, struct finding *f, const char *why)
{
	struct tocsin_text t;

	f->kind = CAUSE_UNKNOWN;
	f->confidence = CONFIDENCE_NONE;
	f->why = why;
	finding_name_waker(e, f);
	tocsin_text_init(&t, f->subject, sizeof(f->subject));
	if (f->syscall)
		tocsin_text_add(&t, "%s", f->syscall);
	else if (e->spell->raw.flags & SPELL_IN_SYSCALL && e->spell->raw.nr >= 0)
		tocsin_text_add(&t, "system call %d", e->spell->raw.nr);
	else if (e->sleep.top)
		tocsin_text_add(&t, "the kernel");
	if (e->sleep.top) {
		tocsin_text_add(&t, " (");
		tocsin_text_add_clean(&t, e->sleep.top, strnlen(e->sleep.top, 64));
		tocsin_text_add(&t, ")");
	}
	return true;
}

bool evidence_in_syscall(const struct evidence *e)
{
	return e->spell->raw.flags & SPELL_IN_SYSCALL && e->spell->raw.nr >= 0;
}

bool evidence_has_io(const struct evidence *e)
{
	const struct watch_spell *s = &e->spell->raw;

	return s->flags & SPELL_IOWAIT || (s->t_wake && s->io_age_ns < DISK_FRESH_NS) ||
	       e->wake.mechanism == WAKE_DISK;
}

bool evidence_timed_out(const struct evidence *e)
{
	if (!e->spell->raw.t_wake)
		return false;
	return e->wake.mechanism == WAKE_TIMEOUT || (e->wake.is_timer && !e->wake.mechanism);
}

void finding_init(const struct evidence *e, enum tocsin_state state, struct finding *f)
{
	*f = (struct finding){.kind = CAUSE_UNKNOWN, .confidence = CONFIDENCE_NONE, .state = state};
	if (evidence_in_syscall(e))
		f->syscall = e->spell->syscall;
	f->frame = e->sleep.top;
}

bool finding_disk(const struct evidence *e, struct finding *f)
{
	return finding_set(f, CAUSE_DISK,
			   evidence_has_io(e) ? CONFIDENCE_CERTAIN : CONFIDENCE_LIKELY,
			   f->syscall ?: "");
}
