/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_WATCH_STACK_H
#define TOCSIN_BPF_WATCH_STACK_H

/*
 * User stacks, asked for now and taken on the thread's way back to user mode.
 *
 * A request gives a cookie and schedules task work; all requests until that work has run get the
 * same cookie, so that one stack serves them all. The work runs in the thread's own context, where
 * pages may be faulted in, and sends registers and a copy of the stack, as much as there is up to a
 * limit; the collector walks it with tables, as code of today has no frame pointers. The registers
 * are those at the request: another value then means that this is not the stack that was asked for.
 * An exit takes what can be read without faults; an exec leaves nothing to take.
 *
 * The kernel half is compiled three times: without requests, and with the kernel's function for
 * task work by each of the two names it has had. Where stacks are not wanted nothing of this is
 * loaded.
 *
 * A thread's entry is made by its first request and taken away at its exit. Who moves `cookie` from
 * 0 by compare-and-exchange is the one to schedule; the work, or the exit, sets it back.
 */

#include "watch_state.h"

#ifndef WATCH_STACKS
#	define WATCH_STACKS \
		0 /* 1: by bpf_task_work_schedule_resume_impl(), 2: by its later name */
#endif

#define STACK_PART 4 /* spells of this part of the smallest budget have their stacks taken */
#define STACK_PAGE 4096
#define USER_CS    0x33 /* x86-64: code of 64 bits */
#define STACK_GUESS                                                                   \
	(8u << 20) /* what lies farther from the stack pointer is not its stack's top \
		    */

struct stack_task {
	struct bpf_task_work work;
	__u64 cookie; /* of the request that waits; 0: none does */
	__u64 thread_start_ns;
	__u64 asked_ns;
	__u64 ip, sp, fp;
};

/* Key: thread group << 32 | thread. When full: LOSS_STACK_TASKS_FULL. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct stack_task);
} stack_tasks SEC(".maps");

/* Key: 0. Value: the CPU's count of cookies, in steps of 2; it may wrap. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} stack_counts SEC(".maps");

/* To the collector: struct stack_event with bytes behind it. Apart from the events, so that stacks
 * cannot crowd them out. When full: LOSS_STACK_RING_FULL. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} user_stacks SEC(".maps");

/* Set by the collector before the load. */
const volatile __u64 stack_session = 0;
const volatile __u32 stack_bytes = STACK_BYTES_MAX; /* a stack, at most */
const volatile __u64 stack_ring_bytes = 4096;

/* An entry as it begins: there is no room for one on the kernel half's own stack. */
const volatile __u64 stack_fresh[sizeof(struct stack_task) / 8] = {};

#if WATCH_STACKS == 0

INLINE __u64 stack_ask(struct task_struct *task, __u64 now)
{
	return STACK_NOT_ASKED;
}

INLINE void stack_leave(struct task_struct *task, __u32 tid, __u32 why)
{
}

#else

#	if WATCH_STACKS == 1
extern int bpf_task_work_schedule_resume_impl(
	struct task_struct *task, struct bpf_task_work *work, void *map,
	int (*callback)(struct bpf_map *map, void *key, void *value), void *program) __ksym __weak;
#		define SCHEDULE(task, work, map, callback) \
			bpf_task_work_schedule_resume_impl(task, work, map, callback, NULL)
#	else
extern int bpf_task_work_schedule_resume(struct task_struct *task, struct bpf_task_work *work,
					 void *map,
					 int (*callback)(struct bpf_map *map, void *key,
							 void *value)) __ksym __weak;
#		define SCHEDULE(task, work, map, callback) \
			bpf_task_work_schedule_resume(task, work, map, callback)
#	endif

INLINE __u64 stack_flags(void)
{
	/* Sections wake the collector; stacks only when they pile up. */
	return bpf_ringbuf_query(&user_stacks, BPF_RB_AVAIL_DATA) > stack_ring_bytes / 4
		       ? BPF_RB_FORCE_WAKEUP
		       : BPF_RB_NO_WAKEUP;
}

INLINE void stack_head(struct stack_event *e, const struct stack_task *s, struct task_struct *task,
		       __u64 cookie, __u32 reason)
{
	e->session = stack_session;
	e->cookie = cookie;
	e->thread_start_ns = s->thread_start_ns;
	e->tid = (__u32)task->pid;
	e->tgid = (__u32)task->tgid;
	e->asked_ns = s->asked_ns;
	e->walked_ns = bpf_ktime_get_ns();
	e->ip = s->ip;
	e->sp = s->sp;
	e->fp = s->fp;
	e->reason = reason;
	e->bytes = 0;
}

/* No stack, and why. */
INLINE void stack_send_none(const struct stack_task *s, struct task_struct *task, __u64 cookie,
			    __u32 reason)
{
	struct stack_event *e = bpf_ringbuf_reserve(&user_stacks, sizeof(*e), 0);

	if (!e) {
		lose(LOSS_STACK_RING_FULL);
		return;
	}
	stack_head(e, s, task, cookie, reason);
	bpf_ringbuf_submit(e, stack_flags());
}

/* Where return probes of ours or of others stand, the stack has the kernel's address instead of the
 * caller's: the collector puts it back. */
static __noinline int stack_returns(struct stack_event *e, struct task_struct *task)
{
	struct return_instance *r = NULL;
	struct uprobe_task *utask;

	if (!e || !task)
		return 0;
	utask = bpf_core_field_exists(task->utask) ? task->utask : NULL;
	if (utask)
		r = BPF_CORE_READ(utask, return_instances);
	for (int i = 0; i < STACK_RETURNS; i++) {
		e->real[i].at = r ? BPF_CORE_READ(r, stack) : 0;
		e->real[i].address = r ? BPF_CORE_READ(r, orig_ret_vaddr) : 0;
		if (r)
			r = BPF_CORE_READ(r, next);
	}
	return 0;
}

INLINE long user_copy(void *to, __u32 len, __u64 from, bool may_fault)
{
	return may_fault ? bpf_copy_from_user(to, len, (void *)from)
			 : bpf_probe_read_user(to, len, (void *)from);
}

/* From the stack pointer up to where the stack is known to end: one copy. Else page by page to
 * where one cannot be read, with room for a page more since the first piece is a part of one. */
#	define STACK_SEND(BYTES)                                                                  \
		struct stack_record_##BYTES {                                                      \
			struct stack_event e;                                                      \
			__u8 data[(BYTES) + STACK_PAGE];                                           \
		};                                                                                 \
		static __noinline int stack_send_##BYTES(struct stack_task *s,                     \
							 struct task_struct *task, __u64 cookie,   \
							 __u32 len, bool may_fault)                \
		{                                                                                  \
			struct stack_record_##BYTES *r;                                            \
			__u64 flags;                                                               \
			__u32 first;                                                               \
                                                                                                   \
			if (!s || !task)                                                           \
				return 0;                                                          \
			r = bpf_ringbuf_reserve(&user_stacks, sizeof(*r), 0);                      \
			if (!r) {                                                                  \
				lose(LOSS_STACK_RING_FULL);                                        \
				return 0;                                                          \
			}                                                                          \
			stack_head(&r->e, s, task, cookie, STACK_COMPLETE);                        \
			stack_returns(&r->e, task);                                                \
			if (len && len <= (BYTES) && !user_copy(r->data, len, s->sp, may_fault)) { \
				r->e.bytes = len;                                                  \
			} else {                                                                   \
				first = STACK_PAGE - ((__u32)s->sp & (STACK_PAGE - 1));            \
				if (!user_copy(r->data, first, s->sp, may_fault))                  \
					r->e.bytes = first;                                        \
				for (__u32 i = 0; i < (BYTES) / STACK_PAGE && r->e.bytes; i++) {   \
					if (user_copy(&r->data[first + i * STACK_PAGE],            \
						      STACK_PAGE, s->sp + first + i * STACK_PAGE,  \
						      may_fault))                                  \
						break;                                             \
					r->e.bytes = first + (i + 1) * STACK_PAGE;                 \
				}                                                                  \
			}                                                                          \
			if (!r->e.bytes)                                                           \
				r->e.reason = STACK_UNREADABLE;                                    \
			flags = stack_flags();                                                     \
			bpf_ringbuf_submit(r, flags);                                              \
			return 0;                                                                  \
		}

/* clang-format off */
STACK_SEND(4096)
STACK_SEND(8192)
STACK_SEND(16384)
STACK_SEND(32768)
/* clang-format on */

/* The first thread's stack ends where the program's arguments begin; another's, as the C library
 * lays it out, at the thread's own data. */
INLINE __u32 stack_length(const struct stack_task *s, struct task_struct *task, bool *ret_known)
{
	__u64 top = task->pid == task->tgid ? BPF_CORE_READ(task, mm, start_stack)
					    : THREAD_POINTER(task);
	__u64 len = top - s->sp;

	*ret_known = len && len < STACK_GUESS;
	return !*ret_known || len > stack_bytes ? stack_bytes : (__u32)len;
}

INLINE void stack_send(struct stack_task *s, struct task_struct *task, __u64 cookie, bool may_fault)
{
	bool is_known;
	__u32 len = stack_length(s, task, &is_known), exact = is_known ? len : 0;

	if (len <= 4096)
		stack_send_4096(s, task, cookie, exact, may_fault);
	else if (len <= 8192)
		stack_send_8192(s, task, cookie, exact, may_fault);
	else if (len <= 16384)
		stack_send_16384(s, task, cookie, exact, may_fault);
	else
		stack_send_32768(s, task, cookie, exact, may_fault);
}

static int on_stack_work(struct bpf_map *map, void *key, void *value)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct stack_task *s = value;
	struct pt_regs *regs;
	__u64 cookie;

	if (!s)
		return 0;
	cookie = *(volatile __u64 *)&s->cookie;
	if (!cookie)
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (!task->mm)
		stack_send_none(s, task, cookie, STACK_EXITED);
	else if (regs->ip != s->ip || regs->sp != s->sp || regs->bp != s->fp)
		stack_send_none(s, task, cookie, STACK_MOVED);
	else
		stack_send(s, task, cookie, true);
	barrier_compiler();
	s->cookie = 0;
	return 0;
}

INLINE struct stack_task *stack_task_get(struct task_struct *task)
{
	__u64 key = (__u64)(__u32)task->tgid << 32 | (__u32)task->pid;
	struct stack_task *s = bpf_map_lookup_elem(&stack_tasks, &key);

	if (!s) {
		(void)bpf_map_update_elem(&stack_tasks, &key, (const void *)stack_fresh,
					  BPF_NOEXIST);
		s = bpf_map_lookup_elem(&stack_tasks, &key);
	}
	return s;
}

/*
 * A cookie for the stack with which the task has entered the kernel, or the reason why there will
 * be none. Any context, for the running task and for one off CPU.
 */
static __noinline __u64 stack_ask(struct task_struct *task, __u64 now)
{
	__u64 cookie, before;
	struct stack_task *s;
	struct pt_regs *regs;
	__u32 zero = 0, *count;

	if (!task)
		return STACK_NOT_ASKED;
	if ((task->flags & PF_KTHREAD) || !task->mm)
		return STACK_NO_USER_CODE;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (regs->cs != USER_CS)
		return STACK_WORD_SIZE;
	s = stack_task_get(task);
	count = bpf_map_lookup_elem(&stack_counts, &zero);
	if (!s || !count) {
		lose(LOSS_STACK_TASKS_FULL);
		return STACK_NO_ROOM;
	}
	cookie = *(volatile __u64 *)&s->cookie;
	if (cookie)
		return cookie;
	cookie = STACK_COOKIE(__sync_fetch_and_add(count, 2), bpf_get_smp_processor_id());
	before = __sync_val_compare_and_swap(&s->cookie, 0, cookie);
	if (before)
		return before;
	s->thread_start_ns = task->start_time;
	s->asked_ns = now;
	s->ip = regs->ip;
	s->sp = regs->sp;
	s->fp = regs->bp;
	if (SCHEDULE(task, &s->work, &stack_tasks, on_stack_work)) {
		s->cookie = 0;
		lose(LOSS_STACK_REFUSED);
		return STACK_REFUSED;
	}
	return cookie;
}

/* The current thread, whose id was @tid until now, will not come back with this stack. At its exit
 * its memory is still there. */
static __noinline int stack_leave(struct task_struct *task, __u32 tid, __u32 why)
{
	struct stack_task *s;
	__u64 key, cookie;

	if (!task)
		return 0;
	key = (__u64)(__u32)task->tgid << 32 | tid;
	s = bpf_map_lookup_elem(&stack_tasks, &key);
	if (!s)
		return 0;
	cookie = __sync_lock_test_and_set(&s->cookie, 0);
	if (cookie && why == STACK_EXITED && task->mm)
		stack_send(s, task, cookie, false);
	else if (cookie)
		stack_send_none(s, task, cookie, why);
	bpf_map_delete_elem(&stack_tasks, &key); /* which cancels the work */
	return 0;
}

#endif

#endif
