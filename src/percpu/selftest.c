// SPDX-License-Identifier: MIT
/*
 * Does this kernel keep the promise that everything here rests on?
 *
 * The thread under test waits inside a section until a word changes. Only another thread changes
 * it, and that one may run on the same CPU only: so when the section reaches its end, it was
 * preempted and resumed without being aborted. Linux 6.19 did that on aarch64 for a while; an
 * emulator might.
 */
#include "rseq.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#if TOCSIN_RSEQ_ARCH

struct selftest {
	uint32_t word;  /* changed by the other thread */
	uint32_t stop;  /* set by the thread under test */
	uint32_t spare; /* where the section commits */
};

/* Waits for at most @turns for @word to change. */
static int section_wait(uintptr_t area, struct selftest *t, uint64_t turns)
{
#	if defined(__x86_64__)
	__asm__ goto(TOCSIN_RSEQ_BEGIN "movq %[turns], %%rdx\n\t"
				       "movl (%[t]), %%eax\n"
				       "77:\n\t"
				       "subq $1, %%rdx\n\t"
				       "js %l[none]\n\t"
				       "cmpl (%[t]), %%eax\n\t"
				       "je 77b\n\t"
				       "movl %%eax, 8(%[t])" TOCSIN_RSEQ_END
		     :
		     : [area] "r"(area), [t] "r"(t), [turns] "r"(turns)
		     : TOCSIN_RSEQ_CLOBBERS, "rdx"
		     : aborted, none);
#	else
	__asm__ goto(TOCSIN_RSEQ_BEGIN "mov x15, %[turns]\n\t"
				       "ldr w16, [%[t]]\n"
				       "77:\n\t"
				       "subs x15, x15, #1\n\t"
				       "b.mi %l[none]\n\t"
				       "ldr w17, [%[t]]\n\t"
				       "cmp w16, w17\n\t"
				       "b.eq 77b\n\t"
				       "str w16, [%[t], #8]" TOCSIN_RSEQ_END
		     :
		     : [area] "r"(area), [t] "r"(t), [turns] "r"(turns)
		     : TOCSIN_RSEQ_CLOBBERS, "x15"
		     : aborted, none);
#	endif
	return TOCSIN_RSEQ_DONE;
none:
	return TOCSIN_RSEQ_NONE;
aborted:
	return TOCSIN_RSEQ_ABORTED;
}

static void *change(void *arg)
{
	struct selftest *t = arg;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		(void)__atomic_fetch_add(&t->word, 1, __ATOMIC_RELAXED);
		(void)sched_yield(); /* cannot fail */
	}
	return NULL;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Return: as rseq_selftest(). Both threads are on one CPU. */
static int wait_for_preemptions(struct selftest *t, unsigned timeout_ms)
{
	uint64_t end_ms = now_ms() + timeout_ms;
	unsigned aborts = 0;

	do {
		uintptr_t area = TOCSIN_RSEQ_AREA(tocsin_rseq.area);
		uint32_t before = __atomic_load_n(&t->word, __ATOMIC_RELAXED);
		int r = section_wait(area, t, 1000000);

		if (r == TOCSIN_RSEQ_DONE)
			return -EPROTO;
		/* An abort by a thread of ours that ran is the proof, any other one is not. */
		if (r == TOCSIN_RSEQ_ABORTED &&
		    __atomic_load_n(&t->word, __ATOMIC_RELAXED) != before)
			aborts++;
	} while (aborts < 3 && now_ms() < end_ms);
	return aborts ? 0 : -EAGAIN;
}

int rseq_selftest(unsigned timeout_ms)
{
	struct selftest t = {0};
	cpu_set_t before, one;
	pthread_t other;
	int cpu, r;

	if (!tocsin_rseq.area || rseq_thread_register())
		return -EOPNOTSUPP;
	if (sched_getaffinity(0, sizeof(before), &before))
		return -errno;
	cpu = (int)rseq_area()->cpu_id;
	if (cpu >= CPU_SETSIZE)
		return -EAGAIN;
	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		return -errno;
	r = -pthread_create(&other, NULL, change, &t); /* inherits the CPU */
	if (!r) {
		r = wait_for_preemptions(&t, timeout_ms);
		__atomic_store_n(&t.stop, 1, __ATOMIC_RELAXED);
		(void)pthread_join(other, NULL); /* ours, and joined once */
	}
	(void)sched_setaffinity(0, sizeof(before), &before); /* was allowed a moment ago */
	return r;
}

#else

int rseq_selftest(unsigned timeout_ms)
{
	(void)timeout_ms;
	return -EOPNOTSUPP;
}

#endif
