// SPDX-License-Identifier: MIT
/* What a recording tells its trace about losses. */
#include "record_kernel.h"
#include "record_look.h"

static void say_lost(struct recorder *rec, const struct record_process *p, const char *name,
		     uint64_t count, const char *sentence)
{
	struct record_event_lost event = {
		.pid = (uint32_t)p->pid, .name = name, .count = count, .sentence = sentence};

	if (count)
		(void)record_trace_say(rec->trace, RECORD_EVENT_lost, &event); /* counted */
}

const struct record_loss_words record_library_losses[TRACEE_LOSS_NR] = {
#define X(NAME, name, text) {#name, text},
#include "../abi/tracee_losses.def"
#undef X
};

void record_process_tell_losses(struct recorder *rec, struct record_process *p)
{
	uint64_t lost = 0, lost_else = 0;

	record_process_losses(p);
	for (uint32_t i = 0; i < p->nr_rings; i++) {
		lost += p->ring[i]->lost;
		lost_else += p->ring[i]->lost_else;
	}
	rec->stats.lost += lost;
	if (p->is_kernel) {
		rec->stats.kernel_lost += lost;
		record_kernel_tell_losses(rec);
	}
	say_lost(rec, p, "ring", lost, "events lost: the ring was full");
	say_lost(
		rec, p, "unpatched", p->nr_unpatched_ever,
		"patched sites that could not be switched on: their process's code may not be written "
		"to (ptrace permission), or a debugger is at it");
	rec->stats.lost_library += p->nr_unpatched_ever;
	say_lost(rec, p, "unwritten", lost_else,
		 "events lost: the disk did not take them, or they made no sense");
	for (unsigned i = 0; i < TRACEE_LOSS_NR; i++) {
		uint64_t count = p->library_lost[i] - p->library_lost_before[i];

		say_lost(rec, p, record_library_losses[i].name, count,
			 record_library_losses[i].sentence);
		rec->stats.lost_library += count;
	}
}

void record_tell_missed(struct recorder *rec)
{
	struct record_event_lost event = {
		.name = "children",
		.sentence =
			"children of recorded processes, whose events are lost: they ended before they were found",
	};

	if (rec->nr_heirs <= rec->nr_heirs_found)
		return;
	event.count = rec->stats.missed_children = rec->nr_heirs - rec->nr_heirs_found;
	(void)record_trace_say(rec->trace, RECORD_EVENT_lost, &event); /* counted */
}
