// SPDX-License-Identifier: MIT
/*
 * Rows that need no BPF: what a linked program relies on, and files of the kernel.
 */

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/membarrier.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/parse.h"
#include "../base/text.h"
#include "doctor_probe.h"
#include "sysfile.h"
#include "tracefs.h"

#ifndef AT_RSEQ_FEATURE_SIZE
#	define AT_RSEQ_FEATURE_SIZE 27
#endif

#define RSEQ_SIGNATURE   0x53053053u /* any value: the area is ours and no section runs in it */
#define RSEQ_UNREGISTER  1
#define RSEQ_ORIGINAL    32          /* the size that every kernel with rseq accepts */
#define RSEQ_MM_CID_END  28          /* bytes of features that end with mm_cid */
#define RSEQ_UNTOUCHED   0xfffffff0u /* no CPU and no id, and none of the kernel's special values */
#define RSEQ_STACK_BYTES ((size_t)64 * 1024)

#define KALLSYMS_LINES 20000

/* The first 32 bytes of struct rseq, which the headers of older kernels declare without the last
 * members. */
struct rseq_area {
	uint32_t cpu_id_start;
	uint32_t cpu_id;
	uint64_t critical_section;
	uint32_t flags;
	uint32_t node_id;
	uint32_t mm_cid;
	uint32_t pad;
} __attribute__((aligned(RSEQ_ORIGINAL)));

_Static_assert(sizeof(struct rseq_area) == RSEQ_ORIGINAL, "the original size of struct rseq");

struct rseq_try {
	int r; /* 0, or negative errno of the registration */
	uint32_t cpu_id;
	uint32_t mm_cid;
	struct rseq_area area;
};

extern const unsigned int __rseq_size __attribute__((weak)); /* glibc >= 2.35; 0: not registered */

void probe_memory(struct doctor *d, struct doctor_row *row)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = memfd_create("tocsin-doctor", MFD_CLOEXEC);
	TOCSIN_CLEANUP(tocsin_close_fdp) int again = -1;
	char path[64];
	char *two;

	(void)d;
	if (fd < 0 || ftruncate(fd, (off_t)page) < 0) {
		doctor_no(row, errno, "memfd_create()");
		return;
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again < 0) {
		doctor_no(row, errno, "opening a memfd through %s", path);
		return;
	}
	two = mmap(NULL, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (two == MAP_FAILED) {
		doctor_no(row, errno, "mmap()");
		return;
	}
	if (madvise(two, page, MADV_WIPEONFORK) < 0)
		doctor_partly(row, "%s: madvise(MADV_WIPEONFORK)", doctor_errno_name(errno));
	else if (mmap(two, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
			 MAP_FAILED ||
		 mmap(two + page, page, PROT_READ, MAP_SHARED | MAP_FIXED, again, 0) == MAP_FAILED)
		doctor_no(row, errno, "mapping a memfd twice in a row");
	else if (*(volatile char *)two = 1, *(volatile char *)(two + page) != 1)
		doctor_no(row, 0, "two maps of one memfd do not show the same");
	else
		doctor_yes(row, "memfd mapped twice in a row, wiped on fork");
	(void)munmap(two, 2 * page); /* ours, whole pages: cannot fail */
}

/* Runs in a child that shares the memory but not the registration, so that glibc's own stays as it
 * is. */
static int rseq_child(void *arg)
{
	struct rseq_try *t = arg;
	volatile struct rseq_area *area = &t->area;

	if (syscall(SYS_rseq, &t->area, RSEQ_ORIGINAL, 0, RSEQ_SIGNATURE) < 0) {
		t->r = -errno;
		return 0;
	}
	t->cpu_id = area->cpu_id; /* filled on the way back from the system call */
	t->mm_cid = area->mm_cid;
	(void)syscall(SYS_rseq, &t->area, RSEQ_ORIGINAL, RSEQ_UNREGISTER,
		      RSEQ_SIGNATURE); /* exiting anyway */
	return 0;
}

static void rseq_register(struct rseq_try *ret_try)
{
	TOCSIN_CLEANUP(tocsin_free_charp) char *stack = malloc(RSEQ_STACK_BYTES);
	pid_t child;

	memset(ret_try, 0, sizeof(*ret_try));
	ret_try->area.cpu_id = RSEQ_UNTOUCHED;
	ret_try->area.mm_cid = RSEQ_UNTOUCHED;
	ret_try->r = -ENOMEM;
	if (!stack)
		return;
	ret_try->r = 0;
	child = clone(rseq_child, stack + RSEQ_STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD,
		      ret_try);
	if (child < 0) {
		ret_try->r = -errno;
		return;
	}
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

void probe_rseq(struct doctor *d, struct doctor_row *row)
{
	struct rseq_try t;
	bool is_registered = &__rseq_size && __rseq_size > 0;

	(void)d;
	rseq_register(&t);
	if (t.r < 0)
		doctor_no(row, t.r, "rseq()");
	else if (t.cpu_id == RSEQ_UNTOUCHED)
		doctor_no(row, 0, "registered, but the kernel does not write the CPU number");
	else if (!is_registered)
		doctor_partly(row, "the kernel can; the C library has not registered its threads");
	else
		doctor_yes(row, "registered by libc; the CPU number is kept");
}

void probe_mm_cid(struct doctor *d, struct doctor_row *row)
{
	unsigned long size = getauxval(AT_RSEQ_FEATURE_SIZE);
	struct rseq_try t;

	(void)d;
	rseq_register(&t);
	if (t.r < 0)
		doctor_no(row, t.r, "rseq()");
	else if (size < RSEQ_MM_CID_END)
		doctor_no(row, 0, "AT_RSEQ_FEATURE_SIZE is %lu, mm_cid ends at %d", size,
			  RSEQ_MM_CID_END);
	else if (t.mm_cid == RSEQ_UNTOUCHED)
		doctor_no(row, 0, "feature size %lu, but the kernel does not write mm_cid", size);
	else
		doctor_yes(row, "mm_cid %u on CPU %u, feature size %lu bytes", t.mm_cid, t.cpu_id,
			   size);
}

void probe_membarrier(struct doctor *d, struct doctor_row *row)
{
	static const struct {
		int command, registration;
		const char *name;
	} wanted[] = {
		{MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
		 "private"},
		{MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE,
		 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, "sync-core"},
		{MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
		 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, "rseq"},
	};
	const size_t nr = sizeof(wanted) / sizeof(wanted[0]);
	char works[64];
	char fails[128];
	struct tocsin_text good, bad;
	int err = 0;

	(void)d;
	tocsin_text_init(&good, works, sizeof(works));
	tocsin_text_init(&bad, fails, sizeof(fails));
	for (size_t i = 0; i < nr; i++) {
		if (syscall(SYS_membarrier, wanted[i].registration, 0, 0) == 0 &&
		    syscall(SYS_membarrier, wanted[i].command, 0, 0) == 0) {
			tocsin_text_add(&good, "%s%s", good.used ? ", " : "", wanted[i].name);
			continue;
		}
		err = errno;
		tocsin_text_add(&bad, "%s%s %s", bad.used ? ", " : "", wanted[i].name,
				doctor_errno_name(err));
	}
	if (!bad.used)
		doctor_yes(row, "%s", works);
	else if (good.used)
		doctor_partly(row, "%s; not %s", works, fails);
	else
		doctor_no(row, err, "%s", fails);
}

void probe_schedstat(struct doctor *d, struct doctor_row *row)
{
	char text[96];
	uint64_t run_ns;
	int r = sysfile_read("/proc/self/schedstat", text, sizeof(text));

	(void)d;
	if (r < 0) {
		doctor_no(row, r, "/proc/self/schedstat");
		return;
	}
	text[strcspn(text, " ")] = '\0'; /* running, waiting, number of stretches */
	if (tocsin_parse_u64(text, &run_ns) < 0 || run_ns == 0)
		doctor_no(row, 0, "/proc/self/schedstat begins with '%s'", text);
	else
		doctor_yes(row, "on a CPU for %" PRIu64 " us so far", run_ns / 1000);
}

void probe_clock(struct doctor *d, struct doctor_row *row)
{
	const struct doctor_facts *facts = &d->report->facts;
	uint64_t best = UINT64_MAX;

	for (unsigned block = 0; block < 5; block++) {
		struct timespec ts;
		uint64_t began = clock_now_ns();

		for (unsigned i = 0; i < 500; i++)
			(void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC,
				      &ts); /* timed, not used */
		if ((clock_now_ns() - began) / 500 < best)
			best = (clock_now_ns() - began) / 500;
	}
	if (facts->clock_ns < best - best / 4)
		doctor_yes(row, "%" PRIu64 " ns, as a system call %" PRIu64 " ns; source %s",
			   facts->clock_ns, best, facts->clock_source);
	else
		doctor_no(row, 0, "%" PRIu64 " ns, no less than the system call; source %s",
			  facts->clock_ns, facts->clock_source);
}

void probe_privilege(struct doctor *d, struct doctor_row *row)
{
	static const enum caps_job jobs[] = {CAPS_JOB_LOAD, CAPS_JOB_PROBE, CAPS_JOB_INSPECT,
					     CAPS_JOB_FILES, CAPS_JOB_SYMBOLS};
	const struct doctor_facts *facts = &d->report->facts;
	const struct caps *caps = &facts->caps;
	char names[160], remedy[DOCTOR_TEXT_LEN], means[DOCTOR_TEXT_LEN];
	bool is_fatal = caps_missing(caps, CAPS_JOB_LOAD) || caps_missing(caps, CAPS_JOB_PROBE);
	struct tocsin_text t;

	tocsin_text_init(&t, means, sizeof(means));
	for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
		uint64_t lack = caps_missing(caps, jobs[i]);

		row->lacks_caps |= lack;
		if (lack)
			tocsin_text_add(&t, "%s%s", t.used ? ", nor " : "it cannot ",
					caps_job_text(jobs[i]));
	}
	if (!row->lacks_caps) {
		doctor_yes(row, "all that is needed, as user %u", caps->uid);
		return;
	}
	(void)caps_list(caps->effective, names, sizeof(names));
	if (is_fatal)
		doctor_no(row, 0, "user %u%s has %s", caps->uid,
			  caps->is_user_ns ? " of a user namespace of its own" : "", names);
	else
		doctor_partly(row, "user %u has %s", caps->uid, names);
	doctor_means(row, "%s", means);
	doctor_remedy(row, "%s",
		      caps_remedy(caps, row->lacks_caps, facts->program, remedy, sizeof(remedy)));
}

void probe_tracefs(struct doctor *d, struct doctor_row *row)
{
	const char *mounted = d->report->facts.tracefs;
	const char *dir = tracefs_dir(); /* where `watch` looks */
	char path[256];
	uint64_t id;
	int r;

	if (!dir && mounted[0] != '/') {
		doctor_no(row, 0, "not mounted");
		return;
	}
	(void)snprintf(path, sizeof(path), "%s/events/sched/sched_switch/id", dir ? dir : mounted);
	r = sysfile_read_u64(path, &id);
	if (r < 0)
		doctor_no(row, r, "%s", path);
	else if (!dir)
		doctor_no(row, 0, "mounted at %s only, where nobody looks", mounted);
	else
		doctor_yes(row, "at %s; sched_switch is event %" PRIu64, dir, id);
}

void probe_kallsyms(struct doctor *d, struct doctor_row *row)
{
	TOCSIN_CLEANUP(tocsin_fclosep) FILE *f = fopen("/proc/kallsyms", "re");
	const char *restricted = d->report->facts.kptr_restrict;
	char line[512];

	if (!f) {
		doctor_no(row, errno, "/proc/kallsyms");
		return;
	}
	/* The first lines may be per-CPU variables, whose addresses are small numbers for
	 * everybody. */
	for (unsigned i = 0; i < KALLSYMS_LINES && fgets(line, sizeof(line), f); i++) {
		size_t digits = strspn(line, "0123456789abcdef");

		if (digits == 16 && line[0] >= '8') {
			doctor_yes(row, "/proc/kallsyms shows addresses");
			return;
		}
	}
	doctor_no(row, EPERM, "/proc/kallsyms shows no addresses, kptr_restrict is %s", restricted);
	if (strcmp(restricted, "2") == 0)
		doctor_remedy(row, "sysctl kernel.kptr_restrict=1 (2 hides them from root too)");
}

void probe_cgroup_cpu(struct doctor *d, struct doctor_row *row)
{
	const struct doctor_facts *facts = &d->report->facts;

	if (facts->has_cpu_controller)
		doctor_yes(row, "%s", facts->cgroups);
	else
		doctor_no(row, 0, "%s", facts->cgroups);
}
