/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_SECTION_H
#define TOCSIN_COLLECTOR_SECTION_H

/*
 * The section language, one for the command line and for budgets files:
 *
 *   [NAME:] START [.. STOP] [by KEY[/KEY]] < BUDGET
 *   p PATH:START STOP threshold=NS                  (the kernel's own line: file offsets, nanoseconds)
 *   -PATH:START                                     (takes that one away)
 *
 * START, STOP: usdt:[PATH:]provider:name | func:[PATH:]symbol | PATH:OFFSET | syscall:name | tracepoint:category:name
 * KEY: arg0, arg1, ...; BUDGET: 20us .. 1h. STOP may leave out what START has said: in `usdt:postgres:query__start ..
 * query__done` the provider, in `func:/bin/x:a .. b` kind and path.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/err.h"

#define SECTION_BUDGET_MIN_NS 20000ull            /* 20 us */
#define SECTION_BUDGET_MAX_NS 3600000000000ull    /* 1 h */
#define SECTION_TLOB_MIN_NS   1000ull             /* the kernel's own line allows 1 us */
#define SECTION_LINE_MAX      4096                /* bytes of one line */

enum place_kind {
	PLACE_NONE, /* no stop given: the start's own end (return, exit) */
	PLACE_USDT,
	PLACE_FUNC,
	PLACE_OFFSET,
	PLACE_SYSCALL,
	PLACE_TRACEPOINT,
};

struct place {
	enum place_kind kind;
	char *path;     /* of the binary; NULL: the watched program's own */
	char *group;    /* USDT provider or tracepoint category */
	char *name;     /* probe, symbol, system call, tracepoint */
	uint64_t offset; /* PLACE_OFFSET: ELF file offset in bytes */
};

struct section {
	char *name; /* given, or made from the text; unique within a list */
	char *text; /* as written, one line */
	struct place start;
	struct place stop;  /* PLACE_NONE: entry to return, or enter to exit */
	int start_key;      /* argument index, -1: pairs by thread */
	int stop_key;
	uint64_t budget_ns;
	bool is_tlob;       /* written as the kernel's own line */
	char file[256];     /* where it was written */
	unsigned line;
};

enum section_line { SECTION_LINE_EMPTY, SECTION_LINE_ADD, SECTION_LINE_REMOVE };

/**
 * section_parse() - read one line of the section language.
 * @line:        the text, terminated, no newline; lent
 * @file:        name for diagnostics, lent
 * @line_nr:     from 1; 0 for the command line
 * @ret_kind:    empty or comment, a section, or a removal
 * @ret_section: filled for SECTION_LINE_ADD (to be given to section_done()); for SECTION_LINE_REMOVE only start.path
 *               and start.offset are
 * @diag:        where and what, on failure
 *
 * Return: 0, or -EINVAL malformed, -ERANGE budget out of range, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no.
 */
int section_parse(const char *line, const char *file, unsigned line_nr, enum section_line *ret_kind,
		  struct section *ret_section, struct tocsin_diag *diag);

void section_done(struct section *s);

struct section_list {
	struct section *item;
	size_t nr;
	size_t capacity;
};

/**
 * section_list_add() - append; takes @s's contents on success and leaves it zeroed.
 *
 * A second section of the same name, or of the same start in the same file for the kernel's own lines, is refused.
 *
 * Return: 0, or -EEXIST (@diag says which), -ENOSPC over WATCH_SECTIONS_MAX, -ENOMEM.
 */
int section_list_add(struct section_list *list, struct section *s, struct tocsin_diag *diag);

/**
 * section_list_remove() - remove the kernel-style section of this path and start offset.
 *
 * Return: 0, or -ENOENT.
 */
int section_list_remove(struct section_list *list, const char *path, uint64_t offset);

/**
 * section_list_read() - read a budgets file: one section a line, '#' comments, blank lines; "-" is standard input.
 *
 * Removal lines act on the sections read so far. Stops at the first fault, and then leaves @list as it was.
 *
 * Return: 0, or what section_parse() and section_list_add() return, or -errno of the file.
 */
int section_list_read(struct section_list *list, const char *path, struct tocsin_diag *diag);

void section_list_done(struct section_list *list);

/** place_text() - the place as written in the language. Return: @buf. */
const char *place_text(const struct place *p, char *buf, size_t len);

#endif
