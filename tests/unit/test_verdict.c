// SPDX-License-Identifier: MIT
/* Every row of the decision table, and what is made of a violation as a whole. */
#include "verdict_cases.h"

static struct sample *kernel;

static uint32_t case_stack[sizeof(verdict_cases) / sizeof(verdict_cases[0])][2];

static int setup(void **state)
{
	(void)state;
	kernel = calloc(1, sizeof(*kernel));
	assert_non_null(kernel);
	for (size_t i = 0; i < sizeof(verdict_cases) / sizeof(verdict_cases[0]); i++) {
		case_stack[i][0] = sample_stack(kernel, verdict_cases[i].stack);
		case_stack[i][1] = sample_stack(kernel, verdict_cases[i].waker);
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

static const char *const kind_names[] = {
#define X(NAME, name, text) #name,
#include "analysis/causes.def"
#undef X
};

/* The spell of a case, with its defaults; false when this machine has no such system call. */
static bool case_spell(const struct verdict_case *c, struct watch_spell *raw)
{
	size_t i = (size_t)(c - verdict_cases);

	*raw = c->raw;
	if (!raw->state)
		raw->state = TS_BLOCKED;
	if (c->call) {
		raw->nr = syscall_number(c->call);
		raw->flags |= SPELL_IN_SYSCALL;
		if (raw->nr < 0)
			return false;
	}
	raw->waker_tid = raw->waker_tgid = 4712;
	if (!raw->waker_comm[0])
		memcpy(raw->waker_comm, "postgres", 9);
	if (!raw->io_age_ns)
		raw->io_age_ns = UINT64_MAX;
	raw->stack_id = case_stack[i][0];
	raw->waker_stack_id = case_stack[i][1];
	return true;
}

static void test_case(void **state)
{
	const struct verdict_case *c = *state;
	struct watch_spell raw;
	struct violation v;
	const struct cause *cause;

	if (!case_spell(c, &raw))
		skip();
	sample_violation(&v, 20 * MS);
	sample_spell(&v, &raw, 5 * MS, 10 * MS, 0);
	assert_int_equal(violation_explain(&v, &kernel->ctx), 0);
	assert_violation_clean(&v);
	assert_int_equal(sample_sum(&v), 20 * MS);
	assert_int_equal(v.nr_causes, 2); /* the spell, and running */
	cause = v.cause[0].kind == CAUSE_CPU ? &v.cause[1] : &v.cause[0];
	assert_string_equal(kind_names[cause->kind], kind_names[c->kind]);
	assert_int_equal(v.spell[0].kind, c->kind);
	assert_int_equal(cause->ns, 10 * MS);
	assert_int_equal(cause->nr_spells, 1);
	assert_int_equal(cause->confidence, c->confidence);
	assert_int_equal(cause->peer.tid, c->peer);
	if (c->subject)
		assert_string_equal(cause->subject, c->subject);
	if (c->text)
		assert_string_equal(cause->text, c->text);
	sample_done(&v);
}

/* All rows of the table of causes that a spell can have are reached by some case. */
static void test_cases_complete(void **state)
{
	bool seen[CAUSE_NR] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(verdict_cases) / sizeof(verdict_cases[0]); i++)
		seen[verdict_cases[i].kind] = true;
	for (unsigned kind = 0; kind < CAUSE_NR; kind++) {
		bool is_elsewhere = kind == CAUSE_CPU || kind == CAUSE_SHORT ||
				    kind == CAUSE_PREEMPTED || kind == CAUSE_RUNQUEUE ||
				    kind == CAUSE_QUOTA || kind == CAUSE_FAIR_SERVER ||
				    kind == CAUSE_SOFTIRQ;

		if (!seen[kind] && !is_elsewhere)
			fail_msg("no case for %s", kind_names[kind]);
	}
}

static const struct cause *cause_of(const struct violation *v, enum cause_kind kind)
{
	for (unsigned i = 0; i < v->nr_causes; i++)
		if (v->cause[i].kind == kind)
			return &v->cause[i];
	fail_msg("no cause %s; verdict: %s", kind_names[kind], v->verdict);
	return v->cause;
}

static void explain(struct violation *v)
{
	assert_int_equal(violation_explain(v, &kernel->ctx), 0);
	assert_violation_clean(v);
	assert_int_equal(sample_sum(v), v->raw.end_ns - v->raw.start_ns);
}

#define OCCUPANT(ns) \
	.occ_tid = 4711, .occ_tgid = 4711, .occ_comm = "xz", .occ_prio = 120, .occ_ns = (ns)

static void test_runqueue(void **state)
{
	struct watch_spell raw = {.state = TS_BLOCKED, .nr = -1, OCCUPANT(8100 * US)};
	const struct cause *c;
	struct violation v;

	(void)state;
	sample_violation(&v, 20 * MS);
	sample_spell(&v, &raw, MS, MS, 8100 * US);
	explain(&v);
	c = cause_of(&v, CAUSE_RUNQUEUE);
	assert_string_equal(c->text, "waited 8.1 ms for a CPU behind xz (pid 4711)");
	assert_int_equal(c->confidence, CONFIDENCE_CERTAIN);
	assert_int_equal(c->peer.tid, 4711);
	assert_int_equal(c->peer.tgid, 4711);
	assert_string_equal(c->evidence, "occupant=xz:4711");
	assert_int_equal(v.spell[0].wait_kind, CAUSE_RUNQUEUE);
	sample_done(&v);
}

static void test_preempted(void **state)
{
	struct watch_spell raw = {.state = TS_WAITING, .nr = -1, OCCUPANT(3 * MS)};
	const struct cause *c;
	struct violation v;

	(void)state;
	sample_violation(&v, 20 * MS);
	sample_spell(&v, &raw, MS, 0, 8 * MS); /* xz had less than half of it */
	explain(&v);
	c = cause_of(&v, CAUSE_PREEMPTED);
	assert_string_equal(
		c->text,
		"waited 8 ms for a CPU behind xz (pid 4711) and others, which preempted it");
	assert_int_equal(c->confidence, CONFIDENCE_LIKELY);
	assert_int_equal(v.spell[0].kind, CAUSE_PREEMPTED);
	sample_done(&v);
}

static void test_waiting_others(void **state)
{
	struct watch_spell raw = {.state = TS_WAITING, .nr = -1, OCCUPANT(8 * MS)};
	struct violation v;

	(void)state;
	raw.flags = SPELL_RT_FAIR;
	sample_violation(&v, 20 * MS);
	sample_spell(&v, &raw, MS, 0, 8 * MS);
	explain(&v);
	assert_int_equal(cause_of(&v, CAUSE_FAIR_SERVER)->peer.tid, 0);
	sample_done(&v);

	raw.flags = 0;
	memcpy(raw.occ_comm, "ksoftirqd/1", 12);
	sample_violation(&v, 20 * MS);
	sample_spell(&v, &raw, MS, 0, 8 * MS);
	explain(&v);
	assert_string_equal(cause_of(&v, CAUSE_SOFTIRQ)->text,
			    "waited 8 ms for a CPU behind ksoftirqd/1 (pid 4711), which served "
			    "software interrupts");
	sample_done(&v);

	raw.occ_tid = 0;
	memcpy(raw.occ_comm, "swapper/1", 10);
	sample_violation(&v, 20 * MS);
	sample_spell(&v, &raw, MS, 0, 8 * MS);
	explain(&v);
	assert_string_equal(cause_of(&v, CAUSE_PREEMPTED)->text,
			    "waited 8 ms for a CPU that was idle");
	sample_done(&v);

	raw.flags = SPELL_GAP;
	sample_violation(&v, 20 * MS);
	sample_spell(&v, &raw, MS, 0, 8 * MS);
	explain(&v);
	assert_string_equal(cause_of(&v, CAUSE_UNKNOWN)->text,
			    "waited 8 ms for a CPU, behind whom is not known");
	sample_done(&v);
}

static void test_quota(void **state)
{
	struct watch_spell raw = {.state = TS_THROTTLED,
				  .nr = -1,
				  .throttled_ns = 60 * MS,
				  .cgroup_id = 77,
				  .cgroup = "postgres.service",
				  .quota_ns = 20 * MS,
				  .period_ns = 100 * MS,
				  OCCUPANT(2 * MS)};
	const struct cause *c;
	struct violation v;

	(void)state;
	sample_violation(&v, 100 * MS);
	sample_spell(&v, &raw, MS, 0, 62 * MS);
	explain(&v);
	c = cause_of(&v, CAUSE_QUOTA);
	assert_string_equal(c->subject, "/system.slice/postgres.service");
	assert_string_equal(c->text, "throttled 60 ms by the CPU quota of cgroup "
				     "/system.slice/postgres.service (20 ms per 100 ms)");
	assert_int_equal(c->ns, 60 * MS);
	assert_int_equal(cause_of(&v, CAUSE_PREEMPTED)->ns, 2 * MS);
	assert_int_equal(v.spell[0].kind, CAUSE_QUOTA);
	sample_done(&v);

	raw.cgroup_id = 78; /* gone: its last component is in the record */
	raw.quota_ns = UINT64_MAX;
	sample_violation(&v, 100 * MS);
	sample_spell(&v, &raw, MS, 0, 62 * MS);
	explain(&v);
	assert_string_equal(cause_of(&v, CAUSE_QUOTA)->text,
			    "throttled 60 ms by the CPU quota of cgroup …/postgres.service");
	sample_done(&v);
}

/* The one who gave up the lock is asked for all of the wait, also for what a timer interrupted. */
static void test_heavy_lock_in_parts(void **state)
{
	struct watch_spell raw = {.state = TS_BLOCKED,
				  .flags = SPELL_IN_SYSCALL,
				  .note_kind = 1,
				  .note = {742, 0, 0, 0, 5, 5},
				  .io_age_ns = UINT64_MAX};
	struct violation v;

	(void)state;
	raw.nr = syscall_number("epoll_pwait");
	raw.flags |= SPELL_TIMER_WAKE;
	sample_violation(&v, 2000 * MS);
	sample_spell(&v, &raw, MS, 1000 * MS, 0);
	sample_spell(&v, &(struct watch_spell){.state = TS_WAITING, .nr = -1}, 1002 * MS, 0, MS);
	raw.flags &= ~(uint32_t)SPELL_TIMER_WAKE;
	raw.waker_tid = raw.waker_tgid = 4712;
	memcpy(raw.waker_comm, "postgres", 9);
	sample_spell(&v, &raw, 1004 * MS, 400 * MS, 0);
	explain(&v);
	assert_string_equal(v.cause[0].text, "blocked 1.4 s on a row lock: woken by postgres 4712");
	assert_int_equal(v.cause[0].nr_spells, 2);
	sample_done(&v);
}

/* Two sleeps for one child, which runs another program in between: the longer one speaks for both,
 * and no system call is said of both. */
static void test_longest_speaks(void **state)
{
	struct watch_spell raw = {.state = TS_BLOCKED,
				  .flags = SPELL_IN_SYSCALL,
				  .waker_tid = 4712,
				  .waker_tgid = 4712,
				  .waker_comm = "postgres",
				  .io_age_ns = UINT64_MAX,
				  .arg = {0x4100}};
	struct violation v;

	(void)state;
	raw.nr = syscall_number("clone");
	sample_violation(&v, 100 * MS);
	sample_spell(&v, &raw, 0, MS, 0);
	raw.nr = syscall_number("wait4");
	memcpy(raw.waker_comm, "sh", 3);
	sample_spell(&v, &raw, 2 * MS, 90 * MS, 0);
	explain(&v);
	assert_string_equal(v.cause[0].text, "blocked 91 ms for a child process: woken by sh 4712");
	assert_string_equal(v.cause[0].evidence, "syscall=wait4 waker=sh:4712");
	sample_done(&v);
}

static void test_verdict_joined(void **state)
{
	struct watch_spell disk = {.state = TS_BLOCKED,
				   .flags = SPELL_IN_SYSCALL | SPELL_IOWAIT,
				   .io_age_ns = UINT64_MAX};
	struct watch_spell sleeping = {.state = TS_BLOCKED,
				       .flags = SPELL_IN_SYSCALL | SPELL_TIMER_WAKE};
	struct watch_spell child = {.state = TS_BLOCKED, .flags = SPELL_IN_SYSCALL};
	struct violation v;

	(void)state;
	disk.nr = syscall_number("fdatasync");
	sleeping.nr = syscall_number("nanosleep");
	child.nr = syscall_number("wait4");
	sample_violation(&v, 100 * MS);
	sample_spell(&v, &disk, 0, 15100 * US, 0);
	sample_spell(&v, &disk, 20 * MS, 15100 * US, 0);
	sample_spell(&v, &sleeping, 40 * MS, 35 * MS, 0);
	sample_spell(&v, &child, 80 * MS, 9 * MS, 0); /* less than a tenth */
	explain(&v);
	assert_string_equal(v.verdict, "slept 35 ms in nanosleep; "
				       "blocked 30.2 ms in fdatasync on the disk; "
				       "ran 25.8 ms on a CPU");
	assert_int_equal(v.nr_causes, 4);
	assert_int_equal(v.cause[1].nr_spells, 2);
	assert_int_equal(cause_of(&v, CAUSE_CHILD)->ns, 9 * MS);
	sample_done(&v);

	sample_violation(&v, 100 * MS);
	sample_spell(&v, &child, 0, 9 * MS, 0);
	explain(&v);
	assert_string_equal(v.verdict, "ran 91 ms on a CPU");
	sample_done(&v);

	sample_violation(&v, 7900 * US);
	explain(&v);
	assert_string_equal(v.verdict, "ran 7.9 ms on a CPU");
	sample_done(&v);
}

/* What no spell stands for: short ones as far as they are counted, the rest by its state. */
static void test_leftovers(void **state)
{
	struct violation v;

	(void)state;
	sample_violation(&v, 20 * MS);
	v.raw.split_ns[TS_RUNNING] = 8 * MS;
	v.raw.split_ns[TS_WAITING] = 4 * MS;
	v.raw.split_ns[TS_BLOCKED] = 6 * MS;
	v.raw.split_ns[TS_STOPPED] = MS;
	v.raw.split_ns[TS_THROTTLED] = MS;
	v.raw.short_ns = 100 * US + 7;
	v.raw.spells_short = 9;
	v.raw.spells_long = 130;
	explain(&v);
	assert_int_equal(cause_of(&v, CAUSE_CPU)->ns, 8 * MS);
	assert_int_equal(cause_of(&v, CAUSE_QUOTA)->ns, MS);
	assert_int_equal(cause_of(&v, CAUSE_SHORT)->ns, 100 * US + 7);
	assert_string_equal(cause_of(&v, CAUSE_SHORT)->text,
			    "off the CPU 100 us in 9 spells too short to be looked into");
	assert_string_equal(cause_of(&v, CAUSE_UNKNOWN)->text, "blocked 5.95 ms, why is not known");
	assert_string_equal(cause_of(&v, CAUSE_UNKNOWN)->evidence, "spells=130 kept=0 lost=0");
	assert_int_equal(v.nr_causes, 6); /* unknown for each of blocked, waiting, stopped */
	sample_done(&v);

	sample_violation(&v, 20 * MS); /* more short time than there is: no more than there is */
	v.raw.split_ns[TS_RUNNING] = 18 * MS;
	v.raw.split_ns[TS_BLOCKED] = 2 * MS;
	v.raw.short_ns = UINT64_MAX;
	v.raw.spells_short = UINT32_MAX;
	explain(&v);
	assert_int_equal(cause_of(&v, CAUSE_SHORT)->ns, 2 * MS);
	sample_done(&v);
}

static void test_no_split(void **state)
{
	struct watch_spell raw = {.state = TS_BLOCKED, .flags = SPELL_IN_SYSCALL};
	struct violation v;

	(void)state;
	raw.nr = syscall_number("nanosleep");
	sample_violation(&v, 20 * MS);
	sample_spell(&v, &raw, MS, 10 * MS, 0);
	v.raw.flags = SECTION_NO_SPLIT | SECTION_MOVED;
	explain(&v);
	assert_int_equal(v.nr_causes, 1);
	assert_int_equal(v.cause[0].kind, CAUSE_UNKNOWN);
	assert_string_equal(
		v.verdict,
		"20 ms not accounted for: it was stopped by another thread than started it");
	assert_int_equal(v.spell[0].kind, CAUSE_SLEEP); /* that much is known all the same */

	v.raw.flags = SECTION_GAP;
	explain(&v);
	assert_string_equal(v.verdict, "20 ms not accounted for: a scheduler switch was not seen");

	v.raw.flags = 0;
	v.raw.split_ns[TS_RUNNING]++;
	explain(&v);
	assert_string_equal(v.verdict, "20 ms not accounted for: the parts do not add up");
	sample_done(&v);
}

static void test_open(void **state)
{
	struct violation v;

	(void)state;
	sample_violation(&v, 10100 * US);
	v.flags = VIOLATION_OPEN;
	v.raw.state = TS_RUNNING;
	v.raw.split_ns[TS_RUNNING] = 7900 * US;
	v.raw.split_ns[TS_BLOCKED] = 2200 * US;
	assert_int_equal(violation_explain(&v, &kernel->ctx), 0);
	assert_string_equal(v.verdict, "now: on a CPU, ran 7.9 ms of 10.1 ms so far");
	assert_int_equal(v.nr_causes, 0);

	v.raw.flags = SECTION_SPELL_OPEN;
	v.raw.state = TS_BLOCKED;
	v.raw.now = (struct watch_spell){.t_out = v.raw.end_ns - 9800 * US,
					 .state = TS_BLOCKED,
					 .nr = syscall_number("fdatasync"),
					 .flags = SPELL_IN_SYSCALL | SPELL_IOWAIT | SPELL_OPEN,
					 .waker_tid = 9, /* of an earlier wake: nobody woke it */
					 .io_age_ns = UINT64_MAX};
	assert_int_equal(violation_explain(&v, &kernel->ctx), 0);
	assert_string_equal(v.verdict, "now: blocked 9.8 ms in fdatasync on the disk");
	assert_int_equal(v.nr_spells, 1);
	assert_int_equal(v.spell[0].kind, CAUSE_DISK);

	v.raw.now.nr = syscall_number("epoll_pwait");
	v.raw.now.flags = SPELL_IN_SYSCALL | SPELL_OPEN;
	assert_int_equal(violation_explain(&v, &kernel->ctx), 0);
	assert_string_equal(v.verdict, "now: blocked 9.8 ms in epoll_pwait");

	v.raw.now.t_wake = v.raw.end_ns - 2 * MS;
	v.raw.state = TS_WAITING;
	assert_int_equal(violation_explain(&v, &kernel->ctx), 0);
	assert_string_equal(v.verdict, "now: waited 2 ms for a CPU");

	v.raw.state = TS_THROTTLED;
	v.raw.now = (struct watch_spell){.t_out = v.raw.end_ns - 5 * MS,
					 .t_wake = v.raw.end_ns - 5 * MS,
					 .state = TS_THROTTLED,
					 .nr = -1,
					 .cgroup_id = 77};
	assert_int_equal(violation_explain(&v, &kernel->ctx), 0);
	assert_string_equal(v.verdict, "now: throttled 5 ms by the CPU quota of cgroup "
				       "/system.slice/postgres.service");
	sample_done(&v);
}

/* Without symbols, cgroups and processes it is said by what the record alone has. */
static void test_context_empty(void **state)
{
	struct watch_spell raw = {.state = TS_BLOCKED,
				  .flags = SPELL_IN_SYSCALL,
				  .stack_id = 1,
				  .waker_stack_id = 2,
				  .waker_tid = 4712,
				  .waker_comm = "postgres",
				  .io_age_ns = UINT64_MAX};
	const struct explain_context nothing = {0};
	struct violation v;

	(void)state;
	raw.nr = syscall_number("wait4");
	sample_violation(&v, 20 * MS);
	sample_spell(&v, &raw, MS, 15 * MS, 0);
	assert_int_equal(violation_explain(&v, &nothing), 0);
	assert_string_equal(v.cause[0].text,
			    "blocked 15 ms in wait4 for a child process: woken by postgres 4712");
	assert_int_equal(v.spell[0].nr_frames, 0);
	assert_string_equal(v.cause[0].evidence, "syscall=wait4 waker=postgres:4712");
	sample_done(&v);
}

static void test_evidence(void **state)
{
	struct watch_spell raw = {.state = TS_BLOCKED,
				  .flags = SPELL_IN_SYSCALL | SPELL_IOWAIT | SPELL_FILE |
					   SPELL_IRQ_WAKE,
				  .file_mode = 0100600,
				  .file_name = "0001.wal",
				  .waker_tid = 12,
				  .waker_comm = "swapper/1",
				  .io_age_ns = 3 * US,
				  .io_latency_ns = 9900 * US,
				  .io_dev = 254u << 20 | 1};
	struct violation v;

	(void)state;
	raw.nr = syscall_number("fdatasync");
	sample_violation(&v, 20 * MS);
	sample_spell(&v, &raw, MS, 15 * MS, 0);
	explain(&v);
	assert_string_equal(v.cause[0].evidence,
			    "syscall=fdatasync waker=swapper/1:12 woken_in=interrupt "
			    "file=0001.wal iowait io=254:1 io_latency=9.9 ms");
	sample_done(&v);
}

#define NR_CASES (sizeof(verdict_cases) / sizeof(verdict_cases[0]))

int main(void)
{
	static const struct CMUnitTest whole[] = {
		cmocka_unit_test(test_cases_complete), cmocka_unit_test(test_runqueue),
		cmocka_unit_test(test_preempted),      cmocka_unit_test(test_waiting_others),
		cmocka_unit_test(test_quota),          cmocka_unit_test(test_heavy_lock_in_parts),
		cmocka_unit_test(test_longest_speaks), cmocka_unit_test(test_verdict_joined),
		cmocka_unit_test(test_leftovers),      cmocka_unit_test(test_no_split),
		cmocka_unit_test(test_open),           cmocka_unit_test(test_context_empty),
		cmocka_unit_test(test_evidence),
	};
	static struct CMUnitTest tests[NR_CASES + sizeof(whole) / sizeof(whole[0])];

	for (size_t i = 0; i < NR_CASES; i++)
		tests[i] =
			(struct CMUnitTest){.name = verdict_cases[i].name,
					    .test_func = test_case,
					    .initial_state = (void *)(uintptr_t)&verdict_cases[i]};
	memcpy(tests + NR_CASES, whole, sizeof(whole));
	return _cmocka_run_group_tests("verdict", tests, sizeof(tests) / sizeof(tests[0]), setup,
				       teardown);
}
