/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_REPORT_SAMPLE_H
#define TOCSIN_TESTS_REPORT_SAMPLE_H

/* Synthetic results with known values, for the tests of the sinks. Everything lies in static
 * storage. */

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "report/fields.h"

#define SAMPLE_REALTIME_NS 1700000000000000000ll /* 2023-11-14 22:13:20 UTC */
#define SAMPLE_START_NS    5000000000ull

static inline void sample_comm(char dst[WATCH_COMM_LEN], const char *comm)
{
	memcpy(dst, comm, strnlen(comm, WATCH_COMM_LEN));
}

/* A query of 12.6 ms with a budget of 10: a row lock, then a wait behind another program. */
static inline struct violation *sample_violation(void)
{
	static char section[] = "query";
	static struct cause cause[3];
	static struct spell spell[2];
	static struct violation v;

	memset(&v, 0, sizeof(v));
	memset(cause, 0, sizeof(cause));
	memset(spell, 0, sizeof(spell));
	v = (struct violation){.section = section,
			       .number = 7,
			       .budget_ns = 10000000,
			       .fired_late_ns = 3100,
			       .spell = spell,
			       .nr_spells = 2,
			       .nr_spells_lost = 1,
			       .cause = cause,
			       .nr_causes = 3,
			       .realtime_offset_ns = SAMPLE_REALTIME_NS};
	(void)snprintf(v.verdict, sizeof(v.verdict),
		       "blocked 12.0 ms on a row lock: woken by postgres 4712");
	v.raw.flags = SECTION_FIRED | SECTION_KEYED;
	v.raw.tid = 4711;
	v.raw.tgid = 4711;
	v.raw.key = 42;
	v.raw.start_ns = SAMPLE_START_NS;
	v.raw.deadline_ns = SAMPLE_START_NS + 10000000;
	v.raw.end_ns = SAMPLE_START_NS + 12600000;
	v.raw.split_ns[TS_RUNNING] = 300000;
	v.raw.split_ns[TS_WAITING] = 300000;
	v.raw.split_ns[TS_BLOCKED] = 12000000;
	v.raw.stop_tid = 4711;
	v.raw.spells = 2;
	v.raw.spells_long = 3;
	v.raw.spells_short = 9;
	v.raw.short_ns = 81000;
	sample_comm(v.raw.comm, "postgres");

	cause[0] = (struct cause){.kind = CAUSE_HEAVY_LOCK,
				  .confidence = CONFIDENCE_CERTAIN,
				  .ns = 12000000,
				  .nr_spells = 1,
				  .peer = {4712, 4712, "postgres"},
				  .subject = "transaction 742",
				  .text = "blocked 12.0 ms on a row lock: woken by postgres 4712",
				  .evidence = "note=pg_lock waker=postgres/4712"};
	cause[1] = (struct cause){.kind = CAUSE_RUNQUEUE,
				  .confidence = CONFIDENCE_LIKELY,
				  .ns = 300000,
				  .nr_spells = 2,
				  .peer = {99, 98, "xz"},
				  .text = "waited 300 us for a CPU behind xz 99"};
	cause[2] =
		(struct cause){.kind = CAUSE_CPU, .confidence = CONFIDENCE_CERTAIN, .ns = 300000};

	spell[0].kind = CAUSE_HEAVY_LOCK;
	spell[0].wait_kind = CAUSE_RUNQUEUE;
	spell[0].syscall = "semop";
	spell[0].nr_frames = 2;
	spell[0].frame[0] = "do_semtimedop";
	spell[0].frame[1] = "__x64_sys_semtimedop";
	spell[0].raw = (struct watch_spell){.t_out = SAMPLE_START_NS + 200000,
					    .t_wake = SAMPLE_START_NS + 12200000,
					    .t_in = SAMPLE_START_NS + 12400000,
					    .state = TS_BLOCKED,
					    .note_kind = 1,
					    .flags = SPELL_IN_SYSCALL,
					    .nr = 65,
					    .arg = {5, 0x7ffc00001000, (uint64_t)-1},
					    .note = {1, 2, 3, 4, 5, 6},
					    .waker_tid = 4712,
					    .waker_tgid = 4712,
					    .waker_nr = 65,
					    .owner_tid = 4713,
					    .owner_tgid = 4713,
					    .io_age_ns = UINT64_MAX,
					    .occ_tid = 99,
					    .occ_tgid = 98,
					    .occ_prio = 120,
					    .occ_ns = 190000};
	sample_comm(spell[0].raw.waker_comm, "postgres");
	sample_comm(spell[0].raw.owner_comm, "postgres");
	sample_comm(spell[0].raw.occ_comm, "xz");

	spell[1].kind = CAUSE_PREEMPTED;
	spell[1].wait_kind = CAUSE_UNKNOWN;
	spell[1].raw = (struct watch_spell){.t_out = SAMPLE_START_NS + 12450000,
					    .t_wake = SAMPLE_START_NS + 12450000,
					    .t_in = SAMPLE_START_NS + 12550000,
					    .throttled_ns = 40000,
					    .state = TS_WAITING,
					    .nr = -1,
					    .waker_nr = -1,
					    .io_age_ns = UINT64_MAX,
					    .cgroup_id = 77,
					    .quota_ns = 50000000,
					    .period_ns = 100000000,
					    .cgroup = "batch.slice"};
	return &v;
}

/* Its deadline has passed and it is blocked: with all the evidence that a spell can have. */
static inline struct violation *sample_fired(void)
{
	static struct spell spell;
	struct violation *v = sample_violation();

	memset(&spell, 0, sizeof(spell));
	v->flags = VIOLATION_OPEN;
	v->raw.flags = SECTION_SPELL_OPEN | SECTION_FIRED;
	v->raw.end_ns = SAMPLE_START_NS + 10003100;
	v->raw.split_ns[TS_RUNNING] = 200000;
	v->raw.split_ns[TS_WAITING] = 0;
	v->raw.split_ns[TS_BLOCKED] = 9803100;
	v->raw.state = TS_BLOCKED;
	v->verdict[0] = '\0';
	v->nr_causes = 0;
	v->nr_spells = 1;
	v->spell = &spell;
	spell.kind = CAUSE_DISK;
	spell.wait_kind = CAUSE_UNKNOWN;
	spell.syscall = "fdatasync";
	spell.nr_frames = 1;
	spell.frame[0] = "jbd2_log_wait_commit";
	spell.raw = (struct watch_spell){.t_out = SAMPLE_START_NS + 200000,
					 .state = TS_BLOCKED,
					 .flags = SPELL_IN_SYSCALL | SPELL_OPEN | SPELL_IOWAIT |
						  SPELL_FILE | SPELL_SOCKET,
					 .nr = 75,
					 .arg = {11, 0, 0},
					 .waker_nr = -1,
					 .io_age_ns = 4000,
					 .io_latency_ns = 9000000,
					 .io_dev = 253u << 20 | 3,
					 .io_bytes = 16384,
					 .file_ino = 123456789012ull,
					 .file_dev = 8u << 20 | 1,
					 .file_mode = 0100644,
					 .file_name = "000000010000000000000001",
					 .sock_family = AF_INET};
	spell.raw.sock_port = htons(5432);
	(void)inet_pton(AF_INET, "192.0.2.7", spell.raw.sock_addr);
	memcpy(v->raw.comm, "exactly16bytes!!", WATCH_COMM_LEN);
	return v;
}

#define SAMPLE_EVIL                        \
	"a\x1b[31mb\r\n\t\"\\\x7f\xc2\x9b" \
	"2J\xff\xc0\xaf\xed\xa0\x80\xe2\x80\xae\xe2\x82"

/* Everything as large, as empty or as foul as it can be. */
static inline struct violation *sample_extreme(void)
{
	static char section[301];
	static struct cause cause[2];
	static struct spell spell;
	static struct violation v;

	memset(section, 's', 300);
	memset(&v, 0xff, sizeof(v));
	memset(cause, 0, sizeof(cause));
	memset(&spell, 0xff, sizeof(spell));
	v.section = section;
	v.stack = NULL;
	spell.user_stack = NULL;
	v.flags = 0;
	v.raw.flags = SECTION_KEYED | SECTION_NO_SPLIT | SECTION_GAP | SECTION_MOVED |
		      SECTION_ABANDON_FRAME;
	v.raw.start_ns = 0;
	v.realtime_offset_ns = 0;
	memcpy(v.raw.comm, SAMPLE_EVIL, WATCH_COMM_LEN);
	(void)snprintf(v.verdict, sizeof(v.verdict), "%s", SAMPLE_EVIL);
	v.cause = cause;
	v.nr_causes = 2;
	cause[0] = (struct cause){.kind = CAUSE_UNKNOWN,
				  .confidence = CONFIDENCE_NONE,
				  .ns = UINT64_MAX,
				  .nr_spells = UINT32_MAX,
				  .text = SAMPLE_EVIL};
	memset(cause[1].text, 't', sizeof(cause[1].text) - 1);
	v.spell = &spell;
	v.nr_spells = 1;
	spell.kind = CAUSE_UNKNOWN;
	spell.wait_kind = CAUSE_UNKNOWN;
	spell.nr_frames = WATCH_STACK;
	for (unsigned i = 0; i < WATCH_STACK; i++)
		spell.frame[i] = i ? "" : SAMPLE_EVIL;
	spell.syscall = "";
	spell.raw.io_age_ns = 1;
	spell.raw.nr = INT32_MAX;
	memcpy(spell.raw.cgroup, SAMPLE_EVIL, sizeof(SAMPLE_EVIL));
	return &v;
}

static inline struct watch_summary *sample_summary(void)
{
	static struct section_summary section[2];
	static struct watch_summary s;

	memset(section, 0, sizeof(section));
	s = (struct watch_summary){.duration_ns = 30000000000,
				   .section = section,
				   .nr_sections = 2,
				   .throttle_known = true};
	section[0] = (struct section_summary){
		.name = "query",
		.text = "query: usdt:postgres:query__start .. query__done < 10ms",
		.budget_ns = 10000000,
		.closed = 12345,
		.over = 2,
		.fired = 2,
		.abandoned = 1,
		.still_open = 4,
		.removed_open = 3,
		.unreported = 1,
		.mean_ns = 1500000,
		.p50_ns = 1200000,
		.p90_ns = 3100000,
		.p99_ns = 9900000,
		.p999_ns = 12000000,
		.max_ns = 12600000,
		.over_split_ns =
			{[TS_RUNNING] = 600000, [TS_WAITING] = 1000000, [TS_BLOCKED] = 23600000},
		.cause = sample_violation()->cause,
		.nr_causes = 3,
		.other_ns = 12600000,
	};
	section[1] = (struct section_summary){
		.name = "commit", .text = "func:commit < 1s", .budget_ns = 1000000000};
	return &s;
}

static inline struct watch_event_process *sample_process(void)
{
	static struct watch_event_process p;

	p = (struct watch_event_process){.head = {.type = EV_PROCESS, .t_ns = SAMPLE_START_NS},
					 .what = PROCESS_FORKED,
					 .tgid = 4800,
					 .parent = 4711};
	sample_comm(p.comm, "postgres");
	return &p;
}

/* The violation with the stack of its deadline: inlined, without debugging information, of a file
 * that was replaced; and one that is missing for its first spell. */
static inline struct violation *sample_stacked(void)
{
	static const struct named_frame frame[] = {
		{.function = "wait_word",
		 .file = "/src/lock/wait.c",
		 .line = 71,
		 .is_inlined = true,
		 .module = "/usr/bin/server",
		 .build_id = "0123abcd",
		 .vaddr = 0x1200},
		{.function = "lock_row",
		 .file = "/src/lock/row.c",
		 .line = 9,
		 .module = "/usr/bin/server",
		 .build_id = "0123abcd",
		 .vaddr = 0x1200},
		{.function = "start",
		 .file = "",
		 .module = "/usr/lib/libold.so",
		 .build_id = "",
		 .is_replaced = true,
		 .vaddr = 0x99},
		{.function = "", .file = "", .module = "", .build_id = "", .vaddr = 0x7f0012},
	};
	static _Alignas(
		struct named_stack) char at_deadline[sizeof(struct named_stack) + sizeof(frame)];
	static struct named_stack none;
	struct named_stack *stack = (struct named_stack *)at_deadline;
	struct violation *v = sample_violation();

	stack->nr = 4;
	stack->why = STACK_NO_TABLE;
	memcpy(stack->frame, frame, sizeof(frame));
	none.why = STACK_LOST;
	v->stack = stack;
	v->spell[0].user_stack = &none;
	return v;
}

#endif
