// SPDX-License-Identifier: MIT
/*
 * Invariants of the per-CPU toolkit under everything that can go between two instructions.
 *
 *	stress CASE MILLISECONDS DELAY
 *
 * Four threads work, are moved between CPUs and get signals, whose handlers work too; two more
 * threads work from outside; one has no rseq. DELAY is the number of turns at every injection
 * point. Prints one line; exit status 0: the invariant holds, 1: it was broken, 2: the test could
 * not run.
 *
 * Built once as it is, and once for each deliberately broken variant of src/percpu/broken.h,
 * which this must catch.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/parse.h"
#include "percpu/pmc.h"
#include "percpu/rseq.h"
#include "stress.h"
#include "tocsin/percpu.h"

#define WORKERS_MAX 256
#define OUTSIDE     2
#define NODES       512
#define TEXT        40

struct item {
	uint64_t word; /* sum; or a stamp */
	uint64_t head;
	uint8_t text[TEXT]; /* every byte is the low byte of the stamp */
};

struct node {
	struct tocsin_link link;
	uint32_t owner; /* 0: on a list or in nobody's hand */
};

static struct {
	struct tocsin_percpu *p;
	struct tocsin_counter *counter;
	void (*work)(void);
	void (*from_outside)(int cpu);
	uint64_t done;  /* what the sums must be */
	uint64_t wrong; /* seen by those behind the gate, or by owners of a node */
	uint64_t handled;
	uint64_t taken; /* by resets */
	int stop;
	unsigned workers; /* the last one without rseq */
	unsigned children;
	struct node node[NODES];
} t;

static _Thread_local uint64_t mine; /* work done by this thread, handlers included */

static void wrong_seen(void)
{
	(void)__atomic_fetch_add(&t.wrong, 1, __ATOMIC_RELAXED);
}

static bool is_over(void)
{
	return __atomic_load_n(&t.stop, __ATOMIC_RELAXED);
}

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	_exit(2);
}

/* ---- add: the sum of all items is the number of adds */

static void add_work(void)
{
	struct tocsin_op op = {.code = TOCSIN_OP_ADD, .value = 1};

	must(tocsin_percpu_op(t.p, TOCSIN_CPU_HERE, &op), "add");
	(void)__atomic_fetch_add(&mine, 1, __ATOMIC_RELAXED);
}

static void add_slowly(void *item, int cpu, void *arg)
{
	struct item *i = item;
	uint64_t before = __atomic_load_n(&i->word, __ATOMIC_RELAXED);

	(void)cpu;
	(void)arg;
	for (unsigned n = 0; n < 60; n++)
		TOCSIN_CPU_RELAX();
	if (__atomic_load_n(&i->word, __ATOMIC_RELAXED) != before)
		wrong_seen();
	__atomic_store_n(&i->word, before + 1, __ATOMIC_RELAXED);
}

static void add_outside(int cpu)
{
	must(tocsin_do_on_cpu(t.p, cpu, add_slowly, NULL), "do_on_cpu");
	(void)__atomic_fetch_add(&mine, 1, __ATOMIC_RELAXED);
}

static uint64_t add_sum(void)
{
	uint64_t sum = 0;

	for (unsigned cpu = 0; cpu < tocsin_percpu_nr(t.p); cpu++)
		sum += ((struct item *)tocsin_percpu_item(t.p, (int)cpu))->word;
	return sum;
}

/* ---- each: the same additions, on all items between one closing and one opening */

static void each_outside(int cpu)
{
	(void)cpu;
	must(tocsin_do_on_each(t.p, NULL, 0, add_slowly, NULL), "do_on_each");
	(void)__atomic_fetch_add(&mine, tocsin_percpu_nr(t.p), __ATOMIC_RELAXED);
}

/* ---- cmpstore: an addition made of a look, which may be old, and an exchange */

static void cmpstore_work(void)
{
	struct tocsin_op op = {.code = TOCSIN_OP_CMPSTORE, .expect = 0, .value = 1};
	int r;

	while ((r = tocsin_percpu_op(t.p, TOCSIN_CPU_HERE, &op)) == -ECANCELED) {
		op.expect = op.value;
		op.value++;
	}
	must(r, "cmpstore");
	(void)__atomic_fetch_add(&mine, 1, __ATOMIC_RELAXED);
}

/* ---- load: what is half done behind the gate (an odd number) is never seen */

static void load_work(void)
{
	struct tocsin_op op = {.code = TOCSIN_OP_LOAD};

	must(tocsin_percpu_op(t.p, TOCSIN_CPU_HERE, &op), "load");
	if (op.value & 1)
		wrong_seen();
}

static void load_half(void *item, int cpu, void *arg)
{
	struct item *i = item;

	(void)cpu;
	(void)arg;
	__atomic_store_n(&i->word, i->word + 1, __ATOMIC_RELAXED);
	for (unsigned n = 0; n < 60; n++)
		TOCSIN_CPU_RELAX();
	__atomic_store_n(&i->word, i->word + 1, __ATOMIC_RELAXED);
}

static void load_outside(int cpu)
{
	must(tocsin_do_on_cpu(t.p, cpu, load_half, NULL), "do_on_cpu");
	(void)__atomic_fetch_add(&mine, 2, __ATOMIC_RELAXED);
}

/* ---- store: nobody stores while another is behind the gate */

static void store_work(void)
{
	struct tocsin_op op = {.code = TOCSIN_OP_STORE};

	op.value = __atomic_add_fetch(&mine, 1, __ATOMIC_RELAXED);
	must(tocsin_percpu_op(t.p, TOCSIN_CPU_HERE, &op), "store");
}

static void store_outside(int cpu)
{
	must(tocsin_do_on_cpu(t.p, cpu, add_slowly, NULL), "do_on_cpu"); /* looks twice */
}

/* ---- pmc: the page by hand, of an event that is on no counter now */

static struct perf_event_mmap_page page;

static void pmc_work(void)
{
	uint64_t count = 42;

	if (pmc_page_read(&page, &count) == 0 && count != 42)
		wrong_seen();
	(void)__atomic_fetch_add(&mine, 1, __ATOMIC_RELAXED);
}

/* As the kernel changes it, to the same. */
static void pmc_outside(int cpu)
{
	(void)cpu;
	(void)__atomic_fetch_add(&page.lock, 2, __ATOMIC_SEQ_CST);
	pmc_work();
}

static void pmc_fill(void)
{
	page.cap_user_rdpmc = 1;
	page.offset = 42;
}

static uint64_t nothing_lost(void)
{
	return t.done;
}

/* ---- list: a node is in one hand only, and none gets lost */

static void node_check(struct node *n)
{
	if (__atomic_exchange_n(&n->owner, 1, __ATOMIC_RELAXED))
		wrong_seen();
	__atomic_store_n(&n->owner, 0, __ATOMIC_RELAXED);
}

static void list_turn(int cpu)
{
	struct tocsin_op op = {.code = TOCSIN_OP_POP, .off = offsetof(struct item, head)};
	struct node *n;

	must(tocsin_percpu_op(t.p, cpu, &op), "pop");
	if (!op.u.node)
		return;
	n = (struct node *)op.u.node;
	node_check(n);
	op.code = TOCSIN_OP_PUSH;
	must(tocsin_percpu_op(t.p, TOCSIN_CPU_HERE, &op), "push");
}

static void list_work(void)
{
	list_turn(TOCSIN_CPU_HERE);
}

static void list_outside(int cpu)
{
	list_turn(cpu);
}

static void list_fill(void)
{
	for (unsigned i = 0; i < NODES; i++) {
		struct tocsin_op op = {.code = TOCSIN_OP_PUSH,
				       .off = offsetof(struct item, head),
				       .u.node = &t.node[i].link};

		must(tocsin_percpu_op(t.p, (int)(i % tocsin_percpu_nr(t.p)), &op), "push");
	}
	t.done = NODES;
}

/* Nodes on all lists, each counted once however often it is met. */
static uint64_t list_sum(void)
{
	uint64_t sum = 0;

	for (unsigned cpu = 0; cpu < tocsin_percpu_nr(t.p); cpu++) {
		struct item *i = tocsin_percpu_item(t.p, (int)cpu);
		struct node *n = (struct node *)i->head;

		for (unsigned met = 0; n && met <= NODES; met++) {
			sum += __atomic_exchange_n(&n->owner, 2, __ATOMIC_RELAXED) == 0;
			n = (struct node *)n->link.next;
		}
	}
	return sum;
}

/* ---- copy: the text belongs to the stamp */

static void copy_work(void)
{
	uint8_t text[TEXT];
	struct tocsin_op op = {.code = TOCSIN_OP_COPY,
			       .copy_off = offsetof(struct item, text),
			       .len_bytes = TEXT,
			       .u.src = text};

	op.value = __atomic_add_fetch(&mine, 1, __ATOMIC_RELAXED);
	memset(text, (uint8_t)op.value, TEXT);
	must(tocsin_percpu_op(t.p, TOCSIN_CPU_HERE, &op), "copy");
}

static void copy_check(void *item, int cpu, void *arg)
{
	const volatile struct item *i = item;
	uint8_t stamp = (uint8_t)i->word;

	(void)cpu;
	(void)arg;
	for (unsigned n = 0; n < TEXT; n++)
		if (i->text[n] != stamp)
			return wrong_seen();
}

/* A section may be aborted between the text and the stamp: then the text is newer, and the next
 * copy rights it. So who checks writes both first. */
static void copy_rewrite(void *item, int cpu, void *arg)
{
	struct item *i = item;

	memset(i->text, (uint8_t)++i->word, TEXT);
	for (unsigned n = 0; n < 60; n++)
		TOCSIN_CPU_RELAX();
	copy_check(item, cpu, arg);
}

static void copy_outside(int cpu)
{
	must(tocsin_do_on_cpu(t.p, cpu, copy_rewrite, NULL), "do_on_cpu");
}

/* ---- counter */

static void counter_work(void)
{
	tocsin_counter_add(t.counter, 1, 1);
	(void)__atomic_fetch_add(&mine, 1, __ATOMIC_RELAXED);
}

static void counter_outside(int cpu)
{
	(void)cpu;
	(void)__atomic_fetch_add(&t.taken, tocsin_counter_reset(t.counter, 1), __ATOMIC_RELAXED);
	counter_work();
}

static uint64_t counter_sum(void)
{
	return t.taken + tocsin_counter_sum(t.counter, 1);
}

/* ---- threads */

static void on_signal(int number)
{
	int saved = errno;

	(void)number;
	t.work();
	(void)__atomic_fetch_add(&t.handled, 1, __ATOMIC_RELAXED);
	errno = saved;
}

static void *worker(void *arg)
{
	if (arg && rseq_thread_ready() && !(tocsin_rseq.flags & TOCSIN_RSEQ_F_OWN))
		must(syscall(SYS_rseq, (uintptr_t)rseq_area(), 32, 1, TOCSIN_RSEQ_SIG) ? -errno : 0,
		     "unregister");
	while (!is_over())
		t.work();
	(void)__atomic_fetch_add(&t.done, t.from_outside == list_outside ? 0 : mine,
				 __ATOMIC_RELAXED);
	return NULL;
}

static void *outside(void *arg)
{
	(void)arg;
	while (!is_over())
		for (unsigned cpu = 0; cpu < tocsin_nr_cpus() && !is_over(); cpu++)
			t.from_outside((int)cpu);
	(void)__atomic_fetch_add(&t.done, t.from_outside == list_outside ? 0 : mine,
				 __ATOMIC_RELAXED);
	return NULL;
}

static void nap(long us)
{
	struct timespec ts = {.tv_nsec = us * 1000};

	(void)nanosleep(&ts, NULL); /* shorter is fine */
}

/* A child of a process whose threads are anywhere: everything must work in it, and soon. */
static void child_work(void)
{
	int status;
	pid_t child = fork();

	if (!child) {
		(void)alarm(10); /* a gate that nobody opens ends it */
		for (unsigned i = 0; i < 100; i++)
			t.work();
		for (unsigned cpu = 0; cpu < tocsin_nr_cpus(); cpu++)
			t.from_outside((int)cpu);
		_exit(0);
	}
	must(child, "fork");
	must(waitpid(child, &status, 0), "waitpid");
	if (status)
		wrong_seen();
	t.children++;
}

/* Moves the workers about, all to one CPU now and then, and sends them signals. */
static void disturb(pthread_t *thread, unsigned nr, uint64_t ms)
{
	unsigned nr_cpus = tocsin_nr_cpus();
	struct timespec ts;
	uint64_t now, end = 0;

	for (unsigned turn = 0;; turn++) {
		(void)clock_gettime(CLOCK_MONOTONIC, &ts);
		now = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
		end = end ? end : now + ms;
		if (now >= end)
			return;
		for (unsigned i = 0; i < nr; i++) {
			cpu_set_t set;

			CPU_ZERO(&set);
			CPU_SET((turn % 3 ? turn + i : turn) % nr_cpus, &set);
			if (turn % 3 == 2)
				CPU_SET((turn + i + 1) % nr_cpus, &set);
			/* Refused where that CPU is offline: then it stays where it is. */
			(void)pthread_setaffinity_np(thread[i], sizeof(set), &set);
			(void)pthread_kill(thread[i], SIGUSR1);
		}
		if (turn % 64 == 63)
			child_work();
		nap(400);
	}
}

static const struct stress_case {
	const char *name;
	uint32_t flags;
	void (*work)(void);
	void (*from_outside)(int cpu);
	uint64_t (*sum)(void);
	void (*fill)(void);
} cases[] = {
	{"add", 0, add_work, add_outside, add_sum, NULL},
	{"add-cid", TOCSIN_PERCPU_BY_CID, add_work, add_outside, add_sum, NULL},
	{"list", 0, list_work, list_outside, list_sum, list_fill},
	{"list-cid", TOCSIN_PERCPU_BY_CID, list_work, list_outside, list_sum, list_fill},
	{"copy", 0, copy_work, copy_outside, nothing_lost, NULL},
	{"each", 0, add_work, each_outside, add_sum, NULL},
	{"cmpstore", 0, cmpstore_work, add_outside, add_sum, NULL},
	{"load", 0, load_work, load_outside, add_sum, NULL},
	{"store", 0, store_work, store_outside, nothing_lost, NULL},
	{"pmc", 0, pmc_work, pmc_outside, nothing_lost, pmc_fill},
	{"counter", 0, counter_work, counter_outside, counter_sum, NULL},
};

static const struct stress_case *case_find(const char *name)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(cases[i].name, name) == 0)
			return &cases[i];
	return NULL;
}

/* Counters also have words that only threads without rseq change: several of them,
 * where there are many. */
static bool loses_rseq(const struct stress_case *c, unsigned worker)
{
	return worker + 1 == t.workers || (t.workers > 16 && c->work == counter_work && worker % 2);
}

static bool run(const struct stress_case *c, uint64_t ms)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	pthread_t thread[WORKERS_MAX + OUTSIDE];
	unsigned nr = t.workers + OUTSIDE;
	uint64_t sum;

	must(tocsin_percpu_new(sizeof(struct item), c->flags, &t.p), "percpu");
	must(tocsin_counter_new(3, &t.counter), "counter");
	t.work = c->work;
	t.from_outside = c->from_outside;
	if (c->fill)
		c->fill();
	must(sigaction(SIGUSR1, &action, NULL) ? -errno : 0, "sigaction");
	for (unsigned i = 0; i < t.workers; i++)
		must(-pthread_create(&thread[i], NULL, worker, loses_rseq(c, i) ? &t : NULL),
		     "thread");
	for (unsigned i = t.workers; i < nr; i++)
		must(-pthread_create(&thread[i], NULL, outside, NULL), "thread");
	disturb(thread, c->fill == list_fill ? t.workers : nr, ms);
	__atomic_store_n(&t.stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < nr; i++)
		must(-pthread_join(thread[i], NULL), "join");
	sum = c->sum();
	printf("%s: expected %llu got %llu wrong %llu handlers %llu children %u\n", c->name,
	       (unsigned long long)t.done, (unsigned long long)sum, (unsigned long long)t.wrong,
	       (unsigned long long)t.handled, t.children);
	stress_points("");
	return sum == t.done && !t.wrong;
}

int main(int argc, char **argv)
{
	const struct stress_case *c = argc >= 4 && argc <= 5 ? case_find(argv[1]) : NULL;
	uint64_t ms, delay, workers = 5;

	if (!c || tocsin_parse_u64(argv[2], &ms) || tocsin_parse_u64(argv[3], &delay) ||
	    (argc == 5 && tocsin_parse_u64(argv[4], &workers)) || !workers ||
	    workers > WORKERS_MAX) {
		fprintf(stderr, "usage: stress CASE MILLISECONDS DELAY [WORKERS]\n");
		return 2;
	}
	t.workers = (unsigned)workers;
	for (unsigned i = 0; i < TOCSIN_RSEQ_POINTS; i++)
		tocsin_rseq_delay[i] = (int32_t)delay;
	return run(c, ms) ? 0 : 1;
}
