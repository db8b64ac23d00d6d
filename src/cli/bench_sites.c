// SPDX-License-Identifier: MIT
/* Where the sites are, and the kernel half with probes there. */
#include "bench_sites.h"

#include <errno.h>
#include <link.h>
#include <string.h>

#include "../abi/hist.h"

#define SELF "/proc/self/exe" /* right also when the file was replaced */

#if BENCH_HAS_SITES
#	define SITE(name)                       \
		{                                \
			name##_begin, name##_end \
		}
void bench_nop5_begin(void), bench_nop5_end(void);
void bench_func_begin(void), bench_func_end(void);
void bench_usdt_begin(void), bench_usdt_end(void);
#else
#	define SITE(name)         \
		{                  \
			NULL, NULL \
		}
#endif

static const struct {
	bench_site_fn begin, end;
} sites[BENCH_SITES_NR] = {
	[BENCH_NOP5] = SITE(bench_nop5),
	[BENCH_FUNC] = SITE(bench_func),
	[BENCH_USDT] = SITE(bench_usdt),
};

bench_site_fn bench_site_begin(enum bench_site site)
{
	return sites[site].begin;
}

bench_site_fn bench_site_end(enum bench_site site)
{
	return sites[site].end;
}

struct search {
	uintptr_t address;
	uint64_t offset;
};

static int search_step(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD || s->address < start || s->address - start >= p->p_filesz)
			continue;
		s->offset = s->address - start + p->p_offset;
		return 1;
	}
	return -1; /* the program itself comes first, and it is in no other */
}

int bench_site_offset(bench_site_fn fn, uint64_t *ret_offset)
{
	struct search s = {.address = (uintptr_t)fn};

	if (!fn || dl_iterate_phdr(search_step, &s) != 1)
		return -ENOENT;
	*ret_offset = s.offset;
	return 0;
}

int bench_half_open(struct bench_half *half, pid_t pid, struct tocsin_err *err)
{
	struct watch_kernel_config cfg;
	int r;

	if (!BENCH_HAS_SITES)
		return tocsin_err_fail(-EOPNOTSUPP, err, "%s", BENCH_NO_SITES);
	watch_kernel_defaults(&cfg);
	cfg.max_sections = BENCH_SITES_NR;
	cfg.all = !pid;
	r = watch_kernel_open(&cfg, &half->kernel, err);
	if (r || !pid)
		return r;
	r = watch_kernel_add_process(half->kernel, (uint32_t)pid);
	return r ? tocsin_err_fail(r, err, "cannot add the bench's process") : 0;
}

static uint32_t cookie_of(enum bench_site site, bool is_stop)
{
	return 1 + 2 * (uint32_t)site + is_stop;
}

int bench_half_set(struct bench_half *half, enum bench_site site, uint64_t budget_ns, bool is_empty)
{
	struct watch_probe probe = {.section = (__u16)site, .budget_ns = budget_ns};
	int r;

	/* Never a moment with only the start. */
	probe.action = is_empty ? ACT_NONE : ACT_STOP;
	r = watch_kernel_set_probe(half->kernel, cookie_of(site, !is_empty), &probe);
	probe.action = is_empty ? ACT_NONE : ACT_START;
	return r ?: watch_kernel_set_probe(half->kernel, cookie_of(site, is_empty), &probe);
}

int bench_half_attach(struct bench_half *half, enum bench_site site, uint64_t budget_ns, pid_t pid,
		      struct tocsin_err *err)
{
	int r = bench_half_set(half, site, budget_ns, false);

	if (r)
		return tocsin_err_fail(r, err, "cannot define the bench's section");
	for (unsigned i = 0; i < 2; i++) {
		bool is_stop = i == 0; /* first: a start without a stop stays open */
		struct watch_place place = {.cookie = cookie_of(site, is_stop)};
		struct watch_uprobes u = {.program = is_stop ? WATCH_PROBE_STOP : WATCH_PROBE_START,
					  .pid = pid,
					  .path = SELF,
					  .place = &place,
					  .nr = 1};

		r = bench_site_offset(is_stop ? sites[site].end : sites[site].begin, &place.offset);
		if (r)
			return tocsin_err_fail(r, err, "cannot find the bench's own probe sites");
		r = watch_kernel_attach_uprobes(half->kernel, &u,
						&half->link[2 * (size_t)site + is_stop], err);
		if (r)
			return r;
	}
	return 0;
}

void bench_half_detach(struct bench_half *half)
{
	watch_links_close(half->link, sizeof(half->link) / sizeof(half->link[0]));
}

int bench_half_count(struct bench_half *half, enum bench_site site, struct bench_count *ret)
{
	struct watch_stats stats;
	int r = watch_kernel_stats(half->kernel, (uint32_t)site, &stats);

	if (r)
		return r;
	*ret = (struct bench_count){.over = stats.over, .abandoned = stats.abandoned};
	for (unsigned i = 0; i < TOCSIN_HIST_BUCKETS; i++)
		ret->closed += stats.bucket[i];
	return 0;
}

void bench_half_close(struct bench_half *half)
{
	bench_half_detach(half);
	half->kernel = watch_kernel_close(half->kernel);
}
