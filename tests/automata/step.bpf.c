// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* The stepper as the kernel takes it: one program that steps the table and the instance in its
 * maps. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "automata/step.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct automaton_table);
} tables SEC(".maps");

struct stepped {
	struct automaton_instance in;
	struct automaton_inputs inputs;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stepped);
} instances SEC(".maps");

struct request {
	__u64 now, atoms;
	__u32 event, what; /* 0: an event, 1: a valuation, 2: time */
};

SEC("syscall") int step(struct request *r)
{
	__u32 zero = 0;
	struct automaton_table *t = bpf_map_lookup_elem(&tables, &zero);
	struct stepped *s = bpf_map_lookup_elem(&instances, &zero);

	if (!t || !s)
		return -1;
	if (r->what == 0)
		return (int)automaton_step(t, &s->in, r->event, r->now, &s->inputs);
	if (r->what == 1)
		return (int)automaton_observe(t, &s->in, r->atoms, r->now);
	return (int)automaton_expire(t, &s->in, r->now);
}

char _license[] SEC("license") = "Dual MIT/GPL";
