// SPDX-License-Identifier: MIT
/*
 * `hurt_seccomp strict|filter`: a program that the kernel kills at any system call but a few.
 *
 * A probe may bring a system call of its own into the program (the optimised five-byte nop and the
 * return probe do), and single-stepping may bring a signal.
 */

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "target.h"

unsigned watched(unsigned n);
void watched_done(unsigned n);

TARGET_NOINLINE unsigned watched(unsigned n)
{
	TARGET_FRAME();
	return n * 3 + 1;
}

/* A function that does nothing, and begins with the five-byte nop that is left for patching. */
__asm__(".pushsection .text\n"
	"\t.p2align 4\n"
	"\t.globl watched_done\n"
	"\t.type watched_done, @function\n"
	"watched_done:\n"
	"\t.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
	"\tret\n"
	"\t.size watched_done, . - watched_done\n"
	"\t.popsection\n");

#define ALLOW(nr) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void lock_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_write),
		ALLOW(SYS_exit),
		ALLOW(SYS_rt_sigreturn),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(*code), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		err(3, "cannot set the filter");
}

int main(int argc, char **argv)
{
	bool strict = argc < 2 || !strcmp(argv[1], "strict");
	unsigned sum = 0;
	char text[64];
	int len;

	target_ready();
	if (!strict)
		lock_filter();
	else if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		err(3, "cannot enter strict mode");
	for (unsigned i = 0; i < 1000; i++) {
		sum = sum * 31 + watched(i);
		watched_done(i);
	}
	len = snprintf(text, sizeof(text), "{\"sum\":%u}\n", sum);
	if (syscall(SYS_write, STDOUT_FILENO, text, (size_t)len) != len)
		sum = 0;
	return (int)syscall(SYS_exit, sum ? 0 : 1); /* not exit_group, which is not allowed */
}
