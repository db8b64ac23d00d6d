// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The kernel half of `tocsin record -k`: tracepoints become records in the ring of their CPU
 * (record_ring.h). The groups of abi/kernel_events.def have a program each on the raw tracepoint,
 * with its types from BTF; any other tracepoint goes through one program that copies its record by
 * a plan which the collector made of its format.
 *
 * Whose events: all processes', or those in a table, which new processes enter when one that is
 * there forks them. Events of an interrupt belong to the process that it interrupted. Completions
 * belong to whoever issued the request. Nothing of tocsin itself is recorded, unless asked for, but
 * switches from and to it, without which a CPU's time would have holes.
 *
 * The kernel runs no program inside itself on one CPU (and none of the plan's programs inside
 * another): it counts such events for us, and the loader adds them up. So one program's scratch
 * memory on a CPU has one user.
 */
#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "record_ring.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

const volatile __u32 own_tgid;
const volatile bool with_self;
const volatile bool watch_all;
const volatile bool follow;
const volatile bool is_wanted_event[KERNEL_EVENT_NR]; /* else the program only keeps the table */
const volatile __u32 contexts;                        /* mask of abi/context.def */
const volatile __u32 context_bytes;                   /* of a record, a multiple of 8 */
const volatile __u32 first_id;                        /* of the records of KERNEL_EVENT 0 */

volatile __u32 is_on;
__u64 nr_processes;

/* Key: thread group. Value: 1. Full: LOSS_PROCESSES. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u32);
} processes SEC(".maps");

/* Key: request. Value: when it was issued. Full: LOSS_REQUESTS. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u64);
} requests SEC(".maps");

/* Key: cookie of the link. Value: what to copy. Sized by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kernel_plan);
} plans SEC(".maps");

/* Payloads of variable length: one for exec, one for plans. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u8[2 * RING_PAYLOAD_MAX]);
} scratch SEC(".maps");

/* Not in kernel.h: read by recordings only. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct irqaction {
	const char *name;
};

struct linux_binprm {
	const char *filename;
};

struct gendisk {
	int major;
	int first_minor;
};

struct request_queue {
	struct gendisk *disk;
};

struct request___record {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int __data_len;
	__u64 __sector;
	struct block_device *part;
};

struct task_struct___record {
	int exit_code;
};

struct pt_regs___arm64 {
	__u64 regs[31];
	int syscallno;
};

#pragma clang attribute pop

/* --- whose events --- */

INLINE bool is_in_table(__u32 tgid)
{
	return bpf_map_lookup_elem(&processes, &tgid) != NULL;
}

/* Of the thread that runs. */
INLINE bool is_ours(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (!is_on || (tgid == own_tgid && !with_self))
		return false;
	return watch_all || is_in_table(tgid);
}

/* Of the thread that runs, or about a thread that is recorded. */
INLINE bool is_about_ours(struct task_struct *task)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (!is_on || (tgid == own_tgid && !with_self))
		return false;
	return watch_all || is_in_table(task->tgid) || is_in_table(tgid);
}

/* --- writing --- */

INLINE void contexts_put(void *at)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 used = 0;

	if (contexts & 1u << CONTEXT_TID) {
		*(__u32 *)at = (__u32)pid_tgid;
		used = 4;
	}
	if (contexts & 1u << CONTEXT_PID) {
		*(__u32 *)(at + used) = pid_tgid >> 32;
		used += 4;
	}
	if (contexts & 1u << CONTEXT_COMM) {
		bpf_get_current_comm(at + used, 16);
		used += 16;
	}
	if (contexts & 1u << CONTEXT_CPU) {
		*(__u32 *)(at + used) = bpf_get_smp_processor_id();
		used += 4;
	}
	for (int i = CONTEXT_COOKIE; i <= CONTEXT_PERF1; i++)
		if (contexts & 1u << i) {
			used = (used + 7) & ~7u;
			*(__u64 *)(at + used) = 0;
			used += 8;
		}
	if (used & 7)
		*(__u32 *)(at + used) = 0;
}

/* A payload of constant size. */
#define record_put(event, e)                                                                       \
	do {                                                                                       \
		struct claim c_;                                                                   \
		if (ring_claim(&c_, first_id + KERNEL_EVENT_##event, context_bytes + sizeof(e))) { \
			void *at_ = claim_payload(&c_);                                            \
			contexts_put(at_);                                                         \
			__builtin_memcpy(at_ + context_bytes, &(e), sizeof(e));                    \
			claim_release(&c_);                                                        \
		}                                                                                  \
	} while (0)

/* A payload of @bytes at @from, at most RING_PAYLOAD_MAX with the contexts. */
INLINE void record_put_bytes(__u32 id, const void *from, __u32 bytes)
{
	struct claim c;
	void *at;

	if (!ring_claim(&c, id, context_bytes + ((bytes + 7) & ~7u)))
		return;
	at = claim_payload(&c);
	if (context_bytes)
		contexts_put(at);
	bpf_probe_read_kernel(at + context_bytes, bytes & (2 * RING_PAYLOAD_MAX - 1), from);
	claim_release(&c);
}

#define SCRATCH_EXEC 0
#define SCRATCH_PLAN 1

INLINE __u8 *scratch_of(__u32 which)
{
	return bpf_map_lookup_elem(&scratch, &which);
}

/* --- sched --- */

INLINE void comm_of(char *comm, struct task_struct *task)
{
	bpf_probe_read_kernel(comm, 16, &task->comm);
}

INLINE __u8 task_state(bool preempt, __u32 state)
{
	if (preempt)
		return 8;
	if ((state & 0x402) == 0x402) /* TASK_IDLE */
		return 7;
	state &= 0xff;
	return !state         ? 0
	       : state & 0x01 ? 1
	       : state & 0x02 ? 2
	       : state & 0x04 ? 3
	       : state & 0x08 ? 4
	       : state & 0xb0 ? 5
	       : state & 0x40 ? 6
			      : 9;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int state)
{
	struct kernel_event_sched_switch e = {0};

	if (!is_on || (!watch_all && !is_in_table(prev->tgid) && !is_in_table(next->tgid)))
		return 0;
	comm_of(e.prev_comm, prev);
	e.prev_tid = prev->pid;
	e.prev_pid = prev->tgid;
	e.prev_prio = prev->prio;
	e.prev_state = task_state(preempt, state);
	comm_of(e.next_comm, next);
	e.next_tid = next->pid;
	e.next_pid = next->tgid;
	e.next_prio = next->prio;
	record_put(sched_switch, e);
	return 0;
}

#define WAKE(event)                                        \
	SEC("tp_btf/" #event)                              \
	int BPF_PROG(on_##event, struct task_struct *task) \
	{                                                  \
		struct kernel_event_##event e = {0};       \
		if (!is_about_ours(task))                  \
			return 0;                          \
		comm_of(e.wakee_comm, task);               \
		e.wakee_tid = task->pid;                   \
		e.wakee_pid = task->tgid;                  \
		e.wakee_prio = task->prio;                 \
		record_put(event, e);                      \
		return 0;                                  \
	}

WAKE(sched_waking)
WAKE(sched_wakeup)
WAKE(sched_wakeup_new)

SEC("tp_btf/sched_migrate_task")
int BPF_PROG(on_sched_migrate_task, struct task_struct *task, int dest_cpu)
{
	struct kernel_event_sched_migrate_task e = {0};

	if (!is_about_ours(task))
		return 0;
	comm_of(e.moved_comm, task);
	e.moved_tid = task->pid;
	e.moved_pid = task->tgid;
	e.dest_cpu = dest_cpu;
	record_put(sched_migrate_task, e);
	return 0;
}

/* A process that a recorded one makes is recorded, from here on. */
INLINE void process_enter(__u32 tgid)
{
	__u32 one = 1;

	if (bpf_map_update_elem(&processes, &tgid, &one, BPF_NOEXIST))
		lose(KERNEL_LOSS_PROCESSES);
	else
		__sync_fetch_and_add(&nr_processes, 1);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
	struct kernel_event_sched_process_fork e = {0};

	if (follow && !watch_all && parent->tgid != child->tgid && is_in_table(parent->tgid))
		process_enter(child->tgid);
	if (!is_wanted_event[KERNEL_EVENT_sched_process_fork] || !is_ours())
		return 0;
	e.child_tid = child->pid;
	e.child_pid = child->tgid;
	comm_of(e.child_comm, child);
	record_put(sched_process_fork, e);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_sched_process_exec, struct task_struct *task, int old_tid,
	     struct linux_binprm *binprm)
{
	struct kernel_event_sched_process_exec *e;
	long len;

	e = (void *)scratch_of(SCRATCH_EXEC);
	if (!e || !is_ours())
		return 0;
	e->old_tid = old_tid;
	len = bpf_probe_read_kernel_str(e->filename, KERNEL_FILENAME_MAX, binprm->filename);
	if (len < 1) {
		e->filename[0] = 0;
		len = 1;
	}
	record_put_bytes(first_id + KERNEL_EVENT_sched_process_exec, e,
			 __builtin_offsetof(struct kernel_event_sched_process_exec, filename) +
				 (__u32)len);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_sched_process_exit, struct task_struct *task)
{
	struct kernel_event_sched_process_exit e = {0};
	bool is_last = task->signal->live.counter == 0;
	__u32 tgid = task->tgid;

	if (is_wanted_event[KERNEL_EVENT_sched_process_exit] && is_ours()) {
		comm_of(e.exit_comm, task);
		e.exit_code = BPF_CORE_READ((struct task_struct___record *)task, exit_code);
		e.is_last = is_last;
		record_put(sched_process_exit, e);
	}
	if (is_last && !watch_all && bpf_map_delete_elem(&processes, &tgid) == 0)
		__sync_fetch_and_add(&nr_processes, -1);
	return 0;
}

/* --- irq --- */

SEC("tp_btf/irq_handler_entry")
int BPF_PROG(on_irq_handler_entry, int irq, struct irqaction *action)
{
	struct kernel_event_irq_handler_entry e = {0};

	if (!is_ours())
		return 0;
	e.irq = irq;
	bpf_probe_read_kernel_str(e.handler, sizeof(e.handler), action->name);
	record_put(irq_handler_entry, e);
	return 0;
}

SEC("tp_btf/irq_handler_exit")
int BPF_PROG(on_irq_handler_exit, int irq, struct irqaction *action, int ret)
{
	struct kernel_event_irq_handler_exit e = {.irq = irq, .ret = ret};

	if (is_ours())
		record_put(irq_handler_exit, e);
	return 0;
}

SEC("tp_btf/softirq_entry")
int BPF_PROG(on_softirq_entry, unsigned int vec)
{
	struct kernel_event_softirq_entry e = {.vec = (__u8)vec};

	if (is_ours())
		record_put(softirq_entry, e);
	return 0;
}

SEC("tp_btf/softirq_exit")
int BPF_PROG(on_softirq_exit, unsigned int vec)
{
	struct kernel_event_softirq_exit e = {.vec = (__u8)vec};

	if (is_ours())
		record_put(softirq_exit, e);
	return 0;
}

/* --- syscall --- */

SEC("tp_btf/sys_enter")
int BPF_PROG(on_sys_enter, struct pt_regs *regs, long nr)
{
	struct kernel_event_sys_enter e = {.nr = (__u32)nr};

	if (!is_ours())
		return 0;
#ifdef __TARGET_ARCH_x86
	e.args[0] = regs->di;
	e.args[1] = regs->si;
	e.args[2] = regs->dx;
	e.args[3] = regs->r10;
	e.args[4] = regs->r8;
	e.args[5] = regs->r9;
#else
	for (int i = 0; i < 6; i++)
		e.args[i] = BPF_CORE_READ((struct pt_regs___arm64 *)regs, regs[i]);
#endif
	record_put(sys_enter, e);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	struct kernel_event_sys_exit e = {.ret = ret};

	if (!is_ours())
		return 0;
#ifdef __TARGET_ARCH_x86
	e.nr = (__u32)regs->orig_ax;
#else
	e.nr = (__u32)BPF_CORE_READ((struct pt_regs___arm64 *)regs, syscallno);
#endif
	record_put(sys_exit, e);
	return 0;
}

/* --- block --- */

struct block_request {
	__u32 major, minor, bytes;
	__u8 op;
	__u64 sector;
};

INLINE void request_read(struct request *rq, struct block_request *ret)
{
	struct request___record *r = (void *)rq;
	struct block_device *part = BPF_CORE_READ(r, part);

	if (part) {
		__u32 dev = BPF_CORE_READ(part, bd_dev);

		ret->major = dev >> 20;
		ret->minor = dev & 0xfffff;
	} else {
		struct gendisk *disk = BPF_CORE_READ(r, q, disk);

		ret->major = disk ? (__u32)BPF_CORE_READ(disk, major) : 0;
		ret->minor = disk ? (__u32)BPF_CORE_READ(disk, first_minor) : 0;
	}
	ret->op = (__u8)BPF_CORE_READ(r, cmd_flags);
	ret->sector = BPF_CORE_READ(r, __sector);
	ret->bytes = BPF_CORE_READ(r, __data_len);
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(on_block_rq_issue, struct request *rq)
{
	struct kernel_event_block_rq_issue e = {0};
	struct block_request b = {0};
	__u64 key = (__u64)rq, now;

	if (!is_ours())
		return 0;
	now = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&requests, &key, &now, BPF_ANY))
		lose(KERNEL_LOSS_REQUESTS);
	request_read(rq, &b);
	e.major = b.major;
	e.minor = b.minor;
	e.op = b.op;
	e.sector = b.sector;
	e.bytes = b.bytes;
	record_put(block_rq_issue, e);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(on_block_rq_complete, struct request *rq, __u8 error, unsigned int bytes)
{
	struct kernel_event_block_rq_complete e = {0};
	struct block_request b = {0};
	__u64 key = (__u64)rq, *issued, took;

	if (!is_on)
		return 0;
	issued = bpf_map_lookup_elem(&requests, &key);
	if (!issued)
		return 0;
	took = bpf_ktime_get_ns() - *issued;
	request_read(rq, &b);
	if (bytes >= b.bytes)
		bpf_map_delete_elem(&requests, &key); /* the last part of it */
	e.major = b.major;
	e.minor = b.minor;
	e.op = b.op;
	e.sector = b.sector;
	e.bytes = bytes;
	e.error = error;
	e.took_ns = took;
	record_put(block_rq_complete, e);
	return 0;
}

/* --- any tracepoint --- */

struct copying {
	const void *ctx;
	const struct kernel_plan *plan;
	__u8 *to;
	__u32 used;
	__u32 is_cut;
};

#define PLAN_ROOM (RING_PAYLOAD_MAX - 64) /* beside the contexts */

static long part_copy(__u64 i, void *arg)
{
	struct copying *c = arg;
	const struct kernel_part *p;
	__u32 at, loc = 0, bytes, from, elem;

	if (i >= KERNEL_PARTS_MAX)
		return 1;
	p = &c->plan->part[i];
	at = (c->used + p->align - 1) & ~((__u32)p->align - 1);
	from = p->from;
	bytes = p->bytes;
	elem = bytes ? bytes : 1;
	if (p->kind != KERNEL_PART_FIXED) {
		bpf_probe_read_kernel(&loc, sizeof(loc), c->ctx + from);
		from = (loc & 0xffff) +
		       (p->kind >= KERNEL_PART_STRING_REL ? from + (__u32)sizeof(loc) : 0);
		bytes = loc >> 16;
		if (bytes > KERNEL_VARIABLE_MAX) {
			bytes = KERNEL_VARIABLE_MAX;
			c->is_cut = 1;
		}
	}
	if (at + bytes + 16 > PLAN_ROOM) {
		c->is_cut = 1;
		bytes = 0;
		if (p->kind == KERNEL_PART_FIXED || at + 16 > RING_PAYLOAD_MAX - 48)
			return 1; /* the plan's fixed parts fit: the collector has seen to that */
	}
	at &= RING_PAYLOAD_MAX - 1;
	if (p->kind == KERNEL_PART_SEQUENCE || p->kind == KERNEL_PART_SEQUENCE_REL) {
		__u32 nr = bytes / elem;

		bytes = nr * elem;
		*(__u32 *)(c->to + (at & ~3u)) = nr;
		at = (at + 4 + elem - 1) & ~(elem - 1) & (RING_PAYLOAD_MAX - 1);
	}
	bytes &= RING_PAYLOAD_MAX - 1;
	if (bytes)
		bpf_probe_read_kernel(c->to + at, bytes, c->ctx + from);
	at += bytes;
	if (p->kind == KERNEL_PART_STRING || p->kind == KERNEL_PART_STRING_REL) {
		/* The kernel's has its zero byte, unless it was cut. */
		if (!bytes || c->to[(at - 1) & (2 * RING_PAYLOAD_MAX - 1)]) {
			c->to[at & (2 * RING_PAYLOAD_MAX - 1)] = 0;
			at++;
		}
	}
	c->used = at;
	return 0;
}

SEC("tp")
int on_tracepoint(void *ctx)
{
	__u32 at = (__u32)bpf_get_attach_cookie(ctx);
	struct copying c = {.ctx = ctx};

	c.plan = bpf_map_lookup_elem(&plans, &at);
	c.to = scratch_of(SCRATCH_PLAN);
	if (!c.plan || !c.to || !is_ours())
		return 0;
	bpf_loop(c.plan->nr_parts, part_copy, &c, 0);
	if (c.is_cut)
		lose(KERNEL_LOSS_CUT);
	record_put_bytes(c.plan->id, c.to, c.used & (2 * RING_PAYLOAD_MAX - 1));
	return 0;
}
