// SPDX-License-Identifier: MIT
/*
 * Monitors inside a program: instances by key in a table of tocsin/keyed.h, stepped by
 * automata/step.h.
 *
 * Invariants
 *
 *   M1  An instance is read and written only by who holds its lock; or, unshared, by the one thread
 *       that has events for it. So every event is stepped once, on what the one before it left.
 *
 *   M2  A thread is in at most one step: `stepping` refuses what a handler that interrupted one
 *       wants. So a thread holds at most one lock, never waits for itself, and no two threads can
 *       wait for each other.
 *
 *   M3  The callback is called after the step: no lock, no read-side section, not `stepping`. It is
 *       given a copy, which lies on the stack of the thread. So it may longjmp(), as the functions
 *       that fail a test do.
 *
 *   M4  The time an instance has seen never goes back, whatever clock is given.
 *
 * The locks are of buckets of keys, apart from the instances: they lie in memory that is wiped in
 * the child of a fork, where zero is open, so that what another thread held is not shut there for
 * ever. Linearisation of a step: where it has taken the lock.
 */
#include "tocsin/monitor.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../automata/step.h"
#include "../base/banned.h"
#include "../base/clock.h"
#include "../percpu/rcu_lock.h"
#include "inprocess.h"
#include "tocsin/keyed.h"
#include "tocsin/rcu.h"

#define LOCKS      256u
#define OPTS_BYTES offsetof(struct tocsin_monitor_opts, violated)
#define DUE        64 /* instances whose bound has passed, found in one go */

_Static_assert((int)TOCSIN_MONITOR_STEPPED == (int)AUTOMATON_STEPPED &&
		       (int)TOCSIN_MONITOR_IGNORED == (int)AUTOMATON_IGNORED &&
		       (int)TOCSIN_MONITOR_STARTED == (int)AUTOMATON_STARTED_NOW &&
		       (int)TOCSIN_MONITOR_BAD_EVENT == (int)AUTOMATON_BAD_EVENT &&
		       (int)TOCSIN_MONITOR_BAD_GUARD == (int)AUTOMATON_BAD_GUARD &&
		       (int)TOCSIN_MONITOR_BAD_TIME == (int)AUTOMATON_BAD_TIME &&
		       (int)TOCSIN_MONITOR_BAD_RULE == (int)AUTOMATON_BAD_RULE,
	       "the stepper's results are the header's");
_Static_assert(sizeof(struct tocsin_monitor_args) == sizeof(struct automaton_inputs) &&
		       TOCSIN_MONITOR_ARGS == AUTOMATON_INPUTS,
	       "args are inputs");

struct instance {
	struct automaton_instance in;
	uint64_t seen_ns; /* M4 */
	uint64_t nr_past; /* events ever; the last `history` of them are in past[] */
	int32_t tid;      /* in the scope of threads */
	struct tocsin_monitor_past past[];
};

struct tocsin_monitor {
	struct inprocess_model model;
	struct rcu_lock *locks; /* wiped in the child of a fork; NULL: nothing is shared */
	struct tocsin_keyed *keyed;
	struct instance *global; /* instead of keyed */
	uint32_t scope, history;
	bool has_clock;
	size_t instance_bytes;
	void (*violated)(void *arg, const struct tocsin_monitor_violation *violation);
	void *arg;

	uint64_t nr_violations __attribute__((aligned(64))); /* by atomics, from here on */
	uint64_t nr_busy;
};

/* What a call asks of an instance. */
enum what { EVENT, ATOMS, TIME };

struct ask {
	enum what what;
	uint64_t value; /* event, or atoms */
	uint64_t key;
	uint64_t now_ns;
	const struct tocsin_monitor_args *args;
};

/* A violation, copied out of the instance. */
struct found {
	struct tocsin_monitor_violation violation;
	struct tocsin_monitor_past past[TOCSIN_MONITOR_HISTORY_MAX + 1];
};

static __thread bool stepping; /* M2 */
static __thread uint64_t self; /* this thread's key; never another's */
static uint64_t nr_selves;

static uint64_t self_key(void)
{
	if (!self)
		self = __atomic_add_fetch(&nr_selves, 1, __ATOMIC_RELAXED);
	return self;
}

static void count(uint64_t *word)
{
	(void)__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
}

static bool step_enter(struct tocsin_monitor *m)
{
	if (__builtin_expect(stepping, 0)) {
		count(&m->nr_busy);
		return false;
	}
	stepping = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return true;
}

static void step_leave(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	stepping = false;
}

/* ---- locks */

static __attribute__((noinline)) void lock_wait(struct rcu_lock *lock)
{
	int saved = errno;

	(void)rcu_lock_take(lock, UINT64_MAX); /* for ever: no timeout */
	errno = saved;
}

static struct rcu_lock *lock_take(struct tocsin_monitor *m, uint64_t key)
{
	struct rcu_lock *lock;

	if (!m->locks)
		return NULL;
	lock = &m->locks[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 56]; /* as keyed.c spreads them */
	if (__builtin_expect(!rcu_lock_try(lock), 0))
		lock_wait(lock);
	return lock;
}

static void lock_drop(struct rcu_lock *lock)
{
	if (lock)
		rcu_lock_drop(lock);
}

/* ---- a step */

static void past_add(struct tocsin_monitor *m, struct instance *i, uint64_t state,
		     const struct ask *ask, uint64_t now_ns, uint32_t result)
{
	i->past[i->nr_past++ % m->history] = (struct tocsin_monitor_past){
		.time_ns = now_ns,
		.state = state,
		.atoms = ask->what == ATOMS ? ask->value : 0,
		.event = ask->what == EVENT ? (uint32_t)ask->value : TOCSIN_MONITOR_TIME,
		.result = result,
	};
}

/* Before the violation itself is added to the past. */
static __attribute__((noinline)) void found_fill(struct tocsin_monitor *m, const struct instance *i,
						 const struct automaton_instance *before,
						 const struct ask *ask, uint64_t now_ns,
						 uint32_t result, struct found *ret)
{
	uint64_t nr = i->nr_past < m->history ? i->nr_past : m->history;
	bool is_graph = m->model.table.kind == AUTOMATON_GRAPH;

	for (uint64_t k = 0; k < nr; k++)
		ret->past[k] = i->past[(i->nr_past - nr + k) % m->history];
	ret->past[nr] = (struct tocsin_monitor_past){
		.time_ns = now_ns,
		.state = before->state,
		.atoms = ask->what == ATOMS ? ask->value : 0,
		.event = ask->what == EVENT ? (uint32_t)ask->value : TOCSIN_MONITOR_TIME,
		.result = result,
	};
	ret->violation = (struct tocsin_monitor_violation){
		.monitor = m,
		.key = ask->key,
		.event_name = ask->what == EVENT ? m->model.event[ask->value] : "",
		.state_name =
			is_graph ? m->model.state[before->state & (AUTOMATON_STATES - 1)] : "",
		.deadline_ns = result == AUTOMATON_BAD_TIME ? before->deadline_ns : 0,
		.result = result,
		.nr_past = (uint32_t)nr + 1,
		.past = ret->past,
	};
	count(&m->nr_violations);
}

/* M4, and no clock for who has no use of one; the stepper takes no 0. */
static uint64_t now_take(struct tocsin_monitor *m, struct instance *i, uint64_t now_ns)
{
	if (!m->has_clock)
		return now_ns;
	if (!now_ns)
		now_ns = clock_now_ns();
	if (now_ns < i->seen_ns)
		return i->seen_ns;
	i->seen_ns = now_ns;
	return now_ns;
}

static inline __attribute__((always_inline)) uint32_t instance_step(struct tocsin_monitor *m,
								    struct instance *i,
								    const struct ask *ask,
								    struct found *found)
{
	const struct automaton_table *t = &m->model.table;
	const struct automaton_inputs *inputs = (const void *)ask->args;
	struct automaton_instance before;
	uint64_t now_ns = now_take(m, i, ask->now_ns), step_ns = now_ns ? now_ns : 1;
	uint32_t result;

	before.state = i->in.state;
	before.deadline_ns = i->in.deadline_ns;
	if (ask->what == EVENT)
		result = automaton_step(t, &i->in, (uint32_t)ask->value, step_ns, inputs);
	else if (ask->what == ATOMS)
		result = automaton_observe(t, &i->in, ask->value, step_ns);
	else
		result = automaton_expire(t, &i->in, step_ns);
	if (__builtin_expect(result >= AUTOMATON_BAD_EVENT, 0))
		found_fill(m, i, &before, ask, now_ns, result, found);
	if (m->history && (ask->what != TIME || result >= AUTOMATON_BAD_EVENT))
		past_add(m, i, before.state, ask, now_ns, result);
	return result;
}

/* The caller is stepping. @ask->key becomes the instance's. */
static inline __attribute__((always_inline)) int ask_step(struct tocsin_monitor *m, struct ask *ask,
							  struct found *found)
{
	struct rcu_lock *lock;
	uint64_t token;
	void *item;
	int r;

	if (m->scope == TOCSIN_MONITOR_GLOBAL) {
		ask->key = 0;
		lock = lock_take(m, 0);
		r = (int)instance_step(m, m->global, ask, found);
		lock_drop(lock);
		return r;
	}
	if (m->scope == TOCSIN_MONITOR_THREAD && ask->what != TIME)
		ask->key = self_key();
	token = tocsin_rcu_read_lock();
	item = tocsin_keyed_find(m->keyed, ask->key);
	r = 0;
	if (__builtin_expect(!item, 0))
		r = ask->what == TIME ? -ENOENT : tocsin_keyed_get(m->keyed, ask->key, &item);
	if (r >= 0) {
		lock = lock_take(m, ask->key);
		r = (int)instance_step(m, item, ask, found);
		lock_drop(lock);
	}
	tocsin_rcu_read_unlock(token);
	return r;
}

static inline __attribute__((always_inline)) int ask_do(struct tocsin_monitor *m, struct ask *ask)
{
	struct found found; /* filled when there is a violation */
	int r;

	if (!step_enter(m))
		return -EBUSY;
	r = ask_step(m, ask, &found);
	step_leave();
	if (__builtin_expect(r >= (int)AUTOMATON_BAD_EVENT, 0) && m->violated)
		m->violated(m->arg, &found.violation);
	return r;
}

int tocsin_monitor_event(struct tocsin_monitor *m, uint32_t event, uint64_t key, uint64_t now_ns,
			 const struct tocsin_monitor_args *args)
{
	if (event >= m->model.table.nr_events)
		return -EINVAL;
	if (__builtin_expect(m->model.table.kind == AUTOMATON_FORMULA, 0))
		return tocsin_monitor_observe(m, UINT64_C(1) << event, key, now_ns);
	return ask_do(m, &(struct ask){EVENT, event, key, now_ns, args});
}

int tocsin_monitor_observe(struct tocsin_monitor *m, uint64_t atoms, uint64_t key, uint64_t now_ns)
{
	const struct automaton_table *t = &m->model.table;

	if (t->kind != AUTOMATON_FORMULA || (t->nr_events < 64 && atoms >> t->nr_events))
		return -EINVAL;
	return ask_do(m, &(struct ask){ATOMS, atoms, key, now_ns, NULL});
}

/* ---- time */

struct due {
	struct tocsin_monitor *m;
	uint64_t now_ns;
	unsigned nr;
	uint64_t key[DUE];
};

static int due_add(void *arg, uint64_t key, void *item)
{
	struct due *due = arg;
	const struct instance *i = item;
	/* Without the lock: a hint, the step looks again. */
	uint64_t deadline_ns = __atomic_load_n(&i->in.deadline_ns, __ATOMIC_RELAXED);

	if (deadline_ns && deadline_ns <= due->now_ns && due->nr < DUE)
		due->key[due->nr++] = key;
	return 0;
}

long tocsin_monitor_expire(struct tocsin_monitor *m, uint64_t now_ns)
{
	struct due due = {.m = m, .now_ns = now_ns ? now_ns : clock_now_ns()};
	long nr = 0, before;

	do {
		before = nr;
		due.nr = 0;
		if (m->keyed)
			(void)tocsin_keyed_each(m->keyed, due_add, &due);
		else
			due.key[due.nr++] = 0;
		for (unsigned i = 0; i < due.nr; i++) {
			struct ask ask = {TIME, 0, due.key[i], due.now_ns, NULL};
			int r = ask_do(m, &ask);

			if (r == -EBUSY)
				return r;
			nr += r >= (int)AUTOMATON_BAD_EVENT;
		}
	} while (due.nr == DUE && nr > before);
	return nr;
}

/* ---- instances come and go */

static void instance_init(void *arg, void *item, uint64_t key)
{
	struct instance *i = item;

	(void)arg;
	(void)key;
	i->tid = (int32_t)syscall(SYS_gettid);
}

int tocsin_monitor_forget(struct tocsin_monitor *m, uint64_t key)
{
	struct rcu_lock *lock;
	int r = 0;

	if (!step_enter(m))
		return -EBUSY;
	if (m->keyed) {
		r = tocsin_keyed_remove(m->keyed,
					m->scope == TOCSIN_MONITOR_THREAD ? self_key() : key);
	} else {
		lock = lock_take(m, 0);
		memset(m->global, 0, m->instance_bytes);
		lock_drop(lock);
	}
	step_leave();
	return r;
}

/* After a fork the caller's number is still its own, its thread id another. */
static int thread_is_gone(void *arg, uint64_t key, void *item)
{
	const struct instance *i = item;

	(void)arg;
	return key != self_key() && syscall(SYS_tgkill, getpid(), i->tid, 0) < 0 && errno == ESRCH;
}

long tocsin_monitor_reclaim(struct tocsin_monitor *m)
{
	if (!m->keyed)
		return 0;
	if (m->scope == TOCSIN_MONITOR_THREAD)
		(void)tocsin_keyed_each(m->keyed, thread_is_gone, NULL);
	return tocsin_keyed_reclaim(m->keyed);
}

void tocsin_monitor_get_stats(struct tocsin_monitor *m, struct tocsin_monitor_stats *ret_stats)
{
	struct tocsin_keyed_stats keyed = {.items = 1, .bytes = m->instance_bytes};

	if (m->keyed)
		tocsin_keyed_get_stats(m->keyed, &keyed);
	*ret_stats = (struct tocsin_monitor_stats){
		.instances = keyed.items,
		.removed = keyed.removed,
		.violations = __atomic_load_n(&m->nr_violations, __ATOMIC_RELAXED),
		.refused = keyed.refused,
		.busy = __atomic_load_n(&m->nr_busy, __ATOMIC_RELAXED),
		.bytes = keyed.bytes + sizeof(*m) + (m->locks ? LOCKS * sizeof(*m->locks) : 0),
	};
}

int tocsin_monitor_number(const struct tocsin_monitor *m, uint32_t names, const char *name)
{
	bool is_event = names == TOCSIN_MONITOR_EVENTS;
	unsigned nr = is_event                         ? m->model.table.nr_events
		      : names == TOCSIN_MONITOR_INPUTS ? m->model.table.nr_inputs
						       : 0u;

	for (unsigned i = 0; i < nr && *name; i++)
		if (strcmp(is_event ? m->model.event[i] : m->model.input[i], name) == 0)
			return (int)i;
	return -ENOENT;
}

/* ---- made and unmade */

static void *pages(size_t bytes)
{
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return start == MAP_FAILED ? NULL : start;
}

static int opts_check(const struct tocsin_monitor_opts *opts, struct tocsin_monitor_opts *ret_opts)
{
	const char *tail = (const char *)opts + sizeof(*opts);
	struct tocsin_monitor_opts known = {0};

	if (opts->size < OPTS_BYTES)
		return -EINVAL;
	for (size_t i = sizeof(*opts); i < opts->size; i++)
		if (*tail++)
			return -E2BIG;
	memcpy(&known, opts, opts->size < sizeof(known) ? opts->size : sizeof(known));
	if (known.scope > TOCSIN_MONITOR_OBJECT || known.after > TOCSIN_MONITOR_FREEZE ||
	    known.history > TOCSIN_MONITOR_HISTORY_MAX || known.flags & ~TOCSIN_MONITOR_UNSHARED)
		return -EINVAL;
	*ret_opts = known;
	return 0;
}

/* Is there anything that a time matters to? */
static bool clock_matters(const struct automaton_table *t, uint32_t history)
{
	return t->nr_clocks || t->nr_bounds || t->nr_duties || history;
}

static int locks_make(struct tocsin_monitor *m)
{
	m->locks = pages(LOCKS * sizeof(*m->locks));
	if (!m->locks)
		return -ENOMEM;
	/* Linux < 4.14 has no such advice: what another thread holds then stays shut in the child.
	 */
	(void)madvise(m->locks, LOCKS * sizeof(*m->locks), MADV_WIPEONFORK);
	return 0;
}

static int instances_make(struct tocsin_monitor *m, const struct tocsin_monitor_opts *opts)
{
	const struct tocsin_keyed_opts keyed = {
		.size = sizeof(keyed),
		.item_bytes = m->instance_bytes,
		.max_items = opts->max_instances,
		.init = opts->scope == TOCSIN_MONITOR_THREAD ? instance_init : NULL,
	};

	if (opts->scope != TOCSIN_MONITOR_GLOBAL)
		return tocsin_keyed_new(&keyed, &m->keyed);
	m->global = pages(m->instance_bytes);
	return m->global ? 0 : -ENOMEM;
}

static int monitor_fill(struct tocsin_monitor *m, const struct tocsin_monitor_opts *opts)
{
	int r = inprocess_model_load(opts->model, opts->model_bytes, &m->model);

	if (r < 0)
		return r;
	if (opts->after)
		m->model.table.policy = (uint8_t)(opts->after - 1);
	m->scope = opts->scope;
	m->history = opts->history;
	m->has_clock = clock_matters(&m->model.table, opts->history);
	m->violated = opts->violated;
	m->arg = opts->arg;
	m->instance_bytes =
		sizeof(struct instance) + opts->history * sizeof(struct tocsin_monitor_past);
	r = instances_make(m, opts);
	/* tocsin_monitor_expire() comes from any thread. */
	if (r == 0 && !(opts->flags & TOCSIN_MONITOR_UNSHARED))
		r = locks_make(m);
	return r;
}

int tocsin_monitor_new(const struct tocsin_monitor_opts *opts, struct tocsin_monitor **ret_monitor)
{
	struct tocsin_monitor_opts known;
	struct tocsin_monitor *m;
	int r = opts_check(opts, &known);

	if (r < 0)
		return r;
	m = pages(sizeof(*m));
	if (!m)
		return -ENOMEM;
	r = monitor_fill(m, &known);
	if (r < 0) {
		(void)tocsin_monitor_free(m); /* NULL */
		return r;
	}
	*ret_monitor = m;
	return 0;
}

struct tocsin_monitor *tocsin_monitor_free(struct tocsin_monitor *m)
{
	if (!m)
		return NULL;
	m->keyed = tocsin_keyed_free(m->keyed);
	if (m->global)
		(void)munmap(m->global, m->instance_bytes); /* ours, as mapped */
	if (m->locks)
		(void)munmap(m->locks, LOCKS * sizeof(*m->locks));
	(void)munmap(m, sizeof(*m));
	return NULL;
}
