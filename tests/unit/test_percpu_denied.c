// SPDX-License-Identifier: MIT
/* System calls that a sandbox takes away while the program runs. Each test is a process of its own.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "percpu/rseq.h"
#include "tocsin/percpu.h"

static int deny(unsigned call)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

/* 0: as it should be, 77: cannot be tried here, else the line. */
static void in_child(int (*test)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		(void)alarm(10);
		_exit(test());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

#define MUST(condition)                       \
	do {                                  \
		if (!(condition))             \
			return __LINE__ & 63; \
	} while (0)

static int own_cpu_without_calls(void)
{
	unsigned cpu = tocsin_nr_cpus() - 1;
	cpu_set_t one;

	if (!cpu)
		return 77; /* 0 is what failure looks like */
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		return 77;
	if (deny(SYS_getcpu))
		return 77;
	MUST(syscall(SYS_getcpu, &cpu, NULL, NULL) && errno == EPERM);
	MUST(tocsin_cpu() == tocsin_nr_cpus() - 1);
	MUST(tocsin_node() < 1024);
#if defined(__x86_64__) /* aarch64 has no such vDSO function */
	MUST(tocsin_cpu_slow_() == tocsin_nr_cpus() - 1);
#endif
	return 0;
}

static void touch(void *item, int cpu, void *arg)
{
	(void)cpu;
	(void)arg;
	*(uint64_t *)item += 1;
}

/* The gate opens again, nothing has run, and what needs no fence goes on. */
static int fence_lost(void)
{
	struct tocsin_op op = {.code = TOCSIN_OP_ADD, .value = 1};
	struct tocsin_percpu *p;
	int cpu;

	if (!tocsin_rseq.area || !(tocsin_rseq.flags & TOCSIN_RSEQ_F_FENCE))
		return 77;
	MUST(!tocsin_percpu_new(64, 0, &p));
	if (deny(SYS_membarrier))
		return 77;
	for (unsigned i = 0; i < 2 * tocsin_percpu_nr(p); i++)
		MUST(tocsin_do_on_cpu(p, (int)(i % tocsin_percpu_nr(p)), touch, NULL) ==
		     -EOPNOTSUPP);
	MUST(tocsin_do_on_each(p, NULL, 0, touch, NULL) == -EOPNOTSUPP);
	cpu = tocsin_percpu_op(p, TOCSIN_CPU_HERE, &op);
	MUST(cpu >= 0);
	MUST(*(uint64_t *)tocsin_percpu_item(p, cpu) == 1);
	(void)tocsin_percpu_free(p);
	return 0;
}

static void test_own_cpu(void **state)
{
	(void)state;
	in_child(own_cpu_without_calls);
}

static void test_fence_lost(void **state)
{
	(void)state;
	in_child(fence_lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_cpu),
		cmocka_unit_test(test_fence_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
