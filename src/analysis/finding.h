/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ANALYSIS_FINDING_H
#define TOCSIN_ANALYSIS_FINDING_H

/* The evidence of one spell, and what was found from it: the words in which the decision table
 * (decide.c) is written. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frames.h"
#include "model.h"

#define DISK_FRESH_NS 200000u /* a completion this short before the wake is what woke it */

/* What one part of a spell was, before its time is counted. */
struct finding {
	enum cause_kind kind;
	enum confidence confidence;
	enum tocsin_state state;
	struct peer peer;
	const char *syscall; /* lent for ever; NULL */
	char subject[sizeof(((struct cause *)NULL)->subject)];
	uint64_t quota_ns;
	uint64_t period_ns;
	const char *frame; /* the kernel function that decided, or the innermost; lent; NULL */
	const char *why;   /* CAUSE_UNKNOWN: what is in the way of knowing; lent for ever */
};

struct evidence {
	const struct spell *spell; /* frame[] and syscall are filled */
	struct sleep_view sleep;
	struct wake_view wake; /* the waker's stack, with the record's flags */
	uint32_t tid;          /* the section's own thread: it is nobody's peer */
};

/** evidence_in_syscall() - was the thread inside a system call, and is it known which? */
bool evidence_in_syscall(const struct evidence *e);

/** evidence_has_io() - has a block device done something for it, by anybody's word? */
bool evidence_has_io(const struct evidence *e);

/** evidence_timed_out() - was it its own time limit that ended the sleep? */
bool evidence_timed_out(const struct evidence *e);

/** finding_init() - nothing found yet, in this state. */
void finding_init(const struct evidence *e, enum tocsin_state state, struct finding *f);

/** finding_set() - a cause without a peer. Return: true, as a decision that was taken. */
bool finding_set(struct finding *f, enum cause_kind kind, enum confidence confidence,
		 const char *subject);

/** finding_waker() - a cause that its waker ended. Return: true. */
bool finding_waker(const struct evidence *e, struct finding *f, enum cause_kind kind,
		   enum confidence confidence, const char *subject);

/** finding_disk() - the disk: certain when a completion says so. Return: true. */
bool finding_disk(const struct evidence *e, struct finding *f);

/** finding_unknown() - in which call and kernel function is all that is known. Return: true. */
bool finding_unknown(const struct evidence *e, struct finding *f, const char *why);

/** finding_subject() - foreign text of up to @len bytes as the subject, cleaned. */
void finding_subject(struct finding *f, const char *text, size_t len);

/** finding_name_waker() - the waker as peer, unless it was only there by chance. */
void finding_name_waker(const struct evidence *e, struct finding *f);

/** finding_name_owner() - the lock's owner as peer. */
void finding_name_owner(const struct evidence *e, struct finding *f);

/** peer_set() - a task as somebody to name, its name cleaned; tid 0 names nobody. */
void peer_set(struct peer *peer, uint32_t tid, uint32_t tgid, const char comm[WATCH_COMM_LEN]);

/** text_begins() - does a text begin with another? */
bool text_begins(const char *text, const char *beginning);

#endif
