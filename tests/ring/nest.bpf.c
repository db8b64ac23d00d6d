// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The kernel half's ring with a record made inside another, at each place of the protocol. What
 * interrupts is the tracepoint of bpf_trace_printk(), which runs its programs at once, as an
 * interrupt's would: the outer program calls it at the wanted place, the inner one writes a record.
 */
#include <linux/types.h>

#include <stdbool.h>

static inline __attribute__((always_inline)) void nest_point(int n);
#define RECORD_POINT(n) nest_point(n)

#ifndef RECORD_RING_H
#	define RECORD_RING_H "bpf/record_ring.h" /* or a broken one */
#endif
#include RECORD_RING_H

#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define OUTER 1
#define INNER 2
#define WORDS 32

const volatile __u32 where; /* place, 0: none */
const volatile __u32 on_cpu;
const volatile __u32 per_run;

volatile __u32 is_inside, is_done;  /* once a record */
__u64 nr_outer, nr_inner, nr_early; /* published while the outer was in the middle of its record */

INLINE void nest_point(int n)
{
	static const char text[] = "tocsin";

	if (n != (int)where || is_inside || is_done)
		return;
	is_inside = is_done = 1;
	bpf_trace_printk(text, sizeof(text));
	is_inside = 0;
}

/* Its first word says how many there are, and what they hold. */
INLINE void record(__u32 id, __u64 n)
{
	__u32 words = 1 + (__u32)(n % (WORDS - 1));
	struct claim c;
	__u64 *at;

	if (!ring_claim(&c, id, words * 8))
		return;
	at = claim_payload(&c);
	for (__u32 i = 0; i < WORDS; i++)
		if (i < words)
			at[i] = n + i * 0x100000001ull;
	claim_release(&c);
}

INLINE __u64 head_now(void)
{
	__u32 cpu = on_cpu, zero = 0;
	void *map = bpf_map_lookup_elem(&rings, &cpu);
	struct ring_header *h = map ? bpf_map_lookup_elem(map, &zero) : NULL;

	return h ? *(volatile __u64 *)&h->head : 0;
}

SEC("tp_btf/bpf_trace_printk")
int BPF_PROG(inner)
{
	__u64 head = head_now();

	if (!is_inside || bpf_get_smp_processor_id() != on_cpu)
		return 0;
	record(INNER, nr_inner++);
	if (where > 1 && head_now() != head)
		nr_early++;
	return 0;
}

SEC("raw_tp")
int outer(void *ctx)
{
	for (__u32 i = 0; i < 64 && i < per_run; i++) {
		is_done = 0;
		record(OUTER, nr_outer++);
	}
	return 0;
}
