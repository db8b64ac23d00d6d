/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_PRINT_CLASS_H
#define TOCSIN_REPORT_PRINT_CLASS_H

/*
 * What the lines of one class of events have in common, worked out at the first of them: the words
 * between the values, how each value is written, and which ones say who it was. What stands in the
 * levels that a line shows (contexts, payload, and `ctx` in it) is the same for every event of a
 * class; only below a value may it differ.
 */

#include "../trace/who.h"
#include "out.h"

enum print_kind {
	PRINT_ENTER, /* a level: what is in it comes next */
	PRINT_SAID,  /* not written here: who it was, or a length that its array shows */
	PRINT_UNSIGNED,
	PRINT_SIGNED,
	PRINT_TEXT,
	PRINT_PLAIN, /* any other value without values below */
	PRINT_TREE,  /* a value with what is below it */
};

enum print_who { WHO_COMM, WHO_PID, WHO_TID, WHO_CPU, WHO_NR };

struct print_item {
	uint8_t kind;      /* enum print_kind */
	uint32_t word_len; /* of " NAME=" */
	uint32_t word;     /* where that stands in the class's words */
};

struct print_class {
	const struct plan_event *class;
	struct print_item *item; /* owned; in the order of the values */
	unsigned nr_items;
	struct out words; /* and PRINT_WORD_MORE bytes behind the last */
	size_t name_len;  /* " NAME" of the event stands first */
	size_t room;      /* bytes that words and numbers take at most */
	bool has_who;
	int who[WHO_NR]; /* items, -1: there is none */
};

/* A short word is copied with all that is behind it, as many bytes: no call, no loop. */
#define PRINT_WORD_MORE 16

/* A table of classes, by address. */
struct print_classes {
	struct print_class **slot; /* owned, as each of them */
	size_t nr, capacity;       /* capacity: a power of two */
	struct print_class *last;
};

/**
 * print_class_of() - of the event at hand; valid until print_classes_done().
 * @values: of the event
 *
 * Return: 0, or -ENOMEM. Thread-safe: per object. Signal-safe: no.
 */
int print_class_of(struct print_classes *classes, const struct trace_event *e,
		   const struct ctf_values *values, const struct print_class **ret_class);

void print_classes_done(struct print_classes *classes);

#endif
