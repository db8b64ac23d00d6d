// SPDX-License-Identifier: MIT
/*
 * What is read, not tried, about the machine. A fact that cannot be read says so in its own words;
 * none of them decides a row.
 */

#include <ctype.h>
#include <errno.h>
#include <mntent.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/utsname.h>

#include "../base/clock.h"
#include "../base/text.h"
#include "doctor_probe.h"
#include "sysfile.h"

#define CLOCK_BLOCKS 5
#define CLOCK_READS  1000

void doctor_program_path(char *buf, size_t len)
{
	ssize_t n = readlink("/proc/self/exe", buf, len - 1);

	if (n < 0)
		(void)snprintf(buf, len, "tocsin");
	else
		buf[n] = '\0';
}

/* The value of a setting as text: some are negative. */
static void fact_read(const char *path, char *buf, size_t len)
{
	int r = sysfile_read(path, buf, len);

	if (r < 0)
		(void)snprintf(buf, len, "not readable, %s", doctor_errno_name(r));
}

/* The word in brackets or parentheses of a list such as "none [integrity] confidentiality". */
static bool chosen_word(const char *list, const char *brackets, char *buf, size_t len)
{
	const char *begin = strchr(list, brackets[0]);
	const char *end = begin ? strchr(begin, brackets[1]) : NULL;

	if (!end)
		return false;
	(void)snprintf(buf, len, "%.*s", (int)(end - begin - 1), begin + 1);
	return true;
}

static void lockdown_read(char *buf, size_t len)
{
	char list[128];
	int r = sysfile_read("/sys/kernel/security/lockdown", list, sizeof(list));

	if (r >= 0 && chosen_word(list, "[]", buf, len))
		return;
	(void)snprintf(buf, len, "not readable%s",
		       r == -ENOENT ? ", securityfs is not mounted" : "");
}

/* Does the command line of the kernel set preempt=? */
static bool preempt_of_cmdline(char *buf, size_t len)
{
	char cmdline[4096];
	const char *at;

	if (sysfile_read("/proc/cmdline", cmdline, sizeof(cmdline)) < 0)
		return false;
	at = strstr(cmdline, "preempt=");
	if (!at || (at != cmdline && at[-1] != ' '))
		return false;
	at += strlen("preempt=");
	(void)snprintf(buf, len, "%.*s", (int)strcspn(at, " "), at);
	return true;
}

static void preemption_read(const char *version, char *buf, size_t len)
{
	char list[128];
	char word[24];

	if (strstr(version, "PREEMPT_RT"))
		(void)snprintf(buf, len, "real time");
	else if (sysfile_read("/sys/kernel/debug/sched/preempt", list, sizeof(list)) >= 0 &&
		 chosen_word(list, "()", word, sizeof(word)))
		(void)snprintf(buf, len, "dynamic, %s", word);
	else if (strstr(version, "PREEMPT_DYNAMIC") && preempt_of_cmdline(word, sizeof(word)))
		(void)snprintf(buf, len, "dynamic, booted with %s", word);
	else if (strstr(version, "PREEMPT_DYNAMIC"))
		(void)snprintf(buf, len, "dynamic, mode not readable");
	else if (strstr(version, "PREEMPT_LAZY"))
		(void)snprintf(buf, len, "lazy");
	else if (strstr(version, "PREEMPT"))
		(void)snprintf(buf, len, "full");
	else
		(void)snprintf(buf, len, "none or voluntary");
}

static unsigned number_read(const char **at)
{
	unsigned value = 0;

	while (isdigit((unsigned char)**at) && value < 100000)
		value = value * 10 + (unsigned)(*(*at)++ - '0');
	return value;
}

static void kernel_read(struct doctor_facts *facts)
{
	struct utsname uts;
	const char *at = uts.release;

	if (uname(&uts) < 0)
		return; /* EFAULT is its only failure */
	(void)snprintf(facts->release, sizeof(facts->release), "%s", uts.release);
	(void)snprintf(facts->version, sizeof(facts->version), "%s", uts.version);
	(void)snprintf(facts->machine, sizeof(facts->machine), "%s", uts.machine);
	facts->kernel_major = number_read(&at);
	at += *at == '.';
	facts->kernel_minor = number_read(&at);
}

static uint64_t clock_cost_ns(void)
{
	uint64_t best = UINT64_MAX;

	for (unsigned block = 0; block < CLOCK_BLOCKS; block++) {
		uint64_t began = clock_now_ns();
		uint64_t ended = began;

		for (unsigned i = 0; i < CLOCK_READS; i++)
			ended = clock_now_ns();
		if ((ended - began) / CLOCK_READS < best)
			best = (ended - began) / CLOCK_READS;
	}
	return best;
}

static void cpus_read(struct doctor_facts *facts)
{
	struct timespec resolution;
	cpu_set_t allowed;
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	facts->cpus_online = n > 0 ? (unsigned)n : 1;
	n = sysconf(_SC_NPROCESSORS_CONF);
	facts->cpus_configured = n > 0 ? (unsigned)n : 1;
	/* Fails only where a set of 1,024 CPUs is too small; then none is known to be barred. */
	facts->cpus_allowed = sched_getaffinity(0, sizeof(allowed), &allowed) == 0
				      ? (unsigned)CPU_COUNT(&allowed)
				      : facts->cpus_online;
	/* The coarse clock moves with the tick, and says by how much. */
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &resolution) == 0 && resolution.tv_nsec > 0)
		facts->tick_hz =
			(unsigned)((1000000000 + resolution.tv_nsec / 2) / resolution.tv_nsec);
}

static void tracefs_find(char *buf, size_t len)
{
	char line[1024];
	struct mntent entry;
	FILE *mounts = setmntent("/proc/self/mounts", "re");

	(void)snprintf(buf, len, "not mounted");
	while (mounts && getmntent_r(mounts, &entry, line, sizeof(line))) {
		/* Debugfs holds an automatic mount of it. */
		if (strcmp(entry.mnt_type, "debugfs") == 0 && strcmp(buf, "not mounted") == 0)
			(void)snprintf(buf, len, "%s/tracing", entry.mnt_dir);
		if (strcmp(entry.mnt_type, "tracefs") == 0) {
			(void)snprintf(buf, len, "%s", entry.mnt_dir);
			break;
		}
	}
	if (mounts)
		(void)endmntent(mounts); /* always 1 */
}

/* Is the word in a list that blanks separate? */
static bool list_has(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (*list) {
		size_t n = strcspn(list, " ");

		if (n == len && strncmp(list, word, len) == 0)
			return true;
		list += n;
		list += strspn(list, " ");
	}
	return false;
}

/* The first mount of each version: containers and chroots have more of the same. */
static void cgroups_find(struct doctor_facts *facts)
{
	char line[1024], path[512], controllers[256];
	bool has_v1 = false, has_v2 = false;
	struct mntent entry;
	struct tocsin_text t;
	struct stat st;
	FILE *mounts = setmntent("/proc/self/mounts", "re");

	tocsin_text_init(&t, facts->cgroups, sizeof(facts->cgroups));
	while (mounts && getmntent_r(mounts, &entry, line, sizeof(line))) {
		if (!has_v1 && strcmp(entry.mnt_type, "cgroup") == 0 && hasmntopt(&entry, "cpu")) {
			has_v1 = true;
			facts->has_cpu_controller = true;
			(void)snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", entry.mnt_dir);
			tocsin_text_add(&t, "%sv1 cpu at %s%s", t.used ? ", " : "", entry.mnt_dir,
					stat(path, &st) == 0 ? "" : " without quotas");
		} else if (!has_v2 && strcmp(entry.mnt_type, "cgroup2") == 0) {
			bool has_cpu;

			has_v2 = true;
			(void)snprintf(path, sizeof(path), "%s/cgroup.controllers", entry.mnt_dir);
			has_cpu = sysfile_read(path, controllers, sizeof(controllers)) >= 0 &&
				  list_has(controllers, "cpu");
			facts->has_cpu_controller |= has_cpu;
			tocsin_text_add(&t, "%sv2 at %s %s cpu", t.used ? ", " : "", entry.mnt_dir,
					has_cpu ? "with" : "without");
		}
	}
	if (mounts)
		(void)endmntent(mounts); /* always 1 */
	if (!t.used)
		tocsin_text_add(&t, "none mounted");
}

void doctor_facts_read(struct doctor_facts *facts)
{
	kernel_read(facts);
	cpus_read(facts);
	facts->clock_ns = clock_cost_ns();
	fact_read("/sys/devices/system/clocksource/clocksource0/current_clocksource",
		  facts->clock_source, sizeof(facts->clock_source));
	preemption_read(facts->version, facts->preemption, sizeof(facts->preemption));
	lockdown_read(facts->lockdown, sizeof(facts->lockdown));
	fact_read("/proc/sys/kernel/perf_event_paranoid", facts->perf_event_paranoid,
		  sizeof(facts->perf_event_paranoid));
	fact_read("/proc/sys/kernel/unprivileged_bpf_disabled", facts->unprivileged_bpf_disabled,
		  sizeof(facts->unprivileged_bpf_disabled));
	fact_read("/proc/sys/kernel/kptr_restrict", facts->kptr_restrict,
		  sizeof(facts->kptr_restrict));
	tracefs_find(facts->tracefs, sizeof(facts->tracefs));
	cgroups_find(facts);
	doctor_program_path(facts->program, sizeof(facts->program));
}
