// SPDX-License-Identifier: MIT
/*
 * Read-copy-update without registration: the readers' side.
 *
 * A thread has a word, its mark, in a slot of an arena, and a pointer to the slot in thread-local
 * storage. The mark is 0 (nobody's), 1 (outside) or the grace period that was current when the
 * section began. Nested sections leave the mark alone; unlock writes back what lock found.
 *
 * An updater publishes, moves the period from G - 1 to G, makes every running thread of the process
 * pass a full fence (membarrier), and then waits for each slot until its mark is 0, 1 or >= G,
 * once. Why that is enough: let a section still see the old pointer. It did not read the period as
 * G, since that load acquires and the old pointer was replaced before. So its mark is below G, for
 * ever: periods are 64-bit numbers and do not come round again, where a single bit would (which is
 * why liburcu flips twice). Either the mark was stored before the thread's fence; then the updater
 * sees it and waits for the unlock. Or after; then the section's loads came after the fence too and
 * see the new pointer. A reader that is delayed between loading the period and storing the mark
 * stores an old one: later updaters wait for it longer than they need.
 *
 * Linearisation points: lock, the store of the mark; unlock, the same; synchronize, the return of
 * membarrier. What may run beside what: lock, unlock, is_watching and the claim of a slot beside
 * everything, in handlers too; grace periods and sweeps one at a time (period_lock).
 *
 * Sections without a slot add themselves to counted[phase] with a full fence, and take themselves
 * away. Updaters look at both words after the fence. A word seen at 0 once is enough, since a
 * section that still sees the old pointer stays in one of them without a gap; changing the phase
 * only keeps new sections from holding the updater up. They are used before the constructor has
 * run, in a vfork() child (it has the parent's memory but not its thread ids, so its claim would be
 * taken for dead), when the arena is full, and, for everybody, where there is no membarrier.
 *
 * Fork. The arena is wiped in the child (MADV_WIPEONFORK): the slots of threads that do not exist
 * there are gone, and the locks are open. The forking thread's slot is wiped too, and its pointer
 * still points there: were the slot given to a new thread, both would use it. So a child that finds
 * the arena wiped gives out no slot below the highest that was ever used (base). In the child of
 * fork(), which runs our handler, no other thread can hold a pointer: the handler claims the slot
 * anew, puts back the mark that it had, and all others can be used again.
 *
 * A thread that ends does not tell. Its slot is taken back when many claims have been made, or when
 * an updater has waited for its mark for a while, after tgkill(2) said that the thread is not
 * there.
 */
#include "rcu.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../base/banned.h"

#define TOKEN_COUNTED (UINT64_C(1) << 63)
#define TOKEN_SHARE   2u /* bit 1: rcu_shares[1], else [0]; bit 0: the phase */

#define OWNER_BURIED    (UINT64_C(1) << 63)
#define CLAIM_BITS      31
#define SWEEP_MIN       64u   /* claims between two sweeps, at least */
#define FULL_RETRY_MASK 1023u /* in a full arena one attempt of 1024 looks again */

_Static_assert(sizeof(struct tocsin_rcu_slot) == 64, "a slot is a line");
_Static_assert(sizeof(struct rcu_shared) <= 4096, "one page before the slots");
_Static_assert(offsetof(struct rcu_arena, slots) == 4096, "the slots begin on their own page");

__thread struct tocsin_rcu_slot *tocsin_rcu_slot __attribute__((tls_model("initial-exec")));
uint64_t tocsin_rcu_period = TOCSIN_RCU_OUTSIDE + 1;

struct rcu_arena *rcu_arena;
static struct rcu_shared static_shared = {.state = RCU_SHARED_READY};
struct rcu_shared *rcu_shares[2] = {&static_shared, NULL};
uint32_t rcu_phase;

/* Highest slot ever claimed, plus one; survives forks. */
static uint32_t high_ever;
/* Where the pointer of a thread without a slot points, so that unlock needs no test for NULL. */
static struct tocsin_rcu_slot nobody;
/* This thread's open counted sections: [share][phase]. */
static __thread uint32_t own_counted[2][2] __attribute__((tls_model("initial-exec")));
/* This thread is about to count its outermost section. */
static __thread uint32_t own_about_to __attribute__((tls_model("initial-exec")));
/* Across fork(): the mark of the forking thread. */
static __thread uint64_t fork_mark __attribute__((tls_model("initial-exec")));

struct rcu_shared *rcu_shared(void)
{
	return rcu_shares[1] ? rcu_shares[1] : rcu_shares[0];
}

/* Raise *word to at least value. */
static void raise_to(uint32_t *word, uint32_t value)
{
	uint32_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);

	while (seen < value && !__atomic_compare_exchange_n(word, &seen, value, true,
							    __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
	}
}

/* ---- sections without a slot */

static bool counting(void)
{
	return own_counted[0][0] || own_counted[0][1] || own_counted[1][0] || own_counted[1][1];
}

static uint64_t counted_lock(void)
{
	unsigned share = rcu_shares[1] ? 1 : 0;
	unsigned phase = __atomic_load_n(&rcu_phase, __ATOMIC_RELAXED) & 1;

	if (!tocsin_rcu_slot)
		tocsin_rcu_slot = &nobody;
	TOCSIN_RCU_INJECT();
	(void)__atomic_fetch_add(&rcu_shares[share]->counted[phase], 1, __ATOMIC_SEQ_CST);
	own_counted[share][phase]++;
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with rcu_period_run() [D] */
	return TOKEN_COUNTED | (share ? TOKEN_SHARE : 0) | phase;
}

static void counted_unlock(unsigned share, unsigned phase)
{
	uint64_t *word = &rcu_shares[share]->counted[phase];
	uint64_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);

	own_counted[share][phase]--;
	/* 0: wiped by _Fork(); this section was not counted in the child. */
	while (seen && !__atomic_compare_exchange_n(word, &seen, seen - 1, true, __ATOMIC_SEQ_CST,
						    __ATOMIC_RELAXED)) {
	}
}

/* ---- slots */

/* Make the wiped shared page of a child usable. False: somebody else is at it. */
static bool shared_ready(struct rcu_shared *shared)
{
	uint32_t state = RCU_SHARED_FORKED;

	while (__atomic_load_n(&shared->state, __ATOMIC_ACQUIRE) != RCU_SHARED_READY) {
		if (!__atomic_compare_exchange_n(&shared->state, &state, RCU_SHARED_MAKING, false,
						 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			state = RCU_SHARED_FORKED;
			(void)sched_yield();
			continue;
		}
		shared->pid = getpid();
		shared->base = __atomic_load_n(&high_ever, __ATOMIC_RELAXED);
		shared->hint = shared->base;
		shared->sweep_at = SWEEP_MIN;
		raise_to(&shared->high, shared->base);
		__atomic_store_n(&shared->state, RCU_SHARED_READY, __ATOMIC_RELEASE);
	}
	return shared->pid == getpid();
}

/* Take a free slot of [from, to). */
static struct tocsin_rcu_slot *slot_find(uint32_t from, uint32_t to, uint64_t owner)
{
	for (uint32_t i = from; i < to; i++) {
		struct tocsin_rcu_slot *slot = &rcu_arena->slots[i];
		uint64_t free_owner = 0;

		if (__atomic_load_n(&slot->owner, __ATOMIC_RELAXED) == 0 &&
		    __atomic_compare_exchange_n(&slot->owner, &free_owner, owner, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return slot;
	}
	return NULL;
}

static uint64_t ticks_now(void)
{
	struct timespec ts;
	long hz = sysconf(_SC_CLK_TCK);

	/* The vDSO reads the clock again for as long as a tick comes in between, which is for ever
	 * under a debugger that steps. Cannot fail: Linux has this clock since 2.6.39. */
	(void)syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &ts);
	if (hz <= 0)
		hz = 100;
	return (uint64_t)ts.tv_sec * (uint64_t)hz +
	       (uint64_t)ts.tv_nsec / (1000000000u / (uint64_t)hz);
}

static struct tocsin_rcu_slot *slot_claim_in(struct rcu_shared *shared)
{
	struct tocsin_rcu_slot *slot;
	uint32_t hint, index, nr;
	uint64_t owner;

	nr = __atomic_add_fetch(&shared->claims, 1, __ATOMIC_RELAXED);
	if (nr >= __atomic_load_n(&shared->sweep_at, __ATOMIC_RELAXED) &&
	    rcu_lock_try(&shared->period_lock)) {
		rcu_sweep(shared);
		rcu_lock_drop(&shared->period_lock);
	}
	owner = (uint64_t)(nr & ((1u << CLAIM_BITS) - 1)) << 32 | (uint32_t)gettid();
	hint = __atomic_load_n(&shared->hint, __ATOMIC_RELAXED);
	if (hint < shared->base || hint > TOCSIN_RCU_SLOTS)
		hint = shared->base;
	slot = slot_find(hint, TOCSIN_RCU_SLOTS, owner);
	if (!slot)
		slot = slot_find(shared->base, hint, owner);
	if (!slot && rcu_lock_try(&shared->period_lock)) {
		rcu_sweep(shared);
		rcu_lock_drop(&shared->period_lock);
		slot = slot_find(shared->base, TOCSIN_RCU_SLOTS, owner);
	}
	if (!slot) {
		__atomic_store_n(&shared->full, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	index = (uint32_t)(slot - rcu_arena->slots);
	__atomic_store_n(&shared->hint, index + 1, __ATOMIC_RELAXED);
	slot->claimed_ticks = ticks_now();
	raise_to(&shared->high, index + 1);
	raise_to(&high_ever, index + 1);
	__atomic_store_n(&slot->mark, TOCSIN_RCU_OUTSIDE, __ATOMIC_RELEASE);
	return slot;
}

/* Was there no slot a moment ago? Then counting is cheaper than looking, most of the time. */
static bool is_known_full(struct rcu_shared *shared)
{
	return __atomic_load_n(&shared->full, __ATOMIC_RELAXED) &&
	       (__atomic_fetch_add(&shared->full, 1, __ATOMIC_RELAXED) & FULL_RETRY_MASK) != 0;
}

/* The calling thread's slot, a new one if need be; NULL: it gets none. Signals are blocked
 * meanwhile, so that a handler does not claim a second one. */
static struct tocsin_rcu_slot *slot_claim(void)
{
	uint64_t all = UINT64_MAX, old;
	struct tocsin_rcu_slot *slot;
	int saved_errno = errno;

	if (!rcu_arena || is_known_full(&rcu_arena->shared))
		return NULL;
	if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &old, sizeof(all)) != 0) {
		errno = saved_errno;
		return NULL;
	}
	slot = tocsin_rcu_slot;
	if (!slot || !slot->mark) {
		slot = shared_ready(&rcu_arena->shared) ? slot_claim_in(&rcu_arena->shared) : NULL;
		if (slot)
			tocsin_rcu_slot = slot;
	}
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old)); /* as above */
	errno = saved_errno;
	return slot;
}

bool rcu_slot_bury(struct rcu_shared *shared, struct tocsin_rcu_slot *slot, bool exact)
{
	uint64_t owner = __atomic_load_n(&slot->owner, __ATOMIC_ACQUIRE);
	int32_t tid = (int32_t)(owner & UINT32_MAX);
	uint32_t index = (uint32_t)(slot - rcu_arena->slots);
	int64_t start;

	if (!owner || owner & OWNER_BURIED)
		return false;
	if (syscall(SYS_tgkill, getpid(), tid, 0) == 0 || errno != ESRCH) {
		if (!exact)
			return false;
		start = rcu_thread_start_ticks(tid);
		if (start < 0 || (uint64_t)start <= slot->claimed_ticks)
			return false;
	}
	if (!__atomic_compare_exchange_n(&slot->owner, &owner, owner | OWNER_BURIED, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return false;
	__atomic_store_n(&slot->mark, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->owner, 0, __ATOMIC_RELEASE);
	if (index >= shared->base && index < __atomic_load_n(&shared->hint, __ATOMIC_RELAXED))
		__atomic_store_n(&shared->hint, index, __ATOMIC_RELAXED);
	__atomic_store_n(&shared->full, 0, __ATOMIC_RELAXED);
	return true;
}

void rcu_sweep(struct rcu_shared *shared)
{
	uint32_t high = __atomic_load_n(&shared->high, __ATOMIC_ACQUIRE), live = 0;

	for (uint32_t i = 0; i < high; i++) {
		struct tocsin_rcu_slot *slot = &rcu_arena->slots[i];
		uint64_t mark = __atomic_load_n(&slot->mark, __ATOMIC_ACQUIRE);

		if (mark && (mark != TOCSIN_RCU_OUTSIDE || !rcu_slot_bury(shared, slot, false)))
			live++;
	}
	__atomic_store_n(&shared->sweep_at,
			 __atomic_load_n(&shared->claims, __ATOMIC_RELAXED) +
				 (live > SWEEP_MIN ? live : SWEEP_MIN),
			 __ATOMIC_RELAXED);
}

/* Count the outermost section. Handlers must claim no slot between the decision to count and
 * counting() saying so, or unlock would find a slot and take the token for a mark. Return: NULL; or
 * the slot that a handler has claimed just before, which then is to be used. */
static struct tocsin_rcu_slot *counted_lock_outermost(uint64_t *ret_token)
{
	struct tocsin_rcu_slot *slot;

	own_about_to = 1;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	slot = tocsin_rcu_slot;
	if (slot && !__atomic_load_n(&slot->mark, __ATOMIC_RELAXED))
		slot = NULL;
	if (!slot)
		*ret_token = counted_lock();
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	own_about_to = 0;
	return slot;
}

uint64_t tocsin_rcu_read_lock_slow(void)
{
	struct tocsin_rcu_slot *slot;
	uint64_t outer;

	/* Counted outside, counted inside: the outer unlock must find the slot at 0. */
	if (counting() || own_about_to)
		return counted_lock();
	slot = slot_claim();
	if (!slot)
		slot = counted_lock_outermost(&outer);
	if (!slot)
		return outer;
	outer = slot->mark;
	if (outer == TOCSIN_RCU_OUTSIDE)
		__atomic_store_n(&slot->mark, __atomic_load_n(&tocsin_rcu_period, __ATOMIC_ACQUIRE),
				 __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return outer;
}

void tocsin_rcu_read_unlock_slow(uint64_t token)
{
	if (token & TOKEN_COUNTED)
		counted_unlock(token & TOKEN_SHARE ? 1 : 0, token & 1);
}

bool tocsin_rcu_is_watching_slow(void)
{
	return counting();
}

/* ---- start and fork */

static void fork_prepare(void)
{
	struct tocsin_rcu_slot *slot = tocsin_rcu_slot;

	fork_mark = slot ? slot->mark : 0;
}

/* In the child of fork() there is one thread, this one; but handlers of others may have run before.
 */
static void fork_child(void)
{
	struct tocsin_rcu_slot *slot = tocsin_rcu_slot;
	struct rcu_shared *shared;
	uint32_t high;

	static_shared = (struct rcu_shared){.state = RCU_SHARED_READY, .pid = getpid()};
	for (unsigned i = 0; i < 2; i++)
		if (rcu_shares[i])
			for (unsigned phase = 0; phase < 2; phase++)
				rcu_shares[i]->counted[phase] = own_counted[i][phase];
	if (!rcu_arena)
		return;
	shared = &rcu_arena->shared;
	if (shared->state == RCU_SHARED_FORKED) {
		high = slot && slot != &nobody ? (uint32_t)(slot - rcu_arena->slots) + 1 : 0;
		high_ever = high;
		shared->pid = getpid();
		shared->high = high;
		shared->sweep_at = SWEEP_MIN;
		shared->state = RCU_SHARED_READY;
	}
	if (!fork_mark || !slot || slot == &nobody)
		return;
	if (!slot->mark) {
		slot->owner = (uint64_t)++shared->claims << 32 | (uint32_t)gettid();
		slot->claimed_ticks = ticks_now();
		raise_to(&shared->high, (uint32_t)(slot - rcu_arena->slots) + 1);
		slot->mark = TOCSIN_RCU_OUTSIDE;
	}
	if (fork_mark != TOCSIN_RCU_OUTSIDE)
		slot->mark = fork_mark;
}

static bool membarrier_register(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

static void arena_map(void)
{
	struct rcu_arena *arena;

	/* Readers store their marks without a fence only where updaters can fence them. */
	if (!membarrier_register())
		return;
	arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED)
		return;
	if (madvise(arena, sizeof(*arena), MADV_WIPEONFORK) != 0) {
		(void)munmap(arena, sizeof(*arena)); /* whole and ours: cannot fail */
		return;
	}
	arena->shared.pid = getpid();
	arena->shared.sweep_at = SWEEP_MIN;
	arena->shared.state = RCU_SHARED_READY;
	rcu_arena = arena;
	rcu_shares[1] = &arena->shared;
}

static void init_once(void)
{
	int saved_errno = errno;

	static_shared.pid = getpid();
	/* Without the handler the arena could not be used again after fork(): counted sections
	 * remain. */
	if (pthread_atfork(fork_prepare, NULL, fork_child) == 0)
		arena_map();
	errno = saved_errno;
}

__attribute__((constructor(102))) void rcu_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, init_once); /* cannot fail with a good argument */
}
