// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Task work, for `tocsin doctor`: asks for a callback on the running thread's way back to user
 * mode, where a stack can be walked with pages faulted in. An object of its own: libbpf looks for a
 * function that the kernel lacks in every module, which takes more privilege than loading the rest.
 */

#include "kernel.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define KERNEL_EINVAL 22

__u32 work_runs; /* callbacks that ran; written on the loader's thread, read by the loader */

struct work_value {
	struct bpf_task_work work;
};

/* Key 0: the work. One entry, never full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct work_value);
} works SEC(".maps");

extern int bpf_task_work_schedule_resume_impl(
	struct task_struct *task, struct bpf_task_work *work, void *map,
	int (*callback)(struct bpf_map *map, void *key, void *value), void *program) __ksym __weak;

static int work_done(struct bpf_map *map, void *key, void *value)
{
	work_runs++;
	return 0;
}

SEC("syscall")
int work_ask(void *ctx)
{
	__u32 key = 0;
	struct work_value *v = bpf_map_lookup_elem(&works, &key);

	if (!v)
		return -KERNEL_EINVAL;
	return bpf_task_work_schedule_resume_impl(bpf_get_current_task_btf(), &v->work, &works,
						  work_done, NULL);
}
