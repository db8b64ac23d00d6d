// SPDX-License-Identifier: MIT
/* Cases of `acct` whose time goes on a CPU, or in waiting for one, or in being stopped. */

#include <sys/mman.h>
#include <sys/wait.h>

#include "acct.h"

static void run_spin(struct trial *trial)
{
	trial_begin(trial);
	spin_ns(50 * NS_PER_MS);
	trial_end(trial);
}

/* Under a quota this runs for a part of each period only; the test sets the quota. */
static void run_quota(struct trial *trial)
{
	trial_begin(trial);
	spin_ns(400 * NS_PER_MS);
	trial_end(trial);
}

static void *burst_thread(void *arg)
{
	struct helper *helper = arg;
	struct sched_param param = {.sched_priority = 10};

	thread_pin(helper->trial->cpu[1]);
	if (sched_setscheduler(0, SCHED_FIFO, &param))
		helper->trial->skip = "no privilege for a real-time priority";
	helper_ready(helper);
	for (int i = 0; i < 10 && !helper->stop; i++) {
		sleep_ns(10 * NS_PER_MS);
		spin_ns(5 * NS_PER_MS);
	}
	while (!helper->stop) /* its clock is still wanted */
		sleep_ns(NS_PER_MS);
	return NULL;
}

/* Preempted by bursts of a real-time thread. */
static void run_fifo(struct trial *trial)
{
	struct helper helper = {0};

	thread_pin(trial->cpu[1]);
	helper_start(&helper, trial, burst_thread);
	helper.stop = trial->skip != NULL;
	(void)sem_post(&helper.go);
	if (!trial->skip) {
		trial->peer_ns[0] = helper_cpu_ns(&helper);
		trial_begin(trial);
		spin_ns(155 * NS_PER_MS);
		trial_end(trial);
		trial->peer_ns[1] = helper_cpu_ns(&helper);
		helper.stop = true;
	}
	helper_join(&helper);
}

static void *competitor_thread(void *arg)
{
	struct helper *helper = arg;

	thread_pin(helper->trial->cpu[1]);
	helper_ready(helper);
	while (!helper->stop)
		;
	return NULL;
}

/* Shares its CPU with a thread of the same class. */
static void run_competitor(struct trial *trial)
{
	struct helper helper = {0};

	thread_pin(trial->cpu[1]);
	helper_start(&helper, trial, competitor_thread);
	(void)sem_post(&helper.go);
	trial->peer_ns[0] = helper_cpu_ns(&helper);
	trial_begin(trial);
	spin_ns(200 * NS_PER_MS);
	trial_end(trial);
	trial->peer_ns[1] = helper_cpu_ns(&helper);
	helper.stop = true;
	helper_join(&helper);
}

static void run_yield(struct trial *trial)
{
	struct helper helper = {0};

	thread_pin(trial->cpu[1]);
	helper_start(&helper, trial, competitor_thread);
	(void)sem_post(&helper.go);
	sleep_ns(2 * NS_PER_MS);
	trial->peer_ns[0] = helper_cpu_ns(&helper);
	trial_begin(trial);
	for (trial->count = 0; trial->count < 50; trial->count++)
		(void)sched_yield(); /* cannot fail on Linux */
	trial_end(trial);
	trial->peer_ns[1] = helper_cpu_ns(&helper);
	helper.stop = true;
	helper_join(&helper);
}

/* Moved to the other CPU 200 times. */
static void run_migrate(struct trial *trial)
{
	trial_begin(trial);
	for (trial->count = 0; trial->count < 200; trial->count++) {
		thread_pin(trial->cpu[trial->count & 1]);
		spin_ns(200 * NS_PER_US);
	}
	trial_end(trial);
}

/* What the child that stops the subject saw: clocks before and after each kill(). */
struct stopper {
	sem_t go;
	uint64_t t[4];
};

static void stopper_run(struct stopper *shared, pid_t victim)
{
	child_die_with_parent();
	while (sem_wait(&shared->go) && errno == EINTR)
		;
	sleep_ns(5 * NS_PER_MS);
	shared->t[0] = now_ns();
	(void)kill(victim, SIGSTOP); /* it may be gone: then the test fails by itself */
	shared->t[1] = now_ns();
	sleep_ns(50 * NS_PER_MS);
	shared->t[2] = now_ns();
	(void)kill(victim, SIGCONT);
	shared->t[3] = now_ns();
	_exit(0);
}

static void run_stop(struct trial *trial)
{
	struct stopper *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t self = getpid();
	pid_t child;

	if (shared == MAP_FAILED || sem_init(&shared->go, 1, 0))
		err(3, "cannot share memory with a child");
	child = fork();
	if (child < 0)
		err(3, "cannot fork");
	if (child == 0)
		stopper_run(shared, self);
	trial->peer = child;
	trial_begin(trial);
	(void)sem_post(&shared->go);
	spin_ns(80 * NS_PER_MS);
	trial_end(trial);
	(void)waitpid(child, NULL, 0); /* its result does not matter */
	trial->stopped_ns[0] = shared->t[2] - shared->t[1];
	trial->stopped_ns[1] = shared->t[3] - shared->t[0];
	(void)munmap(shared, sizeof(*shared));
}

/* Ends inside its section: 5 ms on the CPU, 7 ms asleep, then the thread is gone. */
static void run_exit(struct trial *trial)
{
	trial->blocked_ns = 7 * NS_PER_MS;
	trial_begin(trial);
	spin_ns(5 * NS_PER_MS);
	sleep_ns(7 * NS_PER_MS);
	trial_leave(trial);
	pthread_exit(NULL);
}

const struct trial_case acct_sched_cases[] = {
	{"spin", run_spin},   {"quota", run_quota},
	{"fifo", run_fifo},   {"competitor", run_competitor},
	{"yield", run_yield}, {"migrate", run_migrate},
	{"stop", run_stop},   {"exit", run_exit},
	{NULL, NULL},
};
