// SPDX-License-Identifier: MIT
/*
 * tocsin/monitor.h: the shipped models under random events through the API and through the plain
 * stepper, same result at every step; threads on one key, against a model that counts; hostile
 * models; histories, scopes, handlers, what has no room.
 */
#include "automata_random.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "automata/shipped.h"
#include "tocsin/monitor.h"

#define THREADS 4
#define HITS    20000
#define STEPS   200000

static char bytes[MODEL_COMPILED_MAX];
static size_t nr_bytes;

static struct tocsin_monitor *made(struct tocsin_monitor_opts opts)
{
	struct tocsin_monitor *m = NULL;

	opts.size = sizeof(opts);
	opts.model = bytes;
	opts.model_bytes = nr_bytes;
	assert_int_equal(tocsin_monitor_new(&opts, &m), 0);
	return m;
}

static void model_take(const char *file, const char *text)
{
	struct model *m = compile(file, text, strlen(text));

	if (!m)
		fail_msg("%s", said.last);
	nr_bytes = model_compiled(m, bytes);
	assert_null(model_free(m));
}

/* ---- the same as the plain stepper */

static void shipped_compare(const struct shipped_model *s, unsigned after, unsigned steps)
{
	enum { KEYS = 5 };
	struct model *model = compile(s->file, s->text, s->len);
	struct automaton_table *t;
	struct automaton_instance plain[KEYS] = {{0}};
	struct tocsin_monitor_stats st;
	struct tocsin_monitor *m;
	uint64_t now = 1000, violations = 0;

	assert_non_null(model);
	t = &model->table;
	nr_bytes = model_compiled(model, bytes);
	m = made((struct tocsin_monitor_opts){.scope = TOCSIN_MONITOR_OBJECT,
					      .after = after,
					      .history = rnd(4),
					      .max_instances = KEYS});
	t->policy = (uint8_t)(after - 1);
	for (unsigned i = 0; i < steps; i++) {
		unsigned k = rnd(KEYS), event = rnd(t->nr_events);
		struct tocsin_monitor_args args = {{rnd(3), rnd(3), rnd(3)}};
		struct automaton_inputs inputs;
		int got, wanted;

		memcpy(&inputs, &args, sizeof(inputs));
		now += rnd(8) ? rnd(1000000) : rnd(2000000000);
		if (t->kind == AUTOMATON_GRAPH) {
			wanted = (int)automaton_step(t, &plain[k], event, now, &inputs);
			got = tocsin_monitor_event(m, event, k * 64, now, &args);
		} else {
			uint64_t atoms = rnd(1u << (t->nr_events < 20 ? t->nr_events : 20));

			wanted = (int)automaton_observe(t, &plain[k], atoms, now);
			got = tocsin_monitor_observe(m, atoms, k * 64, now);
		}
		if (got != wanted)
			fail_msg("%s: step %u is %d, not %d", s->file, i, got, wanted);
		violations += wanted >= (int)AUTOMATON_BAD_EVENT;
	}
	tocsin_monitor_get_stats(m, &st);
	assert_int_equal(st.violations, violations);
	assert_int_equal(st.refused, 0);
	assert_null(tocsin_monitor_free(m));
	assert_null(model_free(model));
}

static void test_same(void **state)
{
	unsigned nr = 0;

	(void)state;
	for (unsigned done = 0; done < STEPS;)
		for (const struct shipped_model *s = shipped_models; s->file;
		     s++, done += 1000, nr++)
			shipped_compare(s, 1 + nr % 3, 1000);
}

/* ---- threads on one key */

static const char counting[] =
	"digraph count {\n\ttocsin_start_run = \"hit\";\n\ts [label = \"s\", shape = doublecircle];\n"
	"\t\"__init_s\" -> s [label = \"set(n = 0)\"];\n"
	"\ts -> s [label = \"hit;set(n = n + 1)\"];\n\ts -> s [label = \"check;n == total;set(seen = total)\"];\n}\n";

static uint32_t hit, check_event;

static void *hitter(void *arg)
{
	for (int i = 0; i < HITS; i++)
		if (tocsin_monitor_event(arg, hit, 77, 0, NULL) > TOCSIN_MONITOR_STARTED)
			abort();
	return NULL;
}

static void race(uint32_t scope)
{
	struct tocsin_monitor *m = made((struct tocsin_monitor_opts){
		.scope = scope, .max_instances = 4, .after = TOCSIN_MONITOR_KEEP});
	struct tocsin_monitor_args args = {{(int64_t)THREADS * HITS}};
	pthread_t thread[THREADS];

	hit = (uint32_t)tocsin_monitor_number(m, TOCSIN_MONITOR_EVENTS, "hit");
	check_event = (uint32_t)tocsin_monitor_number(m, TOCSIN_MONITOR_EVENTS, "check");
	assert_int_equal(tocsin_monitor_number(m, TOCSIN_MONITOR_INPUTS, "total"), 0);
	assert_int_equal(tocsin_monitor_number(m, TOCSIN_MONITOR_INPUTS, "hit"), -ENOENT);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, hitter, m), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(tocsin_monitor_event(m, check_event, 77, 0, &args),
			 TOCSIN_MONITOR_STEPPED);
	args.value[0]++;
	assert_int_equal(tocsin_monitor_event(m, check_event, 77, 0, &args),
			 TOCSIN_MONITOR_BAD_GUARD);
	assert_null(tocsin_monitor_free(m));
}

static void test_race(void **state)
{
	(void)state;
	model_take("count.dot", counting);
	race(TOCSIN_MONITOR_OBJECT);
	race(TOCSIN_MONITOR_GLOBAL);
}

static void *one_hit(void *arg)
{
	/* its own instance, which has started with this event */
	if (tocsin_monitor_event(arg, hit, 0, 0, NULL) < 0)
		abort();
	return NULL;
}

static void test_threads(void **state)
{
	struct tocsin_monitor_args one = {{1}};
	struct tocsin_monitor_stats st;
	struct tocsin_monitor *m;
	pthread_t thread;

	(void)state;
	model_take("count.dot", counting);
	m = made((struct tocsin_monitor_opts){.scope = TOCSIN_MONITOR_THREAD, .max_instances = 2});
	hit = (uint32_t)tocsin_monitor_number(m, TOCSIN_MONITOR_EVENTS, "hit");
	(void)one_hit(m);
	for (int i = 0; i < 2; i++) { /* the second finds no room until the first is reclaimed */
		assert_int_equal(pthread_create(&thread, NULL, one_hit, m), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		tocsin_monitor_get_stats(m, &st);
		assert_int_equal(st.instances, 2);
		while (tocsin_monitor_reclaim(m) == 0) { /* joined, and perhaps not yet gone */
		}
		tocsin_monitor_get_stats(m, &st);
		assert_int_equal(st.instances, 1);
	}
	assert_int_equal(tocsin_monitor_event(m, check_event, 0, 0, &one), TOCSIN_MONITOR_STEPPED);
	assert_int_equal(tocsin_monitor_forget(m, 0), 0);
	assert_int_equal(tocsin_monitor_forget(m, 0), -ENOENT);
	assert_null(tocsin_monitor_free(m));
}

/* ---- violations */

static struct {
	unsigned nr;
	struct tocsin_monitor_violation last;
	struct tocsin_monitor_past past[8];
	char event[64], state[64];
	jmp_buf *leave;
} told;

static void tell(void *arg, const struct tocsin_monitor_violation *v)
{
	assert_ptr_equal(arg, &told);
	told.nr++;
	told.last = *v;
	assert_true(v->nr_past <= 8);
	memcpy(told.past, v->past, v->nr_past * sizeof(*v->past));
	(void)snprintf(told.event, sizeof(told.event), "%s", v->event_name);
	(void)snprintf(told.state, sizeof(told.state), "%s", v->state_name);
	if (told.leave)
		longjmp(*told.leave, 1);
}

static const char door[] =
	"digraph door {\n\ttocsin_start_run = \"open\";\n"
	"\tshut [label = \"shut\", shape = doublecircle];\n\twide [label = \"wide\\nc < 100ns\"];\n"
	"\t\"__init_shut\" -> shut;\n\tshut -> wide [label = \"open;reset(c)\"];\n\twide -> shut [label = \"shut\"];\n}\n";

static void test_violation(void **state)
{
	struct tocsin_monitor *m;
	struct tocsin_monitor_stats st;
	uint32_t open, shut;
	jmp_buf leave;

	(void)state;
	memset(&told, 0, sizeof(told));
	model_take("door.dot", door);
	m = made((struct tocsin_monitor_opts){.scope = TOCSIN_MONITOR_OBJECT,
					      .max_instances = 2,
					      .history = 3,
					      .violated = tell,
					      .arg = &told,
					      .after = TOCSIN_MONITOR_FREEZE});
	open = (uint32_t)tocsin_monitor_number(m, TOCSIN_MONITOR_EVENTS, "open");
	shut = (uint32_t)tocsin_monitor_number(m, TOCSIN_MONITOR_EVENTS, "shut");
	for (uint64_t t = 1000; t < 1060; t += 20) {
		assert_int_equal(tocsin_monitor_event(m, open, 5, t, NULL), TOCSIN_MONITOR_STEPPED);
		assert_int_equal(tocsin_monitor_event(m, shut, 5, t + 10, NULL),
				 TOCSIN_MONITOR_STEPPED);
	}
	assert_int_equal(tocsin_monitor_event(m, shut, 5, 1070, NULL), TOCSIN_MONITOR_BAD_EVENT);
	assert_int_equal(told.nr, 1);
	assert_int_equal(told.last.nr_past, 4);
	assert_int_equal(told.last.key, 5);
	assert_string_equal(told.event, "shut");
	assert_string_equal(told.state, "shut");
	assert_int_equal(told.past[0].time_ns, 1030);
	assert_int_equal(told.past[0].event, shut);
	assert_int_equal(told.past[3].time_ns, 1070);
	assert_int_equal(told.past[3].result, TOCSIN_MONITOR_BAD_EVENT);
	assert_int_equal(tocsin_monitor_event(m, open, 5, 1080, NULL), TOCSIN_MONITOR_IGNORED);
	/* Time alone, and a callback that does not come back: the monitor goes on. */
	assert_int_equal(tocsin_monitor_event(m, open, 6, 1100, NULL), TOCSIN_MONITOR_STEPPED);
	assert_int_equal(tocsin_monitor_expire(m, 1199), 0);
	told.leave = &leave;
	if (!setjmp(leave)) {
		(void)tocsin_monitor_expire(m, 1200);
		fail();
	}
	told.leave = NULL;
	assert_int_equal(told.last.result, TOCSIN_MONITOR_BAD_TIME);
	assert_int_equal(told.last.deadline_ns, 1200);
	assert_string_equal(told.state, "wide");
	assert_int_equal(tocsin_monitor_event(m, open, 7, 1300, NULL), -ENOSPC);
	tocsin_monitor_get_stats(m, &st);
	assert_int_equal(st.refused, 1);
	assert_int_equal(st.violations, 2);
	assert_int_equal(tocsin_monitor_forget(m, 5), 0);
	assert_int_equal(tocsin_monitor_reclaim(m), 1); /* no section was left open */
	assert_int_equal(tocsin_monitor_event(m, open, 7, 1300, NULL), TOCSIN_MONITOR_STEPPED);
	/* A clock that goes back counts as the latest that was seen. */
	assert_int_equal(tocsin_monitor_event(m, shut, 7, 100, NULL), TOCSIN_MONITOR_STEPPED);
	assert_int_equal(tocsin_monitor_event(m, 9, 7, 100, NULL), -EINVAL);
	assert_int_equal(tocsin_monitor_observe(m, 1, 7, 100), -EINVAL);
	assert_null(tocsin_monitor_free(m));
}

/* ---- handlers */

static struct tocsin_monitor *handled;
static uint64_t nr_sent, nr_stepped, nr_busy;

static void on_signal(int nr)
{
	int r = tocsin_monitor_event(handled, hit, 77, 0, NULL);

	(void)nr;
	nr_sent++;
	nr_stepped += r >= 0;
	nr_busy += r == -EBUSY;
}

static void *pest(void *arg)
{
	for (int i = 0; i < 20000; i++)
		(void)pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

/* What a handler stepped is counted by the model, what it could not by the monitor. */
static void test_handler(void **state)
{
	struct sigaction act = {.sa_handler = on_signal}, old;
	struct tocsin_monitor_args args = {{0}};
	struct tocsin_monitor_stats st;
	pthread_t me = pthread_self(), thread;

	(void)state;
	model_take("count.dot", counting);
	handled = made((struct tocsin_monitor_opts){.after = TOCSIN_MONITOR_KEEP});
	assert_int_equal(sigaction(SIGUSR1, &act, &old), 0);
	assert_int_equal(pthread_create(&thread, NULL, pest, &me), 0);
	while (pthread_tryjoin_np(thread, NULL) == EBUSY)
		for (int i = 0; i < 1000; i++, args.value[0]++)
			assert_true(tocsin_monitor_event(handled, hit, 77, 0, NULL) >= 0);
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
	args.value[0] += (int64_t)nr_stepped;
	assert_int_equal(tocsin_monitor_event(handled, check_event, 77, 0, &args),
			 TOCSIN_MONITOR_STEPPED);
	tocsin_monitor_get_stats(handled, &st);
	assert_int_equal(st.busy, nr_busy);
	assert_int_equal(nr_stepped + nr_busy, nr_sent);
	print_message("# %llu handlers, %llu in a step\n", (unsigned long long)nr_sent,
		      (unsigned long long)nr_busy);
	handled = tocsin_monitor_free(handled);
}

/* ---- hostile */

static void test_hostile(void **state)
{
	struct tocsin_monitor_opts opts = {.size = sizeof(opts), .scope = TOCSIN_MONITOR_GLOBAL};
	struct tocsin_monitor *m = NULL;
	unsigned refused = 0, taken = 0;

	(void)state;
	for (const struct shipped_model *s = shipped_models; s->file; s++) {
		struct model *model = compile(s->file, s->text, s->len);
		static char bad[MODEL_COMPILED_MAX];

		assert_non_null(model);
		nr_bytes = model_compiled(model, bytes);
		opts.model = bad;
		for (unsigned i = 0; i < 300; i++) {
			memcpy(bad, bytes, nr_bytes);
			for (unsigned k = rnd(3) + 1; k; k--)
				bad[rnd(4) ? rnd((unsigned)nr_bytes) : rnd(300)] = (char)rnd(256);
			opts.model_bytes = rnd(4) ? nr_bytes : rnd((unsigned)nr_bytes);
			if (tocsin_monitor_new(&opts, &m) < 0) {
				refused++;
				continue;
			}
			taken++;
			for (unsigned k = 0; k < 50; k++) /* no crash, under the sanitizers too */
				(void)tocsin_monitor_event(m, rnd(64), 0, k * 1000, NULL);
			m = tocsin_monitor_free(m);
		}
		/* Each a fault that no step survives with a meaning. */
		for (unsigned i = 0; i < 6; i++) {
			struct automaton_table t = model->table;

			if (i == 0)
				t.magic++;
			else if (i == 1)
				t.bytes--;
			else if (i == 2)
				t.kind = 3;
			else if (i == 3)
				t.nr_events = AUTOMATON_EVENTS + 1;
			else if (i == 4)
				t.policy = 3;
			else
				t.nr_duties = AUTOMATON_DUTIES + 1;
			memcpy(bad, &t, sizeof(t));
			opts.model_bytes = sizeof(t);
			assert_int_equal(tocsin_monitor_new(&opts, &m), -EBADMSG);
		}
		opts.model = &model->table;
		opts.model_bytes = sizeof(model->table);
		model->table.version++;
		assert_int_equal(tocsin_monitor_new(&opts, &m), -EPROTONOSUPPORT);
		model->table.version--;
		assert_int_equal(tocsin_monitor_new(&opts, &m), 0); /* without names */
		assert_int_equal(tocsin_monitor_number(m, TOCSIN_MONITOR_EVENTS, ""), -ENOENT);
		m = tocsin_monitor_free(m);
		assert_null(model_free(model));
	}
	opts.scope = 3;
	assert_int_equal(tocsin_monitor_new(&opts, &m), -EINVAL);
	assert_true(refused > 500 && taken > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),    cmocka_unit_test(test_race),
		cmocka_unit_test(test_threads), cmocka_unit_test(test_violation),
		cmocka_unit_test(test_handler), cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
