// SPDX-License-Identifier: MIT
/* Loads and holds the kernel half of `tocsin watch`. */
#include "watch.h"

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "../base/cleanup.h"
#include "kicks.h"
#include "multi.h"
#include "taken.h"
#include "watch_kernel.h"

#define DEADLINES_MIN 8192

void watch_kernel_defaults(struct watch_kernel_config *cfg)
{
	*cfg = (struct watch_kernel_config){
		.gate_ns = 50000,
		.poll_min_ns = 100000,
		.max_threads = 65536,
		.max_processes = 65536,
		.max_probes = WATCH_PROBES_MAX,
		.max_sections = 32,
		.max_spells = 8192,
		.max_keyed = 65536,
		.max_stacks = 4096,
		.ring_bytes = 8u << 20,
		.stack_ring_bytes = 4096,
		.cgroup_subsys = ~0u,
	};
}

/* Threads are not spread evenly, and a thread may leave an entry or two behind: four for each, and
 * no fewer than a small watch may want. */
static uint32_t deadlines_default(const struct watch_kernel_config *cfg, int nr_cpus)
{
	uint64_t fair = 4ull * cfg->max_threads / (uint32_t)nr_cpus;

	return fair > DEADLINES_MIN ? (uint32_t)fair : DEADLINES_MIN;
}

static int configure(struct watch_bpf *s, const struct watch_kernel_config *cfg, int nr_cpus)
{
	uint32_t nr_chunks = (cfg->max_spells + WATCH_CHUNK - 1) / WATCH_CHUNK;
	uint32_t max_deadlines = cfg->max_deadlines ?: deadlines_default(cfg, nr_cpus);
	int r = 0;

	if ((uint64_t)nr_cpus * max_deadlines > UINT32_MAX)
		return -E2BIG;
	s->rodata->gate_ns = cfg->gate_ns;
	s->rodata->poll_min_ns = cfg->poll_min_ns;
	s->rodata->max_threads = cfg->max_threads;
	s->rodata->queue_capacity = max_deadlines;
	s->rodata->ring_bytes = cfg->ring_bytes;
	s->rodata->nr_cpus = (uint32_t)nr_cpus;
	s->rodata->nr_wanted_comms = cfg->nr_comms;
	s->rodata->watch_all = cfg->all;
	s->rodata->follow = cfg->follow;
	s->rodata->cgroup_id = cfg->cgroup_id;
	s->rodata->cgroup_subsys = cfg->cgroup_subsys;
	s->rodata->own_tgid = (uint32_t)getpid();
	r = r ?: bpf_map__set_max_entries(s->maps.stats, cfg->max_sections);
	r = r ?: bpf_map__set_max_entries(s->maps.processes, cfg->max_processes);
	r = r ?: bpf_map__set_max_entries(s->maps.probes, cfg->max_probes);
	r = r ?: bpf_map__set_max_entries(s->maps.wanted_comms, cfg->nr_comms ?: 1);
	r = r ?: bpf_map__set_max_entries(s->maps.spells, nr_chunks);
	r = r ?: bpf_map__set_max_entries(s->maps.free_chunks, nr_chunks);
	r = r ?: bpf_map__set_max_entries(s->maps.stacks, cfg->max_stacks);
	r = r ?: bpf_map__set_max_entries(s->maps.keyed_open, cfg->max_keyed);
	r = r ?: bpf_map__set_max_entries(s->maps.events, (uint32_t)cfg->ring_bytes);
	r = r ?: bpf_map__set_max_entries(s->maps.cpus, (uint32_t)nr_cpus);
	r = r ?: bpf_map__set_max_entries(s->maps.timers, (uint32_t)nr_cpus);
	r = r ?: bpf_map__set_max_entries(s->maps.kicks, (uint32_t)nr_cpus);
	r = r ?: bpf_map__set_max_entries(s->maps.queues, (uint32_t)nr_cpus * max_deadlines);
	return r;
}

static int fill_maps(struct watch_bpf *s, const struct watch_kernel_config *cfg)
{
	uint32_t nr_chunks = bpf_map__max_entries(s->maps.free_chunks);

	for (uint32_t i = 0; i < nr_chunks; i++)
		if (bpf_map_update_elem(bpf_map__fd(s->maps.free_chunks), NULL, &i, BPF_ANY))
			return -errno;
	for (uint32_t i = 0; i < cfg->nr_comms; i++) {
		char comm[WATCH_COMM_LEN] = "";

		memcpy(comm, cfg->comm[i], strnlen(cfg->comm[i], sizeof(comm) - 1));
		if (bpf_map_update_elem(bpf_map__fd(s->maps.wanted_comms), &i, comm, BPF_ANY))
			return -errno;
	}
	return 0;
}

static int make_timers(struct watch_bpf *s, struct tocsin_err *err)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int r = bpf_prog_test_run_opts(bpf_program__fd(s->progs.make_timers), &opts);

	if (r)
		return tocsin_err_fail(-errno, err, "cannot run the program that makes the timers");
	if (s->bss->timers_missing)
		return tocsin_err_fail(-ENOMEM, err, "the kernel could not make %llu of its timers",
				       (unsigned long long)s->bss->timers_missing);
	if (s->bss->timers_unstarted)
		return tocsin_err_fail(
			-ENOTSUP, err,
			"the kernel cannot pin timers to a CPU: that takes Linux 6.7");
	return 0;
}

static bool has_member(const struct btf *btf, const char *structure, const char *member)
{
	int id = btf__find_by_name_kind(btf, structure, BTF_KIND_STRUCT);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	const struct btf_member *m = t ? btf_members(t) : NULL;

	for (unsigned i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, m[i].name_off), member))
			return true;
	return false;
}

/* Which fields the running kernel has: what its BTF says, as the loaded program sees it. */
static void read_btf(struct watch_kernel *k)
{
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		return;
	k->has_btf = true;
	k->throttle_known = has_member(btf, "task_struct", "throttled") ||
			    has_member(btf, "cfs_rq", "throttle_count");
	k->has_task_lookup = btf__find_by_name_kind(btf, "bpf_task_from_pid", BTF_KIND_FUNC) > 0;
	k->has_disk_hook =
		btf__find_by_name_kind(btf, "btf_trace_block_rq_complete", BTF_KIND_TYPEDEF) > 0;
	btf__free(btf);
}

int watch_kernel_cgroup_subsys(const char *controller, uint32_t *ret, struct tocsin_err *err)
{
	const struct btf_type *t;
	struct btf *btf;
	char name[64];
	int id, r = -ENOENT;

	if (!controller[0]) {
		*ret = ~0u;
		return 0;
	}
	btf = btf__load_vmlinux_btf();
	id = btf ? btf__find_by_name_kind(btf, "cgroup_subsys_id", BTF_KIND_ENUM) : -ENOENT;
	t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	(void)snprintf(name, sizeof(name), "%s_cgrp_id", controller);
	for (unsigned i = 0; t && i < btf_vlen(t); i++) {
		const struct btf_enum *e = btf_enum(t) + i;

		if (strcmp(btf__name_by_offset(btf, e->name_off), name))
			continue;
		*ret = (uint32_t)e->val;
		r = 0;
	}
	btf__free(btf);
	if (r)
		return tocsin_err_fail(r, err,
				       "this kernel's types do not name the cgroup controller '%s'",
				       controller);
	return 0;
}

static int attach_hooks(struct watch_bpf *s, struct tocsin_err *err)
{
	struct {
		struct bpf_program *prog;
		struct bpf_link **link;
	} hook[] = {
		{s->progs.on_exit, &s->links.on_exit},
		{s->progs.on_exec, &s->links.on_exec},
		{s->progs.on_fork, &s->links.on_fork},
		{s->progs.on_switch, &s->links.on_switch},
		{s->progs.on_waking, &s->links.on_waking},
		{s->progs.on_wakeup, &s->links.on_wakeup},
		{s->progs.on_io, &s->links.on_io},
		{s->progs.on_kick, &s->links.on_kick},
	};

	for (size_t i = 0; i < sizeof(hook) / sizeof(hook[0]); i++) {
		if (!bpf_program__autoload(hook[i].prog))
			continue;
		*hook[i].link = bpf_program__attach(hook[i].prog);
		if (!*hook[i].link)
			return tocsin_err_fail(-errno, err, "cannot attach '%s': %s",
					       bpf_program__section_name(hook[i].prog),
					       strerror(errno));
	}
	return 0;
}

static int on_event(void *ctx, void *data, size_t size)
{
	struct watch_kernel *k = ctx;

	return k->fn(k->arg, data, size);
}

static int set_multi(struct watch_bpf *s)
{
	int r = bpf_program__set_expected_attach_type(s->progs.probe_start, MULTI_UPROBE);

	r = r ?: bpf_program__set_expected_attach_type(s->progs.probe_stop, MULTI_UPROBE);
	return r ?: bpf_program__set_expected_attach_type(s->progs.probe_note, MULTI_UPROBE);
}

static int load(struct watch_kernel *k, const struct watch_kernel_config *cfg,
		struct tocsin_err *err)
{
	int r;

	k->skel = cfg->stack_bytes ? watch_stacks_open() : watch_bpf__open();
	if (!k->skel && errno == ENOTSUP)
		return tocsin_err_fail(
			-ENOTSUP, err,
			"this kernel cannot walk user stacks: that takes Linux 6.18");
	if (!k->skel)
		return tocsin_err_fail(-errno, err, "cannot open the kernel half: %s",
				       complaint_last());
	r = configure(k->skel, cfg, k->nr_cpus);
	r = r ?: watch_stacks_configure(k->skel, cfg);
	if (r)
		return tocsin_err_fail(r, err, "cannot set the limits of the kernel half: %s",
				       strerror(-r));
	k->has_multi = multi_is_known();
	if (k->has_multi)
		r = set_multi(k->skel);
	if (!k->has_disk_hook) /* waits for the disk are then told by the stack alone */
		r = r ?: bpf_program__set_autoload(k->skel->progs.on_io, false);
	r = r ?: watch_bpf__load(k->skel);
	if (r)
		return tocsin_err_fail(r, err, "cannot load the kernel half: %s%s%s", strerror(-r),
				       complaint_last()[0] ? ": " : "", complaint_last());
	r = fill_maps(k->skel, cfg) ?: kicks_make(k->skel->maps.kicks, k->nr_cpus);
	if (r)
		return tocsin_err_fail(r, err, "cannot fill the maps of the kernel half: %s",
				       strerror(-r));
	r = make_timers(k->skel, err);
	if (r)
		return r;
	k->ring = ring_buffer__new(bpf_map__fd(k->skel->maps.events), on_event, k, NULL);
	if (!k->ring)
		return tocsin_err_fail(-errno, err, "cannot map the event ring: %s",
				       strerror(errno));
	r = cfg->stack_bytes ? watch_stacks_ring_open(k) : 0;
	if (r)
		return tocsin_err_fail(r, err, "cannot map the ring of stacks: %s", strerror(-r));
	return attach_hooks(k->skel, err);
}

int watch_kernel_open(const struct watch_kernel_config *cfg, struct watch_kernel **ret,
		      struct tocsin_err *err)
{
	libbpf_print_fn_t previous;
	struct watch_kernel *k;
	int r = -ENOMEM;

	if (!access("/sys/kernel/realtime", F_OK))
		return tocsin_err_fail(
			-ENOTSUP, err,
			"this is a real-time kernel (PREEMPT_RT): its timers run in threads, which the kernel half is not made for");
	previous = libbpf_set_print(complaint_keep);
	k = calloc(1, sizeof(*k));
	complaint_clear();
	if (k) {
		k->nr_cpus = libbpf_num_possible_cpus();
		r = k->nr_cpus < 0 ? k->nr_cpus : 0;
	}
	if (!r) {
		k->per_cpu = calloc((size_t)k->nr_cpus, sizeof(*k->per_cpu));
		r = k->per_cpu ? 0 : -ENOMEM;
	}
	if (!r)
		read_btf(k);
	if (!r && !k->has_btf)
		r = tocsin_err_fail(-ENOTSUP, err, "the kernel does not describe its types (BTF)");
	if (!r)
		r = load(k, cfg, err);
	(void)libbpf_set_print(previous);
	(void)malloc_trim(0); /* the kernel's types were some 20 MB for a moment */
	if (r) {
		watch_kernel_close(k);
		return r;
	}
	*ret = k;
	return 0;
}

struct watch_kernel *watch_kernel_close(struct watch_kernel *k)
{
	if (!k)
		return NULL;
	ring_buffer__free(k->ring);
	ring_buffer__free(k->stack_ring);
	watch_bpf__destroy(k->skel);
	free(k->per_cpu);
	free(k);
	return NULL;
}

int watch_kernel_set_probe(struct watch_kernel *k, uint32_t cookie, const struct watch_probe *probe)
{
	return bpf_map_update_elem(bpf_map__fd(k->skel->maps.probes), &cookie, probe, BPF_ANY)
		       ? -errno
		       : 0;
}

/* A probe that is firing reads its place while it is written: so nothing else in it may change. */
int watch_kernel_silence_probe(struct watch_kernel *k, uint32_t cookie)
{
	int map = bpf_map__fd(k->skel->maps.probes);
	struct watch_probe probe;

	if (bpf_map_lookup_elem(map, &cookie, &probe))
		return -errno;
	probe.action = ACT_NONE;
	return bpf_map_update_elem(map, &cookie, &probe, BPF_ANY) ? -errno : 0;
}

/* Counted before they are dropped: a slot of a dropped section is taken by the next start. */
int watch_kernel_drop_section(struct watch_kernel *k, uint32_t section, uint64_t *ret_open,
			      struct tocsin_err *err)
{
	int r = watch_taken_count(bpf_map__fd(k->skel->maps.threads), section, ret_open, err);

	if (section < WATCH_SECTIONS_MAX)
		__atomic_store_n(&k->skel->bss->dropped[section], 1, __ATOMIC_RELEASE);
	return r;
}

int watch_kernel_reset_section(struct watch_kernel *k, uint32_t section, struct tocsin_err *err)
{
	uint64_t nr_open;
	int r = watch_taken_count(bpf_map__fd(k->skel->maps.threads), section, &nr_open, err);

	memset(k->per_cpu, 0, (size_t)k->nr_cpus * sizeof(*k->per_cpu));
	if (!r &&
	    bpf_map_update_elem(bpf_map__fd(k->skel->maps.stats), &section, k->per_cpu, BPF_ANY))
		r = tocsin_err_fail(-errno, err, "cannot clear the counters of a section: %s",
				    strerror(errno));
	return r;
}

int watch_kernel_add_process(struct watch_kernel *k, uint32_t tgid)
{
	uint32_t one = 1;

	return bpf_map_update_elem(bpf_map__fd(k->skel->maps.processes), &tgid, &one, BPF_ANY)
		       ? -errno
		       : 0;
}

bool watch_kernel_has_processes(struct watch_kernel *k)
{
	uint32_t first;

	return !bpf_map_get_next_key(bpf_map__fd(k->skel->maps.processes), NULL, &first);
}

int watch_kernel_event_fd(struct watch_kernel *k)
{
	return ring_buffer__epoll_fd(k->ring);
}

int watch_kernel_consume(struct watch_kernel *k, watch_event_fn fn, void *arg)
{
	k->fn = fn;
	k->arg = arg;
	return ring_buffer__consume(k->ring);
}

void watch_kernel_losses(struct watch_kernel *k, uint64_t loss[LOSS_NR])
{
	for (int i = 0; i < LOSS_NR; i++)
		loss[i] = __atomic_load_n(&k->skel->bss->losses[i], __ATOMIC_RELAXED);
}

int watch_kernel_stats(struct watch_kernel *k, uint32_t section, struct watch_stats *ret)
{
	const size_t words = sizeof(*ret) / sizeof(uint64_t);
	uint64_t *sum = (uint64_t *)ret;

	if (bpf_map_lookup_elem(bpf_map__fd(k->skel->maps.stats), &section, k->per_cpu))
		return -errno;
	memset(ret, 0, sizeof(*ret));
	for (int cpu = 0; cpu < k->nr_cpus; cpu++) {
		const uint64_t *from = (const uint64_t *)&k->per_cpu[cpu];

		for (size_t i = 0; i < words; i++)
			sum[i] += from[i];
	}
	return 0;
}

size_t watch_kernel_stack(struct watch_kernel *k, uint32_t id, uint64_t frames[WATCH_STACK])
{
	size_t n = 0;

	if (!id || bpf_map_lookup_elem(bpf_map__fd(k->skel->maps.stacks), &id, frames))
		return 0;
	while (n < WATCH_STACK && frames[n])
		n++;
	return n;
}

void watch_kernel_facts(struct watch_kernel *k, struct watch_kernel_facts *ret)
{
	*ret = (struct watch_kernel_facts){
		.throttle_known = k->throttle_known,
		.kicks = k->skel->links.on_kick != NULL,
		.off_cpu = k->has_task_lookup,
		.nr_threads = k->skel->bss->nr_threads,
		.nr_kicks = k->skel->bss->nr_kicks,
		.nr_timer_runs = k->skel->bss->nr_timer_runs,
	};
}

/* --- linked programs
 * ----------------------------------------------------------------------------------------------
 */

int watch_kernel_link_process(struct watch_kernel *k, uint32_t tgid, int64_t tp_offset,
			      uint64_t min_budget_ns)
{
	/* as struct linked_process in watch_state.h */
	struct {
		int64_t tp_offset;
		uint64_t min_budget_ns;
	} p = {tp_offset, min_budget_ns};

	return bpf_map_update_elem(bpf_map__fd(k->skel->maps.linked), &tgid, &p, BPF_ANY) ? -errno
											  : 0;
}

int watch_kernel_link_name(struct watch_kernel *k, uint32_t tgid, uint32_t id, uint32_t section)
{
	uint32_t key[2] = {tgid, id};

	return bpf_map_update_elem(bpf_map__fd(k->skel->maps.linked_ids), key, &section, BPF_ANY)
		       ? -errno
		       : 0;
}

/* A thread that never leaves its CPU is not polled until its CPU's timer is armed, by a switch. */
static int visit_cpus(void)
{
	cpu_set_t before, one;
	int r = 0;

	if (sched_getaffinity(0, sizeof(before), &before))
		return -errno;
	for (size_t cpu = 0; cpu < CPU_SETSIZE && !r; cpu++) {
		if (!CPU_ISSET(cpu, &before))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		r = sched_setaffinity(0, sizeof(one), &one) && errno != EINVAL ? -errno : 0;
	}
	if (sched_setaffinity(0, sizeof(before), &before) && !r)
		r = -errno;
	return r;
}

int watch_kernel_link_threads(struct watch_kernel *k, struct tocsin_err *err)
{
	struct bpf_link *link = bpf_program__attach_iter(k->skel->progs.linked_threads, NULL);
	char none[64];
	int fd = -1, r = link ? 0 : -errno;
	ssize_t n = 0;

	if (!r) {
		fd = bpf_iter_create(bpf_link__fd(link));
		r = fd < 0 ? -errno : 0;
	}
	do
		n = r ? 0 : read(fd, none, sizeof(none));
	while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	if (n < 0)
		r = -errno;
	if (fd >= 0)
		(void)close(fd);
	(void)bpf_link__destroy(link);
	r = r ?: visit_cpus();
	return r ? tocsin_err_fail(r, err, "cannot find the threads of linked programs: %s",
				   strerror(-r))
		 : 0;
}
