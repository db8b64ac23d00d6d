/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ELF_FLOW_H
#define TOCSIN_ELF_FLOW_H

/* The instructions of one function: where they begin, which are jumped to, whether it uses the red
 * zone, how it ends. */

#include "elf_internal.h"
#include "insn.h"

#define FLOW_PARTS_MAX 16
#define FLOW_SIZE_MAX  (4u << 20) /* bytes of code of one function */
#define FLOW_WHY_LEN   200

#define MARK_LINEAR 0x01 /* begins an instruction when read from the front */
#define MARK_TARGET 0x02 /* something jumps here */
#define MARK_START  0x04 /* begins an instruction that can be reached */
#define MARK_BODY   0x08 /* further byte of one */
#define MARK_EXIT   0x10 /* the function ends with it */

/* One stretch of code: the function as its symbol says, or what the compiler moved elsewhere
 * (.cold). */
struct flow_part {
	uint64_t vaddr;
	uint64_t size;
	uint8_t *code;
	uint8_t *mark;  /* MARK_*, one a byte */
	uint32_t *head; /* 1 + index of the walk's state that begins at this byte; 0: none */
	struct elf_call_site *site; /* calls out of which exceptions land */
	size_t nr_sites;
	bool has_bad_sites; /* they cannot be read */
	bool is_entered;    /* reached by the walk */
	bool is_guess;      /* may belong to another function: only looked at for the red zone */
};

struct flow {
	struct elf_file *f;
	struct elf_func func;
	struct flow_part part[FLOW_PARTS_MAX]; /* part[0] is the function */
	size_t nr_parts;

	/* flow_scan() */
	bool has_call;
	bool is_undecodable; /* not all bytes are known instructions */
	int64_t frame_bytes; /* reserved below rbp */
	int64_t frame_used;  /* reached below rbp */
	uint64_t frame_at;   /* by the instruction here */
	bool is_frame_set, is_prologue_over;
	uint64_t below_at;  /* an instruction that reaches below rsp; 0: none */
	uint64_t copied_at; /* one that copies rsp to another register than rbp; 0: none */

	/* flow_walk() */
	bool is_complete;       /* every way through it is known */
	char why[FLOW_WHY_LEN]; /* why not */
};

/**
 * flow_new() - read a function's code and go through it from front to back.
 * @ret: to be given to flow_free()
 *
 * Return: 0, or -EFBIG too large to be checked, -EBADMSG, -ENOMEM, -errno.
 */
int flow_new(struct elf_file *f, const struct elf_func *func, struct flow **ret,
	     struct tocsin_err *err);

struct flow *flow_free(struct flow *fl);
void flow_freep(struct flow **fl);

/** flow_red_zone() - may the function keep data below rsp? Return: whether; then @buf says why. */
bool flow_red_zone(const struct flow *fl, char *buf, size_t len);

/**
 * flow_walk() - follow every way through the function; then is_complete or why is set and MARK_EXIT
 * stands at its ends.
 *
 * Return: 0, or -ENOMEM, -EBADMSG, -errno.
 */
int flow_walk(struct flow *fl, struct tocsin_err *err);

/* The part that holds @vaddr, guesses aside; or NULL. */
struct flow_part *flow_part_at(struct flow *fl, uint64_t vaddr);

/* Add the code around @vaddr by the unwinding table. Return: 1 added, 0 cannot be, -errno. */
int flow_add_part(struct flow *fl, uint64_t vaddr, bool is_guess, struct tocsin_err *err);

#endif
