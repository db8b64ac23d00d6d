// SPDX-License-Identifier: MIT
/*
 * Patched sites. Prints "NAME GOT WANTED" as probes.c does.
 *
 *	stress N     two threads run a site on both CPUs while it is switched N times; what they see
 *	             must agree with what it was
 *	events       N events on request, for whoever looks from outside
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "probes.h"
#include "tocsin/tocsin.h"

atomic_long calls;

void say(const char *name, long long got, long long wanted)
{
	printf("%s %lld %lld\n", name, got, wanted);
}

void count(const struct tocsin_record *record, void *data)
{
	(void)record;
	(void)data;
	calls++;
}

static __thread long own_calls;

static void count_own(const struct tocsin_record *record, void *data)
{
	(void)record;
	(void)data;
	own_calls++;
}

__attribute__((noinline)) void step(unsigned n)
{
	tocsin_event_patched("patched", "step", TF_U32("n", n), TF_S64("minus", -(int64_t)n),
			     TF_STR("text", "hello"));
}

static unsigned char first_byte(void)
{
	if (tocsin_module_.patches == tocsin_module_.patches_end)
		return 0xe9; /* here nothing is switched */
	return *(const volatile unsigned char *)tocsin_module_.patches->at;
}

/* ---- stress: the probe is there all the time, and only the byte is switched */

static atomic_ulong state; /* number << 2 | 0 off, 1 on, 2 between */
static atomic_int stop;

struct worker {
	pthread_t thread;
	int cpu;
	long on, off, missed, extra;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)w->cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set); /* one CPU: less is tested */
	while (!stop) {
		unsigned long before = state;
		long had = own_calls;

		step(1);
		if (before != state || (before & 3) == 2)
			continue;
		if (before & 1) {
			w->on++;
			w->missed += own_calls == had;
		} else {
			w->off++;
			w->extra += own_calls != had;
		}
	}
	return NULL;
}

static bool has_unseen(const struct worker *w, int nr)
{
	for (int i = 0; i < nr; i++)
		if (!__atomic_load_n(&w[i].on, __ATOMIC_RELAXED) ||
		    !__atomic_load_n(&w[i].off, __ATOMIC_RELAXED))
			return true;
	return false;
}

static void mode_stress(long toggles)
{
	struct worker w[2] = {{.cpu = 0}, {.cpu = 1}};
	int id = tocsin_probe_register("patched:step", count_own, NULL, 0);
	long wrong = 0, refused = 0;

	if (id <= 0)
		exit(9);
	state = 1;
	for (int i = 0; i < 2; i++)
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			exit(9);
	/* As many, and then as many as it takes where others use the CPUs. */
	for (long i = 1; i <= toggles || (i <= 100 * toggles && has_unseen(w, 2)); i++) {
		bool on = !(i & 1);
		long had;

		state = (unsigned long)i << 2 | 2;
		refused += tocsin_patched_switch_(&tocsin_module_, on) != 0;
		state = (unsigned long)i << 2 | on;
		had = own_calls;
		for (int k = 0; k < 100; k++)
			step(2);
		wrong += own_calls - had != (on ? 100 : 0);
	}
	stop = 1;
	for (int i = 0; i < 2; i++) {
		(void)pthread_join(w[i].thread, NULL); /* ours, joined once */
		say("missed", w[i].missed, 0);
		say("extra", w[i].extra, 0);
		say("seen on", w[i].on > 0, 1);
		say("seen off", w[i].off > 0, 1);
	}
	say("own wrong", wrong, 0);
	say("refused", refused, 0);
	say("unregister", tocsin_probe_unregister(id), 0);
}

/* ---- life */

static void mode_life(void)
{
	int id;

	say("off at first", first_byte(), 0xa9);
	step(1);
	id = tocsin_probe_register("patched:*", count, NULL, 0);
	say("register", id > 0, 1);
	say("on", first_byte(), 0xe9);
	step(2);
	say("unregister", tocsin_probe_unregister(id), 0);
	say("off", first_byte(), 0xa9);
	step(3);
	say("calls", calls, 1);
	if (prctl(PR_SET_DUMPABLE, 0) || setgid(65534) || setuid(65534))
		exit(9);
	say("refused", tocsin_probe_register("patched:*", count, NULL, 0), -EACCES);
	step(4);
	say("calls after", calls, 1);
}

/* A process that never could write to its code. */
static void mode_armed(void)
{
	int id = tocsin_probe_register("patched:*", count, NULL, 0);

	say("armed", first_byte(), 0xe9);
	say("register", id > 0, 1);
	step(1);
	say("unregister", tocsin_probe_unregister(id), 0);
	step(2);
	say("armed still", first_byte(), 0xe9);
	say("calls", calls, 1);
}

static void wait_line(const char *word)
{
	char line[64];

	printf("%s\n", word);
	(void)fflush(stdout); /* a pipe that the test reads */
	if (!fgets(line, sizeof(line), stdin))
		line[0] = 0;
}

static void mode_events(unsigned nr)
{
	wait_line("ready");
	for (unsigned i = 0; i < nr; i++)
		step(i);
	wait_line("done");
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? strtol(argv[2], NULL, 10) : 1000;

	if (argc > 1 && !strcmp(argv[1], "stress"))
		mode_stress(n);
	else if (argc > 1 && !strcmp(argv[1], "life"))
		mode_life();
	else if (argc > 1 && !strcmp(argv[1], "armed"))
		mode_armed();
	else if (argc > 1 && !strcmp(argv[1], "events"))
		mode_events((unsigned)n);
	else
		return 64;
	return 0;
}
