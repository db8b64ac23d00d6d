// SPDX-License-Identifier: MIT
/*
 * `kinds MODE [N [DURATION_US [GAP_US]]]`: one section of each kind that the section language
 * knows, N times.
 *
 * Each section sleeps for DURATION_US and prints a JSON line with its name and four clock readings:
 * it started between t[0] and t[1] and ended between t[2] and t[3]. GAP_US is slept between two
 * sections.
 */

#include <dlfcn.h>
#include <semaphore.h>
#include <sys/wait.h>

#include "kinds_lib.h"
#include "kinds_probes.h"
#include "target.h"

struct plan {
	unsigned n;
	uint64_t duration_ns;
	uint64_t gap_ns;
	char **argv;
};

void kinds_work(uint64_t ns, uint64_t t[4]);

static void stamps_print(const char *name, const uint64_t t[4])
{
	printf("{\"s\":\"%s\",\"pid\":%d,\"tid\":%d,\"t\":[%ju,%ju,%ju,%ju]}\n", name, getpid(),
	       thread_id(), t[0], t[1], t[2], t[3]);
}

TARGET_NOINLINE void kinds_work(uint64_t ns, uint64_t t[4])
{
	TARGET_FRAME();
	t[1] = now_ns();
	sleep_ns(ns);
	t[2] = now_ns();
}

/* Found in the full symbol table only. */
static TARGET_NOINLINE void kinds_hidden(uint64_t ns, uint64_t t[4])
{
	TARGET_FRAME();
	t[1] = now_ns();
	sleep_ns(ns);
	t[2] = now_ns();
}

static void function_run(const char *name, void (*fn)(uint64_t, uint64_t *),
			 const struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++) {
		uint64_t t[4];

		t[0] = now_ns();
		fn(plan->duration_ns, t);
		t[3] = now_ns();
		stamps_print(name, t);
		sleep_ns(plan->gap_ns);
	}
}

static void mode_func(const struct plan *plan)
{
	function_run("func", kinds_work, plan);
}

static void mode_hidden(const struct plan *plan)
{
	function_run("hidden", kinds_hidden, plan);
}

static void mode_lib(const struct plan *plan)
{
	function_run("lib", kinds_lib_work, plan);
}

static void versioned_run(const char *name, const char *version, const struct plan *plan)
{
	void *symbol = dlvsym(RTLD_DEFAULT, kinds_versioned_name, version);
	void (*fn)(uint64_t, uint64_t *);

	if (!symbol)
		errx(3, "cannot find kinds_versioned@%s: %s", version, dlerror());
	memcpy(&fn, &symbol, sizeof(fn)); /* ISO C has no cast from an object to a function */
	function_run(name, fn, plan);
}

static void mode_versions(const struct plan *plan)
{
	versioned_run("ver1", "KINDS_1", plan);
	versioned_run("ver2", "KINDS_2", plan);
}

static void mode_tick(const struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++) {
		uint64_t t[4];

		t[0] = now_ns();
		probe_tick_begin(i);
		t[1] = now_ns();
		sleep_ns(plan->duration_ns);
		t[2] = now_ns();
		probe_tick_end(i);
		t[3] = now_ns();
		stamps_print("tick", t);
		sleep_ns(plan->gap_ns);
	}
}

/* The probes are passed over unless somebody has raised their semaphores. */
static void mode_sem(const struct plan *plan)
{
	unsigned wanted = 0;

	for (unsigned i = 0; i < plan->n; i++) {
		uint64_t t[4];

		t[0] = now_ns();
		if (probe_sem_wanted()) {
			wanted++;
			probe_sem_begin(i);
		}
		t[1] = now_ns();
		sleep_ns(plan->duration_ns);
		t[2] = now_ns();
		if (probe_sem_wanted())
			probe_sem_end(i);
		t[3] = now_ns();
		stamps_print("sem", t);
		sleep_ns(plan->gap_ns);
	}
	target_wait_line(); /* until the watch is gone */
	printf("{\"wanted\":%u,\"wanted_after\":%d}\n", wanted, probe_sem_wanted());
}

/* Two sections that overlap without nesting, and one inside both: a [ b [ tick ] a ] b. */
static void mode_overlap(const struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++) {
		uint64_t a[4], b[4], tick[4];

		a[0] = now_ns();
		probe_a_begin(i);
		a[1] = b[0] = now_ns();
		probe_b_begin(i);
		b[1] = now_ns();
		sleep_ns(plan->duration_ns);
		tick[0] = now_ns();
		probe_tick_begin(i);
		tick[1] = now_ns();
		sleep_ns(plan->duration_ns);
		tick[2] = now_ns();
		probe_tick_end(i);
		tick[3] = a[2] = now_ns();
		probe_a_end(i);
		a[3] = now_ns();
		sleep_ns(plan->duration_ns);
		b[2] = now_ns();
		probe_b_end(i);
		b[3] = now_ns();
		stamps_print("a", a);
		stamps_print("b", b);
		stamps_print("tick", tick);
		sleep_ns(plan->gap_ns);
	}
}

/* One level down, in a frame of its own. */
static void __attribute__((noinline)) deeper(const struct plan *plan, unsigned level)
{
	probe_tick_begin(level);
	if (level + 1 < plan->n)
		deeper(plan, level + 1);
	else
		sleep_ns(plan->duration_ns);
	probe_tick_end(level);
}

/* N sections of one kind inside each other: more than one thread may have open. */
static void mode_deep(const struct plan *plan)
{
	deeper(plan, 0);
}

/* Every other section is left without its stop, as by an error that jumps to the main loop. */
static void mode_left(const struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++) {
		probe_tick_begin(i);
		if (i % 2)
			probe_tick_end(i);
		sleep_ns(plan->gap_ns);
	}
}

/* One section with N sleeps in it, each a spell. */
static void mode_naps(const struct plan *plan)
{
	probe_tick_begin(0);
	for (unsigned i = 0; i < plan->n; i++)
		sleep_ns(plan->duration_ns);
	probe_tick_end(0);
}

/* N sections that never leave the CPU by themselves. */
static void mode_spin(const struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++) {
		probe_tick_begin(i);
		spin_ns(plan->duration_ns);
		probe_tick_end(i);
		spin_ns(plan->gap_ns);
	}
}

/* N threads with a section open, all at the same time; they end when the pipe does. */
struct crowd {
	int fd;
	sem_t begun;
};

static void *crowd_thread(void *arg)
{
	struct crowd *crowd = arg;
	char c;

	probe_tick_begin(0);
	(void)sem_post(&crowd->begun); /* cannot overflow */
	if (read(crowd->fd, &c, 1) != 0)
		err(3, "cannot wait for the end of a pipe");
	probe_tick_end(0);
	return NULL;
}

static void mode_crowd(const struct plan *plan)
{
	pthread_t *thread = calloc(plan->n, sizeof(*thread));
	struct crowd crowd;
	pthread_attr_t small;
	int fd[2];

	if (!thread || pipe2(fd, O_CLOEXEC) || sem_init(&crowd.begun, 0, 0) ||
	    pthread_attr_init(&small) || pthread_attr_setstacksize(&small, 64 << 10))
		err(3, "cannot prepare a crowd");
	crowd.fd = fd[0];
	for (unsigned i = 0; i < plan->n; i++) {
		errno = pthread_create(&thread[i], &small, crowd_thread, &crowd);
		if (errno)
			err(3, "cannot create thread %u", i);
	}
	for (unsigned i = 0; i < plan->n; i++)
		while (sem_wait(&crowd.begun) && errno == EINTR)
			;
	sleep_ns(plan->duration_ns);
	(void)close(fd[1]); /* the only writing end */
	for (unsigned i = 0; i < plan->n; i++)
		(void)pthread_join(thread[i], NULL);
	printf("{\"s\":\"crowd\",\"threads\":%u}\n", plan->n);
	free(thread);
}

/* One section of each of n threads, which all begin it as soon as the last of them is there. */
struct rush {
	const struct plan *plan;
	unsigned waiting;
};

static void *rush_thread(void *arg)
{
	struct rush *rush = arg;

	__atomic_sub_fetch(&rush->waiting, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&rush->waiting, __ATOMIC_ACQUIRE))
		sched_yield();
	probe_tick_begin(0);
	sleep_ns(rush->plan->duration_ns);
	probe_tick_end(0);
	return NULL;
}

static void mode_rush(const struct plan *plan)
{
	pthread_t *thread = calloc(plan->n, sizeof(*thread));
	struct rush rush = {.plan = plan, .waiting = plan->n};

	if (!thread)
		err(3, "cannot prepare a rush");
	for (unsigned i = 0; i < plan->n; i++) {
		errno = pthread_create(&thread[i], NULL, rush_thread, &rush);
		if (errno)
			err(3, "cannot create thread %u", i);
	}
	for (unsigned i = 0; i < plan->n; i++)
		(void)pthread_join(thread[i], NULL);
	free(thread);
}

/* Two threads, a CPU each, that begin a section at the same instant, n times: on their CPUs all the
 * while. */
struct duel {
	const struct plan *plan;
	int cpu[2];
	unsigned started;
	unsigned arrived;
};

static void *duel_thread(void *arg)
{
	struct duel *duel = arg;

	thread_pin(duel->cpu[__atomic_fetch_add(&duel->started, 1, __ATOMIC_RELAXED)]);
	for (unsigned i = 1; i <= duel->plan->n; i++) {
		__atomic_fetch_add(&duel->arrived, 1, __ATOMIC_ACQ_REL);
		while (__atomic_load_n(&duel->arrived, __ATOMIC_ACQUIRE) < 2 * i)
			;
		probe_tick_begin(0);
		spin_ns(duel->plan->duration_ns);
		probe_tick_end(0);
	}
	return NULL;
}

static void mode_duel(const struct plan *plan)
{
	struct duel duel = {.plan = plan};
	pthread_t thread[2];

	cpus_find(duel.cpu);
	for (unsigned i = 0; i < 2; i++) {
		errno = pthread_create(&thread[i], NULL, duel_thread, &duel);
		if (errno)
			err(3, "cannot create thread %u", i);
	}
	for (unsigned i = 0; i < 2; i++)
		(void)pthread_join(thread[i], NULL);
}

/* Keyed sections: begun by this thread, ended by another, several open at once, in the other order.
 */
struct keyed {
	const struct plan *plan;
	void (*end)(uint64_t key);
	uint64_t *t; /* [n][4] */
	pid_t tid;
};

static uint64_t key_of(unsigned i)
{
	return 0x100000000ull + i * 3ull;
}

static void *keyed_thread(void *arg)
{
	struct keyed *keyed = arg;

	keyed->tid = thread_id();
	for (unsigned i = keyed->plan->n; i-- > 0;) {
		sleep_ns(keyed->plan->duration_ns);
		keyed->t[i * 4 + 2] = now_ns();
		keyed->end(key_of(i));
		keyed->t[i * 4 + 3] = now_ns();
	}
	return NULL;
}

static void keyed_run(const char *name, void (*begin)(uint64_t), void (*end)(uint64_t),
		      const struct plan *plan)
{
	struct keyed keyed = {.plan = plan, .end = end};

	keyed.t = calloc(plan->n, sizeof(*keyed.t) * 4);
	if (!keyed.t)
		err(3, "no memory");
	for (unsigned i = 0; i < plan->n; i++) {
		keyed.t[i * 4] = now_ns();
		begin(key_of(i));
		keyed.t[i * 4 + 1] = now_ns();
	}
	(void)pthread_join(thread_start(keyed_thread, &keyed), NULL);
	for (unsigned i = 0; i < plan->n; i++) {
		const uint64_t *t = keyed.t + i * 4;

		printf("{\"s\":\"%s\",\"pid\":%d,\"tid\":%d,\"stop_tid\":%d,\"key\":%ju,"
		       "\"t\":[%ju,%ju,%ju,%ju]}\n",
		       name, getpid(), thread_id(), keyed.tid, key_of(i), t[0], t[1], t[2], t[3]);
	}
	free(keyed.t);
}

static void mode_keyed(const struct plan *plan)
{
	keyed_run("key_reg", probe_key_reg_begin, probe_key_reg_end, plan);
	keyed_run("key_mem", probe_key_mem_begin, probe_key_mem_end, plan);
}

/* A constant as key: one section at a time. */
static void mode_keyed_const(const struct plan *plan)
{
	struct plan one = *plan;

	one.n = 1;
	for (unsigned i = 0; i < plan->n; i++)
		keyed_run("key_const", probe_key_const_begin, probe_key_const_end, &one);
}

/* Two keyed sections at a time on one thread, the second begun half way and ended last, which sleep
 * only.
 */
static void mode_keyed_own(const struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++) {
		uint64_t t[8], slept[2];

		t[0] = now_ns();
		probe_key_reg_begin(key_of(2 * i));
		t[1] = now_ns();
		sleep_ns(plan->duration_ns);
		slept[0] = now_ns() - t[1];
		t[4] = now_ns();
		probe_key_reg_begin(key_of(2 * i + 1));
		t[5] = now_ns();
		sleep_ns(plan->duration_ns);
		slept[1] = now_ns() - t[5];
		t[2] = now_ns();
		probe_key_reg_end(key_of(2 * i));
		t[3] = t[6] = now_ns();
		probe_key_reg_end(key_of(2 * i + 1));
		t[7] = now_ns();
		for (unsigned k = 0; k < 2; k++)
			printf("{\"s\":\"keyed_own\",\"pid\":%d,\"tid\":%d,\"key\":%ju,\"sleeps\":%u,"
			       "\"slept\":%ju,\"t\":[%ju,%ju,%ju,%ju]}\n",
			       getpid(), thread_id(), key_of(2 * i + k), 2 - k,
			       slept[1] + (k ? 0 : slept[0]), t[4 * k], t[4 * k + 1], t[4 * k + 2],
			       t[4 * k + 3]);
	}
}

/* Each key is begun twice before it ends: the first is given up. */
static void mode_keyed_again(const struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++) {
		uint64_t t[4];

		probe_key_reg_begin(key_of(i));
		sleep_ns(plan->duration_ns);
		t[0] = now_ns();
		probe_key_reg_begin(key_of(i));
		t[1] = now_ns();
		sleep_ns(plan->duration_ns);
		t[2] = now_ns();
		probe_key_reg_end(key_of(i));
		t[3] = now_ns();
		printf("{\"s\":\"keyed_again\",\"pid\":%d,\"tid\":%d,\"key\":%ju,\"t\":[%ju,%ju,%ju,%ju]}\n",
		       getpid(), thread_id(), key_of(i), t[0], t[1], t[2], t[3]);
	}
}

struct feed {
	const struct plan *plan;
	int fd;
};

static void *feed_thread(void *arg)
{
	const struct feed *feed = arg;

	for (unsigned i = 0; i < feed->plan->n; i++) {
		sleep_ns(feed->plan->duration_ns);
		if (write(feed->fd, "x", 1) != 1)
			err(3, "cannot write to a pipe");
	}
	return NULL;
}

/* System calls: a read that waits for another thread. */
static void mode_read(const struct plan *plan)
{
	struct feed feed = {.plan = plan};
	pthread_t thread;
	int fd[2];
	char c;

	if (pipe2(fd, O_CLOEXEC))
		err(3, "cannot make a pipe");
	feed.fd = fd[1];
	thread = thread_start(feed_thread, &feed);
	for (unsigned i = 0; i < plan->n; i++) {
		uint64_t t[4];

		t[0] = now_ns();
		t[1] = t[0] + plan->duration_ns / 4; /* the call itself cannot be stamped inside */
		if (read(fd[0], &c, 1) != 1)
			err(3, "cannot read a pipe");
		t[3] = now_ns();
		t[2] = t[0] + plan->duration_ns / 2;
		stamps_print("read", t);
	}
	(void)pthread_join(thread, NULL);
}

/* Tracepoints of the file system: N fsync()s of one written page each. */
static void mode_fsync(const struct plan *plan)
{
	const char *dir = getenv("TARGET_DIR");
	char path[4096];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/kinds-%d", dir ? dir : ".", getpid());
	fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		err(3, "cannot make '%s'", path);
	for (unsigned i = 0; i < plan->n; i++) {
		static char page[4096];
		uint64_t t[4];

		if (write(fd, page, sizeof(page)) != (ssize_t)sizeof(page))
			err(3, "cannot write '%s'", path);
		t[0] = now_ns();
		if (fsync(fd))
			err(3, "cannot sync '%s'", path);
		t[3] = now_ns();
		t[1] = t[3];
		t[2] = t[0];
		stamps_print("fsync", t);
		sleep_ns(plan->gap_ns);
	}
	(void)unlink(path);
}

/* Three children, each with N ticks, and none of the parent's own. */
static void mode_family(const struct plan *plan)
{
	for (int i = 0; i < 3; i++) {
		pid_t child = fork();

		if (child < 0)
			err(3, "cannot fork");
		if (child == 0) {
			child_die_with_parent();
			mode_tick(plan);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
}

/* N threads one after the other, one tick each. */
static void *tick_thread(void *arg)
{
	struct plan one = *(const struct plan *)arg;

	one.n = 1;
	mode_tick(&one);
	return NULL;
}

static void mode_threads(const struct plan *plan)
{
	for (unsigned i = 0; i < plan->n; i++)
		(void)pthread_join(thread_start(tick_thread, (void *)(uintptr_t)plan), NULL);
}

/* N ticks, then the same again as another program. */
static void mode_exec(const struct plan *plan)
{
	static char tick[] = "tick";

	mode_tick(plan);
	plan->argv[1] = tick;
	(void)execv("/proc/self/exe", plan->argv);
	err(3, "cannot execute myself");
}

static const struct {
	const char *name;
	void (*run)(const struct plan *plan);
} modes[] = {
	{"tick", mode_tick},
	{"func", mode_func},
	{"hidden", mode_hidden},
	{"lib", mode_lib},
	{"versions", mode_versions},
	{"sem", mode_sem},
	{"overlap", mode_overlap},
	{"keyed", mode_keyed},
	{"keyed_const", mode_keyed_const},
	{"keyed_own", mode_keyed_own},
	{"keyed_again", mode_keyed_again},
	{"read", mode_read},
	{"fsync", mode_fsync},
	{"family", mode_family},
	{"threads", mode_threads},
	{"exec", mode_exec},
	{"deep", mode_deep},
	{"left", mode_left},
	{"naps", mode_naps},
	{"spin", mode_spin},
	{"crowd", mode_crowd},
	{"rush", mode_rush},
	{"duel", mode_duel},
};

int main(int argc, char **argv)
{
	struct plan plan = {
		.n = argc > 2 ? (unsigned)target_u64(argv[2]) : 3,
		.duration_ns = (argc > 3 ? target_u64(argv[3]) : 3000) * NS_PER_US,
		.gap_ns = (argc > 4 ? target_u64(argv[4]) : 1000) * NS_PER_US,
		.argv = argv,
	};

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(*modes); i++) {
		if (strcmp(modes[i].name, argv[1]))
			continue;
		target_ready();
		modes[i].run(&plan);
		printf("{\"done\":true}\n");
		return 0;
	}
	errx(2, "usage: kinds MODE [N [DURATION_US [GAP_US]]]");
}
