/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_SECTION_H
#define TOCSIN_COLLECTOR_SECTION_H

/*
 * The section language, one for the command line and for budgets files:
 *
 *   [NAME:] START [.. STOP] [by KEY[/KEY]] < BUDGET
 *   p PATH:START STOP threshold=NS   (the kernel's own line: file offsets, nanoseconds)
 *   -PATH:START                      (takes that one away)
 *
 * START, STOP: usdt:[PATH:]provider:name | func:[PATH:]symbol | PATH:OFFSET | syscall:name |
 *              tracepoint:category:name
 * KEY: arg0, arg1, ... arg11, the first of two for the start; BUDGET: 20us .. 1h.
 * NAME: letters, digits, '_', '.', '-', beginning with a letter or '_', maybe ending in #NUMBER.
 *
 * Blanks stand round `..`, before and behind `by KEY`, and behind `NAME:`; round `<` they may. The
 * budget is what follows the last '<', so C++ names need no care. A path or symbol in "double
 * quotes" may hold anything; \" and \\ stand for themselves. '#' at the start or behind a blank
 * begins a comment. The symbol is what follows the last single ':' (`::` is none), the offset what
 * follows the last ':'.
 *
 * A STOP that leaves out its kind takes what else it leaves out from START: in
 * `usdt:postgres:query__start .. query__done` kind and provider, in `func:/bin/x:a .. b` kind and
 * path. A section without a name gets one made of its places.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/err.h"

#define SECTION_BUDGET_MIN_NS UINT64_C(20000)         /* 20 us */
#define SECTION_BUDGET_MAX_NS UINT64_C(3600000000000) /* 1 h */
#define SECTION_TLOB_MIN_NS   UINT64_C(1000)          /* the kernel's own line allows 1 us */
#define SECTION_LINE_MAX      4096                    /* bytes of one line */
#define SECTION_FILE_MAX      (4u << 20)              /* bytes of a budgets file */
#define SECTION_NAME_MAX      64                      /* bytes of a name */
#define SECTION_KEY_MAX       11                      /* a USDT probe has at most 12 arguments */
#define SECTION_TEXT_MAX      (5 * SECTION_LINE_MAX)  /* storage for section_normal() */

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
	char *path;      /* of the binary; NULL: the watched program's own */
	char *group;     /* USDT provider or tracepoint category */
	char *name;      /* probe, symbol, system call, tracepoint */
	uint64_t offset; /* PLACE_OFFSET: ELF file offset in bytes */
};

struct section {
	char *name; /* given, or made from the text; unique within a list */
	char *text; /* as written, one line, without blanks around it and without a comment */
	bool has_own_name; /* it was given */
	struct place start;
	struct place stop; /* PLACE_NONE: entry to return, or enter to exit */
	int start_key;     /* argument index, -1: pairs by thread */
	int stop_key;
	uint64_t budget_ns;
	bool is_tlob;   /* written as the kernel's own line */
	char file[256]; /* where it was written */
	unsigned line;
};

enum section_line { SECTION_LINE_EMPTY, SECTION_LINE_ADD, SECTION_LINE_REMOVE };

/**
 * section_parse() - read one line of the section language.
 * @line:        the text, terminated, no newline, no more than SECTION_LINE_MAX bytes; lent
 * @file:        name for diagnostics, lent
 * @line_nr:     from 1; 0 for the command line
 * @ret_kind:    empty or comment, a section, or a removal
 * @ret_section: filled for SECTION_LINE_ADD; for SECTION_LINE_REMOVE only start, text, file and
 *               line are; to be given to section_done()
 * @diag:        where and what, on failure; may be NULL
 *
 * Return: 0, or -EINVAL malformed, -ERANGE budget out of range, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no.
 */
int section_parse(const char *line, const char *file, unsigned line_nr, enum section_line *ret_kind,
		  struct section *ret_section, struct tocsin_diag *diag);

/** section_done() - free what it holds and zero it. @s may be NULL. */
void section_done(struct section *s);

/**
 * section_normal() - the section as one line in full, with its name; the kernel's own line as that.
 * @buf: SECTION_TEXT_MAX bytes hold any section
 *
 * section_parse() reads it back as the same section, unless it is over SECTION_LINE_MAX.
 *
 * Return: @buf.
 */
const char *section_normal(const struct section *s, char *buf, size_t len);

struct section_list {
	struct section *item;
	size_t nr;
	size_t capacity;
	/* Of a list that is read for a running watch: what it takes away that it does not have. */
	bool keeps_removals;
	struct section *removal; /* with start, text, file and line only */
	size_t nr_removals;
};

/**
 * section_list_add() - append; takes @s's contents on success and leaves it zeroed.
 *
 * A second section of the same given name, or of the same start in the same file for the kernel's
 * own lines, is refused. A made name that is taken gets a number: `read`, `read#2`.
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
 * section_list_apply() - parse one line and add or remove what it says.
 *
 * The parameters are those of section_parse(). On failure @list is as it was.
 *
 * A line that takes away what is not in the list is -ENOENT, or, where keeps_removals is set, kept
 * in `removal`.
 *
 * Return: 0, what section_parse() and section_list_add() return, or -ENOENT nothing to remove;
 * @diag says which.
 */
int section_list_apply(struct section_list *list, const char *line, const char *file,
		       unsigned line_nr, struct tocsin_diag *diag);

/**
 * section_list_read() - read a budgets file; "-" is standard input.
 *
 * One section a line, comments, blank lines. Removal lines act on the sections read so far. Stops
 * at the first fault, and then leaves @list as it was. Lines may end in CR LF, the last one in
 * nothing. Items of @list move: keep no pointers.
 *
 * Return: 0, what section_list_apply() returns, -EFBIG over SECTION_FILE_MAX, or -errno of the
 * file; @diag says which.
 */
int section_list_read(struct section_list *list, const char *path, struct tocsin_diag *diag);

void section_list_done(struct section_list *list);

/**
 * place_read() - one place by itself.
 * @ret: to be given to place_done()
 *
 * Return: 0, -EINVAL, -ENOMEM; @diag says what and where.
 */
int place_read(const char *text, struct place *ret, struct tocsin_diag *diag);
void place_done(struct place *p);

/** place_text() - the place in full, as written in the language; "" for none. Return: @buf. */
const char *place_text(const struct place *p, char *buf, size_t len);

/** place_kind_name() - "usdt", "func", "offset", "syscall", "tracepoint", or "none". */
const char *place_kind_name(enum place_kind kind);

#endif
