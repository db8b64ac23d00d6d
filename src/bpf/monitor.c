// SPDX-License-Identifier: MIT
/* Loads and holds the kernel half of monitors. */
#include "monitor.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../base/cleanup.h"
#include "complaint.h"
#include "kicks.h"
#include "multi.h"
#include "watch_links.h"
/* bpftool's generated code is not ours to mend */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "monitor.skel.h"
#pragma GCC diagnostic pop

#define QUEUE_MIN 8192

struct monitor_kernel {
	struct monitor_bpf *skel;
	struct ring_buffer *ring;
	int nr_cpus;
	uint64_t *per_cpu;                       /* scratch */
	struct bpf_link *link[MONITOR_P_NR + 8]; /* of the tracepoints */
	size_t nr_links;
	uint32_t nr_monitors;
	bool has_multi;
	monitor_event_fn *fn;
	void *arg;
	int r; /* what the listener returned */
};

/* Which program is on which point. */
static struct bpf_program *program_of(struct monitor_bpf *s, enum monitor_point_id point)
{
	switch (point) {
	case MONITOR_P_SCHED_SWITCH: return s->progs.on_sched_switch;
	case MONITOR_P_SCHED_WAKEUP: return s->progs.on_sched_wakeup;
	case MONITOR_P_SCHED_WAKING: return s->progs.on_sched_waking;
	case MONITOR_P_SCHED_ENTRY: return s->progs.on_sched_entry;
	case MONITOR_P_SCHED_EXIT: return s->progs.on_sched_exit;
	case MONITOR_P_NEED_RESCHED: return s->progs.on_need_resched;
	case MONITOR_P_IRQ_ENTRY: return s->progs.on_irq_entry;
	case MONITOR_P_TIMER_ENTRY: return s->progs.on_timer_entry;
	case MONITOR_P_RESCHEDULE_ENTRY: return s->progs.on_reschedule_entry;
	case MONITOR_P_CALL_ENTRY: return s->progs.on_call_entry;
	case MONITOR_P_CALL_SINGLE_ENTRY: return s->progs.on_call_single_entry;
	case MONITOR_P_FAULT_USER: return s->progs.on_fault_user;
	case MONITOR_P_FAULT_KERNEL: return s->progs.on_fault_kernel;
	case MONITOR_P_SIGNAL_DELIVER: return s->progs.on_signal_deliver;
	case MONITOR_P_SYS_ENTER: return s->progs.on_sys_enter;
	case MONITOR_P_SYS_EXIT: return s->progs.on_sys_exit;
	case MONITOR_P_CONTENTION_BEGIN: return s->progs.on_contention_begin;
	case MONITOR_P_CONTENTION_END: return s->progs.on_contention_end;
	case MONITOR_P_PRCTL: return s->progs.on_prctl;
	case MONITOR_P_NR: break;
	}
	return NULL;
}

static uint32_t slots_fixed(const struct monitor_kernel *k, const struct monitor_kernel_config *cfg)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < cfg->nr_monitors; i++)
		nr += cfg->state[i].scope == MONITOR_CPU      ? (uint32_t)k->nr_cpus
		      : cfg->state[i].scope == MONITOR_GLOBAL ? 1
							      : 0;
	return nr;
}

static int configure(struct monitor_kernel *k, const struct monitor_kernel_config *cfg)
{
	struct monitor_bpf *s = k->skel;
	uint32_t nr_slots = 1 + slots_fixed(k, cfg) + cfg->max_instances;
	uint32_t queue = 2 * nr_slots / (uint32_t)k->nr_cpus;
	int r = 0;

	queue = queue > QUEUE_MIN ? queue : QUEUE_MIN;
	s->rodata->queue_capacity = queue;
	s->rodata->nr_cpus = (uint32_t)k->nr_cpus;
	s->rodata->watch_all = cfg->all;
	s->rodata->follow = cfg->follow;
	s->rodata->own_tgid = cfg->has_self ? 0 : (uint32_t)getpid();
	s->rodata->has_coverage = cfg->has_coverage;
	s->rodata->has_stacks = cfg->has_stacks;
	s->rodata->has_trace = cfg->has_trace;
	r = r ?: bpf_map__set_max_entries(s->maps.tables, cfg->nr_monitors);
	r = r ?: bpf_map__set_max_entries(s->maps.monitors, cfg->nr_monitors);
	r = r ?: bpf_map__set_max_entries(s->maps.slots, nr_slots);
	r = r ?: bpf_map__set_max_entries(s->maps.free_slots, cfg->max_instances);
	r = r ?: bpf_map__set_max_entries(s->maps.objects, cfg->max_instances);
	r = r ?: bpf_map__set_max_entries(s->maps.events, (uint32_t)cfg->ring_bytes);
	r = r
		    ?: bpf_map__set_max_entries(s->maps.coverage,
						cfg->has_coverage ? cfg->nr_monitors : 1);
	r = r ?: bpf_map__set_max_entries(s->maps.entered, cfg->has_coverage ? nr_slots : 1);
	r = r ?: bpf_map__set_max_entries(s->maps.cpus, (uint32_t)k->nr_cpus);
	r = r ?: bpf_map__set_max_entries(s->maps.timers, (uint32_t)k->nr_cpus);
	r = r ?: bpf_map__set_max_entries(s->maps.kicks, (uint32_t)k->nr_cpus);
	r = r ?: bpf_map__set_max_entries(s->maps.queues, (uint32_t)k->nr_cpus * queue);
	for (unsigned i = 0; i < MONITOR_P_NR && !r; i++)
		r = bpf_program__set_autoload(program_of(s, (enum monitor_point_id)i),
					      cfg->point[i]);
	k->has_multi = multi_is_known();
	if (!r && k->has_multi)
		r = bpf_program__set_expected_attach_type(s->progs.on_probe, MULTI_UPROBE);
	return r ?: bpf_program__set_autoload(s->progs.on_prctl_empty, false);
}

static int map_put(struct bpf_map *map, uint32_t key, const void *value)
{
	return bpf_map_update_elem(bpf_map__fd(map), &key, value, BPF_ANY) ? -errno : 0;
}

/* Instances of CPUs, and of all, are there from the start. */
static int fixed_make(struct monitor_kernel *k, uint32_t monitor, uint32_t scope, uint32_t *next)
{
	uint32_t nr = scope == MONITOR_CPU ? (uint32_t)k->nr_cpus : scope == MONITOR_GLOBAL;
	int r = 0;

	for (uint32_t i = 0; i < nr && !r; i++) {
		struct monitor_slot slot = {.key = scope == MONITOR_CPU ? i : 0};

		slot.in.host16 = (uint16_t)(monitor + 1);
		r = map_put(k->skel->maps.slots, (*next)++, &slot);
	}
	return r;
}

static int fill(struct monitor_kernel *k, const struct monitor_kernel_config *cfg)
{
	TOCSIN_CLEANUP(tocsin_free_voidp)
	struct automaton_table *table = malloc(sizeof(*table));
	uint32_t next = 1;
	int r = table ? kicks_make(k->skel->maps.kicks, k->nr_cpus) : -ENOMEM;

	for (uint32_t i = 0; i < cfg->nr_monitors && !r; i++) {
		struct monitor_state state = cfg->state[i];

		*table = *cfg->table[i];
		table->policy = AUTOMATON_KEEP; /* the monitor's own is applied behind the step */
		state.first = next;
		r = map_put(k->skel->maps.tables, i, table);
		r = r ?: map_put(k->skel->maps.monitors, i, &state);
		r = r ?: fixed_make(k, i, state.scope, &next);
	}
	for (uint32_t i = 0; i < cfg->max_instances && !r; i++, next++)
		r = bpf_map_update_elem(bpf_map__fd(k->skel->maps.free_slots), NULL, &next, BPF_ANY)
			    ? -errno
			    : 0;
	return r;
}

static int make_timers(struct monitor_bpf *s, struct tocsin_err *err)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	if (bpf_prog_test_run_opts(bpf_program__fd(s->progs.make_timers), &opts))
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

static int on_event(void *ctx, void *data, size_t size)
{
	struct monitor_kernel *k = ctx;

	(void)size; /* each type has its own */
	k->r = k->r ?: k->fn(k->arg, data);
	return k->r;
}

static int load(struct monitor_kernel *k, const struct monitor_kernel_config *cfg,
		struct tocsin_err *err)
{
	int r;

	k->skel = monitor_bpf__open();
	if (!k->skel)
		return tocsin_err_fail(-errno, err, "cannot open the kernel half: %s",
				       complaint_last());
	r = configure(k, cfg);
	if (r)
		return tocsin_err_fail(r, err, "cannot set the limits of the kernel half: %s",
				       strerror(-r));
	r = monitor_bpf__load(k->skel);
	if (r)
		return tocsin_err_fail(r, err, "cannot load the kernel half: %s%s%s", strerror(-r),
				       complaint_last()[0] ? ": " : "", complaint_last());
	r = fill(k, cfg);
	if (r)
		return tocsin_err_fail(r, err, "cannot fill the maps of the kernel half: %s",
				       strerror(-r));
	r = make_timers(k->skel, err);
	if (r)
		return r;
	k->ring = ring_buffer__new(bpf_map__fd(k->skel->maps.events), on_event, k, NULL);
	return k->ring ? 0
		       : tocsin_err_fail(-errno, err, "cannot map the event ring: %s",
					 strerror(errno));
}

int monitor_kernel_open(const struct monitor_kernel_config *cfg, struct monitor_kernel **ret,
			struct tocsin_err *err)
{
	libbpf_print_fn_t previous;
	struct monitor_kernel *k;
	int r = -ENOMEM;

	if (!access("/sys/kernel/realtime", F_OK))
		return tocsin_err_fail(
			-ENOTSUP, err,
			"this is a real-time kernel (PREEMPT_RT): its timers run in threads, which the kernel half is not made for");
	previous = libbpf_set_print(complaint_keep);
	k = calloc(1, sizeof(*k));
	complaint_clear();
	if (k) {
		k->nr_monitors = cfg->nr_monitors;
		k->nr_cpus = libbpf_num_possible_cpus();
		k->per_cpu = calloc(k->nr_cpus > 0 ? (size_t)k->nr_cpus : 1, sizeof(*k->per_cpu));
		r = k->nr_cpus < 0 ? k->nr_cpus : k->per_cpu ? load(k, cfg, err) : -ENOMEM;
	}
	(void)libbpf_set_print(previous);
	(void)malloc_trim(0); /* the kernel's types were some 20 MB for a moment */
	if (r) {
		(void)monitor_kernel_close(k); /* always NULL */
		return r;
	}
	*ret = k;
	return 0;
}

static int load_empty(struct monitor_kernel *k, struct tocsin_err *err)
{
	struct bpf_program *p;
	int r = 0;

	k->skel = monitor_bpf__open();
	if (!k->skel)
		return tocsin_err_fail(-errno, err, "cannot open the kernel half");
	bpf_object__for_each_program(p, k->skel->obj)
	{
		r = r ?: bpf_program__set_autoload(p, p == k->skel->progs.on_prctl_empty);
	}
	r = r ?: monitor_bpf__load(k->skel);
	return r ? tocsin_err_fail(r, err, "cannot load an empty program: %s", strerror(-r))
		 : monitor_kernel_attach(k, err);
}

int monitor_kernel_open_empty(struct monitor_kernel **ret, struct tocsin_err *err)
{
	libbpf_print_fn_t previous = libbpf_set_print(complaint_keep);
	struct monitor_kernel *k = calloc(1, sizeof(*k));
	int r = k ? load_empty(k, err) : -ENOMEM;

	(void)libbpf_set_print(previous);
	if (r)
		(void)monitor_kernel_close(k); /* always NULL */
	else
		*ret = k;
	return r;
}

struct monitor_kernel *monitor_kernel_close(struct monitor_kernel *k)
{
	if (!k)
		return NULL;
	for (size_t i = 0; i < k->nr_links; i++)
		(void)bpf_link__destroy(k->link[i]); /* the kernel cannot refuse */
	ring_buffer__free(k->ring);
	monitor_bpf__destroy(k->skel);
	free(k->per_cpu);
	free(k);
	return NULL;
}

int monitor_kernel_rule(struct monitor_kernel *k, uint32_t at, const struct monitor_rule *rule)
{
	return map_put(k->skel->maps.rules, at, rule);
}

int monitor_kernel_point(struct monitor_kernel *k, uint32_t at, const struct monitor_point *point)
{
	return map_put(k->skel->maps.points, at, point);
}

int monitor_kernel_watch(struct monitor_kernel *k, uint32_t tgid)
{
	uint32_t one = 1;

	return map_put(k->skel->maps.processes, tgid, &one);
}

int monitor_kernel_attach(struct monitor_kernel *k, struct tocsin_err *err)
{
	libbpf_print_fn_t previous = libbpf_set_print(complaint_keep);
	struct bpf_object *o = k->skel->obj;
	struct bpf_program *p;
	int r = 0;

	bpf_object__for_each_program(p, o)
	{
		const char *section = bpf_program__section_name(p);

		if (r || !bpf_program__autoload(p) || strncmp(section, "tp_btf/", 7) != 0)
			continue;
		k->link[k->nr_links] = bpf_program__attach(p);
		if (k->link[k->nr_links])
			k->nr_links++;
		else
			r = tocsin_err_fail(-errno, err, "cannot attach '%s': %s", section,
					    strerror(errno));
		if (k->nr_links == sizeof(k->link) / sizeof(k->link[0]))
			r = tocsin_err_fail(-E2BIG, err, "more programs than links");
	}
	(void)libbpf_set_print(previous);
	return r;
}

void monitor_kernel_arm(struct monitor_kernel *k, bool is_armed)
{
	__atomic_store_n(&k->skel->bss->is_armed, is_armed, __ATOMIC_RELEASE);
}

int monitor_kernel_attach_uprobes(struct monitor_kernel *k, const struct watch_uprobes *u,
				  struct watch_link **ret_link, struct tocsin_err *err)
{
	return watch_links_attach(k->skel->progs.on_probe, k->has_multi, u, ret_link, err);
}

int monitor_kernel_attach_tracepoint(struct monitor_kernel *k, const char *category,
				     const char *name, uint32_t cookie,
				     struct watch_link **ret_link, struct tocsin_err *err)
{
	return watch_link_tracepoint(k->skel->progs.on_record, category, name, cookie, ret_link,
				     err);
}

int monitor_kernel_fd(struct monitor_kernel *k)
{
	return ring_buffer__epoll_fd(k->ring);
}

int monitor_kernel_consume(struct monitor_kernel *k, monitor_event_fn *fn, void *arg)
{
	int r;

	k->fn = fn;
	k->arg = arg;
	k->r = 0;
	r = ring_buffer__consume(k->ring);
	return k->r ?: r < 0 ? r : 0;
}

void monitor_kernel_losses(struct monitor_kernel *k, uint64_t loss[MONITOR_LOSS_NR])
{
	for (unsigned i = 0; i < MONITOR_LOSS_NR; i++)
		loss[i] = __atomic_load_n(&k->skel->bss->losses[i], __ATOMIC_RELAXED);
}

uint64_t monitor_kernel_timer_runs(struct monitor_kernel *k)
{
	return __atomic_load_n(&k->skel->bss->nr_timer_runs, __ATOMIC_RELAXED);
}

int monitor_kernel_state(struct monitor_kernel *k, uint32_t monitor, struct monitor_state *ret)
{
	uint32_t nr = bpf_map__max_entries(k->skel->maps.slots);
	struct monitor_slot slot;

	if (bpf_map_lookup_elem(bpf_map__fd(k->skel->maps.monitors), &monitor, ret))
		return -errno;
	if (bpf_map_lookup_elem(bpf_map__fd(k->skel->maps.steps), &monitor, k->per_cpu))
		return -errno;
	ret->steps = 0;
	for (int i = 0; i < k->nr_cpus; i++)
		ret->steps += k->per_cpu[i];
	ret->instances = 0;
	for (uint32_t i = 1; i < nr; i++)
		if (!bpf_map_lookup_elem(bpf_map__fd(k->skel->maps.slots), &i, &slot))
			ret->instances += slot.in.host16 == monitor + 1;
	return 0;
}

int monitor_kernel_covered(struct monitor_kernel *k, uint32_t monitor, struct monitor_covered *ret)
{
	return bpf_map_lookup_elem(bpf_map__fd(k->skel->maps.coverage), &monitor, ret) ? -errno : 0;
}

struct object {
	uint64_t key;
	uint32_t tgid;
	uint32_t monitor;
};

/* The kernel half gives back a slot under its lock; from here it is enough that nobody is left who
 * would step it. */
static void object_give(struct monitor_kernel *k, const struct object *id)
{
	struct monitor_slot nobody = {0};
	uint32_t slot;

	if (bpf_map_lookup_elem(bpf_map__fd(k->skel->maps.objects), id, &slot))
		return;
	(void)bpf_map_delete_elem(bpf_map__fd(k->skel->maps.objects), id); /* it was there */
	if (map_put(k->skel->maps.slots, slot, &nobody) == 0)
		(void)bpf_map_update_elem(bpf_map__fd(k->skel->maps.free_slots), NULL, &slot,
					  BPF_ANY); /* there is room: it was taken from there */
}

int monitor_kernel_forget(struct monitor_kernel *k, uint32_t tgid)
{
	int fd = bpf_map__fd(k->skel->maps.objects), nr = 0;
	struct object id, next;
	int r = bpf_map_get_next_key(fd, NULL, &next);

	while (r == 0) {
		id = next;
		r = bpf_map_get_next_key(fd, &id, &next);
		if (id.tgid == tgid || (!id.tgid && id.key == tgid)) {
			object_give(k, &id);
			nr++;
		}
	}
	return nr;
}
