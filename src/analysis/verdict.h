/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ANALYSIS_VERDICT_H
#define TOCSIN_ANALYSIS_VERDICT_H

#include "ksyms.h"
#include "model.h"

/* What the records only refer to. Every callback may be NULL: then that stays unknown. */
struct explain_context {
	struct ksyms *ksyms; /* lent; frames point into it: it outlives the violations */
	void *arg;           /* for the callbacks */

	/* addresses of a kernel stack, innermost first; how many */
	size_t (*stack)(void *arg, uint32_t stack_id, uint64_t frames[WATCH_STACK]);

	/* path of a cgroup by its kernfs id, lent until the next call; NULL when it is gone */
	const char *(*cgroup_path)(void *arg, uint64_t id);
};

/**
 * violation_explain() - say why it was late: fill everything that the kernel half could not.
 * @v:   raw, section, spell[].raw, flags and counts are filled
 * @ctx: lent for the call
 *
 * Fills of each spell kind, wait_kind (meaningful when it slept and then waited), frames, system
 * call, and the flags that its waker's stack gives; then causes, which sum exactly to the elapsed
 * time whatever the record holds, largest first; then the verdict.
 *
 * Of a violation that is VIOLATION_OPEN it fills the verdict with what the thread is doing now, no
 * causes, and, when the record has it, spell[0] with the spell that it is in.
 *
 * Explaining again starts over.
 *
 * Return: 0, or -ENOMEM: there are no causes, and the verdict is empty.
 * Thread-safe: per object and context. Signal-safe: no.
 */
int violation_explain(struct violation *v, const struct explain_context *ctx);

#endif
