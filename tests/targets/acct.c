// SPDX-License-Identifier: MIT
/*
 * `acct [-m] [-d DIR] CASE...`: sections of which the program itself knows where their time went.
 *
 * Each case does one thing between acct_begin() and acct_end(), which are also the USDT probes
 * acct:begin and acct:end with the case's number as argument, and then prints one JSON line: its
 * clock readings round the probes, what the kernel's schedstat said, and who was to blame. A test
 * compares that with what the watch said.
 */

#include <sys/resource.h>
#include <sys/sdt.h>

#include "acct.h"

TARGET_NOINLINE void acct_begin(unsigned id)
{
	TARGET_FRAME();
	DTRACE_PROBE1(acct, begin, id);
}

TARGET_NOINLINE void acct_end(unsigned id)
{
	TARGET_FRAME();
	DTRACE_PROBE1(acct, end, id);
}

static void schedstat_read(struct trial *trial, unsigned at)
{
	char text[96];
	ssize_t n = pread(trial->schedstat_fd, text, sizeof(text) - 1, 0);
	unsigned long long run, delay;
	struct rusage usage;

	if (n <= 0)
		err(3, "cannot read schedstat");
	text[n] = '\0';
	if (sscanf(text, "%llu %llu", &run, &delay) != 2)
		errx(3, "cannot make sense of schedstat: '%s'", text);
	trial->run_ns[at] = run;
	trial->delay_ns[at] = delay;
	if (getrusage(RUSAGE_THREAD, &usage))
		err(3, "cannot read the count of switches");
	trial->switches[at] = (uint64_t)usage.ru_nvcsw + (uint64_t)usage.ru_nivcsw;
}

void trial_begin(struct trial *trial)
{
	char path[64];

	trial->tid = thread_id();
	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", trial->tid);
	trial->schedstat_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (trial->schedstat_fd < 0)
		err(3, "cannot open '%s'", path);
	schedstat_read(trial, 0);
	trial->cpu_ns[0] = cpu_ns();
	trial->t[0] = now_ns();
	acct_begin(trial->id);
	trial->t[1] = now_ns();
	trial->cpu_ns[1] = cpu_ns();
}

void trial_end(struct trial *trial)
{
	trial->cpu_ns[2] = cpu_ns();
	trial->t[2] = now_ns();
	acct_end(trial->id);
	trial->t[3] = now_ns();
	trial->cpu_ns[3] = cpu_ns();
	schedstat_read(trial, 1);
	(void)close(trial->schedstat_fd); /* was only read */
}

void trial_leave(struct trial *trial)
{
	schedstat_read(trial, 1);
	(void)close(trial->schedstat_fd); /* was only read */
	trial->cpu_ns[2] = cpu_ns();
	trial->t[2] = now_ns();
}

void trial_gone(struct trial *trial)
{
	trial->t[3] = now_ns();
	trial->cpu_ns[3] = trial->cpu_ns[2] + (trial->t[3] - trial->t[2]);
}

void helper_start(struct helper *helper, struct trial *trial, void *(*fn)(void *))
{
	helper->trial = trial;
	helper->stop = false;
	if (sem_init(&helper->ready, 0, 0) || sem_init(&helper->go, 0, 0))
		err(3, "cannot make a semaphore");
	helper->thread = thread_start(fn, helper);
	while (sem_wait(&helper->ready) && errno == EINTR)
		;
	trial->peer = helper->tid;
}

void helper_ready(struct helper *helper)
{
	helper->tid = thread_id();
	(void)sem_post(&helper->ready); /* cannot overflow: posted once */
	while (sem_wait(&helper->go) && errno == EINTR)
		;
}

void helper_join(struct helper *helper)
{
	errno = pthread_join(helper->thread, NULL);
	if (errno)
		err(3, "cannot join a helper");
	(void)sem_destroy(&helper->ready); /* nobody waits on them any more */
	(void)sem_destroy(&helper->go);
}

uint64_t helper_cpu_ns(const struct helper *helper)
{
	clockid_t clock;

	errno = pthread_getcpuclockid(helper->thread, &clock);
	if (errno)
		err(3, "cannot find the CPU clock of a helper");
	return clock_ns(clock);
}

static const struct trial_case *case_find(const char *name)
{
	const struct trial_case *const tables[] = {acct_sched_cases, acct_block_cases};

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (const struct trial_case *c = tables[i]; c->name; c++)
			if (!strcmp(c->name, name))
				return c;
	return NULL;
}

static void trial_print(const struct trial *trial)
{
	if (trial->skip) {
		printf("{\"case\":\"%s\",\"id\":%u,\"skip\":\"%s\"}\n", trial->name, trial->id,
		       trial->skip);
		return;
	}
	printf("{\"case\":\"%s\",\"id\":%u,\"pid\":%d,\"tid\":%d,\"t\":[%ju,%ju,%ju,%ju],"
	       "\"cpu\":[%ju,%ju,%ju,%ju],\"run\":%ju,\"delay\":%ju,\"switches\":%ju,\"blocked\":%ju,"
	       "\"stopped\":[%ju,%ju],\"peer\":%d,\"peer_ns\":%ju,\"port\":%u,\"count\":%u}\n",
	       trial->name, trial->id, getpid(), trial->tid, trial->t[0], trial->t[1], trial->t[2],
	       trial->t[3], trial->cpu_ns[0], trial->cpu_ns[1], trial->cpu_ns[2], trial->cpu_ns[3],
	       trial->run_ns[1] - trial->run_ns[0], trial->delay_ns[1] - trial->delay_ns[0],
	       trial->switches[1] - trial->switches[0], trial->blocked_ns, trial->stopped_ns[0],
	       trial->stopped_ns[1], trial->peer, trial->peer_ns[1] - trial->peer_ns[0],
	       trial->port, trial->count);
}

struct order {
	const struct trial_case *what;
	struct trial *trial;
};

static void *case_thread(void *arg)
{
	struct order *order = arg;

	order->what->run(order->trial);
	return NULL;
}

static void case_run(const struct trial_case *what, unsigned id, const char *dir, bool on_main)
{
	struct trial trial = {.id = id, .name = what->name, .dir = dir};
	struct order order = {what, &trial};

	cpus_find(trial.cpu);
	if (on_main) {
		what->run(&trial);
	} else {
		errno = pthread_join(thread_start(case_thread, &order), NULL);
		if (errno)
			err(3, "cannot join the thread of case '%s'", what->name);
	}
	if (!trial.skip && !trial.t[3])
		trial_gone(&trial);
	trial_print(&trial);
}

int main(int argc, char **argv)
{
	const char *dir = ".";
	bool on_main = false;
	int opt;

	while ((opt = getopt(argc, argv, "md:")) != -1) {
		switch (opt) {
		case 'm': on_main = true; break;
		case 'd': dir = optarg; break;
		default: return 2;
		}
	}
	for (int i = optind; i < argc; i++)
		if (!case_find(argv[i]))
			errx(2, "no such case: '%s'", argv[i]);
	target_ready();
	for (int i = optind; i < argc; i++)
		case_run(case_find(argv[i]), (unsigned)(i - optind + 1), dir, on_main);
	printf("{\"done\":true}\n");
	return 0;
}
