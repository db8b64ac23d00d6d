/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_PROBE_H
#define TOCSIN_BPF_PROBE_H

/* What programs on probes share: their arguments, and how they have a timer armed, which they may
 * not touch. Included behind what defines `nr_kicks` and KICK_HAS_FAILED(). */

/*
 * Key: CPU. Value: a ring that nobody writes. Draining it with a forced wake-up raises an interrupt
 * on this CPU, in whose tracepoint the timer is armed. One for each CPU: of two CPUs that drain one
 * ring, one is turned away, and while the interrupt of the one is pending the other's is not
 * raised, and no one is told.
 */
struct kick_ring {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct kick_ring);
} kicks SEC(".maps");

static long kick_nothing(struct bpf_dynptr *sample, void *ctx)
{
	return 1;
}

/* Have the CPU's timer armed in time for a deadline that a probe has just set. */
GLOBAL int kick(void)
{
	__u32 cpu = bpf_get_smp_processor_id();
	void *ring = bpf_map_lookup_elem(&kicks, &cpu);
	long r = -1;

	if (ring) /* -EBUSY: another thread was preempted in the midst of its own */
		r = bpf_user_ringbuf_drain(ring, kick_nothing, NULL, BPF_RB_FORCE_WAKEUP);
	__sync_fetch_and_add(&nr_kicks, 1);
	if (r < 0)
		KICK_HAS_FAILED();
	return 0;
}

INLINE int arg_read(void *ctx, const struct watch_arg *a, __u64 *value)
{
	__u64 v = 0, base = 0, index = 0;

	switch (a->kind) {
	case ARG_CONST: v = (__u64)a->value; break;
	case ARG_REG:
		if (bpf_probe_read_kernel(&v, sizeof(v), ctx + (a->reg & 0xff)))
			return -1;
		break;
	case ARG_MEM:
	case ARG_STRING:
		if (bpf_probe_read_kernel(&base, sizeof(base), ctx + (a->reg & 0xff)))
			return -1;
		if (a->kind == ARG_STRING) {
			v = base;
			break;
		}
		if (a->scale &&
		    bpf_probe_read_kernel(&index, sizeof(index), ctx + (a->index & 0xff)))
			return -1;
		if (bpf_probe_read_user(&v, sizeof(v),
					(void *)(base + index * a->scale + (__u64)a->value)))
			return -1;
		break;
	case ARG_RECORD:
		if (bpf_probe_read_kernel(&v, sizeof(v), ctx + ((__u64)a->value & 0x3ff)))
			return -1;
		break;
	default: return -1;
	}
	if (a->size < 8) {
		__u32 shift = 64 - 8 * (a->size & 7);

		v <<= shift & 63;
		if (a->is_signed)
			v = (__u64)((__s64)v >> (shift & 63));
		else
			v >>= shift & 63;
	}
	*value = v;
	return 0;
}

#endif
