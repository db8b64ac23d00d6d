// SPDX-License-Identifier: MIT
/*
 * The kernel half with requests for user stacks in it. It is the same program compiled again, with
 * the same maps and variables, so its bytes are opened through the same skeleton. Which of the two
 * there are depends on the name that the running kernel has for the function that schedules work.
 */
#include <errno.h>
#include <stddef.h>

#include <bpf/btf.h>

#include "watch_kernel.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "watch_stacks.skel.h"
#include "watch_stacks_later.skel.h"
#pragma GCC diagnostic pop

#define SAME(other)                                                                               \
	_Static_assert(sizeof(struct watch_bpf) == sizeof(struct other), "one skeleton for all"); \
	_Static_assert(sizeof(*((struct watch_bpf *)0)->rodata) ==                                \
			       sizeof(*((struct other *)0)->rodata),                              \
		       "one skeleton for all");                                                   \
	_Static_assert(offsetof(struct watch_bpf__rodata, stack_session) ==                       \
			       offsetof(struct other##__rodata, stack_session),                   \
		       "one skeleton for all");                                                   \
	_Static_assert(offsetof(struct watch_bpf__bss, timers_unstarted) ==                       \
			       offsetof(struct other##__bss, timers_unstarted),                   \
		       "one skeleton for all")

SAME(watch_stacks_bpf);
SAME(watch_stacks_later_bpf);

/* Return: 1 or 2, which of the names the kernel has; 0: neither. */
static int which_name(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int which = 0;

	if (!btf)
		return 0;
	if (btf__find_by_name_kind(btf, "bpf_task_work_schedule_resume_impl", BTF_KIND_FUNC) > 0)
		which = 1;
	else if (btf__find_by_name_kind(btf, "bpf_task_work_schedule_resume", BTF_KIND_FUNC) > 0)
		which = 2;
	btf__free(btf);
	return which;
}

bool watch_kernel_can_stack(void)
{
	return which_name() != 0;
}

struct watch_bpf *watch_stacks_open(void)
{
	int which = which_name(), r;
	struct watch_bpf *skel;

	if (!which) {
		errno = ENOTSUP;
		return NULL;
	}
	skel = calloc(1, sizeof(*skel));
	if (!skel)
		return NULL;
	r = watch_bpf__create_skeleton(skel);
	if (!r) {
		skel->skeleton->data =
			which == 1 ? watch_stacks_bpf__elf_bytes(&skel->skeleton->data_sz)
				   : watch_stacks_later_bpf__elf_bytes(&skel->skeleton->data_sz);
		r = bpf_object__open_skeleton(skel->skeleton, NULL);
	}
	if (r) {
		watch_bpf__destroy(skel);
		errno = -r;
		return NULL;
	}
	return skel;
}

int watch_stacks_configure(struct watch_bpf *s, const struct watch_kernel_config *cfg)
{
	int r;

	s->rodata->stack_session = cfg->stack_session;
	s->rodata->stack_bytes = cfg->stack_bytes;
	s->rodata->stack_ring_bytes = cfg->stack_ring_bytes;
	if (!cfg->stack_bytes)
		return 0;
	r = bpf_map__set_max_entries(s->maps.stack_tasks, cfg->max_threads);
	return r ?: bpf_map__set_max_entries(s->maps.user_stacks, (uint32_t)cfg->stack_ring_bytes);
}

static int on_stack(void *ctx, void *data, size_t size)
{
	struct watch_kernel *k = ctx;

	return k->stack_fn(k->stack_arg, data, size);
}

int watch_stacks_ring_open(struct watch_kernel *k)
{
	k->stack_ring = ring_buffer__new(bpf_map__fd(k->skel->maps.user_stacks), on_stack, k, NULL);
	return k->stack_ring ? 0 : -errno;
}

int watch_kernel_stacks_fd(struct watch_kernel *k)
{
	return k->stack_ring ? ring_buffer__epoll_fd(k->stack_ring) : -1;
}

int watch_kernel_consume_stacks(struct watch_kernel *k, watch_event_fn fn, void *arg)
{
	if (!k->stack_ring)
		return 0;
	k->stack_fn = fn;
	k->stack_arg = arg;
	return ring_buffer__consume(k->stack_ring);
}
