// SPDX-License-Identifier: MIT
/*
 * Sections of a linked program.
 *
 * What is open stands in the thread's slot (abi/section.h has the order of the stores), which the
 * kernel half reads while the thread is stopped. A signal handler that runs sections leaves the
 * count as it found it, but works at the same place: it may write over open[n] of the begin that it
 * interrupted. So begin looks at the number of begins afterwards, and writes its place again when a
 * handler came in between.
 *
 * Without the kernel half the section measures itself: the split is what the thread's schedstat
 * gained (running and waiting for a CPU; the rest of the time it slept). That takes system calls,
 * at the begin too, so it is done only while the section's event is on.
 *
 * Keyed sections stand in one table, by hash of section and key. Places are claimed by
 * compare-and-swap of their tag; nobody waits: a place in the hands of another thread is passed
 * over.
 */
#include "tocsin/section.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../abi/noinstr.h"
#include "../abi/section.h"
#include "tracee.h"

#define SPLITS 4 /* sections of a thread whose split is known; TLS is scarce */

struct split {
	uint32_t begun; /* section_open.begun of the section that it belongs to */
	uint64_t running_ns;
	uint64_t waiting_ns;
	bool is_known;
};

static __thread struct section_slot slot TRACEE_TLS
	__attribute__((aligned(64))) = {.magic = SECTION_MAGIC, .abi = SECTION_ABI};
/* Apart, as the kernel half has no use for them: what schedstat said when open[n] began, and how
 * many sections are open that found no place. */
static __thread struct split split_at[SPLITS] TRACEE_TLS;
static __thread uint32_t nr_deeper TRACEE_TLS;

/* Smallest budget so far, for the poll of the kernel half: it only falls. */
static uint64_t min_budget_ns = UINT64_MAX;

/* As the fields in TOCSIN_SECTION_SITE_(). */
struct section_record {
	uint64_t key;
	uint64_t start_ns;
	uint64_t elapsed_ns;
	uint64_t budget_ns;
	uint64_t running_ns;
	uint64_t waiting_ns;
	uint64_t sleeping_ns;
	uint64_t unknown_ns;
	uint8_t is_keyed;
	uint8_t pad[3];
	int32_t split;
};

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void section_publish(void)
{
	struct control_tracee *t = &tracee.page->tracee;
	uint64_t budget_ns = __atomic_load_n(&min_budget_ns, __ATOMIC_RELAXED);

	if (budget_ns == UINT64_MAX)
		return; /* no section yet */
	t->slot_tp_offset = (int64_t)((intptr_t)&slot - (intptr_t)__builtin_thread_pointer());
	if (tocsin_rseq.area)
		t->slot_rseq_offset = t->slot_tp_offset - tocsin_rseq.area;
	t->slot_abi = SECTION_ABI;
	t->slot_magic = SECTION_MAGIC;
	__atomic_store_n(&t->min_budget_ns, budget_ns, __ATOMIC_RELEASE);
	/* pairs with the collector's load: what stands above is complete */
	__atomic_store_n(&t->slot_bytes, (__u32)sizeof(slot), __ATOMIC_RELEASE);
}

static __attribute__((noinline, cold)) void lower_min_budget(uint64_t budget_ns)
{
	uint64_t seen = __atomic_load_n(&min_budget_ns, __ATOMIC_RELAXED);

	while (budget_ns < seen &&
	       !__atomic_compare_exchange_n(&min_budget_ns, &seen, budget_ns, true,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		continue;
	/* In a child that has not its own page yet this is for page_make() to do. */
	if (tracee.page && tracee_own()) {
		section_publish();
		tracee_wake();
	}
}

/* ---- splits ---- */

/* "running waiting slices", in ns. */
static __attribute__((noinline, cold)) void split_read(struct split *ret)
{
	int saved = errno;
	char buf[96];
	uint64_t value[2] = {0, 0};
	struct timespec cpu = {0};
	unsigned n = 0;
	ssize_t bytes = -1;
	int fd = tracee.is_frozen ? -1 : open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		bytes = read(fd, buf, sizeof(buf));
		(void)close(fd);                                    /* only read */
		(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu); /* cannot fail */
	}
	for (ssize_t i = 0; i < bytes && n < 2; i++) {
		if (buf[i] >= '0' && buf[i] <= '9')
			value[n] = value[n] * 10 + (uint64_t)(buf[i] - '0');
		else
			n++;
	}
	ret->running_ns = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
	ret->waiting_ns = value[1];
	ret->is_known = n == 2;
	errno = saved;
}

static void split_fill(struct section_record *r, const struct split *before)
{
	struct split after = {0};

	r->unknown_ns = r->elapsed_ns;
	if (!before->is_known)
		return;
	split_read(&after);
	if (!after.is_known)
		return;
	r->split = TOCSIN_SPLIT_SCHEDSTAT;
	r->unknown_ns = 0;
	r->running_ns = after.running_ns - before->running_ns;
	/* The two readings lie a little outside of the section: the sum must not. */
	if (r->running_ns > r->elapsed_ns)
		r->running_ns = r->elapsed_ns;
	r->waiting_ns = after.waiting_ns - before->waiting_ns;
	if (r->waiting_ns > r->elapsed_ns - r->running_ns)
		r->waiting_ns = r->elapsed_ns - r->running_ns;
	r->sleeping_ns = r->elapsed_ns - r->running_ns - r->waiting_ns;
}

static void emit_over(struct tocsin_site *site, const struct section_record *r)
{
	struct {
		unsigned char room[TOCSIN_HEADROOM];
		struct section_record r;
	} record __attribute__((aligned(8)));

	record.r = *r;
	tocsin_site_emit(site, &record.r, sizeof(record.r), *site->on);
}

/* ---- by thread ---- */

static __attribute__((noinline, cold)) int begin_deeper(void)
{
	slot.deeper++;
	nr_deeper++;
	tracee_count(TRACEE_LOSS_SECTIONS_DEEP, 1);
	return -ENOSPC;
}

static __attribute__((noinline, cold)) void budget_seen(uint64_t budget_ns)
{
	slot.min_budget_ns = budget_ns;
	lower_min_budget(budget_ns);
}

TOCSIN_NOINSTR int tocsin_section_begin_(struct tocsin_site *site, uint64_t budget_ns)
{
	volatile struct section_slot *s = &slot; /* each store counts, in this order */
	volatile struct section_open *o;
	uint32_t n = SECTION_COUNT(s->state), turn;
	uint64_t start;

	if (__builtin_expect(n >= SECTION_OPEN || nr_deeper ||
				     __atomic_load_n(&tracee.is_stopped, __ATOMIC_RELAXED),
			     0))
		return begin_deeper();
	if (__builtin_expect(budget_ns - 1 < s->min_budget_ns - 1,
			     0)) /* none yet, 0, is the largest */
		budget_seen(budget_ns);
	if (__builtin_expect(*site->on, 0) && n < SPLITS) {
		split_read(&split_at[n]);
		split_at[n].begun = s->begun + 1;
	}
	o = &s->open[n];
	turn = s->begun + 1;
	s->state = SECTION_OPENING | n << 8 | n;
	s->begun = turn;
	start = now_ns();
	for (;;) {
		o->start_ns = start;
		o->deadline_ns = start + budget_ns;
		o->id = site->id + 1u;
		o->begun = turn;
		s->state = n + 1;
		if (__builtin_expect(s->begun == turn, 1))
			return 0;
		turn = s->begun + 1; /* a handler's section was here meanwhile */
		s->begun = turn;
	}
}

static __attribute__((noinline, cold)) void ended_over(struct tocsin_site *site, uint32_t i,
						       uint64_t end)
{
	static const struct split none;
	const struct section_open *o = &slot.open[i];
	struct section_record r = {
		.start_ns = o->start_ns,
		.elapsed_ns = end - o->start_ns,
		.budget_ns = o->deadline_ns - o->start_ns,
	};

	if (!*site->on)
		return;
	split_fill(&r, i < SPLITS && split_at[i].begun == o->begun ? &split_at[i] : &none);
	emit_over(site, &r);
}

static __attribute__((noinline, cold)) int end_over(struct tocsin_site *site, uint32_t i,
						    uint64_t end)
{
	volatile struct section_slot *s = &slot;
	volatile struct section_open *o = &s->open[i];
	volatile struct section_late *late = &s->late[s->nr_late % SECTION_LATE];
	uint32_t n = SECTION_COUNT(s->state);

	late->start_ns = o->start_ns;
	late->deadline_ns = o->deadline_ns;
	late->end_ns = end;
	late->id = o->id;
	late->begun = o->begun;
	s->nr_late++;
	o->id = 0;
	while (n && n <= SECTION_OPEN && !s->open[n - 1].id)
		n--;
	s->state = n;
	ended_over(site, i, end);
	return -EOVERFLOW;
}

/* Not the topmost, too deep to be kept, not open at all, or without a clock. */
static __attribute__((noinline, cold)) int end_odd(struct tocsin_site *site)
{
	volatile struct section_slot *s = &slot;
	uint32_t n = SECTION_COUNT(s->state), i = n <= SECTION_OPEN ? n : 0;
	uint64_t end = 0;

	if (nr_deeper) {
		nr_deeper--;
		return 0;
	}
	do {
		if (!i)
			return -ENOENT;
	} while (s->open[--i].id != site->id + 1u);
	s->state = SECTION_CLOSING | i << 8 | n;
	if (!__atomic_load_n(&tracee.is_stopped, __ATOMIC_RELAXED))
		end = now_ns();
	if (end > s->open[i].deadline_ns)
		return end_over(site, i, end);
	s->open[i].id = 0;
	while (n && !s->open[n - 1].id)
		n--;
	s->state = n;
	return 0;
}

TOCSIN_NOINSTR int tocsin_section_end_(struct tocsin_site *site)
{
	volatile struct section_slot *s = &slot;
	uint32_t n = SECTION_COUNT(s->state), i = n - 1;
	volatile struct section_open *o = &s->open[i % SECTION_OPEN];
	uint64_t end;

	if (__builtin_expect(i >= SECTION_OPEN || o->id != site->id + 1u || nr_deeper ||
				     __atomic_load_n(&tracee.is_stopped, __ATOMIC_RELAXED),
			     0))
		return end_odd(site);
	s->state = SECTION_CLOSING | i << 8 | n;
	end = now_ns();
	if (__builtin_expect(end > o->deadline_ns, 0))
		return end_over(site, i, end);
	o->id = 0;
	while (__builtin_expect(i && !s->open[i - 1].id, 0))
		i--; /* ended before this one */
	s->state = i;
	return 0;
}

/* ---- by key ---- */

#define KEYED_PLACES 4096
#define KEYED_PROBES 32
#define KEYED_BUSY   1u

struct keyed {
	uint64_t tag; /* 0: free; KEYED_BUSY: in somebody's hands; else hash | 2 */
	uint64_t key;
	uint64_t start_ns;
	uint64_t deadline_ns;
	uint64_t id;
};

static struct keyed keyed[KEYED_PLACES];

static uint64_t keyed_hash(uint64_t id, uint64_t key)
{
	uint64_t h = (key ^ id << 48) * 0x9e3779b97f4a7c15u; /* 2^64 over the golden ratio */

	h = (h ^ h >> 32) * 0x9e3779b97f4a7c15u;
	return (h ^ h >> 29) & ~(uint64_t)3;
}

/* Takes the place of @id and @key, if there is one, into our hands. */
static struct keyed *keyed_take(uint64_t hash, uint64_t id, uint64_t key)
{
	for (unsigned i = 0; i < KEYED_PROBES; i++) {
		struct keyed *k = &keyed[((hash >> 2) + i) % KEYED_PLACES];
		uint64_t tag = hash | 2;

		if (!__atomic_compare_exchange_n(&k->tag, &tag, KEYED_BUSY, false, __ATOMIC_ACQUIRE,
						 __ATOMIC_RELAXED))
			continue;
		if (k->key == key && k->id == id)
			return k;
		__atomic_store_n(&k->tag, hash | 2, __ATOMIC_RELEASE); /* another with that hash */
	}
	return NULL;
}

static struct keyed *keyed_take_free(uint64_t hash)
{
	for (unsigned i = 0; i < KEYED_PROBES; i++) {
		struct keyed *k = &keyed[((hash >> 2) + i) % KEYED_PLACES];
		uint64_t tag = 0;

		if (__atomic_compare_exchange_n(&k->tag, &tag, KEYED_BUSY, false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return k;
	}
	return NULL;
}

int tocsin_section_begin_keyed_(struct tocsin_site *site, uint64_t key, uint64_t budget_ns)
{
	uint64_t hash = keyed_hash(site->id, key);
	struct keyed *k = keyed_take(hash, site->id, key);

	if (!k)
		k = keyed_take_free(hash);
	if (!k || __atomic_load_n(&tracee.is_stopped, __ATOMIC_RELAXED)) {
		if (k)
			__atomic_store_n(&k->tag, 0, __ATOMIC_RELEASE);
		tracee_count(TRACEE_LOSS_SECTIONS_KEYED, 1);
		return -ENOSPC;
	}
	k->key = key;
	k->id = site->id;
	k->start_ns = now_ns();
	k->deadline_ns = k->start_ns + budget_ns;
	__atomic_store_n(&k->tag, hash | 2, __ATOMIC_RELEASE);
	return 0;
}

int tocsin_section_end_keyed_(struct tocsin_site *site, uint64_t key)
{
	uint64_t hash = keyed_hash(site->id, key);
	struct keyed *k = keyed_take(hash, site->id, key);
	struct section_record r = {.key = key, .is_keyed = 1};
	uint64_t end;

	if (!k)
		return -ENOENT;
	r.start_ns = k->start_ns;
	r.budget_ns = k->deadline_ns - k->start_ns;
	__atomic_store_n(&k->tag, 0, __ATOMIC_RELEASE);
	if (__atomic_load_n(&tracee.is_stopped, __ATOMIC_RELAXED))
		return 0;
	end = now_ns();
	r.elapsed_ns = end - r.start_ns;
	if (r.elapsed_ns <= r.budget_ns)
		return 0;
	r.unknown_ns =
		r.elapsed_ns; /* threads have splits; who worked on a key is not known here */
	if (*site->on)
		emit_over(site, &r);
	return -EOVERFLOW;
}
