// SPDX-License-Identifier: MIT
/*
 * Hardware counters from user space.
 *
 * The protocol of the page is linux/perf_event.h's: `lock` changes whenever the kernel changes the
 * rest; index - 1 is the hardware counter that holds the event now, 0 none; the count is offset
 * plus the counter. The usual loop (read lock, index, counter, lock again) is not enough where CPUs
 * differ: between index and counter the thread may be on another type of CPU, whose counter of that
 * number is another one, or none, which traps. Here everything from the first load to the second
 * look at lock is one restartable sequence; its commit is the store of the index into the caller's
 * frame.
 *
 * Interrupts that change the page without switching the thread (counters that rotate between
 * events) do not abort the section, so the second look at lock stays.
 */
#include "pmc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../base/banned.h"
#include "rseq.h"

#define PAGE_AT(field) offsetof(struct perf_event_mmap_page, field)

/* The sections have these as numbers. */
_Static_assert(PAGE_AT(lock) == 8 && PAGE_AT(index) == 12 && PAGE_AT(offset) == 16,
	       "of the kernel");
_Static_assert(PAGE_AT(pmc_width) == 48, "of the kernel");
_Static_assert(offsetof(struct pmc_frame, raw) == 0 && offsetof(struct pmc_frame, offset) == 8, "");
_Static_assert(offsetof(struct pmc_frame, index) == 16 && offsetof(struct pmc_frame, width) == 20,
	       "");

/* The test replaces the instruction, which this machine may not have. */
#ifndef PMC_INDEX_LOADED
#	define PMC_INDEX_LOADED TOCSIN_RSEQ_INJECT(26)
#endif
#ifndef PMC_RDPMC
#	define PMC_RDPMC "rdpmc\n\t"
#endif

#if TOCSIN_RSEQ_ARCH
/* CLOSED: the kernel changed the page meanwhile. NONE: a counter that cannot be read from here. */
static int pmc_section(uintptr_t area, const struct perf_event_mmap_page *page,
		       struct pmc_frame *frame)
{
#	if defined(__x86_64__)
	__asm__ goto(TOCSIN_RSEQ_BEGIN "movl 8(%[page]), %%r8d\n\t"
				       "movl 12(%[page]), %%r9d\n\t" PMC_INDEX_LOADED
				       "movq 16(%[page]), %%rax\n\t"
				       "movq %%rax, 8(%[frame])\n\t"
				       "movzwl 48(%[page]), %%eax\n\t"
				       "movl %%eax, 20(%[frame])\n\t"
				       "movl %%r9d, %%ecx\n\t"
				       "subl $1, %%ecx\n\t"
				       "jc 78f\n\t" PMC_RDPMC "movl %%eax, (%[frame])\n\t"
				       "movl %%edx, 4(%[frame])\n"
				       "78:\n\t"
				       "cmpl 8(%[page]), %%r8d\n\t"
				       "jne %l[changed]\n\t"
				       "movl %%r9d, 16(%[frame])" TOCSIN_RSEQ_END
		     :
		     : [area] "r"(area), [page] "r"(page), [frame] "r"(frame)
		     : TOCSIN_RSEQ_CLOBBERS, "rcx", "rdx", "rdi", "r8", "r9"
		     : aborted, changed);
	return TOCSIN_RSEQ_DONE;
#	else
	/* Index 32 is the cycle counter, the others would need an instruction each. */
	__asm__ goto(TOCSIN_RSEQ_BEGIN "ldr w12, [%[page], #8]\n\t"
				       "dmb ishld\n\t"
				       "ldr w13, [%[page], #12]\n\t"
				       "ldr x14, [%[page], #16]\n\t"
				       "str x14, [%[frame], #8]\n\t"
				       "ldrh w14, [%[page], #48]\n\t"
				       "str w14, [%[frame], #20]\n\t"
				       "cbz w13, 78f\n\t"
				       "cmp w13, #32\n\t"
				       "b.ne %l[none]\n\t"
				       "mrs x14, pmccntr_el0\n\t"
				       "str x14, [%[frame]]\n"
				       "78:\n\t"
				       "dmb ishld\n\t"
				       "ldr w14, [%[page], #8]\n\t"
				       "cmp w14, w12\n\t"
				       "b.ne %l[changed]\n\t"
				       "str w13, [%[frame], #16]\n\t" TOCSIN_RSEQ_END
		     :
		     : [area] "r"(area), [page] "r"(page), [frame] "r"(frame)
		     : TOCSIN_RSEQ_CLOBBERS, "x12", "x13", "x14"
		     : aborted, changed, none);
	return TOCSIN_RSEQ_DONE;
none:
	return TOCSIN_RSEQ_NONE;
#	endif
changed:
	return TOCSIN_RSEQ_CLOSED;
aborted:
	return TOCSIN_RSEQ_ABORTED;
}
#endif

int pmc_page_read(const struct perf_event_mmap_page *page, uint64_t *ret_count)
{
#if TOCSIN_RSEQ_ARCH
	struct pmc_frame frame = {0};

	if (!page->cap_user_rdpmc || !rseq_thread_ready())
		return -EAGAIN;
	for (int tries = 0; tries < TOCSIN_RSEQ_ABORT_LIMIT; tries++) {
		int r = pmc_section(TOCSIN_RSEQ_AREA(tocsin_rseq.area), page, &frame);

		if (r == TOCSIN_RSEQ_NONE)
			return -EAGAIN;
		if (r != TOCSIN_RSEQ_DONE)
			continue;
		*ret_count = pmc_count(&frame);
		return 0;
	}
#else
	(void)page;
	(void)ret_count;
#endif
	return -EAGAIN;
}

/* ---- reading */

static int thread_clock_read(uint64_t *ret_count)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) != 0)
		return -EIO;
	*ret_count = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	return 0;
}

static int event_read(const struct pmc_event *event, uint64_t *ret_count,
		      enum tocsin_pmc_how *ret_how)
{
	int saved_errno = errno;
	uint64_t count;
	ssize_t len;

	if (event->page && pmc_page_read(event->page, ret_count) == 0) {
		*ret_how = TOCSIN_PMC_RDPMC;
		return 0;
	}
	len = read(event->fd, &count, sizeof(count));
	errno = saved_errno;
	if (len != (ssize_t)sizeof(count))
		return -EIO;
	*ret_count = count;
	*ret_how = TOCSIN_PMC_SYSCALL;
	return 0;
}

int tocsin_pmc_read(struct tocsin_pmc *pmc, uint64_t *ret_count)
{
	enum tocsin_pmc_how how = pmc->how;
	uint64_t sum = 0;

	if (!pmc->nr) {
		int r = thread_clock_read(&sum);

		if (r == 0)
			*ret_count = sum - pmc->start;
		return r;
	}
	for (unsigned i = 0; i < pmc->nr; i++) {
		enum tocsin_pmc_how one;
		uint64_t count;
		int r = event_read(&pmc->event[i], &count, &one);

		if (r < 0)
			return r;
		sum += count;
		if (i == 0 || one == TOCSIN_PMC_SYSCALL)
			how = one;
	}
	pmc->how = how;
	*ret_count = sum;
	return 0;
}

enum tocsin_pmc_how tocsin_pmc_how(const struct tocsin_pmc *pmc, const char **ret_text)
{
	static const char *const texts[] = {
		[TOCSIN_PMC_RDPMC] = "the hardware counter, read from user space",
		[TOCSIN_PMC_SYSCALL] = "the hardware counter, read by a system call",
		[TOCSIN_PMC_THREAD_CLOCK] =
			"no hardware counter here: CPU time of the thread, in nanoseconds",
	};

	if (ret_text)
		*ret_text = texts[pmc->how];
	return pmc->how;
}

/* ---- opening */

static int event_open(struct tocsin_pmc *pmc, uint64_t config)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = config,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};
	struct pmc_event *event = &pmc->event[pmc->nr];
	void *page;
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return -errno;
	page = mmap(NULL, pmc->page_bytes, PROT_READ, MAP_SHARED, fd, 0);
	event->fd = fd;
	event->page = page == MAP_FAILED ? NULL : page; /* then by read(2) */
	pmc->nr++;
	return 0;
}

/* The number in a small file below /sys/bus/event_source/devices. Return: it, or -errno. */
static int64_t device_number(int dir_fd, const char *device, const char *name)
{
	char text[32];
	int64_t value = 0;
	ssize_t len;
	int fd, at;

	at = openat(dir_fd, device, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	fd = openat(at, name, O_RDONLY | O_CLOEXEC);
	(void)close(at); /* read only */
	if (fd < 0)
		return -ENOENT;
	len = read(fd, text, sizeof(text));
	(void)close(fd); /* read only */
	for (ssize_t i = 0; i < len && text[i] >= '0' && text[i] <= '9' && value < INT32_MAX; i++)
		value = value * 10 + (text[i] - '0');
	return len > 0 ? value : -EIO;
}

/* One event for each type of CPU: those are the devices that say which CPUs they are for. */
static int events_open_by_type(struct tocsin_pmc *pmc, uint64_t config)
{
	DIR *dir = opendir("/sys/bus/event_source/devices");
	struct dirent *entry;
	int r = -ENOENT;

	if (!dir)
		return r;
	while (pmc->nr < PMC_EVENTS_MAX && (entry = readdir(dir)) != NULL) {
		int64_t type;

		if (entry->d_name[0] == '.' || device_number(dirfd(dir), entry->d_name, "cpus") < 0)
			continue;
		type = device_number(dirfd(dir), entry->d_name, "type");
		if (type <= 0)
			continue;
		/* The type of the device in the upper half: Linux >= 5.13. */
		r = event_open(pmc, (uint64_t)type << 32 | config);
	}
	(void)closedir(dir); /* read only */
	return pmc->nr ? 0 : r;
}

int tocsin_pmc_open(enum tocsin_pmc_event event, struct tocsin_pmc **ret_pmc)
{
	static const uint64_t configs[] = {
		[TOCSIN_PMC_CYCLES] = PERF_COUNT_HW_CPU_CYCLES,
		[TOCSIN_PMC_INSTRUCTIONS] = PERF_COUNT_HW_INSTRUCTIONS,
		[TOCSIN_PMC_CACHE_REFERENCES] = PERF_COUNT_HW_CACHE_REFERENCES,
		[TOCSIN_PMC_CACHE_MISSES] = PERF_COUNT_HW_CACHE_MISSES,
		[TOCSIN_PMC_BRANCHES] = PERF_COUNT_HW_BRANCH_INSTRUCTIONS,
		[TOCSIN_PMC_BRANCH_MISSES] = PERF_COUNT_HW_BRANCH_MISSES,
	};
	struct tocsin_pmc *pmc;
	uint64_t count;
	int r;

	if ((unsigned)event >= sizeof(configs) / sizeof(configs[0]))
		return -EINVAL;
	pmc = calloc(1, sizeof(*pmc));
	if (!pmc)
		return -ENOMEM;
	pmc->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	pmc->how = TOCSIN_PMC_THREAD_CLOCK;
	r = events_open_by_type(pmc, configs[event]);
	if (r < 0)
		r = event_open(pmc, configs[event]);
	if (r == -ENOENT || r == -ENODEV || r == -EOPNOTSUPP || r == -EINVAL || r == -ENOSYS)
		r = event == TOCSIN_PMC_CYCLES ? 0 : -EOPNOTSUPP; /* no such hardware */
	else if (r == -EPERM)
		r = -EACCES;
	if (r == 0)
		r = tocsin_pmc_read(pmc, &count); /* finds out how */
	if (r == 0 && !pmc->nr)
		pmc->start = count;
	if (r < 0) {
		(void)tocsin_pmc_close(pmc); /* NULL */
		return r;
	}
	*ret_pmc = pmc;
	return 0;
}

struct tocsin_pmc *tocsin_pmc_close(struct tocsin_pmc *pmc)
{
	if (!pmc)
		return NULL;
	for (unsigned i = 0; i < pmc->nr; i++) {
		if (pmc->event[i].page)
			(void)munmap(pmc->event[i].page, pmc->page_bytes); /* ours: cannot fail */
		(void)close(pmc->event[i].fd);                             /* nothing is written */
	}
	free(pmc);
	return NULL;
}
