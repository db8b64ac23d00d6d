// SPDX-License-Identifier: MIT
/*
 * automata/: random models stepped by the table and by an interpreter of the model as it was made,
 * which shares no code with it and does not see the table: same verdict, same state, at every step.
 * More than a million steps. What is said about wrong models is in tests/golden/monitor.
 */
#include "automata/shipped.h"
#include "automata_random.h"
#include "base/parse.h"

#define STEPS 1200000

/* ---- a graph as it is made, and how it steps */

enum { CLOCKS = 3, STORED = 2, INPUTS = 2, VARS = CLOCKS + STORED + INPUTS + 1, EDGES = 200 };

static const char *const var_names[VARS] = {"c0", "c1", "c2", "v0", "v1", "i0", "i1", "P"};
static const char *const compare_texts[] = {"<", "<=", "==", "!=", ">=", ">"};

struct expr {
	char op; /* 't' '&' '|' '!' */
	int a, b;
	int left, right; /* variables; right -1: none */
	int compare;
	int64_t value;
};

struct made_edge {
	int from, event, to;
	int guard, resets, set; /* -1: none; bits; -1 or variable */
	int set_from;
	int64_t set_add;
};

struct made {
	int nr_states, nr_events, nr_edges, nr_exprs;
	struct expr expr[4000];
	struct made_edge edge[EDGES];
	int64_t bound[8]; /* -1: none */
	int bound_clock[8];
	bool bound_inclusive[8];
	int64_t param;
	int policy;
};

struct run {
	int state; /* -1: not started */
	bool frozen;
	int64_t clock_zero[CLOCKS], stored[STORED];
	bool said_time; /* with KEEP, a bound is said once */
};

static int expr_make(struct made *g, int depth)
{
	struct expr e = {0};

	if (depth && rnd(2)) {
		e.op = "&|!"[rnd(3)];
		e.a = expr_make(g, depth - 1);
		e.b = e.op == '!' ? 0 : expr_make(g, depth - 1);
	} else {
		e.op = 't';
		e.left = (int)rnd(CLOCKS + STORED + INPUTS);
		e.right = rnd(3) ? -1 : (int)rnd(CLOCKS);
		e.compare = (int)rnd(6);
		e.value = (int64_t)rnd(40);
	}
	g->expr[g->nr_exprs] = e;
	return g->nr_exprs++;
}

static void expr_print(struct tocsin_text *t, const struct made *g, int i)
{
	const struct expr *e = &g->expr[i];

	if (e->op == 't') {
		tocsin_text_add(t, "%s", var_names[e->left]);
		if (e->right >= 0)
			tocsin_text_add(t, " - %s", var_names[e->right]);
		tocsin_text_add(t, " %s %lld", compare_texts[e->compare], (long long)e->value);
		return;
	}
	tocsin_text_add(t, e->op == '!' ? "!(" : "(");
	expr_print(t, g, e->a);
	if (e->op != '!') {
		tocsin_text_add(t, e->op == '&' ? ") && (" : ") || (");
		expr_print(t, g, e->b);
	}
	tocsin_text_add(t, ")");
}

static int64_t var_value(const struct made *g, const struct run *r, const int64_t *input,
			 int64_t now, int var)
{
	if (var < CLOCKS)
		return now - r->clock_zero[var];
	if (var < CLOCKS + STORED)
		return r->stored[var - CLOCKS];
	return var < CLOCKS + STORED + INPUTS ? input[var - CLOCKS - STORED] : g->param;
}

static bool expr_true(const struct made *g, const struct run *r, const int64_t *input, int64_t now,
		      int i)
{
	const struct expr *e = &g->expr[i];
	int64_t x;

	if (e->op == '!')
		return !expr_true(g, r, input, now, e->a);
	if (e->op != 't') {
		bool a = expr_true(g, r, input, now, e->a), b = expr_true(g, r, input, now, e->b);

		return e->op == '&' ? a && b : a || b;
	}
	x = var_value(g, r, input, now, e->left);
	if (e->right >= 0)
		x -= var_value(g, r, input, now, e->right);
	return e->compare == 0   ? x < e->value
	       : e->compare == 1 ? x <= e->value
	       : e->compare == 2 ? x == e->value
	       : e->compare == 3 ? x != e->value
	       : e->compare == 4 ? x >= e->value
				 : x > e->value;
}

static bool bound_holds(const struct made *g, const struct run *r, int64_t now)
{
	int64_t age;

	if (g->bound[r->state] < 0)
		return true;
	age = now - r->clock_zero[g->bound_clock[r->state]];
	return g->bound_inclusive[r->state] ? age <= g->bound[r->state] + g->param
					    : age < g->bound[r->state];
}

static enum automaton_result violated(const struct made *g, struct run *r,
				      enum automaton_result what)
{
	if (g->policy == AUTOMATON_KEEP) {
		r->said_time = true;
		return what;
	}
	r->state = -1;
	r->frozen = g->policy == AUTOMATON_FREEZE;
	return what;
}

static enum automaton_result made_expire(const struct made *g, struct run *r, int64_t now)
{
	if (r->state >= 0 && !r->said_time && !bound_holds(g, r, now))
		return violated(g, r, AUTOMATON_BAD_TIME);
	return AUTOMATON_STEPPED;
}

/* As model.md says it. The first event starts, and is stepped. */
static enum automaton_result made_step(const struct made *g, struct run *r, int event, int64_t now,
				       const int64_t *input)
{
	bool any = false;

	if (r->frozen)
		return AUTOMATON_IGNORED;
	if (r->state < 0) {
		*r = (struct run){.state = 0, .clock_zero = {now, now, now}};
		if (!bound_holds(g, r, now))
			return violated(g, r, AUTOMATON_BAD_TIME);
		if (event == 0) /* the start event */
			return AUTOMATON_STARTED_NOW;
	}
	if (!r->said_time && !bound_holds(g, r, now))
		return violated(g, r, AUTOMATON_BAD_TIME);
	for (int i = 0; i < g->nr_edges; i++) {
		const struct made_edge *e = &g->edge[i];

		if (e->from != r->state || e->event != event)
			continue;
		any = true;
		if (e->guard >= 0 && !expr_true(g, r, input, now, e->guard))
			continue;
		for (int c = 0; c < CLOCKS; c++)
			if (e->resets >> c & 1)
				r->clock_zero[c] = now;
		if (e->set >= 0)
			r->stored[e->set] = var_value(g, r, input, now, e->set_from) + e->set_add;
		r->state = e->to;
		r->said_time = false;
		if (!bound_holds(g, r, now))
			return violated(g, r, AUTOMATON_BAD_TIME);
		return AUTOMATON_STEPPED;
	}
	return violated(g, r, any ? AUTOMATON_BAD_GUARD : AUTOMATON_BAD_EVENT);
}

static void edge_make(struct made *g, int from, int event, int guard)
{
	struct made_edge *e = &g->edge[g->nr_edges++];

	*e = (struct made_edge){.from = from, .event = event, .guard = guard, .set = -1};
	e->to = (int)rnd((unsigned)g->nr_states);
	e->resets = rnd(2) ? (int)rnd(1 << CLOCKS) : 0;
	if (rnd(4) == 0) {
		e->set = (int)rnd(STORED);
		e->set_from = CLOCKS + (int)rnd(STORED + INPUTS);
		e->set_add = (int64_t)rnd(3);
	}
}

static int expr_join(struct made *g, char op, int a, int b)
{
	g->expr[g->nr_exprs] = (struct expr){.op = op, .a = a, .b = b};
	return g->nr_exprs++;
}

static void made_make(struct made *g)
{
	bool rich = rnd(3);

	memset(g, 0, sizeof(*g));
	g->nr_states = 1 + (int)rnd(7);
	g->nr_events = 1 + (int)rnd(5);
	g->param = (int64_t)rnd(10);
	g->policy = (int)rnd(3);
	for (int s = 0; s < g->nr_states; s++) {
		g->bound[s] = rich && rnd(3) == 0 ? 5 + (int64_t)rnd(60) : -1;
		g->bound_clock[s] = (int)rnd(CLOCKS);
		g->bound_inclusive[s] = rnd(2);
	}
	for (int s = 0; s < g->nr_states; s++)
		for (int e = 0; e < g->nr_events; e++) {
			unsigned what = rnd(10);
			int guard;

			if (what == 0)
				continue;
			if (what < 6 || !rich) {
				edge_make(g, s, e, -1);
				continue;
			}
			guard = expr_make(g, 2);
			edge_make(g, s, e, guard);
			if (what > 7)
				edge_make(g, s, e,
					  what == 9 ? expr_join(g, '!', guard, 0)
						    : expr_join(g, '&', expr_join(g, '!', guard, 0),
								expr_make(g, 1)));
		}
}

static void made_print(const struct made *g, struct tocsin_text *t)
{
	tocsin_text_add(
		t, "digraph random {\n\ttocsin_start = \"e0\";\n\ttocsin_param = \"P = %lldns\";\n",
		(long long)g->param);
	for (int e = 1; e < g->nr_events; e++)
		tocsin_text_add(t, "\ttocsin_start_run = \"e%d\";\n", e);
	for (int s = 0; s < g->nr_states; s++) {
		tocsin_text_add(t, "\ts%d [label = \"s%d", s, s);
		if (g->bound[s] >= 0)
			tocsin_text_add(t, "\\nc%d %s %lldns%s", g->bound_clock[s],
					g->bound_inclusive[s] ? "<=" : "<", (long long)g->bound[s],
					g->bound_inclusive[s] ? " + P" : "");
		tocsin_text_add(t, "\"%s];\n", rnd(2) ? ", shape = doublecircle" : "");
	}
	tocsin_text_add(t, "\t\"__init_s0\" [label = \"\"];\n\t\"__init_s0\" -> s0 [label = "
			   "\"reset(c0);reset(c1, c2);set(v0 = 0);set(v1 = 0)\"];\n");
	for (int i = 0; i < g->nr_edges; i++) {
		const struct made_edge *e = &g->edge[i];

		tocsin_text_add(t, "\ts%d -> s%d [label = \"e%d", e->from, e->to, e->event);
		if (e->guard >= 0) {
			tocsin_text_add(t, ";");
			expr_print(t, g, e->guard);
		}
		for (int c = 0; c < CLOCKS; c++)
			if (e->resets >> c & 1)
				tocsin_text_add(t, ";reset(c%d)", c);
		if (e->set >= 0)
			tocsin_text_add(t, ";set(v%d = %s + %lld)", e->set, var_names[e->set_from],
					(long long)e->set_add);
		tocsin_text_add(t, "\"];\n");
	}
	tocsin_text_add(t, "}\n");
	assert_false(t->is_cut);
}

/* Where an input of ours is in the table's array; -1: the model does not use it. */
static int input_find(const struct model *m, const char *name)
{
	for (int i = 0; i < m->nr_vars; i++)
		if (strcmp(m->var[i].name, name) == 0 && m->var[i].kind == MODEL_INPUT)
			return m->var[i].code & 0x0f;
	return -1;
}

static void made_compare(const struct made *g, const struct model *m, int steps, const char *text)
{
	struct automaton_instance in = {0};
	struct run r = {.state = -1};
	int64_t now = 1000 + (int64_t)rnd(1000);

	for (int i = 0; i < steps; i++) {
		struct automaton_inputs inputs = {{0}};
		int64_t input[INPUTS] = {(int64_t)rnd(50), (int64_t)rnd(50)};
		int event = (int)rnd((unsigned)g->nr_events), state;
		enum automaton_result got, wanted;
		char name[16];

		for (int k = 0; k < INPUTS; k++) {
			int at = input_find(m, var_names[CLOCKS + STORED + k]);

			if (at >= 0)
				inputs.value[at] = input[k];
		}
		now += (int64_t)rnd(12);
		if (rnd(4) == 0) {
			got = automaton_expire(&m->table, &in, (uint64_t)now);
			wanted = made_expire(g, &r, now);
		} else {
			(void)snprintf(name, sizeof(name), "e%d", event);
			state = name_find(m, true, name);
			if (state < 0)
				continue; /* on no edge */
			got = automaton_step(&m->table, &in, (uint32_t)state, (uint64_t)now,
					     &inputs);
			wanted = made_step(g, &r, event, now, input);
		}
		(void)snprintf(name, sizeof(name), "s%d", r.state);
		state = r.state < 0 ? 0 : name_find(m, false, name) + 1;
		if (got != wanted || (int)in.state != state)
			fail_msg("step %d at %lld: %d not %d, state %d not %d (policy %d)\n%s", i,
				 (long long)now, (int)got, (int)wanted, (int)in.state, state,
				 g->policy, text);
	}
}

static void test_random_graphs(void **state)
{
	static struct made g;
	static char buf[200000];
	int done = 0, compiled = 0, refused = 0;

	(void)state;
	while (done < STEPS) {
		struct tocsin_text t;
		struct model *m;

		made_make(&g);
		tocsin_text_init(&t, buf, sizeof(buf));
		made_print(&g, &t);
		m = compile("random.dot", buf, t.used);
		if (!m) { /* a guard that is later than a bound, or too many tests */
			if (!strstr(said.last, "has passed") && !strstr(said.last, "more than"))
				fail_msg("%s\n%s", said.last, buf);
			refused++;
			continue;
		}
		compiled++;
		m->table.policy = (uint8_t)g.policy;
		for (int i = 0; i < 5; i++)
			made_compare(&g, m, 120, buf);
		done += 600;
		(void)model_free(m);
	}
	print_message("# %d models, %d refused, %d steps\n", compiled, refused, done);
	assert_true(refused < compiled);
}

/* ---- what is shipped */

static void test_shipped(void **state)
{
	int nr = 0;

	(void)state;
	for (const struct shipped_model *s = shipped_models; s->file; s++, nr++) {
		struct model *m = compile(s->file, s->text, s->len);

		if (!m)
			fail_msg("%s: %s", s->file, said.last);
		if (said.warnings)
			fail_msg("%s: %u warnings", s->file, said.warnings);
		assert_true(m->about[0] && m->scope);
		(void)model_free(m);
	}
	assert_true(nr > 15);
}

/* A string of events: those that violate come last. "+N" lets time pass, in ms. */
struct story {
	const char *model, *events;
	enum automaton_result last;
};

static const struct story stories[] = {
	{"wwnr", "switch_out wakeup switch_in switch_out switch_in", AUTOMATON_STEPPED},
	{"wwnr", "wakeup switch_in wakeup", AUTOMATON_IGNORED},
	{"wwnr", "switch_out switch_in wakeup", AUTOMATON_BAD_EVENT},
	{"stall", "sched_switch_wait sched_wakeup +3999 sched_switch_in", AUTOMATON_STEPPED},
	{"stall", "sched_switch_wait sched_wakeup +4000 sched_switch_in", AUTOMATON_BAD_TIME},
	{"stall", "sched_switch_wait sched_wakeup +3000 sched_wakeup +1000 +0", AUTOMATON_BAD_TIME},
	{"tlob", "start sleep +5 wakeup switch_in +4 stop start +9 stop", AUTOMATON_STEPPED},
	{"tlob", "start wakeup preempt wakeup switch_in stop", AUTOMATON_STEPPED},
	{"tlob", "start sleep +10 +0", AUTOMATON_BAD_TIME},
	{"tlob", "start start", AUTOMATON_BAD_EVENT},
	{"tss", "schedule_exit schedule_entry sched_switch schedule_exit", AUTOMATON_STEPPED},
	{"tss", "schedule_exit sched_switch", AUTOMATON_BAD_EVENT},
	{"nrp", "sched_need_resched schedule_entry_preempt", AUTOMATON_STEPPED},
	{"nrp", "sched_need_resched schedule_entry schedule_entry schedule_entry_preempt",
	 AUTOMATON_BAD_EVENT},
	{"sssw", "wakeup set_state_sleepable switch_suspend wakeup", AUTOMATON_STEPPED},
	{"sssw", "wakeup set_state_sleepable switch_suspend switch_in", AUTOMATON_BAD_EVENT},
	{"nomiss", "dl_replenish +99 sched_switch_in sched_switch_suspend +500 sched_wakeup",
	 AUTOMATON_BAD_TIME},
	{"nomiss", "dl_replenish sched_switch_in +99 sched_switch_suspend", AUTOMATON_STEPPED},
	{"wip", "preempt_enable preempt_disable sched_waking preempt_enable", AUTOMATON_STEPPED},
	{"wip", "preempt_enable sched_waking", AUTOMATON_BAD_EVENT},
	{"opid", "sched_need_resched", AUTOMATON_BAD_GUARD},
	{"sco", "schedule_exit schedule_entry sched_set_state", AUTOMATON_BAD_EVENT},
	{"sco", "sched_set_state schedule_entry schedule_exit", AUTOMATON_STEPPED},
	{"snroc", "sched_switch_out sched_switch_in sched_set_state", AUTOMATON_STEPPED},
	{"snroc", "sched_switch_out sched_set_state", AUTOMATON_BAD_EVENT},
	{"lock", "take +9 drop", AUTOMATON_STEPPED},
	{"lock", "take take", AUTOMATON_BAD_EVENT},
	{"lock", "take +10 drop", AUTOMATON_BAD_TIME},
	{"double_free", "allocate use release allocate release", AUTOMATON_STEPPED},
	{"double_free", "allocate release release", AUTOMATON_BAD_EVENT},
	{"double_free", "allocate release use", AUTOMATON_BAD_EVENT},
	{"request", "accept +4 parsed +70 done +19 replied", AUTOMATON_STEPPED},
	{"request", "accept +5 parsed", AUTOMATON_BAD_TIME},
	{"request", "accept +4 parsed +79 done +17 replied", AUTOMATON_BAD_TIME},
};

static struct model *shipped_get(const char *name)
{
	for (const struct shipped_model *s = shipped_models; s->file; s++)
		if (strncmp(s->file, name, strlen(name)) == 0 && s->file[strlen(name)] == '.')
			return compile(s->file, s->text, s->len);
	return NULL;
}

static enum automaton_result story_tell(const struct model *m, const char *events)
{
	enum automaton_result last = AUTOMATON_STEPPED;
	struct automaton_instance in = {0};
	uint64_t now = 1000000, ms;
	char word[64];
	int len;

	for (; sscanf(events, "%63s%n", word, &len) == 1; events += len) {
		int event = name_find(m, true, word);

		if (last >= AUTOMATON_BAD_EVENT)
			fail_msg("%s: violated before '%s'", m->name, word);
		if (word[0] == '+') {
			assert_int_equal(tocsin_parse_u64(word + 1, &ms), 0);
			now += ms * 1000000;
			if (word[1] == '0')
				last = automaton_expire(&m->table, &in, now);
			continue;
		}
		if (event < 0)
			fail_msg("%s: no event '%s'", m->name, word);
		last = automaton_step(&m->table, &in, (uint32_t)event, now, NULL);
	}
	return last;
}

static void test_stories(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
		struct model *m = shipped_get(stories[i].model);
		enum automaton_result last;

		assert_non_null(m);
		last = story_tell(m, stories[i].events);
		if (last != stories[i].last)
			fail_msg("%s: '%s' came to %d", stories[i].model, stories[i].events,
				 (int)last);
		(void)model_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shipped),
		cmocka_unit_test(test_stories),
		cmocka_unit_test(test_random_graphs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
