// SPDX-License-Identifier: MIT
/*
 * Fuzzes the readers of models and steps what they make. Input: a byte that says which language,
 * then the text. Whatever it holds, a model is refused with a diagnostic or has a table whose
 * indexes are in range, and stepping it comes to an end.
 */
#include <stdlib.h>

#include "automata/model.h"
#include "automata/step.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

static void say(void *context, const struct tocsin_diag *diag)
{
	char text[4 * sizeof(*diag)];

	CHECK(tocsin_diag_text(diag, text, sizeof(text)) == text && diag->text[0]);
	*(unsigned *)context += !diag->is_warning;
}

static void table_check(const struct automaton_table *t)
{
	CHECK(t->version == AUTOMATON_VERSION && t->bytes == sizeof(*t));
	CHECK(t->nr_states <= AUTOMATON_STATES && t->nr_events <= AUTOMATON_EVENTS);
	CHECK(t->nr_clocks + t->nr_stored <= AUTOMATON_SLOTS && t->nr_sets <= AUTOMATON_SETS);
	CHECK(t->nr_bits <= AUTOMATON_BITS && t->nr_duties <= AUTOMATON_DUTIES);
	for (int i = 0; i < t->nr_edges; i++)
		CHECK(t->edge[i].next && t->edge[i].next < t->nr_states &&
		      t->edge[i].guard <= t->nr_tests && t->edge[i].nr_acts <= AUTOMATON_DO);
	for (int i = 0; i < t->nr_tests; i++) {
		const uint16_t to[] = {t->test[i].yes, t->test[i].no};

		for (int k = 0; k < 2; k++)
			CHECK(to[k] >= AUTOMATON_REJECT || (to[k] > i && to[k] < t->nr_tests));
	}
	for (int i = 0; i < t->nr_bits; i++) /* made of bits before it */
		CHECK(t->bit[i].op == AUTOMATON_BIT_ATOM || t->bit[i].op == AUTOMATON_BIT_TRUE ||
		      (t->bit[i].a < i && t->bit[i].b <= i));
}

static void model_step(const struct model *m, const uint8_t *input, size_t bytes)
{
	const struct automaton_table *t = &m->table;
	struct automaton_instance in = {0};
	struct automaton_inputs values = {{0}};
	uint64_t now = 1;

	for (size_t i = 0; i < bytes && i < 64; i++) {
		now += input[i];
		values.value[i % AUTOMATON_INPUTS] = input[i];
		if (t->kind == AUTOMATON_FORMULA)
			(void)automaton_observe(t, &in, input[i], now);
		else if (t->nr_events)
			(void)automaton_step(t, &in, input[i] % t->nr_events, now, &values);
		(void)automaton_expire(t, &in, now);
		CHECK(t->kind == AUTOMATON_FORMULA || in.state < t->nr_states);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
	const struct model_options options = {.jiffy_ns = 4000000};
	unsigned nr_errors = 0;
	const struct model_sink sink = {.say = say, .context = &nr_errors};
	struct model *m = NULL;
	int r;

	if (!bytes)
		return 0;
	r = model_read(input[0] & 1 ? "x.ltl" : "x.dot", (const char *)input + 1, bytes - 1,
		       &options, &sink, &m);
	CHECK((r == 0) == (nr_errors == 0) && (r == 0) == (m != NULL));
	if (m) {
		table_check(&m->table);
		model_step(m, input, bytes);
	}
	(void)model_free(m); /* always NULL */
	return 0;
}
