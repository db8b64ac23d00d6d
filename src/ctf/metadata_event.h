/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_METADATA_EVENT_H
#define TOCSIN_CTF_METADATA_EVENT_H

/* The metadata of a recorded trace: its own streams (class.h), and streams of rings with the events
 * that traced programs describe. */

#include <limits.h>

#include "described.h"
#include "metadata.h"

/* One event of a stream class. */
struct ctf_recorded_event {
	const struct control_class *class; /* checked, lent */
	uint32_t id;                       /* in the records */
	uint32_t contexts;                 /* mask */
};

struct ctf_recorded_stream {
	uint32_t id;    /* behind those of the trace's tables */
	unsigned clock; /* place in the trace's clocks; CTF_CLOCK_MONOTONIC */
	const struct ctf_recorded_event *event; /* lent */
	size_t nr_events;
};

#define CTF_CLOCK_MONOTONIC UINT_MAX

struct ctf_recorded {
	const struct ctf_trace_class *trace; /* environment and own streams */
	uint8_t uuid[16];
	const struct ctf_clock *clock; /* besides CLOCK_MONOTONIC */
	unsigned nr_clocks;
	const struct ctf_recorded_stream *stream;
	size_t nr_streams;
};

/**
 * ctf_recorded_metadata() - the metadata of a recorded trace, in CTF 1.8's language.
 * ctf_recorded_metadata_json() - the same as CTF 2 has it, a JSON text sequence.
 * @ret_text: the text, terminated; free() it
 * @ret_len:  its length in bytes
 *
 * Return: 0, or -ENOMEM.
 * Thread-safe: yes. Signal-safe: no.
 */
int ctf_recorded_metadata(const struct ctf_recorded *rec, char **ret_text, size_t *ret_len);
int ctf_recorded_metadata_json(const struct ctf_recorded *rec, char **ret_text, size_t *ret_len);

/* Names of one structure, made into identifiers that differ. */
struct ctf_names {
	unsigned nr;
	char name[2 * CTF_FIELDS_MAX + 2][CTF_NAME_MAX + 16];
};

/** ctf_names_add() - @text as an identifier: "_" before it, other than [A-Za-z0-9_] as '_', and a
 * number behind it if it is there already. Return: the name, lent from @names. */
const char *ctf_names_add(struct ctf_names *names, const char *text);

/** ctf_label_fits() - may a label stand there? Readers refuse ranges that run backwards or past the
 * type. */
bool ctf_label_fits(const struct control_label *label, unsigned type);

/** ctf_label_name() - its text, made to differ from those before it. */
void ctf_label_name(const struct control_class *class, const struct control_field *field,
		    unsigned i, char *buf, size_t len);

#endif
