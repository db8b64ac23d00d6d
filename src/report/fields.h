/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_FIELDS_H
#define TOCSIN_REPORT_FIELDS_H

/* Names and presence of the result model's fields: what text, JSON and CTF must say alike. */

#include <stddef.h>

#include "../analysis/model.h"

enum sink_loss {
#define X(NAME, name, strict, text) SINK_##NAME,
#include "sinks.def"
#undef X
	SINK_NR,
};

/* Losses of the sinks, beside those of the kernel half in struct watch_summary. */
struct sink_losses {
	uint64_t count[SINK_NR];
};

/* One counter with its words, of either table. */
struct loss_text {
	const char *name;
	const char *sentence;
	bool is_strict; /* --strict makes it exit status 4 */
};

extern const struct loss_text loss_text[LOSS_NR];
extern const struct loss_text sink_text[SINK_NR];

extern const char *const state_names[TS_NR];
extern const char *const cause_names[CAUSE_NR];
extern const char *const cause_sentences[CAUSE_NR];
extern const char *const confidence_names[CONFIDENCE_NONE + 1];
extern const char *const process_names[PROCESS_EXITED + 1]; /* of PROCESS_*; 0 is "unknown" */

/** table_name() - item @idx of a table of @nr, or "unknown" past its end: raw records are foreign
 * bytes. */
const char *table_name(const char *const *table, unsigned nr, unsigned idx);

#define STATE_NAME(state)  table_name(state_names, TS_NR, state)
#define CAUSE_NAME(kind)   table_name(cause_names, CAUSE_NR, kind)
#define PROCESS_NAME(what) table_name(process_names, PROCESS_EXITED + 1, what)
#define CONFIDENCE_NAME(c) table_name(confidence_names, CONFIDENCE_NONE + 1, c)

#define FIELD_NAME_LEN 64 /* bytes that hold a thread's or file's name, terminated */

/**
 * name_copy() - a name of fixed size, which may lack its terminator, as a string.
 * @name: bytes of the kernel, lent
 * @len:  how many there are at most, less than FIELD_NAME_LEN
 *
 * Return: @buf.
 */
const char *name_copy(const char *name, size_t len, char buf[static FIELD_NAME_LEN]);

#define NAME_COPY(array, buf) name_copy(array, sizeof(array), buf)

/** violation_abandoned() - "exit", "exec" or "frame" for a section that never stopped, else NULL.
 */
const char *violation_abandoned(const struct violation *v);

/** violation_elapsed_ns() - start to end, or to the firing while it is open. */
uint64_t violation_elapsed_ns(const struct violation *v);

/** violation_split_ns() - the parts of its split, in the model's type. Return: @split_ns. */
const uint64_t *violation_split_ns(const struct violation *v, uint64_t split_ns[static TS_NR]);

/**
 * violation_open_spell() - the spell that an open section is in.
 * @v:   a violation that is VIOLATION_OPEN, lent
 * @buf: storage for one that analysis has not explained
 *
 * Return: the spell, or NULL when the section is running.
 */
const struct spell *violation_open_spell(const struct violation *v, struct spell *buf);

/* Which evidence a spell has. */
bool spell_has_slept(const struct watch_spell *s); /* it was blocked or stopped before it waited */
bool spell_has_waited(
	const struct watch_spell *s); /* after having slept: wait_kind is meaningful */
bool spell_has_io(const struct watch_spell *s);
bool spell_has_occupant(const struct watch_spell *s);
bool spell_has_syscall(const struct watch_spell *s);

/** spell_off_ns() - blocked or stopped; or all of it when it never slept. Up to @end_ns while it is
 * open. */
uint64_t spell_off_ns(const struct watch_spell *s, uint64_t end_ns);

/** spell_wait_ns() - from the wake to the CPU, after having slept. Up to @end_ns while it is open.
 */
uint64_t spell_wait_ns(const struct watch_spell *s, uint64_t end_ns);

/** dev_text() - a kernel dev_t as "8:1". Return: @buf. */
const char *dev_text(uint32_t dev, char buf[static FIELD_NAME_LEN]);

/** family_text() - "inet", "inet6", "unix", ..., or the number. Return: a constant or @buf. */
const char *family_text(uint16_t family, char buf[static FIELD_NAME_LEN]);

/** address_text() - the address of a socket, "" for families that have none. Return: @buf. */
const char *address_text(const struct watch_spell *s, char buf[static FIELD_NAME_LEN]);

/** spell_port() - of its socket, 0 for families that have none. */
uint16_t spell_port(const struct watch_spell *s);

#define SPELL_FLAGS_TEXT_LEN 160

/** spell_flags_text() - names of the flags, joined by blanks. Return: @buf. */
const char *spell_flags_text(uint32_t flags, char buf[static SPELL_FLAGS_TEXT_LEN]);

/** share_permyriad() - @part of @whole in hundredths of a percent, rounded; 0 of nothing. */
uint64_t share_permyriad(uint64_t part, uint64_t whole);

#endif
