/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_STACK_H
#define TOCSIN_ABI_STACK_H

/*
 * User stacks: how a request and its stack are tied together, and what is said where there is none
 * or a part only. Shared with the kernel half; the version is TOCSIN_WATCH_ABI.
 *
 * A cookie names one entry into the kernel: the CPU that gave it, plus 1, in its low half, and a
 * count of that CPU, odd, in its high half. So it is never 0, and no number below STACK_REASONS is
 * one: where no stack could be asked for, the reason stands in the cookie's place.
 */

#include <linux/types.h>

enum stack_reason {
#define X(NAME, name, text) STACK_##NAME,
#include "stack_reasons.def"
#undef X
	STACK_REASONS,
};

#define STACK_IS_COOKIE(cookie)  ((cookie) >> 32 != 0)
#define STACK_COOKIE(count, cpu) ((__u64)((count) | 1u) << 32 | ((__u64)(cpu) + 1))
#define STACK_BYTES_MAX          32768 /* that a record may have */

#define STACK_RETURNS 8 /* return addresses that probes have replaced, in one record */

struct stack_return {
	__u64 at; /* where on the stack; 0: no more */
	__u64 address;
};

/* One stack, to the collector: registers and the bytes from the stack pointer up. It matches an
 * event with the same session, thread, thread's start and cookie, whose time lies between asked_ns
 * and walked_ns. Times: CLOCK_MONOTONIC, ns, but thread_start_ns, which is the kernel's. */
struct stack_event {
	__u64 session;
	__u64 cookie;
	__u64 thread_start_ns;
	__u32 tid;
	__u32 tgid;
	__u64 asked_ns;
	__u64 walked_ns;
	__u64 ip;
	__u64 sp;
	__u64 fp;
	__u32 reason; /* enum stack_reason; STACK_COMPLETE: the bytes are there */
	__u32 bytes;  /* that follow this head and count */
	/* Innermost first; of two at one place the later is right. */
	struct stack_return real[STACK_RETURNS];
};

#endif
