// SPDX-License-Identifier: MIT
/* Grace periods: the updaters' side of rcu.c, where the protocol and its proof are. */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../base/banned.h"
#include "../base/clock.h"
#include "rcu.h"

/* The stress test builds this file with other definitions, each broken in one way. */
#ifndef RCU_FENCE
#	define RCU_FENCE() rcu_fence()
#endif
#ifndef RCU_PASSED
#	define RCU_PASSED(mark, period) ((mark) <= TOCSIN_RCU_OUTSIDE || (mark) >= (period))
#endif
#ifndef RCU_COUNTED_LOOKS
#	define RCU_COUNTED_LOOKS 2 /* one at each phase */
#endif

#define WAIT_SPINS     1000u /* about 20 us, then the CPU is offered to others */
#define WAIT_YIELDS    20u
#define WAIT_SLEEP_NS  UINT64_C(20000)
#define WAIT_SLEEP_MAX UINT64_C(1000000)
#define BURY_EXACT     64u /* steps of a wait after which a reused thread id is looked for */

/* This thread is waiting for period_lock, or holds it: a handler in it must do neither. */
static __thread uint32_t own_period __attribute__((tls_model("initial-exec")));
/* The last grace period that ended; under period_lock. */
static uint64_t completed = TOCSIN_RCU_OUTSIDE + 1;

struct wait {
	uint64_t deadline_ns;
	uint64_t sleep_ns;
	unsigned steps;
};

/* Let some time pass, more each time. Return: 0 or -ETIMEDOUT. */
static int wait_step(struct wait *wait)
{
	struct timespec ts = {0};

	if (wait->steps++ < WAIT_SPINS) {
		TOCSIN_CPU_RELAX();
		return 0;
	}
	if (wait->deadline_ns != UINT64_MAX && clock_now_ns() >= wait->deadline_ns)
		return -ETIMEDOUT;
	if (wait->steps < WAIT_SPINS + WAIT_YIELDS) {
		(void)sched_yield();
		return 0;
	}
	ts.tv_nsec = (long)wait->sleep_ns;
	(void)syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, NULL); /* shorter is fine */
	if (wait->sleep_ns < WAIT_SLEEP_MAX)
		wait->sleep_ns *= 2;
	return 0;
}

/*
 * The fence where membarrier() has been taken away from the process since its start (a seccomp
 * filter): run on every CPU that it may use. Whatever ran there before was switched out, which is a
 * full fence. Some 4 ms for each busy CPU. A thread on a CPU outside the caller's cpuset is not
 * reached; threads of one process are in one cpuset unless somebody has split it with a threaded
 * cgroup.
 */
static int fence_by_tour(void)
{
	unsigned long mask[128], one[128]; /* 8192 CPUs, the most that Linux can be built for */
	const unsigned bits = 8 * sizeof(mask[0]);
	long bytes = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
	unsigned visited = 0;

	if (bytes <= 0)
		return -ENOSYS;
	for (unsigned cpu = 0; cpu < 8 * (unsigned long)bytes; cpu++) {
		memset(one, 0, sizeof(one));
		one[cpu / bits] = 1ul << cpu % bits;
		if (syscall(SYS_sched_setaffinity, 0, (size_t)bytes, one) == 0)
			visited++;
		else if (errno != EINVAL) /* EINVAL: offline, or outside the cpuset */
			break;
	}
	(void)syscall(SYS_sched_setaffinity, 0, (size_t)bytes, mask); /* as it was before */
	return visited ? 0 : -ENOSYS;
}

__attribute__((unused)) static int rcu_fence(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0)
		return 0;
	return fence_by_tour();
}

/* Without stdio, which may be locked by a thread that waits for us. */
static void path_of_thread(char *path, size_t size, int32_t tid)
{
	static const char before[] = "/proc/self/task/", behind[] = "/stat";
	char digits[12];
	size_t nr = 0, len = sizeof(before) - 1;

	do
		digits[nr++] = (char)('0' + tid % 10);
	while ((tid /= 10) > 0);
	if (len + nr + sizeof(behind) > size)
		nr = 0; /* cannot be: the caller's array holds the longest */
	memcpy(path, before, len);
	while (nr)
		path[len++] = digits[--nr];
	memcpy(path + len, behind, sizeof(behind));
}

int64_t rcu_thread_start_ticks(int32_t tid)
{
	char path[48], text[512];
	const char *field;
	int64_t ticks = 0;
	ssize_t len;
	int fd;

	path_of_thread(path, sizeof(path), tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, text, sizeof(text) - 1);
	(void)close(fd); /* read only */
	if (len <= 0)
		return -EIO;
	text[len] = '\0';
	field = strrchr(text, ')'); /* field 2, the name, may hold anything; 22 is the start */
	for (unsigned nr = 2; field && nr < 22; nr++)
		field = strchr(field + 1, ' ');
	if (!field || field[1] < '0' || field[1] > '9')
		return -EBADMSG;
	while (*++field >= '0' && *field <= '9' && ticks < INT64_MAX / 16)
		ticks = ticks * 10 + (*field - '0');
	return ticks;
}

static int slot_wait(struct rcu_shared *shared, struct tocsin_rcu_slot *slot, uint64_t period,
		     uint64_t deadline_ns, int32_t *ret_tid)
{
	struct wait wait = {.deadline_ns = deadline_ns, .sleep_ns = WAIT_SLEEP_NS};
	int r;

	for (;;) {
		/* [C] pairs with tocsin_rcu_read_unlock() */
		uint64_t mark =
			__atomic_load_n(&slot->mark, __ATOMIC_ACQUIRE) & ~TOCSIN_RCU_TRACING;

		if (RCU_PASSED(mark, period))
			return 0;
		if (wait.steps >= WAIT_SPINS + WAIT_YIELDS &&
		    rcu_slot_bury(shared, slot,
				  wait.steps % BURY_EXACT == 0)) /* died in a section */
			return 0;
		r = wait_step(&wait);
		if (r < 0) {
			*ret_tid = (int32_t)(__atomic_load_n(&slot->owner, __ATOMIC_RELAXED) &
					     UINT32_MAX);
			return r;
		}
	}
}

/* Sections without a slot: see each word at 0 once. */
static int counted_wait(struct rcu_shared *shared, uint64_t deadline_ns)
{
	for (unsigned i = 0; i < RCU_COUNTED_LOOKS; i++) {
		struct wait wait = {.deadline_ns = deadline_ns, .sleep_ns = WAIT_SLEEP_NS};
		uint32_t phase = __atomic_load_n(&rcu_phase, __ATOMIC_RELAXED) & 1;

		if (shared->counted[0] || shared->counted[1])
			__atomic_store_n(&rcu_phase, phase ^ 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&shared->counted[phase], __ATOMIC_SEQ_CST)) {
			int r = wait_step(&wait);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* One grace period; the caller holds period_lock. */
static int rcu_period_run(struct rcu_shared *shared, uint64_t deadline_ns, int32_t *ret_tid)
{
	uint64_t period = tocsin_rcu_period + 1;
	uint32_t high;
	int r;

	__atomic_store_n(&tocsin_rcu_period, period, __ATOMIC_SEQ_CST); /* [A] */
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* [D] pairs with counted_lock() */
	if (rcu_arena) {
		r = RCU_FENCE(); /* [B] pairs with the lock of a thread with a slot */
		if (r < 0)
			return r;
		if (shared->claims >= shared->sweep_at)
			rcu_sweep(shared);
		high = __atomic_load_n(&shared->high, __ATOMIC_ACQUIRE);
		for (uint32_t i = 0; i < high; i++) {
			r = slot_wait(shared, &rcu_arena->slots[i], period, deadline_ns, ret_tid);
			if (r < 0)
				return r;
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		r = rcu_shares[i] ? counted_wait(rcu_shares[i], deadline_ns) : 0;
		if (r < 0)
			return r;
	}
	completed = period;
	return 0;
}

int tocsin_rcu_synchronize_for(uint64_t timeout_ns, int32_t *ret_tid)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t deadline_ns = timeout_ns >= UINT64_MAX - now_ns ? UINT64_MAX : now_ns + timeout_ns;
	struct rcu_shared *shared;
	int saved_errno = errno, cancel, r;
	int32_t tid = 0;
	uint64_t seen;

	if (tocsin_rcu_is_watching() || own_period)
		return -EDEADLK;
	rcu_init();
	shared = rcu_shared();
	/* A period that begins from here on is one for this caller too, whoever runs it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	seen = __atomic_load_n(&tocsin_rcu_period, __ATOMIC_SEQ_CST);
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* cannot fail */
	own_period = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	r = rcu_lock_take(&shared->period_lock, deadline_ns);
	if (r == 0) {
		if (completed <= seen)
			r = rcu_period_run(shared, deadline_ns, &tid);
		rcu_lock_drop(&shared->period_lock);
	}
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	own_period = 0;
	(void)pthread_setcancelstate(cancel, &cancel); /* as above */
	if (r == -ETIMEDOUT && ret_tid)
		*ret_tid = tid;
	errno = saved_errno;
	return r;
}

int tocsin_rcu_synchronize(void)
{
	return tocsin_rcu_synchronize_for(UINT64_MAX, NULL);
}
