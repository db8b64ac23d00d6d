// SPDX-License-Identifier: MIT
/* deny rseq|membarrier|both ERRNO PROGRAM [ARGS]: run a program that these system calls are hidden
 * from, as sandboxes and recorders do. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int deny(unsigned call, unsigned error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
	unsigned error;

	if (argc < 4)
		return 2;
	error = strcmp(argv[2], "EPERM") == 0 ? EPERM : ENOSYS;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return 3;
	if (strcmp(argv[1], "membarrier") != 0 && deny(SYS_rseq, error))
		return 3;
	if (strcmp(argv[1], "rseq") != 0 && deny(SYS_membarrier, error))
		return 3;
	(void)execv(argv[3], argv + 3);
	perror(argv[3]);
	return 3;
}
