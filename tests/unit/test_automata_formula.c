// SPDX-License-Identifier: MIT
/*
 * automata/: random formulas, stepped by the table and by rewriting what is owed, with the past
 * looked up by its definition; and bounded operators, with a deadline for every obligation.
 */
#include "automata_random.h"

enum { ATOMS = 4, PARTS = 60000, LONGEST = 40 };

struct part {
	char op; /* 'a'tom '0' '1' '!' '&' '|' '>' '=' 'Y'esterday 'O'nce 'H' 'S' 'X' 'G' 'F' 'U' */
	int a, b;
};

static struct part parts[PARTS];
static int nr_parts;
static unsigned trace[LONGEST];

static int part_add(char op, int a, int b)
{
	for (int i = nr_parts - 1; i >= 0; i--)
		if (parts[i].op == op && parts[i].a == a && parts[i].b == b)
			return i;
	assert_true(nr_parts < PARTS);
	parts[nr_parts] = (struct part){op, a, b};
	return nr_parts++;
}

/* @polarity: 1, -1, or 0 both; @future: may it look there? */
static int part_make(int depth, int polarity, bool future)
{
	unsigned what = depth ? rnd(future ? 13 : 9) : 0;

	switch (what) {
	case 1: return part_add('!', part_make(depth - 1, -polarity, future), -1);
	case 2:
		return part_add('&', part_make(depth - 1, polarity, future),
				part_make(depth - 1, polarity, future));
	case 3:
		return part_add('|', part_make(depth - 1, polarity, future),
				part_make(depth - 1, polarity, future));
	case 4:
		return part_add('>', part_make(depth - 1, -polarity, future),
				part_make(depth - 1, polarity, future));
	case 5:
		return part_add('=', part_make(depth - 1, 0, future),
				part_make(depth - 1, 0, future));
	case 6: return part_add('O', part_make(depth - 1, 0, false), -1);
	case 7: return part_add(rnd(2) ? 'Y' : 'H', part_make(depth - 1, 0, false), -1);
	case 8:
		return part_add('S', part_make(depth - 1, 0, false),
				part_make(depth - 1, 0, false));
	case 9: return part_add('X', part_make(depth - 1, polarity, true), -1);
	case 10:
	case 11:
		return part_add('U', part_make(depth - 1, polarity, true),
				part_make(depth - 1, polarity, true));
	case 12:
		if (polarity)
			return part_add(polarity > 0 ? 'G' : 'F',
					part_make(depth - 1, polarity, true), -1);
	}
	/* `next false` would be known to be false a step early here, and not in the automaton. */
	return future || rnd(20) ? part_add('a', (int)rnd(ATOMS), -1)
				 : part_add(rnd(2) ? '0' : '1', -1, -1);
}

static void part_print(struct tocsin_text *t, int i)
{
	static const char *const names[128] = {
		['!'] = "not",        ['&'] = "and",      ['|'] = "or",     ['>'] = "imply",
		['='] = "equivalent", ['Y'] = "previous", ['O'] = "once",   ['H'] = "historically",
		['S'] = "since",      ['X'] = "next",     ['G'] = "always", ['F'] = "eventually",
		['U'] = "until"};
	const struct part *p = &parts[i];

	if (p->op == 'a') {
		tocsin_text_add(t, "A%d", p->a);
	} else if (p->op == '0' || p->op == '1') {
		tocsin_text_add(t, p->op == '1' ? "true" : "false");
	} else {
		tocsin_text_add(t, "(");
		if (p->b >= 0) {
			part_print(t, p->a);
			tocsin_text_add(t, " %s ", names[(int)p->op]);
			part_print(t, p->b);
		} else {
			tocsin_text_add(t, "%s ", names[(int)p->op]);
			part_print(t, p->a);
		}
		tocsin_text_add(t, ")");
	}
}

/* A part of the past and present, by definition, at a time of the trace. */
static bool past(int i, int at)
{
	const struct part *p = &parts[i];
	bool all = true, any = false;

	switch (p->op) {
	case 'a': return trace[at] >> p->a & 1;
	case '0': return false;
	case '1': return true;
	case '!': return !past(p->a, at);
	case '&': return past(p->a, at) && past(p->b, at);
	case '|': return past(p->a, at) || past(p->b, at);
	case '>': return !past(p->a, at) || past(p->b, at);
	case '=': return past(p->a, at) == past(p->b, at);
	case 'Y': return at && past(p->a, at - 1);
	case 'S':
		for (int k = at; k >= 0; k--) {
			if (past(p->b, k))
				return true;
			if (!past(p->a, k))
				return false;
		}
		return false;
	default:
		for (int k = 0; k <= at; k++) {
			bool x = past(p->a, k);

			all &= x;
			any |= x;
		}
		return p->op == 'O' ? any : all;
	}
}

static int both(char op, int a, int b)
{
	char zero = op == '&' ? '0' : '1';

	if (parts[a].op == zero || parts[b].op == zero)
		return part_add(zero, -1, -1);
	if (parts[a].op == '0' || parts[a].op == '1' || a == b)
		return b;
	return parts[b].op == '0' || parts[b].op == '1' ? a : part_add(op, a, b);
}

static int opposite(int a)
{
	return parts[a].op == '0'   ? part_add('1', -1, -1)
	       : parts[a].op == '1' ? part_add('0', -1, -1)
				    : part_add('!', a, -1);
}

/* What is owed from the next step on, when this is owed now. */
static int owed(int i, int at)
{
	struct part p = parts[i];
	int a, b;

	switch (p.op) {
	case '!': return opposite(owed(p.a, at));
	case '&': a = owed(p.a, at); return both('&', a, owed(p.b, at));
	case '|': a = owed(p.a, at); return both('|', a, owed(p.b, at));
	case '>': a = opposite(owed(p.a, at)); return both('|', a, owed(p.b, at));
	case '=':
		a = owed(p.a, at);
		b = owed(p.b, at);
		i = both('&', a, b);
		return both('|', i, both('&', opposite(a), opposite(b)));
	case 'X': return p.a;
	case 'G': return both('&', owed(p.a, at), i);
	case 'F': return both('|', owed(p.a, at), i);
	case 'U': b = owed(p.b, at); return both('|', b, both('&', owed(p.a, at), i));
	default: return part_add(past(i, at) ? '1' : '0', -1, -1);
	}
}

static void formula_compare(const struct model *m, int root, const char *text)
{
	struct automaton_instance in = {0};
	int now_owed = root, at[ATOMS], keep = nr_parts;

	for (int k = 0; k < ATOMS; k++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "A%d", k);
		at[k] = name_find(m, true, name);
	}
	for (int i = 0; i < LONGEST; i++) {
		enum automaton_result got;
		uint64_t atoms = 0;

		trace[i] = rnd(1 << ATOMS);
		for (int k = 0; k < ATOMS; k++)
			if (at[k] >= 0 && trace[i] >> k & 1)
				atoms |= 1ULL << at[k];
		now_owed = owed(now_owed, i);
		got = automaton_observe(&m->table, &in, atoms, (uint64_t)i + 1);
		if ((got == AUTOMATON_BAD_RULE) != (parts[now_owed].op == '0'))
			fail_msg("step %d: %d, owed '%c'\n%s", i, (int)got, parts[now_owed].op,
				 text);
		if (got == AUTOMATON_BAD_RULE)
			break;
	}
	nr_parts = keep;
}

static void test_random_formulas(void **state)
{
	static char buf[100000];
	int compiled = 0, violable = 0;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct tocsin_text t;
		struct model *m;
		int root;

		nr_parts = 0;
		root = part_make(4, 1, true);
		tocsin_text_init(&t, buf, sizeof(buf));
		tocsin_text_add(&t, "RULE = ");
		part_print(&t, root);
		m = compile("random.ltl", buf, t.used);
		if (!m) { /* too many states or parts */
			if (!strstr(said.last, "formula"))
				fail_msg("%s\n%s", said.last, buf);
			continue;
		}
		compiled++;
		violable += m->table.nr_sets > 1;
		for (int k = 0; k < 20; k++)
			formula_compare(m, root, buf);
		(void)model_free(m);
	}
	print_message("# %d formulas, %d with more than one state\n", compiled, violable);
	assert_true(compiled > 2000 && violable > 500);
}

/* Two bounded operators beside each other: every obligation has a deadline of its own here. */
static void test_random_duties(void **state)
{
	static const char text[] = "RULE = always (A0 imply eventually A1 within 20ns) and "
				   "always (A2 imply A3 until A1 within 30ns)";
	struct model *m = compile("duties.ltl", text, sizeof(text) - 1);
	int broken[3] = {0};

	(void)state;
	assert_non_null(m);
	for (int run = 0; run < 20000; run++) {
		struct automaton_instance in = {0};
		uint64_t owed_since[2][LONGEST], now = 5;
		int nr[2] = {0};

		for (int i = 0; i < LONGEST; i++) {
			unsigned v = rnd(16) | (rnd(3) ? 8 : 0);
			uint64_t atoms = 0;
			enum automaton_result got, wanted = AUTOMATON_STEPPED;

			now += rnd(16);
			for (int k = 0; k < ATOMS; k++) {
				char name[16];

				(void)snprintf(name, sizeof(name), "A%d", k);
				if (v >> k & 1)
					atoms |= 1ULL << name_find(m, true, name);
			}
			for (int d = 0; d < 2; d++)
				for (int k = 0; k < nr[d]; k++)
					if (now - owed_since[d][k] > (d ? 30 : 20))
						wanted = AUTOMATON_BAD_TIME;
			for (int d = 0; d < 2 && wanted == AUTOMATON_STEPPED; d++) {
				if (v & (d ? 4 : 1))
					owed_since[d][nr[d]++] = now;
				if (v & 2)
					nr[d] = 0;
				if (d && nr[d] && !(v & 8))
					wanted = AUTOMATON_BAD_RULE;
			}
			got = automaton_observe(&m->table, &in, atoms, now);
			if (got == AUTOMATON_STARTED_NOW)
				got = AUTOMATON_STEPPED;
			assert_int_equal(got, wanted);
			broken[wanted == AUTOMATON_BAD_TIME   ? 1
			       : wanted == AUTOMATON_BAD_RULE ? 2
							      : 0]++;
			if (wanted != AUTOMATON_STEPPED)
				break;
		}
	}
	assert_true(broken[0] > 10000 && broken[1] > 1000 && broken[2] > 1000);
	(void)model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_formulas),
		cmocka_unit_test(test_random_duties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
