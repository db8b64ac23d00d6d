// SPDX-License-Identifier: MIT
/*
 * Probes of a program on its own sites: who is called where.
 *
 * A site with probes has two things that another has not: a chain, the callbacks in their order,
 * and an `on` that points to a byte which is never 0 nor 1, so that its calls come to emit_slow(),
 * which looks at the byte of the page and at the chain. A site without probes is what it was:
 * nothing is tested there that was not tested before.
 *
 * Chains are made of the patterns, not kept beside them: after each change every site's set of
 * matching probes is worked out, and sites with the same set share a chain. A chain is a page of
 * its own from mmap(), so that this works in a signal handler, and is never changed but for one
 * thing: unregistering first replaces the callback in place by one that does nothing, which takes
 * no memory. Then new chains are published, and those that no site points to any more wait, in
 * `retired`, until somebody has waited for a grace period; then they are unmapped, and who would
 * still use one would crash.
 *
 * Readers: emit_slow() and chains_run(), in an RCU section; lock-free. They may see a new `on` with
 * an old chain or the other way round, each of which is what they would have seen a moment before
 * or after. Linearisation point of register and unregister at a site: the store of its chain.
 *
 * Writers hold a lock of their own with all signals blocked, so no handler can find it held by the
 * thread that it interrupted: it works in handlers, and in callbacks, as no callback runs under it.
 * It lies in memory that fork() wipes. A child that was made in the middle of a change makes the
 * change again.
 *
 * What may run beside what: everything beside everything.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../abi/glob.h"
#include "tocsin/rcu.h"
#include "tracee.h"

#define PATTERN_BYTES 128
#define TEXT_MAX      255 /* of provider and name, as in classes.c */
#define SLOT_BITS     6
#define REAP_AT       32 /* retired chains at which registering tries to get rid of them */

struct probe {
	int id; /* 0: free */
	int priority;
	tocsin_probe_fn fn;
	void *data;
	const struct tocsin_module *owner;
	char pattern[PATTERN_BYTES];
};

/* Under the lock, all of it. */
static struct {
	struct probe probe[TOCSIN_PROBES_MAX];
	uint8_t order[TOCSIN_PROBES_MAX]; /* slots in use, as they are called */
	uint32_t nr_probes;
	uint32_t nr_ever;
	struct tocsin_module *modules;
	struct chain *live;
	struct chain *retired;
	uint32_t nr_retired;
	uint32_t is_changing;
} chains;

static const volatile uint8_t probes_on = TRACEE_ON_PROBES, never_on = 0;

_Static_assert(sizeof(struct chain) <= 4096, "a chain is a page");
_Static_assert(TOCSIN_PROBES_MAX == 1 << SLOT_BITS, "a probe is a bit of a set");

static int lock(uint64_t *ret_signals)
{
	uint64_t all = UINT64_MAX;
	uint32_t me = tracee_gettid();

	if (!tracee.wiped)
		return -ENODEV;
	if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, ret_signals, sizeof(all)) < 0)
		return -errno;
	for (;;) {
		uint32_t holder = 0;

		if (__atomic_compare_exchange_n(&tracee.wiped->chains_holder, &holder, me, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return 0;
		(void)sched_yield(); /* the holder needs some microseconds */
	}
}

static void unlock(uint64_t signals)
{
	__atomic_store_n(&tracee.wiped->chains_holder, 0, __ATOMIC_RELEASE);
	/* As it was: cannot fail. */
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &signals, NULL, sizeof(signals));
}

/* ---- sets and chains */

static bool matches(const struct probe *p, const struct tocsin_class *cls)
{
	char subject[2 * (TEXT_MAX + 1)];
	size_t provider = strnlen(cls->provider, TEXT_MAX), name = strnlen(cls->name, TEXT_MAX);

	memcpy(subject, cls->provider, provider);
	subject[provider] = ':';
	memcpy(subject + provider + 1, cls->name, name);
	return glob_match(p->pattern, strlen(p->pattern), subject, provider + 1 + name);
}

static uint64_t set_of(const struct tocsin_class *cls)
{
	uint64_t set = 0;

	if (cls->flags & TOCSIN_CLASS_SECTION || !cls->provider || !cls->name)
		return 0;
	for (uint32_t i = 0; i < chains.nr_probes; i++)
		if (matches(&chains.probe[chains.order[i]], cls))
			set |= UINT64_C(1) << chains.order[i];
	return set;
}

static struct chain *chain_new(uint64_t set)
{
	struct chain *c =
		mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (c == MAP_FAILED)
		return NULL;
	c->set = set;
	for (uint32_t i = 0; i < chains.nr_probes; i++) {
		const struct probe *p = &chains.probe[chains.order[i]];

		if (set >> chains.order[i] & 1)
			c->entry[c->nr++] = (struct chain_entry){.fn = p->fn, .data = p->data};
	}
	c->next = chains.live;
	__atomic_store_n(&chains.live, c, __ATOMIC_RELEASE); /* whole for a child of fork() */
	return c;
}

static struct chain *chain_get(uint64_t set)
{
	for (struct chain *c = chains.live; c; c = c->next)
		if (c->set == set && !c->is_stale)
			return c;
	return chain_new(set);
}

static const volatile uint8_t *ring_byte(const struct tocsin_site *site)
{
	return tracee.page && site->id < CONTROL_CLASSES ? &tracee.page->enable[site->id]
							 : &never_on;
}

static int site_update(struct tocsin_site *site)
{
	uint64_t set = set_of(site->cls);
	struct chain *c = set ? chain_get(set) : NULL;

	if (set && !c) {
		if (site->probes)
			site->probes->is_used = true;
		return -ENOMEM; /* it keeps what it has */
	}
	if (c)
		c->is_used = true;
	if (c == site->probes)
		return 0;
	/* pairs with chains_run() [P] */
	__atomic_store_n(&site->probes, c, __ATOMIC_RELEASE);
	__atomic_store_n(&site->on, c ? &probes_on : ring_byte(site), __ATOMIC_RELEASE);
	return 0;
}

static void retire_unused(void)
{
	struct chain **at = &chains.live;

	while (*at) {
		struct chain *c = *at;

		if (c->is_used) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		c->next = chains.retired;
		chains.retired = c;
		chains.nr_retired++;
	}
}

/* Give every site what it is to have. Return: 0, or -ENOMEM: some keep what they had; or -errno: a
 * patched site cannot be armed. */
static int update(void)
{
	int r = 0, patched;

	__atomic_store_n(&chains.is_changing, 1, __ATOMIC_RELEASE);
	for (struct chain *c = chains.live; c; c = c->next)
		c->is_used = false;
	for (struct tocsin_module *m = chains.modules; m; m = m->next)
		for (struct tocsin_site *const *s = m->begin; s != m->end; s++)
			if (site_update(*s))
				r = -ENOMEM;
	retire_unused();
	for (struct tocsin_module *m = chains.modules; m; m = m->next) {
		patched = patch_update(m);
		r = r ? r : patched;
	}
	__atomic_store_n(&chains.is_changing, 0, __ATOMIC_RELEASE);
	return r;
}

/* ---- probes */

static void nothing(const struct tocsin_record *record, void *data)
{
	(void)record; /* the callback that was here is gone */
	(void)data;
}

static void probe_add(uint32_t slot, int priority)
{
	uint32_t i = chains.nr_probes++;

	for (; i > 0 && chains.probe[chains.order[i - 1]].priority < priority; i--)
		chains.order[i] = chains.order[i - 1];
	chains.order[i] = (uint8_t)slot;
}

/* From here on nobody begins to call it; update() has to follow. */
static void probe_remove(struct probe *p)
{
	uint32_t slot = (uint32_t)(p - chains.probe), at = 0;

	for (struct chain *c = chains.live; c; c = c->next) {
		if (!(c->set >> slot & 1))
			continue;
		c->is_stale = true;
		for (uint32_t i = 0; i < c->nr; i++)
			if (c->entry[i].fn == p->fn && c->entry[i].data == p->data)
				__atomic_store_n(&c->entry[i].fn, nothing, __ATOMIC_RELEASE);
	}
	while (chains.order[at] != slot)
		at++;
	chains.nr_probes--;
	memmove(chains.order + at, chains.order + at + 1, chains.nr_probes - at);
	*p = (struct probe){.id = 0};
}

static struct probe *probe_find(int id)
{
	struct probe *p = &chains.probe[(unsigned)id & (TOCSIN_PROBES_MAX - 1)];

	return id > 0 && p->id == id ? p : NULL;
}

/* Unmap what was retired before this call. Return: as tocsin_probe_barrier(), or -ETIMEDOUT. */
static int reap(uint64_t timeout_ns, int32_t *ret_tid)
{
	struct chain *list, **end;
	uint64_t signals;
	int r = lock(&signals);

	if (r)
		return r;
	list = chains.retired;
	chains.retired = NULL;
	chains.nr_retired = 0;
	unlock(signals);
	r = tocsin_rcu_synchronize_for(timeout_ns, ret_tid);
	if (r && lock(&signals) == 0) {
		for (end = &list; *end; end = &(*end)->next)
			chains.nr_retired++;
		*end = chains.retired;
		chains.retired = list;
		unlock(signals);
	} else {
		while (list) {
			struct chain *c = list;

			list = c->next;
			(void)munmap(c, sizeof(*c)); /* ours, whole: cannot fail */
		}
	}
	return r == -EDEADLK ? -EINPROGRESS : r;
}

static int register_locked(struct tocsin_module *module, const struct probe *new)
{
	uint32_t slot = 0;
	struct probe *p;
	int id, r;

	while (slot < TOCSIN_PROBES_MAX && chains.probe[slot].id)
		slot++;
	if (slot == TOCSIN_PROBES_MAX)
		return -ENOSPC;
	p = &chains.probe[slot];
	*p = *new;
	chains.nr_ever = (chains.nr_ever + 1) & (INT32_MAX >> SLOT_BITS);
	if (!chains.nr_ever)
		chains.nr_ever = 1;
	id = p->id = (int)(chains.nr_ever << SLOT_BITS | slot);
	probe_add(slot, p->priority);
	r = update();
	if (r) {
		probe_remove(p);
		(void)update(); /* sites keep chains that call nothing there */
		return r;
	}
	module->has_probes = 1;
	return id;
}

int tocsin_probe_register_in(struct tocsin_module *module, const char *sites, tocsin_probe_fn fn,
			     void *data, int priority)
{
	struct probe new = {.priority = priority, .fn = fn, .data = data, .owner = module};
	size_t len = sites ? strnlen(sites, PATTERN_BYTES) : 0;
	int r, saved = errno;
	uint32_t nr_retired;
	uint64_t signals;

	if (!len || len == PATTERN_BYTES || !fn)
		return -EINVAL;
	memcpy(new.pattern, sites, len);
	tracee_init();
	r = lock(&signals);
	if (r == 0) {
		r = register_locked(module, &new);
		nr_retired = chains.nr_retired;
		unlock(signals);
		if (nr_retired >= REAP_AT)
			(void)reap(0, NULL); /* if not now, then with the next */
	}
	errno = saved;
	return r;
}

int tocsin_probe_unregister_for(int id, uint64_t timeout_ns, int32_t *ret_tid)
{
	int r, saved = errno;
	struct probe *p;
	uint64_t signals;

	r = lock(&signals);
	if (r)
		return r;
	p = probe_find(id);
	if (p) {
		probe_remove(p);
		(void)update(); /* without memory, chains stay that call nothing there */
	}
	unlock(signals);
	r = p ? reap(timeout_ns, ret_tid) : -ENOENT;
	errno = saved;
	return r;
}

int tocsin_probe_unregister(int id)
{
	return tocsin_probe_unregister_for(id, UINT64_MAX, NULL);
}

int tocsin_probe_barrier(void)
{
	int saved = errno;
	int r = reap(UINT64_MAX, NULL);

	errno = saved;
	return r;
}

/* ---- modules, and fork() */

void chains_add_module(struct tocsin_module *module)
{
	uint64_t signals;

	if (lock(&signals))
		return; /* then no probe can be registered either */
	module->next = chains.modules;
	__atomic_store_n(&chains.modules, module, __ATOMIC_RELEASE);
	if (chains.nr_probes)
		(void)update(); /* -ENOMEM: as if it had come later */
	else
		(void)patch_update(module); /* what cannot be written stays armed */
	unlock(signals);
}

void tocsin_module_unregister(struct tocsin_module *module)
{
	struct tocsin_module **at = &chains.modules;
	bool had_probes = false;
	uint64_t signals;

	if (lock(&signals))
		return;
	while (*at && *at != module)
		at = &(*at)->next;
	if (*at) {
		__atomic_store_n(at, module->next, __ATOMIC_RELEASE);
		for (struct tocsin_site *const *s = module->begin; s != module->end; s++) {
			if (!(*s)->probes)
				continue;
			__atomic_store_n(&(*s)->probes, NULL, __ATOMIC_RELEASE);
			__atomic_store_n(&(*s)->on, ring_byte(*s), __ATOMIC_RELEASE);
		}
	}
	for (uint32_t i = 0; i < TOCSIN_PROBES_MAX; i++) {
		if (chains.probe[i].id && chains.probe[i].owner == module) {
			probe_remove(&chains.probe[i]);
			had_probes = true;
		}
	}
	if (had_probes || chains.live)
		(void)update(); /* as in unregister */
	unlock(signals);
	if (had_probes)
		(void)reap(UINT64_MAX, NULL); /* the caller unloads, whatever it says */
}

/* Another thread of the parent may have been in the middle of it. */
static void fork_child(void)
{
	if (__atomic_load_n(&chains.is_changing, __ATOMIC_ACQUIRE))
		(void)update();
}

__attribute__((constructor(102))) static void chains_init(void)
{
	(void)pthread_atfork(NULL, NULL, fork_child); /* without: as forks in the middle are rare */
}
