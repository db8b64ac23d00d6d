/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_LOAD_EVENT_H
#define TOCSIN_REPORT_LOAD_EVENT_H

/* Between the files of load.h: an event's values as the struct that they were written from, and
 * from that to the model. */

#include "../ctf/read_arena.h"
#include "../ctf/read_plan.h"
#include "fields.h"
#include "trace_events.h"

#define LOAD_TEXT_MAX 4096 /* bytes of one text that are kept */

/** load_class_find() - the class of a name, or -1. */
int load_class_find(const char *name);

/**
 * load_event_read() - the values of an event as its struct.
 * @arena: texts and lists are kept there
 *
 * What the event has not is zero, what the struct has not is passed over.
 *
 * Return: 0, or -ENOMEM.
 */
int load_event_read(enum trace_class class, const struct ctf_values *values, struct arena *arena,
		    union trace_any *ret_event);

/* From structs to the model; what is text there stays lent from the arena. */
void load_fired(const struct trace_fired *e, struct violation *ret);
void load_violation(const struct trace_violation *e, struct violation *ret);
void load_cause(const struct trace_cause *e, struct cause *ret);
void load_spell(const struct trace_spell *e, struct spell *ret);
/** load_user_stack() - into memory of @arena. Return: NULL: no memory. */
struct named_stack *load_user_stack(const struct trace_user_stack *e, struct arena *arena);

void load_process(const struct trace_process *e, struct watch_event_process *ret);
void load_section(const struct trace_summary_section *e, struct section_summary *ret);
void load_section_cause(const struct trace_summary_cause *e, struct cause *ret);

#endif
