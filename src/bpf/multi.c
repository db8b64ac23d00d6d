// SPDX-License-Identifier: MIT
/* Links of many uprobes, by the system call. */
#include "multi.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "../base/cleanup.h"

#define MULTI_RETURN 1u /* BPF_F_UPROBE_MULTI_RETURN */

/* The kernel's union bpf_attr for this command and these types. */
struct multi_attr {
	uint32_t prog_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t link_flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t ref_ctr_offsets;
	uint64_t cookies;
	uint32_t cnt;
	uint32_t flags;
	uint32_t pid;
	uint32_t pad;
};

_Static_assert(sizeof(struct multi_attr) == 64, "layout of the kernel's union bpf_attr");

int multi_attach(const struct multi *m)
{
	const struct multi_attr attr = {.prog_fd = (uint32_t)m->program,
					.attach_type = m->type,
					.path = (uintptr_t)m->path,
					.offsets = (uintptr_t)m->offset,
					.ref_ctr_offsets = (uintptr_t)m->ref_ctr,
					.cookies = (uintptr_t)m->cookie,
					.cnt = (uint32_t)m->nr,
					.flags = m->is_return ? MULTI_RETURN : 0,
					.pid = (uint32_t)m->pid};
	int fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : fd;
}

/* A directory cannot be probed, and no process has the number -1: which of the two the kernel minds
 * first tells whether it checks the number for a whole process. Without these links at all it minds
 * the attach type. */
bool multi_is_known(void)
{
	static const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT}};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = MULTI_UPROBE);
	const uint64_t offset = 0, cookie = 0;
	int program TOCSIN_CLEANUP(tocsin_close_fdp) =
		bpf_prog_load(BPF_PROG_TYPE_KPROBE, NULL, "Dual MIT/GPL", nothing,
			      sizeof(nothing) / sizeof(nothing[0]), &opts);
	struct multi m = {.program = program,
			  .type = MULTI_UPROBE,
			  .path = "/",
			  .offset = &offset,
			  .cookie = &cookie,
			  .nr = 1};

	if (program < 0 || multi_attach(&m) != -EBADF)
		return false;
	m.pid = -1;
	return multi_attach(&m) == -EINVAL;
}
