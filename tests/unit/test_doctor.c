// SPDX-License-Identifier: MIT
/* The doctor: what privileges are worth, what a row's remedy is, what the rows add up to, and that
 * a run leaves nothing behind. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/wait.h>

#include "collector/caps.h"
#include "collector/doctor.h"
#include "collector/doctor_probe.h"
#include "collector/sysfile.h"

#define ALL (~UINT64_C(0))

static const struct caps caps_root = {
	.effective = ALL, .permitted = ALL, .bounding = ALL, .last_cap = CAP_LAST_CAP};
static const struct caps caps_nobody = {.bounding = ALL, .uid = 65534, .last_cap = CAP_LAST_CAP};

static struct caps caps_with(uint64_t effective)
{
	struct caps caps = caps_nobody;

	caps.effective = effective;
	return caps;
}

/* ---- capabilities ---- */

static void missing_is_what_the_job_takes(void **state)
{
	struct caps caps = caps_with(CAPS_BIT(CAP_BPF));

	(void)state;
	assert_int_equal(caps_missing(&caps_root, CAPS_JOB_LOAD), 0);
	assert_int_equal(caps_missing(&caps_nobody, CAPS_JOB_NONE), 0);
	assert_int_equal(caps_missing(&caps_nobody, CAPS_JOB_LOAD),
			 CAPS_BIT(CAP_BPF) | CAPS_BIT(CAP_PERFMON));
	assert_int_equal(caps_missing(&caps, CAPS_JOB_LOAD), CAPS_BIT(CAP_PERFMON));
	assert_int_equal(caps_missing(&caps, CAPS_JOB_MAP), 0);
	assert_int_equal(caps_missing(&caps, CAPS_JOB_PROBE), CAPS_BIT(CAP_SYS_ADMIN));
}

static void sys_admin_stands_in_for_two(void **state)
{
	struct caps caps = caps_with(CAPS_BIT(CAP_SYS_ADMIN));

	(void)state;
	assert_int_equal(caps_missing(&caps, CAPS_JOB_LOAD), 0);
	assert_int_equal(caps_missing(&caps, CAPS_JOB_PROBE), 0);
	assert_int_equal(caps_missing(&caps, CAPS_JOB_INSPECT), CAPS_BIT(CAP_SYS_PTRACE));
	assert_int_equal(caps_missing(&caps, CAPS_JOB_SYMBOLS), CAPS_BIT(CAP_SYSLOG));
}

static void old_kernels_ask_for_sys_admin(void **state)
{
	struct caps caps = caps_nobody;

	(void)state;
	caps.last_cap = 37; /* Linux 5.7: CAP_AUDIT_READ is the last */
	assert_int_equal(caps_needed(CAPS_JOB_LOAD, 37), CAPS_BIT(CAP_SYS_ADMIN));
	assert_int_equal(caps_missing(&caps, CAPS_JOB_LOAD), CAPS_BIT(CAP_SYS_ADMIN));
	caps.effective = CAPS_BIT(CAP_SYS_ADMIN);
	assert_int_equal(caps_missing(&caps, CAPS_JOB_LOAD), 0);
}

static void root_of_a_user_namespace_has_nothing(void **state)
{
	struct caps caps = caps_root;

	(void)state;
	caps.is_user_ns = true;
	assert_int_not_equal(caps_missing(&caps, CAPS_JOB_LOAD), 0);
}

static void remedy_names_the_obstacle(void **state)
{
	uint64_t missing = caps_missing(&caps_nobody, CAPS_JOB_LOAD);
	struct caps caps = caps_nobody;
	char text[DOCTOR_TEXT_LEN];

	(void)state;
	assert_string_equal(caps_remedy(&caps, missing, "/usr/bin/tocsin", text, sizeof(text)),
			    "run as root, or: setcap cap_sys_ptrace,cap_dac_read_search,cap_syslog,"
			    "cap_sys_admin=ep /usr/bin/tocsin");
	caps.has_no_new_privs = true;
	assert_non_null(
		strstr(caps_remedy(&caps, missing, "x", text, sizeof(text)), "no_new_privs"));
	caps.bounding = 0;
	assert_non_null(
		strstr(caps_remedy(&caps, missing, "x", text, sizeof(text)), "bounding set"));
	caps.is_user_ns = true;
	assert_non_null(
		strstr(caps_remedy(&caps, missing, "x", text, sizeof(text)), "user namespace"));
	/* cut, not overrun */
	(void)caps_remedy(&caps_nobody, missing, "x", text, 8);
	assert_string_equal(text, "run as ");
}

static void sets_are_written_as_setcap_reads_them(void **state)
{
	char text[160];

	(void)state;
	assert_string_equal(caps_text(0, text, sizeof(text)), "none");
	assert_string_equal(
		caps_text(CAPS_BIT(CAP_PERFMON) | CAPS_BIT(CAP_BPF), text, sizeof(text)),
		"cap_bpf,cap_perfmon");
	assert_string_equal(
		caps_list(CAPS_BIT(CAP_PERFMON) | CAPS_BIT(CAP_BPF), text, sizeof(text)),
		"cap_bpf, cap_perfmon");
	assert_string_equal(caps_text(CAPS_BIT(CAP_BPF), text, 4), "cap");
	assert_int_not_equal(strlen(caps_list(ALL, text, sizeof(text))), sizeof(text) - 1);
}

static void caps_are_those_of_proc(void **state)
{
	char status[4096], field[32], want[32];
	struct caps caps;

	(void)state;
	assert_int_equal(caps_read(&caps), 0);
	assert_true(sysfile_read("/proc/self/status", status, sizeof(status)) > 0);
	assert_int_equal(sysfile_field(status, "CapEff:", field, sizeof(field)), 0);
	(void)snprintf(want, sizeof(want), "%016llx", (unsigned long long)caps.effective);
	assert_string_equal(field, want);
	assert_int_equal(sysfile_field(status, "CapBnd:", field, sizeof(field)), 0);
	(void)snprintf(want, sizeof(want), "%016llx", (unsigned long long)caps.bounding);
	assert_string_equal(field, want);
	assert_int_equal(caps.uid, geteuid());
	assert_in_range(caps.seccomp, 0, 2);
}

/* ---- files ---- */

static void fields_are_found_whole(void **state)
{
	static const char text[] = "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\nlast: y";
	char value[8];

	(void)state;
	assert_int_equal(sysfile_field(text, "Seccomp:", value, sizeof(value)), 0);
	assert_string_equal(value, "2");
	assert_int_equal(sysfile_field(text, "Name:", value, sizeof(value)), 0);
	assert_string_equal(value, "x");
	assert_int_equal(sysfile_field(text, "last:", value, sizeof(value)), 0);
	assert_string_equal(value, "y");
	assert_int_equal(sysfile_field(text, "ame:", value, sizeof(value)), -ENOENT);
	assert_int_equal(sysfile_field(text, "Seccomp_filters:", value, 1), 0);
	assert_string_equal(value, "");
	assert_int_equal(sysfile_field("", "x:", value, sizeof(value)), -ENOENT);
}

static void files_are_read_and_cut(void **state)
{
	char path[] = "/tmp/tocsin-test-XXXXXX";
	int fd = mkstemp(path);
	uint64_t number = 7;
	char text[16];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(sysfile_read(path, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	assert_int_equal(write(fd, "4096\n", 5), 5);
	assert_int_equal(sysfile_read(path, text, sizeof(text)), 4);
	assert_string_equal(text, "4096");
	assert_int_equal(sysfile_read(path, text, 3), 2);
	assert_string_equal(text, "40");
	assert_int_equal(sysfile_read_u64(path, &number), 0);
	assert_int_equal(number, 4096);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(sysfile_read_u64(path, &number), -EINVAL);
	assert_int_equal(number, 4096);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(sysfile_read(path, text, sizeof(text)), -ENOENT);
}

/* ---- rows ---- */

static const struct doctor_facts facts_of_618 = {
	.kernel_major = 6, .kernel_minor = 18, .program = "/bin/tocsin", .lockdown = "none"};

static struct doctor_row row_after(const struct doctor_facts *facts, enum doctor_feature f, int r)
{
	struct doctor_row row;

	doctor_row_begin(f, &row);
	doctor_no(&row, r, "trying");
	doctor_row_finish(facts, f, &row);
	return row;
}

static void remedy_of_a_refusal_is_privilege(void **state)
{
	struct doctor_facts facts = facts_of_618;
	struct doctor_row row;

	(void)state;
	facts.caps = caps_nobody;
	row = row_after(&facts, DOCTOR_timer, -EPERM);
	assert_string_equal(row.seen, "EPERM: trying");
	assert_int_equal(row.err, EPERM);
	assert_int_equal(row.lacks_caps, CAPS_BIT(CAP_BPF) | CAPS_BIT(CAP_PERFMON));
	assert_non_null(strstr(row.remedy, "setcap "));
	assert_non_null(strstr(row.remedy, "/bin/tocsin"));
	assert_string_equal(row.means, "a section over its budget is reported only when it ends");
	row = row_after(&facts, DOCTOR_timer, EACCES); /* either sign */
	assert_string_equal(row.seen, "EACCES: trying");
	assert_non_null(strstr(row.remedy, "setcap "));
}

static void remedy_of_root_refused_is_not_privilege(void **state)
{
	struct doctor_facts facts = facts_of_618;
	struct doctor_row row;

	(void)state;
	facts.caps = caps_root;
	row = row_after(&facts, DOCTOR_timer, -EPERM);
	assert_null(strstr(row.remedy, "setcap"));
	assert_non_null(strstr(row.remedy, "lockdown"));
	facts.caps.seccomp = 2;
	row = row_after(&facts, DOCTOR_timer, -EPERM);
	assert_non_null(strstr(row.remedy, "seccomp"));
}

static void remedy_of_an_old_kernel_is_its_version(void **state)
{
	struct doctor_facts facts = facts_of_618;
	struct doctor_row row;

	(void)state;
	facts.caps = caps_root;
	facts.kernel_minor = 17;
	row = row_after(&facts, DOCTOR_task_work, 0);
	assert_string_equal(row.seen, "trying");
	assert_string_equal(row.remedy, "Linux >= 6.18");
	facts.kernel_major = 5;
	facts.kernel_minor = 19;
	assert_string_equal(row_after(&facts, DOCTOR_task_work, 0).remedy, "Linux >= 6.18");
	facts.kernel_major = 7;
	facts.kernel_minor = 0;
	assert_null(strstr(row_after(&facts, DOCTOR_task_work, -EINVAL).remedy, "Linux >="));
}

static void a_yes_has_no_remedy_and_a_probe_may_know_better(void **state)
{
	struct doctor_facts facts = facts_of_618;
	struct doctor_row row;

	(void)state;
	facts.caps = caps_root;
	doctor_row_begin(DOCTOR_timer, &row);
	doctor_remedy(&row, "none");
	doctor_yes(&row, "%d us", 3);
	doctor_row_finish(&facts, DOCTOR_timer, &row);
	assert_string_equal(row.seen, "3 us");
	assert_string_equal(row.remedy, "");
	assert_string_equal(row.means, "a deadline rings while the section is still open");

	doctor_row_begin(DOCTOR_timer, &row);
	doctor_partly(&row, "not pinned");
	doctor_means(&row, "later");
	doctor_remedy(&row, "newer");
	doctor_row_finish(&facts, DOCTOR_timer, &row);
	assert_string_equal(row.means, "later");
	assert_string_equal(row.remedy, "newer");
}

static void long_texts_are_cut(void **state)
{
	struct doctor_row row;

	(void)state;
	doctor_row_begin(DOCTOR_timer, &row);
	doctor_no(&row, -ENOENT, "%*s", 4 * DOCTOR_TEXT_LEN, "x");
	assert_int_equal(strlen(row.seen), DOCTOR_TEXT_LEN - 1);
}

/* ---- sums ---- */

static struct doctor_report *report_of_yes(void)
{
	struct doctor_report *report = calloc(1, sizeof(*report));

	assert_non_null(report);
	report->facts = facts_of_618;
	report->facts.caps = caps_root;
	for (int i = 0; i < DOCTOR_NR; i++) {
		doctor_row_begin((enum doctor_feature)i, &report->row[i]);
		doctor_yes(&report->row[i], "seen");
		doctor_row_finish(&report->facts, (enum doctor_feature)i, &report->row[i]);
	}
	return report;
}

static void report_fail(struct doctor_report *report, enum doctor_feature f)
{
	report->row[f] = row_after(&report->facts, f, -EINVAL);
	doctor_conclude(report);
}

static void all_yes_works(void **state)
{
	struct doctor_report *report = report_of_yes();

	(void)state;
	doctor_conclude(report);
	assert_true(report->watch_works);
	assert_string_equal(
		report->summary,
		"works here: linked tracing, rings per concurrency id, watch, deadlines, stacks, causes");
	free(report);
}

static void weights_decide_a_group(void **state)
{
	struct doctor_report *report = report_of_yes();

	(void)state;
	report_fail(report, DOCTOR_fentry); /* a note */
	assert_int_equal(report->group[DOCTOR_GROUP_STACKS], DOCTOR_YES);
	report_fail(report, DOCTOR_kallsyms); /* a gain */
	assert_int_equal(report->group[DOCTOR_GROUP_STACKS], DOCTOR_PARTLY);
	report_fail(report, DOCTOR_stack_at_wake); /* a need */
	assert_int_equal(report->group[DOCTOR_GROUP_STACKS], DOCTOR_NO);
	assert_true(report->watch_works); /* without stacks */
	assert_non_null(strstr(report->summary, "; not: stacks"));
	report_fail(report, DOCTOR_nop5);
	assert_true(report->watch_works);
	assert_non_null(strstr(report->summary, "; partly: watch; not: stacks"));
	free(report);
}

static void watch_needs_its_deadlines(void **state)
{
	struct doctor_report *report = report_of_yes();

	(void)state;
	report_fail(report, DOCTOR_timer);
	assert_false(report->watch_works);
	assert_non_null(strstr(report->summary, "for watch: "));
	assert_non_null(strstr(report->summary, report->row[DOCTOR_timer].remedy));
	/* what comes first in the table is the cause of what follows */
	report_fail(report, DOCTOR_btf);
	assert_non_null(strstr(report->summary, report->row[DOCTOR_btf].remedy));
	assert_null(strstr(report->summary, report->row[DOCTOR_timer].remedy));
	free(report);
}

/* ---- a run ---- */

static unsigned entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned nr = 0;

	assert_non_null(dir);
	while (readdir(dir))
		nr++;
	assert_int_equal(closedir(dir), 0);
	return nr;
}

#ifdef __x86_64__
/* Weak: a tocsin without its kernel half has no such functions. */
void doctor_site_nop5(void) __attribute__((weak));
void doctor_site_emulated(void) __attribute__((weak));
#endif

static void code_is_as_it_was(void)
{
#ifdef __x86_64__
	static const unsigned char nop5[] = {0x0f, 0x1f, 0x44, 0x00, 0x00};

	if (!doctor_site_nop5 || !doctor_site_emulated)
		return;
	assert_memory_equal((const void *)(uintptr_t)doctor_site_nop5, nop5, sizeof(nop5));
	assert_int_equal(*(const unsigned char *)(uintptr_t)doctor_site_emulated, 0x55);
#endif
}

static void a_run_is_complete_and_leaves_nothing(void **state)
{
	struct doctor_report *report = malloc(sizeof(*report));
	unsigned fds = entries("/proc/self/fd"), threads = entries("/proc/self/task");

	(void)state;
	assert_non_null(report);
	memset(report, 0xa5, sizeof(*report));
	code_is_as_it_was();
	assert_int_equal(doctor_run(report), 0);
	assert_int_equal(entries("/proc/self/fd"), fds);
	assert_int_equal(entries("/proc/self/task"), threads);
	code_is_as_it_was();
	for (int i = 0; i < DOCTOR_NR; i++) {
		const struct doctor_row *row = &report->row[i];

		print_message("# %s: %s: %s\n", row->id, doctor_verdict_text(row->verdict),
			      row->seen);
		assert_in_range(strlen(row->name), 1, 34);
		assert_true(row->seen[0] && row->means[0]);
		assert_int_equal(row->remedy[0] == '\0', row->verdict == DOCTOR_YES);
	}
	/* needs no privilege and no new kernel */
	assert_int_equal(report->row[DOCTOR_memory].verdict, DOCTOR_YES);
	assert_int_not_equal(report->facts.kernel_major, 0);
	assert_int_not_equal(report->facts.tick_hz, 0);
	free(report);
}

/* In a child that is nobody: what `watch` would say. */
static void child_explains(int fd)
{
	struct tocsin_err err = {0};
	char text[1024];

	if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
		_exit(2);
	if (doctor_explain_failure(-EPERM, &err) != -EPERM)
		_exit(3);
	(void)tocsin_err_text(&err, text, sizeof(text));
	_exit(write(fd, text, strlen(text)) < 0);
}

static void failure_names_what_is_missing(void **state)
{
	char text[1024] = "";
	int fds[2], status;
	pid_t child;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(pipe(fds), 0);
	child = fork();
	if (child == 0)
		child_explains(fds[1]);
	assert_int_equal(close(fds[1]), 0);
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(close(fds[0]), 0);
	assert_non_null(strstr(text,
			       "user 65534 lacks cap_sys_ptrace, cap_dac_read_search, cap_syslog, "
			       "cap_sys_admin, which stands for cap_bpf and cap_perfmon too"));
	assert_true(strstr(text, "setcap ") || strstr(text, "bounding set") ||
		    strstr(text, "no_new_privs") || strstr(text, "user namespace"));
}

static void failure_invents_nothing(void **state)
{
	struct doctor_report *report = malloc(sizeof(*report));
	struct tocsin_err err = {0};
	char text[1024];

	(void)state;
	assert_non_null(report);
	assert_int_equal(doctor_explain_failure(-ENOENT, &err), -ENOENT);
	assert_int_equal(doctor_explain_failure(-ENOENT, NULL), -ENOENT);
	(void)tocsin_err_text(&err, text, sizeof(text));
	assert_int_equal(doctor_run(report), 0);
	if (report->watch_works)
		assert_non_null(strstr(text, "ENOENT, though everything"));
	else
		assert_non_null(strstr(text, "this machine lacks '"));
	free(report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_is_what_the_job_takes),
		cmocka_unit_test(sys_admin_stands_in_for_two),
		cmocka_unit_test(old_kernels_ask_for_sys_admin),
		cmocka_unit_test(root_of_a_user_namespace_has_nothing),
		cmocka_unit_test(remedy_names_the_obstacle),
		cmocka_unit_test(sets_are_written_as_setcap_reads_them),
		cmocka_unit_test(caps_are_those_of_proc),
		cmocka_unit_test(fields_are_found_whole),
		cmocka_unit_test(files_are_read_and_cut),
		cmocka_unit_test(remedy_of_a_refusal_is_privilege),
		cmocka_unit_test(remedy_of_root_refused_is_not_privilege),
		cmocka_unit_test(remedy_of_an_old_kernel_is_its_version),
		cmocka_unit_test(a_yes_has_no_remedy_and_a_probe_may_know_better),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(all_yes_works),
		cmocka_unit_test(weights_decide_a_group),
		cmocka_unit_test(watch_needs_its_deadlines),
		cmocka_unit_test(a_run_is_complete_and_leaves_nothing),
		cmocka_unit_test(failure_names_what_is_missing),
		cmocka_unit_test(failure_invents_nothing),
	};

	return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
