// SPDX-License-Identifier: MIT
/*
 * Records that no kernel half would write, or only a broken one: whatever they hold, the causes sum
 * to the elapsed time, nothing is read or written out of bounds (the sanitizer builds look), and no
 * text can act on a terminal.
 */
#include "verdict_cases.h"

static struct sample *kernel;

/* The stacks of all cases, for any spell. */
static int setup(void **state)
{
	(void)state;
	kernel = calloc(1, sizeof(*kernel));
	assert_non_null(kernel);
	for (size_t i = 0; i < sizeof(verdict_cases) / sizeof(verdict_cases[0]); i++) {
		(void)sample_stack(kernel, verdict_cases[i].stack);
		(void)sample_stack(kernel, verdict_cases[i].waker);
	}
	sample_open(kernel);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sample_close(kernel);
	return 0;
}

static uint64_t seed;

/* xorshift64*: the same numbers on every machine */
static uint64_t random_u64(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 2685821657736338717ull;
}

static uint64_t random_below(uint64_t limit)
{
	return limit ? random_u64() % limit : 0;
}

static void random_bytes(void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)random_u64();
}

/* Mostly a time in or near the section, now and then any number. */
static uint64_t random_time(const struct violation *v)
{
	uint64_t length = v->raw.end_ns - v->raw.start_ns;

	switch (random_below(16)) {
	case 0: return 0;
	case 1: return UINT64_MAX;
	case 2: return random_u64();
	case 3: return v->raw.start_ns;
	case 4: return v->raw.end_ns;
	case 5: return v->raw.start_ns - random_below(MS);
	case 6: return v->raw.end_ns + random_below(MS);
	default: return v->raw.start_ns + random_below(length + 1);
	}
}

static void random_spell(const struct violation *v, struct watch_spell *raw, bool is_wild)
{
	const struct verdict_case *c =
		&verdict_cases[random_below(sizeof(verdict_cases) / sizeof(verdict_cases[0]))];

	if (is_wild)
		random_bytes(raw, sizeof(*raw));
	else
		*raw = c->raw;
	raw->state = (uint8_t)random_below(is_wild ? 256 : TS_NR);
	raw->t_out = random_time(v);
	raw->t_wake = random_below(4) ? random_time(v) : raw->t_out;
	raw->t_in = random_time(v);
	raw->throttled_ns = random_below(3) ? random_below(20 * MS) : random_u64();
	if (random_below(2))
		raw->flags = (uint32_t)random_u64();
	raw->nr = random_below(8) ? (int32_t)random_below(500) : (int32_t)random_u64();
	if (!is_wild && c->call && random_below(2)) {
		raw->nr = syscall_number(c->call);
		raw->flags = c->raw.flags | SPELL_IN_SYSCALL;
	}
	raw->stack_id = (uint32_t)random_below(kernel->nr_stacks + 3);
	raw->waker_stack_id = (uint32_t)random_below(kernel->nr_stacks + 3);
	raw->note_kind = (uint16_t)random_below(5);
	random_bytes(raw->note, sizeof(raw->note));
	random_bytes(raw->waker_comm, sizeof(raw->waker_comm));
	random_bytes(raw->occ_comm, sizeof(raw->occ_comm));
	if (!random_below(16))
		memcpy(raw->occ_comm, "ksoftirqd/0", 12);
	random_bytes(raw->owner_comm, sizeof(raw->owner_comm));
	random_bytes(raw->file_name, sizeof(raw->file_name));
	random_bytes(raw->cgroup, sizeof(raw->cgroup));
	raw->waker_tid = (uint32_t)random_below(4);
	raw->occ_tid = (uint32_t)random_below(4);
	raw->owner_tid = (uint32_t)random_below(4);
	raw->cgroup_id = 75 + random_below(4);
}

/* Parts that sum to the elapsed time, as the kernel half's do; or any. */
static void random_split(struct violation *v, uint64_t elapsed_ns)
{
	uint64_t left = elapsed_ns;

	for (unsigned i = 0; i < TS_NR; i++) {
		uint64_t part = i == TS_NR - 1 ? left : random_below(left / 2 + 1);

		v->raw.split_ns[i] = part;
		left -= part;
	}
	v->raw.split_ns[TS_RUNNING] += v->raw.split_ns[TS_UNKNOWN];
	v->raw.split_ns[TS_UNKNOWN] = 0;
	if (!random_below(8)) {
		v->raw.split_ns[TS_UNKNOWN] = v->raw.split_ns[TS_RUNNING];
		v->raw.split_ns[TS_RUNNING] = 0;
	}
	if (!random_below(16))
		v->raw.split_ns[random_below(TS_NR)] = random_u64();
}

static void random_violation(struct violation *v)
{
	uint64_t elapsed_ns = random_below(8) ? random_below(1000 * MS) : random_below(3);
	bool is_wild = random_below(2);

	sample_violation(v, elapsed_ns);
	if (!random_below(64))
		v->raw.end_ns = random_u64(); /* also before the start, also centuries later */
	if (v->raw.end_ns >= v->raw.start_ns)
		elapsed_ns = v->raw.end_ns - v->raw.start_ns;
	random_split(v, elapsed_ns);
	if (!random_below(8))
		v->raw.flags = (uint32_t)random_u64();
	v->raw.short_ns = random_below(3) ? random_below(MS) : random_u64();
	v->raw.spells_short = (uint32_t)random_u64();
	v->raw.spells_long = (uint32_t)random_u64();
	v->nr_spells_lost = (unsigned)random_u64();
	v->nr_spells = (unsigned)random_below(WATCH_SPELLS / 4);
	v->spell = calloc(v->nr_spells ?: 1, sizeof(*v->spell));
	assert_non_null(v->spell);
	for (unsigned i = 0; i < v->nr_spells; i++)
		random_spell(v, &v->spell[i].raw, is_wild);
}

static void assert_sorted(const struct violation *v)
{
	for (unsigned i = 1; i < v->nr_causes; i++)
		assert_true(v->cause[i - 1].ns >= v->cause[i].ns);
	for (unsigned i = 0; i < v->nr_causes; i++)
		assert_true(v->cause[i].ns > 0);
}

static void test_random(void **state)
{
	unsigned kinds[CAUSE_NR] = {0};
	struct violation v;

	(void)state;
	seed = 20250131;
	for (unsigned round = 0; round < 10000; round++) {
		uint64_t elapsed_ns;

		random_violation(&v);
		elapsed_ns = v.raw.end_ns > v.raw.start_ns ? v.raw.end_ns - v.raw.start_ns : 0;
		assert_int_equal(violation_explain(&v, &kernel->ctx), 0);
		assert_true(sample_sum(&v) == elapsed_ns);
		assert_violation_clean(&v);
		assert_sorted(&v);
		assert_true(!elapsed_ns || v.verdict[0]);
		for (unsigned i = 0; i < v.nr_causes; i++)
			kinds[v.cause[i].kind]++;
		if (round % 8 == 0) {
			v.flags = VIOLATION_OPEN;
			random_spell(&v, &v.raw.now, true);
			v.raw.state = (uint32_t)random_below(TS_NR + 2);
			assert_int_equal(violation_explain(&v, &kernel->ctx), 0);
			assert_violation_clean(&v);
			assert_int_equal(v.nr_causes, 0);
		}
		sample_done(&v);
	}
	for (unsigned kind = 0; kind < CAUSE_NR; kind++) /* the test reaches what it is for */
		if (!kinds[kind])
			fail_msg("no cause of kind %u", kind);
}

/* A sleep of the whole section, twice: the second draws nothing. */
static void test_overlap(void **state)
{
	struct watch_spell raw = {.state = TS_BLOCKED, .flags = SPELL_IN_SYSCALL};
	struct violation v;

	(void)state;
	raw.nr = syscall_number("nanosleep");
	sample_violation(&v, 20 * MS);
	sample_spell(&v, &raw, MS, 10 * MS, 0);
	sample_spell(&v, &raw, 6 * MS, 10 * MS, 0);
	v.raw.split_ns[TS_BLOCKED] = 18 * MS;
	v.raw.split_ns[TS_RUNNING] = 2 * MS;
	assert_int_equal(violation_explain(&v, &kernel->ctx), 0);
	assert_int_equal(sample_sum(&v), 20 * MS);
	assert_int_equal(v.cause[0].kind, CAUSE_SLEEP);
	assert_int_equal(v.cause[0].ns, 15 * MS);
	assert_int_equal(v.cause[1].kind, CAUSE_UNKNOWN);
	assert_int_equal(v.cause[1].ns, 3 * MS);
	sample_done(&v);
}

/* Before, after, inside out: none of it is in the section, and the split's part is unknown. */
static void test_outside(void **state)
{
	static const struct {
		uint64_t out, wake, in;
	} times[] = {
		{10, 20, 30},
		{200 * MS, 210 * MS, 220 * MS},
		{115 * MS, 110 * MS, 105 * MS},
		{UINT64_MAX, UINT64_MAX, 1},
		{120 * MS, 120 * MS, 120 * MS},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct watch_spell raw = {.state = TS_BLOCKED, .flags = SPELL_IN_SYSCALL}, *s;
		struct violation v;

		raw.nr = syscall_number("nanosleep");
		sample_violation(&v, 20 * MS);
		s = sample_spell(&v, &raw, MS, 10 * MS, 0);
		s->t_out = times[i].out;
		s->t_wake = times[i].wake;
		s->t_in = times[i].in;
		assert_int_equal(violation_explain(&v, &kernel->ctx), 0);
		assert_int_equal(sample_sum(&v), 20 * MS);
		assert_int_equal(v.nr_causes, 2);
		assert_int_equal(v.cause[0].ns, 10 * MS);
		assert_int_equal(v.cause[1].ns, 10 * MS);
		for (unsigned n = 0; n < 2; n++)
			assert_true(v.cause[n].kind == CAUSE_CPU ||
				    v.cause[n].kind == CAUSE_UNKNOWN);
		sample_done(&v);
	}
}

/* More spells than are looked at: it stays quick, and the rest is unknown. */
static void test_many(void **state)
{
	struct violation v;
	const unsigned nr = 20000;

	(void)state;
	sample_violation(&v, nr * MS);
	v.spell = calloc(nr, sizeof(*v.spell));
	assert_non_null(v.spell);
	v.nr_spells = nr;
	for (unsigned i = 0; i < nr; i++) {
		struct watch_spell *s = &v.spell[i].raw;

		s->state = TS_WAITING;
		s->t_out = s->t_wake = v.raw.start_ns + i * MS;
		s->t_in = s->t_out + MS;
		s->occ_tid = 1000 + i;
		s->occ_ns = MS;
	}
	v.raw.split_ns[TS_RUNNING] = 0;
	v.raw.split_ns[TS_WAITING] = nr * MS;
	assert_int_equal(violation_explain(&v, &kernel->ctx), 0);
	assert_true(sample_sum(&v) == nr * MS);
	assert_int_equal(v.cause[0].kind, CAUSE_UNKNOWN);
	assert_true(v.nr_causes < 2000);
	sample_done(&v);
}

static void test_names(void **state)
{
	struct watch_spell raw = {.state = TS_BLOCKED,
				  .flags = SPELL_IN_SYSCALL | SPELL_FILE,
				  .file_mode = 0100600,
				  .waker_tid = 4712,
				  .waker_tgid = 4712};
	struct violation v;

	(void)state;
	raw.nr = syscall_number("flock");
	memcpy(raw.waker_comm, "\x1b[31mroot\r\n\x7f\xc3\x9f\xff", 16); /* not terminated */
	memcpy(raw.file_name, "a\x1b]0;\x07\xe2\x80\xae.txt....................", 24);
	sample_violation(&v, 20 * MS);
	sample_spell(&v, &raw, MS, 15 * MS, 0);
	assert_int_equal(violation_explain(&v, &kernel->ctx), 0);
	assert_violation_clean(&v);
	assert_string_equal(v.cause[0].peer.comm, "?[31mroot???\xc3\x9f?");
	assert_non_null(strstr(v.cause[0].text, "the file a?]0;??.txt"));
	sample_done(&v);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),  cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_outside), cmocka_unit_test(test_many),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("verdict_hostile", tests, setup, teardown);
}
