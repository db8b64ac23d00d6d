/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_VERDICT_SAMPLE_H
#define TOCSIN_TESTS_VERDICT_SAMPLE_H

/* Violations put together by hand: stacks are given by function names, and go the real way over
 * addresses and a symbol table. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/syscalls.h"
#include "analysis/verdict.h"

#define MS 1000000ull
#define US 1000ull

#define FUNCTIONS_MAX 512
#define STACKS_MAX    512

#define FUNCTION_BASE  0xffffffff81000000ull
#define FUNCTION_BYTES 0x100u

/* A kernel: its functions, and the stacks that were seen in it. */
struct sample {
	const char *function[FUNCTIONS_MAX]; /* lent */
	unsigned nr_functions;
	uint64_t stack[STACKS_MAX][WATCH_STACK];
	unsigned nr_stacks;
	char path[64]; /* its kallsyms */
	struct ksyms *ksyms;
	struct explain_context ctx;
};

static inline uint64_t sample_function(struct sample *s, const char *name)
{
	for (unsigned i = 0; i < s->nr_functions; i++)
		if (!strcmp(s->function[i], name))
			return FUNCTION_BASE + i * FUNCTION_BYTES;
	assert_true(s->nr_functions < FUNCTIONS_MAX);
	s->function[s->nr_functions++] = name;
	return FUNCTION_BASE + (s->nr_functions - 1) * FUNCTION_BYTES;
}

/* A stack of these functions, innermost first, NULL at the end; its id. */
static inline uint32_t sample_stack(struct sample *s, const char *const *name)
{
	unsigned id = s->nr_stacks;

	if (!name[0])
		return 0;
	assert_true(id < STACKS_MAX);
	for (unsigned i = 0; i < WATCH_STACK && name[i]; i++)
		s->stack[id][i] = sample_function(s, name[i]) + 0x21;
	s->nr_stacks++;
	return id + 1;
}

static inline size_t sample_stack_get(void *arg, uint32_t id, uint64_t frames[WATCH_STACK])
{
	struct sample *s = arg;

	if (!id || id > s->nr_stacks)
		return 0;
	memcpy(frames, s->stack[id - 1], sizeof(s->stack[0]));
	return WATCH_STACK;
}

static inline const char *sample_cgroup(void *arg, uint64_t id)
{
	(void)arg;
	return id == 77 ? "/system.slice/postgres.service" : NULL;
}

/* After all functions and stacks are there: write the symbol table. */
static inline void sample_open(struct sample *s)
{
	FILE *f;
	int fd;

	(void)snprintf(s->path, sizeof(s->path), "/tmp/tocsin-kallsyms-XXXXXX");
	fd = mkstemp(s->path);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	assert_non_null(f);
	for (unsigned i = 0; i < s->nr_functions; i++)
		(void)fprintf(f, "%016llx t %s\n",
			      (unsigned long long)(FUNCTION_BASE + i * FUNCTION_BYTES),
			      s->function[i]);
	assert_int_equal(fclose(f), 0);
	s->ksyms = ksyms_new(s->path);
	assert_non_null(s->ksyms);
	s->ctx = (struct explain_context){.ksyms = s->ksyms,
					  .arg = s,
					  .stack = sample_stack_get,
					  .cgroup_path = sample_cgroup};
}

static inline void sample_close(struct sample *s)
{
	s->ksyms = ksyms_free(s->ksyms);
	(void)unlink(s->path);
	free(s);
}

#define OWN_TID  500
#define OWN_TGID 500

/* A section of thread OWN_TID from 100 ms on, all of it running. */
static inline void sample_violation(struct violation *v, uint64_t elapsed_ns)
{
	*v = (struct violation){.number = 1, .budget_ns = MS};
	v->raw.tid = OWN_TID;
	v->raw.tgid = OWN_TGID;
	v->raw.start_ns = 100 * MS;
	v->raw.end_ns = 100 * MS + elapsed_ns;
	v->raw.split_ns[TS_RUNNING] = elapsed_ns;
}

/* Add a spell that begins @at_ns after the section's start; @s has state and evidence. Returns it,
 * lent until the next one is added. */
static inline struct watch_spell *sample_spell(struct violation *v, const struct watch_spell *s,
					       uint64_t at_ns, uint64_t asleep_ns,
					       uint64_t waiting_ns)
{
	struct watch_spell *raw;

	v->spell = realloc(v->spell, (v->nr_spells + 1) * sizeof(*v->spell));
	assert_non_null(v->spell);
	memset(&v->spell[v->nr_spells], 0, sizeof(*v->spell));
	raw = &v->spell[v->nr_spells++].raw;
	*raw = *s;
	raw->t_out = v->raw.start_ns + at_ns;
	raw->t_wake = raw->t_out + asleep_ns;
	raw->t_in = raw->t_wake + waiting_ns;
	if (raw->state < TS_NR) {
		v->raw.split_ns[raw->state] += asleep_ns;
		v->raw.split_ns[TS_WAITING] += waiting_ns - raw->throttled_ns;
		v->raw.split_ns[TS_THROTTLED] += raw->throttled_ns;
		v->raw.split_ns[TS_RUNNING] -= asleep_ns + waiting_ns;
	}
	v->raw.spells++;
	v->raw.spells_long++;
	return raw;
}

static inline void sample_done(struct violation *v)
{
	free(v->spell);
	free(v->cause);
	v->spell = NULL;
	v->cause = NULL;
}

static inline uint64_t sample_sum(const struct violation *v)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < v->nr_causes; i++)
		assert_false(__builtin_add_overflow(sum, v->cause[i].ns, &sum));
	return sum;
}

/* Nothing that acts on a terminal, and properly ended. */
static inline void assert_clean(const char *text, size_t len)
{
	size_t used = strnlen(text, len);

	assert_true(used < len);
	for (size_t i = 0; i < used; i++) {
		assert_true((unsigned char)text[i] >= 0x20);
		assert_int_not_equal((unsigned char)text[i], 0x7f);
	}
}

static inline void assert_violation_clean(const struct violation *v)
{
	assert_clean(v->verdict, sizeof(v->verdict));
	for (unsigned i = 0; i < v->nr_causes; i++) {
		const struct cause *c = &v->cause[i];

		assert_true((unsigned)c->kind < CAUSE_NR);
		assert_clean(c->peer.comm, sizeof(c->peer.comm));
		assert_clean(c->subject, sizeof(c->subject));
		assert_clean(c->text, sizeof(c->text));
		assert_clean(c->evidence, sizeof(c->evidence));
		assert_true(c->text[0]);
	}
}

#endif
