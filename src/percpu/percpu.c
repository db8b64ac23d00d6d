// SPDX-License-Identifier: MIT
/*
 * The gate: how one thread works on another CPU's item.
 *
 * Invariants
 *
 *   I1  table[i] is either the address of item i, or NULL. NULL: closed.
 *
 *   I2  A section loads table[i] itself, after it was armed, and touches the item only through that
 *       pointer. So one that begins after the gate was closed never touches the item.
 *
 *   I3  Who takes the pointer out (exchange with NULL, got non-NULL) is the holder: the exchange is
 *       the lock. It puts the same pointer back (store, release).
 *
 *   I4  After the exchange, the fence (MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) aborts a section that
 *       had loaded the pointer before. The holder touches the item only after the fence.
 *
 *   I5  Items indexed by CPU: such a section can only be on that CPU, one fence of it is enough; if
 *       the thread was preempted or moved, its section was aborted by that. Indexed by concurrency
 *       id, it may be on any CPU: all are fenced.
 *
 * From I2 and I4 on the holder is alone with the item. Linearisation: an operation in a section
 * at its committing store; one behind the gate anywhere between close and open.
 *
 *	section on CPU c                 holder
 *	  arm                              p = exchange(table[c], NULL)   [A]
 *	  p = table[c]  [B]                fence(c)                       [C]
 *	  p ? work : leave                 work on *p
 *	  commit                           store-release(table[c], p)     [D]
 *
 *   [A] before [B]: the section sees NULL and leaves. [B] before [A]: [C] finds it armed and aborts
 * it, or it had committed, and [C] makes that visible. [D] pairs with [B]: the section's work
 * depends on the address that it loaded, which orders it on every architecture that we run on.
 *
 * The fence must come after the closing, abort (a plain barrier is not enough), and the pointer
 * must be loaded inside the section: each of these turned round loses updates in the stress test
 * within a second.
 *
 * Waiting: who finds the gate closed from outside spins, yields, then sleeps 50 us at a time, with
 * its signals let in unless it is behind another gate already (tocsin_do_on_each()).
 * Signals are blocked while a thread is behind a gate, so no handler can wait for its own thread,
 * and no asynchronous cancellation can leave a gate closed. That a thread asks again for what it
 * has is found by its thread pointer: -EDEADLK.
 *
 * fork() copies a thread's half of the work if another thread is behind a gate. The gates lie in
 * memory that the kernel zeroes in the child (MADV_WIPEONFORK): all closed. The first who meets
 * that opens them again, and zeroes the items that have a holder, since it does not exist in the
 * child. Its signals are blocked meanwhile, as behind a gate.
 *
 * Where there is no fence the object is "locked" from its making: no section ever works on it, and
 * operations take the gate as well.
 */
#include "percpu.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "broken.h"

#define ITEM_ALIGN     64
#define SIZE_BYTES_MAX ((size_t)1 << 30)

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Return: zeroed pages, NULL. */
static void *pages_map(size_t bytes)
{
	void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return pages == MAP_FAILED ? NULL : pages;
}

static void gates_open_all(struct tocsin_percpu *p)
{
	for (unsigned i = 0; i < p->nr; i++)
		__atomic_store_n(&p->gates->table[i], p->items + i * p->stride_bytes,
				 __ATOMIC_RELEASE);
}

/* Items that share no page go to the node of the CPU that touches them first; small ones share none
 * of their cache lines, nor of the pairs of lines that are prefetched together. */
static size_t stride_of(size_t size_bytes)
{
	size_t page = page_bytes();

	return round_up(size_bytes, size_bytes * 2 > page ? page : 2 * ITEM_ALIGN);
}

int tocsin_percpu_new(size_t size_bytes, uint32_t flags, struct tocsin_percpu **ret_percpu)
{
	size_t head, holders, map_bytes;
	struct tocsin_percpu *p;
	unsigned nr;

	if (size_bytes < 8 || size_bytes > SIZE_BYTES_MAX || flags & ~TOCSIN_PERCPU_BY_CID)
		return -EINVAL;
	(void)rseq_init(); /* its reason is in tocsin_rseq: no area */
	nr = rseq_nr_indexes();
	head = round_up(sizeof(*p), ITEM_ALIGN);
	holders = round_up(nr * sizeof(uintptr_t), ITEM_ALIGN);
	/* The holders' words on pages of their own: items start a page. */
	head = round_up(head + holders, page_bytes());
	map_bytes = head + nr * stride_of(size_bytes);
	p = pages_map(map_bytes);
	if (!p)
		return -ENOMEM;
	p->nr = nr;
	p->map_bytes = map_bytes;
	p->size_bytes = size_bytes;
	p->stride_bytes = stride_of(size_bytes);
	p->holder = (uintptr_t *)(void *)((char *)p + round_up(sizeof(*p), ITEM_ALIGN));
	p->items = (char *)p + head;
	p->is_by_cid = flags & TOCSIN_PERCPU_BY_CID && rseq_scheme() == RSEQ_BY_CID;
	p->index_offset = p->is_by_cid ? offsetof(struct tocsin_rseq_area, mm_cid)
				       : offsetof(struct tocsin_rseq_area, cpu_id);
	p->is_locked = !(tocsin_rseq.flags & TOCSIN_RSEQ_F_FENCE);
	p->gates_bytes = round_up(sizeof(*p->gates) + nr * sizeof(void *), page_bytes());
	p->gates = pages_map(p->gates_bytes);
	if (!p->gates)
		return tocsin_percpu_free(p), -ENOMEM;
	p->has_wipe = madvise(p->gates, p->gates_bytes, MADV_WIPEONFORK) == 0;
	p->pid = getpid();
	gates_open_all(p);
	__atomic_store_n(&p->gates->alive, PERCPU_ALIVE, __ATOMIC_RELEASE);
	*ret_percpu = p;
	return 0;
}

struct tocsin_percpu *tocsin_percpu_free(struct tocsin_percpu *p)
{
	if (!p)
		return NULL;
	if (p->gates)
		(void)munmap(p->gates, p->gates_bytes); /* ours, as mapped */
	(void)munmap(p, p->map_bytes);
	return NULL;
}

unsigned tocsin_percpu_nr(const struct tocsin_percpu *p)
{
	return p->nr;
}

unsigned tocsin_percpu_wiped(const struct tocsin_percpu *p)
{
	return __atomic_load_n(&p->wiped, __ATOMIC_RELAXED);
}

void *tocsin_percpu_item(const struct tocsin_percpu *p, int cpu)
{
	return cpu >= 0 && (unsigned)cpu < p->nr ? p->items + (size_t)cpu * p->stride_bytes : NULL;
}

/* Claims the right to open the gates of a child. Return: false: another did, or there is no need.
 */
static bool fork_claim(struct tocsin_percpu *p)
{
	uint32_t forked = PERCPU_FORKED;
	pid_t pid, mine;

	if (p->has_wipe)
		return __atomic_compare_exchange_n(&p->gates->alive, &forked, PERCPU_OPENING, false,
						   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
	mine = getpid();
	pid = __atomic_load_n(&p->pid, __ATOMIC_RELAXED);
	return pid != mine && __atomic_compare_exchange_n(&p->pid, &pid, mine, false,
							  __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void gates_renew(struct tocsin_percpu *p)
{
	for (unsigned i = 0; i < p->nr; i++) {
		if (!p->holder[i])
			continue;
		memset(p->items + i * p->stride_bytes, 0, p->size_bytes);
		p->holder[i] = 0;
		(void)__atomic_fetch_add(&p->wiped, 1, __ATOMIC_RELAXED);
	}
	gates_open_all(p);
	__atomic_store_n(&p->gates->alive, PERCPU_ALIVE, __ATOMIC_RELEASE);
}

bool gates_after_fork(struct tocsin_percpu *p)
{
	uint64_t signals;
	bool is_mine;

	/* For those who only meet a closed gate, without a system call. */
	if (p->has_wipe && __atomic_load_n(&p->gates->alive, __ATOMIC_RELAXED) != PERCPU_FORKED)
		return false;
	/* A handler between claim and opening would wait for the thread that it has interrupted. */
	signals = signals_block();
	is_mine = fork_claim(p);
	if (is_mine)
		gates_renew(p);
	signals_restore(signals);
	return is_mine;
}

static void gate_nap(void)
{
	const struct timespec nap = {.tv_nsec = 50000};

	(void)syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &nap, NULL); /* shorter is fine */
}

/* The @turn-th time that a gate is found closed. @signals: what to let in while asleep; NULL:
 * nothing, as the caller is behind another gate. */
static void gate_wait(unsigned turn, const uint64_t *signals)
{
	int saved = errno;

	if (turn < 64) {
		TOCSIN_CPU_RELAX();
	} else if (turn < 128) {
		(void)sched_yield(); /* cannot fail */
	} else if (signals) {
		signals_restore(*signals);
		gate_nap();
		(void)signals_block();
	} else {
		gate_nap();
	}
	errno = saved;
}

/* Takes the pointer out. Return: 0, -EDEADLK. */
static int gate_take(struct tocsin_percpu *p, unsigned idx, const uint64_t *signals)
{
	void **gate = &p->gates->table[idx];

	if (__atomic_load_n(&p->holder[idx], __ATOMIC_RELAXED) == percpu_tp())
		return -EDEADLK;
	if (!p->has_wipe)
		(void)gates_after_fork(p); /* whichever it was, the gates are usable */
	for (unsigned turn = 0;; turn++) {
		/* [A] of the essay. Looking first keeps those who wait from writing to the line. */
		if (__atomic_load_n(gate, __ATOMIC_RELAXED) &&
		    __atomic_exchange_n(gate, NULL, __ATOMIC_SEQ_CST))
			break;
		if (!gates_after_fork(p))
			gate_wait(turn, signals);
	}
	__atomic_store_n(&p->holder[idx], percpu_tp(), __ATOMIC_RELAXED);
	return 0;
}

static int gate_fence(const struct tocsin_percpu *p, unsigned idx)
{
	if (!tocsin_rseq.area)
		return 0; /* nobody uses sections */
	return broken_fence(p->is_by_cid ? -1 : (int)idx, (int)idx);
}

int gate_close(struct tocsin_percpu *p, unsigned idx, const uint64_t *signals)
{
	int r;

	broken_before_close((int)idx);
	r = gate_take(p, idx, signals);
	if (r || p->is_locked)
		return r;
	r = gate_fence(p, idx); /* [C] */
	if (r)
		gate_open(p, idx);
	return r;
}

void gate_open(struct tocsin_percpu *p, unsigned idx)
{
	__atomic_store_n(&p->holder[idx], 0, __ATOMIC_RELEASE);
	/* [D], pairs with [B] */
	__atomic_store_n(&p->gates->table[idx], p->items + idx * p->stride_bytes, __ATOMIC_RELEASE);
}

int tocsin_do_on_cpu(struct tocsin_percpu *p, int cpu, tocsin_cpu_fn fn, void *arg)
{
	uint64_t signals;
	int r;

	if (cpu < 0 || (unsigned)cpu >= p->nr)
		return -EINVAL;
	signals = signals_block();
	r = gate_close(p, (unsigned)cpu, &signals);
	if (!r) {
		fn(p->items + (size_t)cpu * p->stride_bytes, cpu, arg);
		gate_open(p, (unsigned)cpu);
	}
	signals_restore(signals);
	return r;
}

static bool is_in(const uint64_t *mask, unsigned nr_bits, unsigned idx)
{
	return !mask || (idx < nr_bits && mask[idx / 64] >> idx % 64 & 1);
}

/* Ascending, so that two callers cannot wait for each other. */
static int each_close(struct tocsin_percpu *p, const uint64_t *mask, unsigned nr_bits)
{
	int r = 0;

	for (unsigned i = 0; i < p->nr && !r; i++)
		if (is_in(mask, nr_bits, i))
			r = gate_take(p, i, NULL);
	if (!r && !p->is_locked && tocsin_rseq.area)
		r = broken_fence(-1, -1);
	return r;
}

static void each_open(struct tocsin_percpu *p, const uint64_t *mask, unsigned nr_bits)
{
	for (unsigned i = 0; i < p->nr; i++)
		if (is_in(mask, nr_bits, i) && p->holder[i] == percpu_tp())
			gate_open(p, i);
}

int tocsin_do_on_each(struct tocsin_percpu *p, const uint64_t *mask, unsigned nr_bits,
		      tocsin_cpu_fn fn, void *arg)
{
	uint64_t signals;
	int r;

	for (unsigned i = p->nr; mask && i < nr_bits; i++)
		if (is_in(mask, nr_bits, i))
			return -EINVAL;
	/* From within @fn on one of them: before anything is closed, so that all that is ours below
	 * is of now. */
	for (unsigned i = 0; i < p->nr; i++)
		if (__atomic_load_n(&p->holder[i], __ATOMIC_RELAXED) == percpu_tp())
			return -EDEADLK;
	signals = signals_block();
	r = each_close(p, mask, nr_bits);
	for (unsigned i = 0; !r && i < p->nr; i++)
		if (is_in(mask, nr_bits, i))
			fn(p->items + i * p->stride_bytes, (int)i, arg);
	each_open(p, mask, nr_bits);
	signals_restore(signals);
	return r;
}
