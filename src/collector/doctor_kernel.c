// SPDX-License-Identifier: MIT
/*
 * Rows that load something into the kernel and see whether it works there: types, tables, scheduler
 * hooks, timers, task work, stacks.
 *
 * Two ways to a program. One that is nothing but `return 0` is two raw instructions: it shows that
 * the kernel takes a program of this type at this hook. One that does something is in
 * bpf/doctor.bpf.c; each is loaded from an object of its own, with the other programs and maps left
 * out (doctor_part_load()), and then run or attached, and its effect looked at.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "../base/cleanup.h"
#include "../base/parse.h"
#include "../base/text.h"
#include "doctor_bpf.h"
#include "doctor_probe.h"

#define MEMBER_DEPTH  16 /* unnamed structs and unions pending while a member is looked for */
#define STORAGE_VALUE 4711
#define TIMER_ABSOLUTE \
	1 /* BPF_F_TIMER_ABS, BPF_F_TIMER_CPU_PIN: not in the headers of older kernels */
#define TIMER_PINNED 2

static const char license[] = "Dual MIT/GPL";

/* r0 = 0; exit */
static const struct bpf_insn return_zero[] = {
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
	{.code = BPF_JMP | BPF_EXIT},
};

static void work_destroyp(struct doctor_work_bpf **object)
{
	doctor_work_bpf__destroy(*object);
}

static void btf_freep(struct btf **btf)
{
	btf__free(*btf);
}

void doctor_kernel_begin(struct doctor *d)
{
	d->print = (void (*)(void))libbpf_set_print(NULL);
	doctor_half_start(d);
}

void doctor_kernel_end(struct doctor *d)
{
	doctor_events_done(d);
	btf__free(d->vmlinux);
	(void)libbpf_set_print((libbpf_print_fn_t)d->print); /* returns ours, which is none */
}

/* ---- types ---- */

void probe_btf(struct doctor *d, struct doctor_row *row)
{
	d->vmlinux = btf__load_vmlinux_btf();
	if (!d->vmlinux) {
		/* libbpf has looked in /boot too, and then says ESRCH */
		d->vmlinux_err = errno == ESRCH ? -ENOENT : -errno;
		doctor_no(row, d->vmlinux_err, "/sys/kernel/btf/vmlinux");
		return;
	}
	d->vmlinux_err = 0;
	if (btf__find_by_name_kind(d->vmlinux, "task_struct", BTF_KIND_STRUCT) < 0)
		doctor_no(row, 0, "%u types, and task_struct is not among them",
			  btf__type_cnt(d->vmlinux));
	else
		doctor_yes(row, "%u types", btf__type_cnt(d->vmlinux));
}

/* A member of a struct, also inside unnamed structs and unions. Return: its type, NULL: there is
 * none. */
static const struct btf_type *member_find(const struct btf *btf, const char *struct_name,
					  const char *member)
{
	int id = btf ? btf__find_by_name_kind(btf, struct_name, BTF_KIND_STRUCT) : -ENOENT;
	int pending[MEMBER_DEPTH] = {id};
	unsigned nr = id < 0 ? 0 : 1;

	while (nr > 0) {
		const struct btf_type *type = btf__type_by_id(btf, (__u32)pending[--nr]);
		const struct btf_member *m = btf_members(type);

		for (unsigned i = 0; i < btf_vlen(type); i++, m++) {
			const char *name = btf__name_by_offset(btf, m->name_off);
			int member_type = btf__resolve_type(btf, m->type);

			if (member_type < 0)
				continue;
			if (name && strcmp(name, member) == 0)
				return btf__type_by_id(btf, (__u32)member_type);
			if ((!name || !name[0]) && nr < MEMBER_DEPTH &&
			    btf_is_composite(btf__type_by_id(btf, (__u32)member_type)))
				pending[nr++] = member_type;
		}
	}
	return NULL;
}

/* ---- programs of two instructions ---- */

static int program_load(enum bpf_prog_type type, unsigned attach_type, int btf_id, unsigned flags)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach_type,
		    .attach_btf_id = (__u32)btf_id, .prog_flags = flags);

	return bpf_prog_load(type, "tocsin_doctor", license, return_zero,
			     sizeof(return_zero) / sizeof(return_zero[0]), &opts);
}

/* Load a program for a tracepoint that has BTF and attach it. Return: the link, or -errno. */
static int hook_open(const struct btf *btf, const char *tracepoint)
{
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = -1;
	char name[64];
	int id, link;

	(void)snprintf(name, sizeof(name), "btf_trace_%s", tracepoint);
	id = btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF);
	if (id < 0)
		return id;
	fd = program_load(BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, id, 0);
	if (fd < 0)
		return fd;
	link = bpf_raw_tracepoint_open(NULL, fd);
	return link;
}

void probe_sched_hooks(struct doctor *d, struct doctor_row *row)
{
	static const char *const hooks[] = {
		"sched_switch",       "sched_waking",       "sched_wakeup",      "sched_wakeup_new",
		"sched_process_fork", "sched_process_exec", "sched_process_exit"};
	const size_t nr = sizeof(hooks) / sizeof(hooks[0]);
	char fails[DOCTOR_TEXT_LEN];
	struct tocsin_text t;
	size_t good = 0;
	int err = 0;

	if (!d->vmlinux) {
		doctor_no(row, d->vmlinux_err, "no kernel types to find them by");
		return;
	}
	tocsin_text_init(&t, fails, sizeof(fails));
	for (size_t i = 0; i < nr; i++) {
		int link = hook_open(d->vmlinux, hooks[i]);

		if (link >= 0) {
			good++;
			(void)close(link); /* detaches */
			continue;
		}
		/* One reason is told in full; the names of all. */
		if (!err)
			err = link;
		tocsin_text_add(&t, "%s%s", t.used ? ", " : "", hooks[i]);
	}
	if (!err)
		doctor_yes(row, "%zu of %zu attached", good, nr);
	else if (good)
		doctor_no(row, err, "%s (%zu others attached)", fails, good);
	else
		doctor_no(row, err, "none of %zu accepted", nr);
}

void probe_prog_types(struct doctor *d, struct doctor_row *row)
{
	static const struct {
		enum bpf_prog_type type;
		unsigned flags;
		const char *name;
	} types[] = {
		{BPF_PROG_TYPE_KPROBE, 0, "kprobe"},
		{BPF_PROG_TYPE_TRACEPOINT, 0, "tracepoint"},
		{BPF_PROG_TYPE_RAW_TRACEPOINT, 0, "raw tracepoint"},
		{BPF_PROG_TYPE_SYSCALL, BPF_F_SLEEPABLE, "syscall"},
	};
	char works[128], fails[128];
	struct tocsin_text good, bad;
	int err = 0;

	(void)d;
	tocsin_text_init(&good, works, sizeof(works));
	tocsin_text_init(&bad, fails, sizeof(fails));
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		int fd = program_load(types[i].type, 0, 0, types[i].flags);
		struct tocsin_text *t = fd < 0 ? &bad : &good;

		if (fd < 0)
			err = fd;
		else
			(void)close(fd);
		tocsin_text_add(t, "%s%s", t->used ? ", " : "", types[i].name);
	}
	if (bad.used)
		doctor_no(row, err, "%s", fails);
	else
		doctor_yes(row, "%s", works);
}

/* Reads the first word of the running task, as every hook of the kernel half does with other
 * fields. */
void probe_kernel_memory(struct doctor *d, struct doctor_row *row)
{
	static const struct bpf_insn insns[] = {
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_current_task},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_3, .src_reg = BPF_REG_0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .imm = -8},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_kernel},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	TOCSIN_CLEANUP(tocsin_close_fdp)
	int fd = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "tocsin_doctor", license, insns,
			       sizeof(insns) / sizeof(insns[0]), NULL);
	int r;

	if (fd < 0) {
		doctor_no(row, fd, "bpf_probe_read_kernel(); lockdown is %s",
			  d->report->facts.lockdown);
		return;
	}
	r = bpf_prog_test_run_opts(fd, &opts);
	if (r < 0)
		doctor_partly(row, "%s: accepted, but not run", doctor_errno_name(r));
	else if (opts.retval)
		doctor_no(row, (int)opts.retval, "reading the running task");
	else
		doctor_yes(row, "read the running task");
}

/* ---- tables ---- */

void probe_task_storage(struct doctor *d, struct doctor_row *row)
{
	TOCSIN_CLEANUP(btf_freep) struct btf *btf = btf__new_empty();
	TOCSIN_CLEANUP(tocsin_close_fdp) int map = -1;
	TOCSIN_CLEANUP(tocsin_close_fdp) int pidfd = -1;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	int value = STORAGE_VALUE, read_back = 0;
	int id, r;

	(void)d;
	id = btf ? btf__add_int(btf, "int", sizeof(value), BTF_INT_SIGNED) : -ENOMEM;
	r = id < 0 ? id : btf__load_into_kernel(btf);
	if (r < 0) {
		doctor_no(row, r, "giving the kernel the type of the values");
		return;
	}
	opts.btf_fd = (__u32)btf__fd(btf);
	opts.btf_key_type_id = opts.btf_value_type_id = (__u32)id;
	map = bpf_map_create(BPF_MAP_TYPE_TASK_STORAGE, "tocsin_doctor", sizeof(int), sizeof(value),
			     0, &opts);
	if (map < 0) {
		doctor_no(row, map, "creating the map");
		return;
	}
	pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (pidfd < 0) {
		doctor_no(row, errno, "pidfd_open()");
		return;
	}
	r = bpf_map_update_elem(map, &pidfd, &value, BPF_ANY);
	if (r == 0)
		r = bpf_map_lookup_elem(map, &pidfd, &read_back);
	if (r < 0)
		doctor_no(row, r, "storing a value for this thread");
	else if (read_back != value)
		doctor_no(row, 0, "stored %d, read %d", value, read_back);
	else
		doctor_yes(row, "a value stored for this thread, read back");
}

static int record_seen(void *ctx, void *data, size_t len)
{
	(void)data;
	*(size_t *)ctx = len;
	return 0;
}

void probe_ring_buffer(struct doctor *d, struct doctor_row *row)
{
	static const struct doctor_part part = {.program = "ring_put", .map = "ring"};
	TOCSIN_CLEANUP(doctor_bpf_destroyp) struct doctor_bpf *object = NULL;
	struct ring_buffer *reader;
	size_t len = 0;
	int r = doctor_part_load(&part, &object);

	(void)d;
	if (r < 0) {
		doctor_no(row, r, "creating it, and a program that writes to it");
		return;
	}
	reader = ring_buffer__new(bpf_map__fd(object->maps.ring), record_seen, &len, NULL);
	if (!reader) {
		doctor_no(row, errno, "mapping it");
		return;
	}
	r = doctor_program_run(object->progs.ring_put);
	if (r == 0)
		r = ring_buffer__consume(reader);
	if (r < 0)
		doctor_no(row, r, "writing a record and reading it");
	else if (r != 1)
		doctor_no(row, 0, "one record written, %d read", r);
	else
		doctor_yes(row, "a record of %zu bytes went through", len);
	ring_buffer__free(reader);
}

/* ---- timers ---- */

void probe_timer(struct doctor *d, struct doctor_row *row)
{
	static const struct doctor_part part = {.program = "timer_start", .map = "timers"};
	TOCSIN_CLEANUP(doctor_bpf_destroyp) struct doctor_bpf *object = NULL;
	uint64_t fired_ns, late_ns;
	char late[24];
	int r = doctor_part_load(&part, &object);

	(void)d;
	if (r < 0) {
		doctor_no(row, r, "loading a program with a timer");
		return;
	}
	r = doctor_program_run(object->progs.timer_start);
	if (r < 0) {
		doctor_no(row, r, "starting it");
		return;
	}
	fired_ns = doctor_wait(&object->bss->timer_fired_ns);
	if (!fired_ns) {
		doctor_no(row, 0, "due after 1 ms, not fired after 10 ms");
		return;
	}
	late_ns = fired_ns > object->bss->timer_due_ns ? fired_ns - object->bss->timer_due_ns : 0;
	(void)tocsin_format_duration(late_ns, late, sizeof(late));
	if (object->bss->timer_flags == (TIMER_ABSOLUTE | TIMER_PINNED) &&
	    object->bss->timer_fired_cpu == object->bss->timer_cpu) {
		doctor_yes(row, "fired %s late, pinned to its CPU", late);
		return;
	}
	doctor_partly(row, "fired %s late, but may fire on another CPU", late);
	doctor_means(
		row,
		"a deadline may be looked at from another CPU, and then rings at the next switch");
	doctor_remedy(row, "Linux >= 6.7");
}

void probe_timer_hook(struct doctor *d, struct doctor_row *row)
{
	static const struct doctor_part part = {.program = "timer_hook", .map = "timers"};
	TOCSIN_CLEANUP(doctor_bpf_destroyp) struct doctor_bpf *object = NULL;
	int r = doctor_part_load(&part, &object);

	(void)d;
	if (r < 0)
		doctor_no(row, r, "loading a program for sched_switch with a timer");
	else
		doctor_yes(row, "accepted for sched_switch");
}

/* The two functions are called by number: r0 = bpf_task_from_pid(tid); if (r0) {
 * bpf_task_release(r0); r0 = 0 } else r0 = 1 */
void probe_task_lookup(struct doctor *d, struct doctor_row *row)
{
	int find = d->vmlinux
			   ? btf__find_by_name_kind(d->vmlinux, "bpf_task_from_pid", BTF_KIND_FUNC)
			   : -ENOENT;
	int release =
		d->vmlinux ? btf__find_by_name_kind(d->vmlinux, "bpf_task_release", BTF_KIND_FUNC)
			   : -ENOENT;
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1, .imm = gettid()},
		{.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_KFUNC_CALL, .imm = find},
		{.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .off = 4, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_KFUNC_CALL, .imm = release},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_SLEEPABLE);
	LIBBPF_OPTS(bpf_test_run_opts, run);
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = -1;
	int r;

	if (find < 0 || release < 0) {
		doctor_no(row, d->vmlinux_err, "this kernel has no bpf_task_from_pid()");
		return;
	}
	fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "tocsin_doctor", license, insns,
			   sizeof(insns) / sizeof(insns[0]), &opts);
	if (fd < 0) {
		doctor_no(row, fd, "loading a program that calls bpf_task_from_pid()");
		return;
	}
	r = bpf_prog_test_run_opts(fd, &run);
	if (r < 0)
		doctor_no(row, r, "running a program that calls bpf_task_from_pid()");
	else if (run.retval)
		doctor_partly(row,
			      "bpf_task_from_pid() does not find this thread: in a pid namespace");
	else
		doctor_yes(row, "bpf_task_from_pid() found this one");
}

/* ---- stacks ---- */

void probe_stack_at_wake(struct doctor *d, struct doctor_row *row)
{
	static const struct doctor_part part = {.program = "stack_at_wake",
						.second = "remember_me"};
	TOCSIN_CLEANUP(doctor_bpf_destroyp) struct doctor_bpf *object = NULL;
	TOCSIN_CLEANUP(doctor_link_destroyp) struct bpf_link *link = NULL;
	const volatile __u32 *stacks;
	int r = doctor_part_load(&part, &object);

	(void)d;
	if (r < 0) {
		doctor_no(row, r, "loading a program for sched_waking");
		return;
	}
	r = doctor_program_run(object->progs.remember_me);
	if (r < 0) {
		doctor_no(row, r, "running a program");
		return;
	}
	stacks = &object->bss->stacks;
	link = bpf_program__attach_trace(object->progs.stack_at_wake);
	if (!link) {
		doctor_no(row, errno, "attaching it to sched_waking");
		return;
	}
	for (unsigned i = 0; i < DOCTOR_NAPS && !*stacks; i++)
		doctor_nap();
	if (!*stacks)
		doctor_no(row, 0, "slept %d times, no wake-up of this thread was seen",
			  DOCTOR_NAPS);
	else if (object->bss->stack_bytes <= 0)
		doctor_no(row, object->bss->stack_bytes, "bpf_get_task_stack()");
	else
		doctor_yes(row, "%zu frames of this thread's sleep",
			   (size_t)object->bss->stack_bytes / sizeof(__u64));
}

void probe_task_work(struct doctor *d, struct doctor_row *row)
{
	TOCSIN_CLEANUP(work_destroyp) struct doctor_work_bpf *object = NULL;
	const volatile __u32 *runs;
	int r;

	if (!d->vmlinux) {
		doctor_no(row, d->vmlinux_err, "no kernel types to find it by");
		return;
	}
	if (btf__find_by_name_kind(d->vmlinux, "bpf_task_work_schedule_resume_impl",
				   BTF_KIND_FUNC) < 0) {
		doctor_no(row, 0, "this kernel has no bpf_task_work_schedule_resume_impl()");
		return;
	}
	object = doctor_work_bpf__open();
	if (!object) {
		doctor_no(row, errno, "opening a program that asks for it");
		return;
	}
	r = doctor_work_bpf__load(object);
	if (r < 0) {
		doctor_no(row, r, "loading a program that asks for it");
		return;
	}
	runs = &object->bss->work_runs;
	r = doctor_program_run(object->progs.work_ask);
	for (unsigned i = 0; r == 0 && i < DOCTOR_NAPS && !*runs; i++)
		doctor_nap();
	if (r < 0)
		doctor_no(row, r, "asking for it");
	else if (!*runs)
		doctor_no(row, 0, "asked for, not run within 10 ms");
	else
		doctor_yes(row, "ran on the way back to user mode");
}

void probe_fentry(struct doctor *d, struct doctor_row *row)
{
	/* The first is there for tests of just this; the others are in every kernel. */
	static const char *const functions[] = {"bpf_fentry_test1", "wake_up_new_task", "do_exit"};
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = -1;
	TOCSIN_CLEANUP(tocsin_close_fdp) int link = -1;
	int id = -ENOENT;
	size_t i;

	if (!d->vmlinux) {
		doctor_no(row, d->vmlinux_err, "no kernel types to find functions by");
		return;
	}
	for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		id = btf__find_by_name_kind(d->vmlinux, functions[i], BTF_KIND_FUNC);
		if (id >= 0)
			break;
	}
	if (id < 0) {
		doctor_no(row, id, "no function to try it on");
		return;
	}
	fd = program_load(BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, id, 0);
	if (fd < 0) {
		doctor_no(row, fd, "loading a program for %s()", functions[i]);
		return;
	}
	link = bpf_raw_tracepoint_open(NULL, fd);
	if (link < 0)
		doctor_no(row, link, "attaching to %s()", functions[i]);
	else
		doctor_yes(row, "attached to %s()", functions[i]);
}

/* ---- evidence ---- */

void probe_disk_hook(struct doctor *d, struct doctor_row *row)
{
	TOCSIN_CLEANUP(tocsin_close_fdp) int link = -1;

	if (!d->vmlinux) {
		doctor_no(row, d->vmlinux_err, "no kernel types to find it by");
		return;
	}
	link = hook_open(d->vmlinux, "block_rq_complete");
	if (link < 0)
		doctor_no(row, link, "block_rq_complete");
	else
		doctor_yes(row, "block_rq_complete attached");
}

void probe_throttled(struct doctor *d, struct doctor_row *row)
{
	bool of_task = member_find(d->vmlinux, "task_struct", "throttled") != NULL;
	bool has_flag = of_task || member_find(d->vmlinux, "cfs_rq", "throttle_count") != NULL;
	const char *flag = of_task ? "task_struct.throttled" : "cfs_rq.throttle_count";
	bool has_clock = member_find(d->vmlinux, "cfs_rq", "throttled_clock_self_time") != NULL;

	if (!d->vmlinux)
		doctor_no(row, d->vmlinux_err, "no kernel types to look into");
	else if (has_flag && has_clock)
		doctor_yes(row, "%s, cfs_rq.throttled_clock_self_time", flag);
	else if (has_flag || has_clock)
		doctor_partly(row, "%s, but no %s",
			      has_flag ? flag : "cfs_rq.throttled_clock_self_time",
			      has_flag ? "cfs_rq.throttled_clock_self_time" : flag);
	else
		doctor_no(row, 0, "no throttle_count and no throttled_clock_self_time in cfs_rq");
}

void probe_lock_owner(struct doctor *d, struct doctor_row *row)
{
	const struct btf_type *blocked_on = member_find(d->vmlinux, "task_struct", "blocked_on");
	const struct btf_type *pointee = NULL;
	bool has_blocker = member_find(d->vmlinux, "task_struct", "blocker") != NULL;
	bool has_mutex = false;

	if (!d->vmlinux) {
		doctor_no(row, d->vmlinux_err, "no kernel types to look into");
		return;
	}
	/* Older kernels have a blocked_on for debugging that points to a waiter, not to a mutex. */
	if (blocked_on && btf_is_ptr(blocked_on))
		pointee = btf__type_by_id(d->vmlinux, blocked_on->type);
	if (pointee)
		has_mutex =
			strcmp(btf__name_by_offset(d->vmlinux, pointee->name_off), "mutex") == 0;
	if (has_mutex && has_blocker)
		doctor_yes(row, "task_struct.blocked_on and .blocker");
	else if (has_mutex)
		doctor_partly(row, "mutexes only: task_struct.blocked_on, no .blocker");
	else if (has_blocker)
		doctor_partly(row, "task_struct.blocker, no .blocked_on");
	else
		doctor_no(row, 0, "neither task_struct.blocked_on nor .blocker");
}
