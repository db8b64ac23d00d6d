// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The programs that `tocsin doctor` tries on the running kernel, each the smallest that shows one
 * thing the kernel half of `watch` relies on. The loader (collector/doctor_bpf.c) loads them one at
 * a time, with just the maps each needs, so that one refusal says nothing about the others, runs or
 * attaches them for a moment on its own thread, and reads the variables below through the mapped
 * .bss. Programs that are nothing but `return 0` are not here: those are two raw instructions in
 * the loader. Nor is one that calls a function of the kernel's, which would bind all the others to
 * kernels with that function: doctor_work.bpf.c.
 */

#include "kernel.h"

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define KERNEL_EINVAL  22
#define TIMER_DELAY_NS 1000000ull
#define STACK_FRAMES   32

/* Results. Each is written by one program; the loader reads them when that program can no longer
 * run, or polls for the first write. */
__u64 timer_due_ns;    /* timer_arm: when the timer should fire */
__u64 timer_fired_ns;  /* the timer's callback; 0: has not fired */
__u32 timer_flags;     /* timer_arm: the flags that bpf_timer_start() accepted */
__u32 timer_cpu;       /* timer_arm: the CPU that started it */
__u32 timer_fired_cpu; /* the timer's callback */
__u32 hits;            /* runs of a probe's program */
__u32 sleeper_errors;  /* hit_sleepable: user memory it could not read */
__u64 cookie;          /* hit_cookie: what the link gave it */
__u64 kick_ns;         /* kick programs: when they asked for an interrupt */
__u64 kick_seen_ns;    /* kick_seen: when it came; 0: not yet */
__u32 kick_cpu;        /* kick programs */
__u32 stacks;          /* stack_at_wake: stacks taken */
__s32 stack_bytes;     /* stack_at_wake: what bpf_get_task_stack() said last */
__u64 stack[STACK_FRAMES];
__u64 my_task; /* remember_me: the loader's thread, as the kernel knows it */

/* ---- timers ---- */

struct timer_value {
	struct bpf_timer timer;
};

/* Key 0: the timer. One entry, never full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct timer_value);
} timers SEC(".maps");

static int timer_fired(void *map, __u32 *key, struct timer_value *v)
{
	timer_fired_cpu = bpf_get_smp_processor_id();
	timer_fired_ns = bpf_ktime_get_ns();
	return 0;
}

/* Start the timer with the best flags that this kernel takes: absolute and pinned, absolute, plain.
 */
static __always_inline long timer_arm(void)
{
	__u32 key = 0;
	struct timer_value *v = bpf_map_lookup_elem(&timers, &key);
	long r;

	if (!v)
		return -KERNEL_EINVAL;
	r = bpf_timer_init(&v->timer, &timers, CLOCK_MONOTONIC);
	if (r)
		return r;
	r = bpf_timer_set_callback(&v->timer, timer_fired);
	if (r)
		return r;
	timer_cpu = bpf_get_smp_processor_id();
	timer_due_ns = bpf_ktime_get_ns() + TIMER_DELAY_NS;
	timer_flags = TIMER_ABS | TIMER_CPU_PIN;
	r = bpf_timer_start(&v->timer, timer_due_ns, TIMER_ABS | TIMER_CPU_PIN);
	if (r != -KERNEL_EINVAL)
		return r;
	timer_flags = TIMER_ABS;
	r = bpf_timer_start(&v->timer, timer_due_ns, TIMER_ABS);
	if (r != -KERNEL_EINVAL)
		return r;
	timer_flags = 0;
	return bpf_timer_start(&v->timer, TIMER_DELAY_NS, 0);
}

SEC("syscall")
int timer_start(void *ctx)
{
	return (int)timer_arm();
}

/* Loaded, never attached: may a scheduler hook work a timer on this kernel? */
SEC("tp_btf/sched_switch")
int timer_hook(void *ctx)
{
	return (int)timer_arm();
}

/* ---- probes ---- */

SEC("uprobe")
int hit(void *ctx)
{
	hits++; /* the probe is on one thread of the loader: nobody else writes */
	return 0;
}

SEC("uprobe")
int hit_cookie(void *ctx)
{
	hits++;
	cookie = bpf_get_attach_cookie(ctx);
	return 0;
}

/* Not pt_regs of kernel.h, here and below: a field found by the kernel's types would bind the whole
 * object to them. */
struct probe_regs {
	__u64 word[32];
};

#if defined(__TARGET_ARCH_arm64)
#	define WORD_OF_SP 31
#else
#	define WORD_OF_SP 19
#endif

SEC("uprobe.s")
int hit_sleepable(struct probe_regs *regs)
{
	__u64 word = 0;

	hits++;
	if (bpf_copy_from_user(&word, sizeof(word), (const void *)regs->word[WORD_OF_SP]))
		sleeper_errors++;
	return 0;
}

SEC("tracepoint")
int hit_tracepoint(void *ctx)
{
	hits++;
	return 0;
}

/* ---- from a probe to a timer: a program of a probe may not start a timer, but it can ask for an
 * interrupt, whose tracepoint's program may ---- */

/* What is output is never read; the wake-up is the point. When full, outputs fail and wake all the
 * same. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

/* Nobody produces into it: draining finds it empty and wakes the producer that does not exist. */
struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} user_ring SEC(".maps");

SEC("syscall")
int ring_put(void *ctx)
{
	__u64 nothing = 0;

	return (int)bpf_ringbuf_output(&ring, &nothing, sizeof(nothing), 0);
}

static __always_inline void kick_begin(void)
{
	hits++;
	kick_cpu = bpf_get_smp_processor_id();
	kick_seen_ns = 0;
	kick_ns = bpf_ktime_get_ns();
}

SEC("uprobe")
int kick_ring(void *ctx)
{
	__u64 nothing = 0;

	kick_begin();
	(void)bpf_ringbuf_output(&ring, &nothing, sizeof(nothing), BPF_RB_FORCE_WAKEUP);
	return 0;
}

static long drained(struct bpf_dynptr *sample, void *ctx)
{
	return 0;
}

SEC("uprobe")
int kick_drain(void *ctx)
{
	kick_begin();
	(void)bpf_user_ringbuf_drain(&user_ring, drained, NULL, BPF_RB_FORCE_WAKEUP);
	return 0;
}

SEC("tp_btf/irq_work_entry")
int kick_seen(void *ctx)
{
	if (kick_ns && !kick_seen_ns && bpf_get_smp_processor_id() == kick_cpu)
		kick_seen_ns = bpf_ktime_get_ns();
	return 0;
}

/* ---- stacks ---- */

SEC("syscall")
int remember_me(void *ctx)
{
	my_task = bpf_get_current_task();
	return 0;
}

SEC("tp_btf/sched_waking")
int BPF_PROG(stack_at_wake, struct task_struct *task)
{
	if ((__u64)task != my_task)
		return 0;
	stack_bytes = (__s32)bpf_get_task_stack(task, stack, sizeof(stack), 0);
	stacks++;
	return 0;
}
