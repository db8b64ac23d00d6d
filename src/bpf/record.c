// SPDX-License-Identifier: MIT
/* Loads and holds the kernel half of `tocsin record -k`. */
#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/membarrier.h>

#include "../abi/control.h"
#include "../base/cleanup.h"
#include "complaint.h"
#include "record_kernel.h"

#define CPUS_MAX 8192

/* The program of an event of the groups, and its link's place. */
struct hook {
	struct bpf_program *prog;
	struct bpf_link **link;
};

static struct hook hook_of(struct record_bpf *s, enum kernel_event event)
{
	const struct hook hook[] = {
/* clang-format off */
#define EVENT(event, GROUP, name, text) [KERNEL_EVENT_##event] = {s->progs.on_##event, &s->links.on_##event},
#include "../abi/kernel_events.def"
		/* clang-format on */
	};

	return hook[event];
}

/* Fork and exit also keep the table of processes. */
static bool is_needed(const struct record_kernel_config *cfg, enum kernel_event event)
{
	return cfg->event[event] || (!cfg->all && (event == KERNEL_EVENT_sched_process_fork ||
						   event == KERNEL_EVENT_sched_process_exit));
}

static unsigned log2_of(uint64_t n)
{
	return 63 - (unsigned)__builtin_clzll(n);
}

static int configure(struct record_bpf *s, const struct record_kernel_config *cfg, int nr_cpus)
{
	uint32_t value_bytes = (uint32_t)(RING_HEADER_BYTES + cfg->ring_bytes + KERNEL_RING_SLACK);
	int r;

	s->rodata->own_tgid = (uint32_t)getpid();
	s->rodata->with_self = cfg->with_self;
	s->rodata->watch_all = cfg->all;
	s->rodata->follow = cfg->follow;
	s->rodata->contexts = cfg->contexts;
	s->rodata->context_bytes = cfg->context_bytes;
	s->rodata->first_id = cfg->first_id;
	s->rodata->data_mask = cfg->ring_bytes - 1;
	if (cfg->is_overwriting) {
		s->rodata->nr_groups = RING_GROUPS_MAX;
		s->rodata->group_shift = log2_of(cfg->ring_bytes / RING_GROUPS_MAX);
	}
	for (enum kernel_event e = 0; e < KERNEL_EVENT_NR; e++) {
		s->rodata->is_wanted_event[e] = cfg->event[e];
		(void)bpf_program__set_autoload(
			hook_of(s, e).prog, is_needed(cfg, e)); /* before loading: cannot fail */
	}
	(void)bpf_program__set_autoload(s->progs.on_tracepoint, cfg->nr_tracepoints); /* as above */
	r = bpf_map__set_max_entries(s->maps.rings, (uint32_t)nr_cpus);
	r = r ?: bpf_map__set_max_entries(s->maps.plans, cfg->nr_tracepoints ?: 1);
	return r ?: bpf_map__set_value_size(bpf_map__inner_map(s->maps.rings), value_bytes);
}

/* The header of a ring: what its writers and readers go by. */
static int ring_fill(int fd, const struct record_kernel_config *cfg, unsigned cpu)
{
	struct ring_header *h =
		mmap(NULL, RING_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (h == MAP_FAILED)
		return -errno;
	h->version = RING_VERSION;
	h->header_bytes = RING_HEADER_BYTES;
	h->kind = RING_INDEXED;
	h->mode = cfg->is_overwriting ? RING_OVERWRITE : RING_DISCARD;
	h->data_bytes = cfg->ring_bytes;
	h->index = cpu;
	h->scheme = 0;
	h->clock = CONTROL_CLOCK_MONOTONIC;
	h->groups = cfg->is_overwriting ? RING_GROUPS_MAX : 0;
	h->mask = cfg->ring_bytes - 1;
	h->epoch = RING_EPOCH_NONE;
	__atomic_store_n(&h->magic, RING_MAGIC, __ATOMIC_RELEASE);
	return munmap(h, RING_HEADER_BYTES) ? -errno : 0;
}

static int ring_make(struct record_kernel *k, const struct record_kernel_config *cfg, unsigned cpu)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	struct ring_map *more = reallocarray(k->ring, k->nr_rings + 1, sizeof(*more));
	uint32_t key = cpu;
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	int r;

	if (!more)
		return -ENOMEM;
	k->ring = more;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "tocsin_ring", sizeof(key),
			    (uint32_t)(RING_HEADER_BYTES + cfg->ring_bytes + KERNEL_RING_SLACK), 1,
			    &opts);
	if (fd < 0)
		return -errno;
	r = ring_fill(fd, cfg, cpu);
	if (!r && bpf_map_update_elem(bpf_map__fd(k->skel->maps.rings), &key, &fd, BPF_ANY))
		r = -errno;
	if (r)
		return r;
	more[k->nr_rings++] = (struct ring_map){cpu, tocsin_take_fd(&fd)};
	return 0;
}

/* One range of a list as sysfs has it, "0-3,8". Return: where the next one begins, NULL: no range.
 */
static const char *range_read(const char *at, unsigned *ret_first, unsigned *ret_last)
{
	int used = 0;

	if (sscanf(at, "%u-%u%n", ret_first, ret_last, &used) != 2) {
		if (sscanf(at, "%u%n", ret_first, &used) != 1)
			return NULL;
		*ret_last = *ret_first;
	}
	at += used;
	return *at == ',' ? at + 1 : at;
}

static int rings_make(struct record_kernel *k, const struct record_kernel_config *cfg,
		      struct tocsin_err *err)
{
	FILE *f TOCSIN_CLEANUP(tocsin_fclosep) = fopen("/sys/devices/system/cpu/online", "re");
	char text[4096] = "";
	const char *at = text;
	unsigned first, last;
	int r = 0;

	if (!f || !fgets(text, sizeof(text), f))
		r = errno ? -errno : -EIO;
	while (!r && (at = range_read(at, &first, &last)))
		for (unsigned cpu = first; cpu <= last && cpu < CPUS_MAX && !r; cpu++)
			r = ring_make(k, cfg, cpu);
	if (r)
		return tocsin_err_fail(r, err,
				       "cannot make rings of %llu bytes for kernel events: %s",
				       (unsigned long long)cfg->ring_bytes, strerror(-r));
	return 0;
}

static int hooks_attach(struct record_kernel *k, const struct record_kernel_config *cfg,
			struct tocsin_err *err)
{
	for (enum kernel_event e = 0; e < KERNEL_EVENT_NR; e++) {
		struct hook hook = hook_of(k->skel, e);

		if (!is_needed(cfg, e))
			continue;
		*hook.link = bpf_program__attach(hook.prog);
		if (!*hook.link)
			return tocsin_err_fail(-errno, err, "cannot attach to '%s': %s",
					       bpf_program__section_name(hook.prog),
					       strerror(errno));
	}
	return 0;
}

static int tracepoints_attach(struct record_kernel *k, const struct record_kernel_config *cfg,
			      struct tocsin_err *err)
{
	if (cfg->nr_tracepoints) {
		k->link = calloc(cfg->nr_tracepoints, sizeof(struct bpf_link *));
		if (!k->link)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < cfg->nr_tracepoints; i++) {
		const struct record_kernel_tracepoint *t = &cfg->tracepoint[i];
		LIBBPF_OPTS(bpf_tracepoint_opts, opts, .bpf_cookie = i);

		if (bpf_map_update_elem(bpf_map__fd(k->skel->maps.plans), &i, &t->plan, BPF_ANY))
			return -errno;
		k->link[i] = bpf_program__attach_tracepoint_opts(k->skel->progs.on_tracepoint,
								 t->category, t->name, &opts);
		if (!k->link[i])
			return tocsin_err_fail(-errno, err,
					       "cannot attach to the tracepoint '%s:%s': %s",
					       t->category, t->name, strerror(errno));
		k->nr_links = i + 1;
	}
	return 0;
}

static int load(struct record_kernel *k, const struct record_kernel_config *cfg,
		struct tocsin_err *err)
{
	int nr_cpus = libbpf_num_possible_cpus(), r;

	if (nr_cpus < 0)
		return nr_cpus;
	k->skel = record_bpf__open();
	if (!k->skel)
		return tocsin_err_fail(-errno, err, "cannot open the kernel half: %s",
				       complaint_last());
	r = configure(k->skel, cfg, nr_cpus);
	if (r)
		return tocsin_err_fail(r, err, "cannot set the limits of the kernel half: %s",
				       strerror(-r));
	r = record_bpf__load(k->skel);
	if (r)
		return tocsin_err_fail(r, err, "cannot load the kernel half: %s%s%s", strerror(-r),
				       complaint_last()[0] ? ": " : "", complaint_last());
	r = rings_make(k, cfg, err);
	r = r ?: hooks_attach(k, cfg, err);
	return r ?: tracepoints_attach(k, cfg, err);
}

int record_kernel_open(const struct record_kernel_config *cfg, struct record_kernel **ret,
		       struct tocsin_err *err)
{
	libbpf_print_fn_t previous = libbpf_set_print(complaint_keep);
	struct record_kernel *k = calloc(1, sizeof(*k));
	int r = -ENOMEM;

	complaint_clear();
	if (k)
		r = load(k, cfg, err);
	(void)libbpf_set_print(previous);
	if (r) {
		(void)record_kernel_close(k);
		return r;
	}
	*ret = k;
	return 0;
}

struct record_kernel *record_kernel_close(struct record_kernel *k)
{
	if (!k)
		return NULL;
	for (uint32_t i = 0; i < k->nr_links; i++)
		(void)bpf_link__destroy(k->link[i]); /* closes it; the kernel cannot refuse */
	free(k->link);
	for (unsigned i = 0; i < k->nr_rings; i++)
		(void)close(k->ring[i].fd); /* a map: nothing to flush */
	free(k->ring);
	record_bpf__destroy(k->skel);
	free(k);
	return NULL;
}

/* Events for which the kernel did not run a program, since one was running on that CPU. */
static uint64_t misses_of(const struct bpf_program *prog)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);

	if (bpf_program__fd(prog) < 0 || bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
		return 0;
	return info.recursion_misses;
}

static uint64_t misses(const struct record_kernel *k)
{
	struct bpf_program *prog;
	uint64_t sum = 0;

	bpf_object__for_each_program(prog, k->skel->obj) sum += misses_of(prog);
	return sum;
}

void record_kernel_switch(struct record_kernel *k, bool is_on)
{
	if (is_on == k->is_on)
		return;
	k->is_on = is_on;
	if (is_on)
		k->missed_at = misses(k);
	__atomic_store_n(&k->skel->bss->is_on, is_on, __ATOMIC_SEQ_CST);
	if (is_on)
		return;
	/* Programs run with preemption off or as readers of RCU: after a grace period none is left
	 * that saw the old value. */
	(void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0); /* since Linux 4.3 */
	k->missed += misses(k) - k->missed_at;
}

int record_kernel_add_process(struct record_kernel *k, uint32_t tgid)
{
	uint32_t one = 1;

	if (bpf_map_update_elem(bpf_map__fd(k->skel->maps.processes), &tgid, &one, BPF_NOEXIST))
		return errno == EEXIST ? 0 : -errno;
	__atomic_fetch_add(&k->skel->bss->nr_processes, 1, __ATOMIC_RELAXED);
	return 0;
}

uint64_t record_kernel_nr_processes(const struct record_kernel *k)
{
	return __atomic_load_n(&k->skel->bss->nr_processes, __ATOMIC_RELAXED);
}

unsigned record_kernel_nr_rings(const struct record_kernel *k)
{
	return k->nr_rings;
}

int record_kernel_ring(const struct record_kernel *k, unsigned i, unsigned *ret_cpu)
{
	*ret_cpu = k->ring[i].cpu;
	return k->ring[i].fd;
}

void record_kernel_losses(struct record_kernel *k, uint64_t ret_loss[KERNEL_LOSS_NR])
{
	for (int i = 0; i < KERNEL_LOSS_NR; i++)
		ret_loss[i] = __atomic_load_n(&k->skel->data_losses->losses[i], __ATOMIC_RELAXED);
	ret_loss[KERNEL_LOSS_RECURSION] = k->missed + (k->is_on ? misses(k) - k->missed_at : 0);
}
