// SPDX-License-Identifier: MIT
/* A process in unusual circumstances. Emits life:step events with who emits and a running number,
 * and prints "emitted WHO N" a process and thread, which must be what is in its rings. */
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tocsin/tocsin.h"

extern char **environ;

static unsigned emitted[64];

static void step(unsigned who)
{
	unsigned seq = emitted[who]++;

	tocsin_event("life", "step", TF_U32("who", who), TF_U32("seq", seq));
}

static void steps(unsigned who, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		step(who);
}

static void say(unsigned who)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "emitted %u %u\n", who, emitted[who]);

	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(9);
}

static void wait_line(const char *word)
{
	char line[64];

	printf("%s\n", word);
	(void)fflush(stdout); /* a pipe that the test reads */
	if (!fgets(line, sizeof(line), stdin))
		line[0] = 0;
}

__attribute__((constructor(200))) static void early(void)
{
	step(60);
}

__attribute__((destructor)) static void late(void)
{
	if (emitted[61]) {
		step(61);
		say(61);
	}
}

static void reap(void)
{
	int status;

	while (wait(&status) > 0)
		if (status)
			_exit(8);
}

static void mode_plain(void)
{
	steps(0, 1000);
	say(0);
	emitted[61] = 0;
	step(61);
	say(60);
}

static void mode_forks(void)
{
	steps(0, 100);
	for (unsigned i = 1; i <= 4; i++) {
		if (fork() == 0) {
			steps(i, 100);
			if (i == 2 && fork() == 0) {
				steps(10, 50);
				say(10);
				_exit(0);
			}
			steps(i, 100);
			say(i);
			reap();
			_exit(0);
		}
	}
	steps(0, 100);
	reap();
	say(0);
}

/* Children of children, many, each gone at once. */
static void mode_storm(void)
{
	for (unsigned n = 0; n < 100; n++) {
		for (int k = 0; k < 2; k++) {
			if (fork() == 0) {
				emitted[5] = 0;
				steps(5, 20);
				say(5);
				kill(getpid(), SIGKILL); /* nothing may depend on a decent end */
			}
		}
		while (wait(NULL) > 0)
			continue;
	}
}

static void mode_vfork(void)
{
	steps(0, 10);
	if (vfork() == 0) {
		tocsin_event("life", "step", TF_U32("who", 0), TF_U32("seq", emitted[0]++));
		_exit(0);
	}
	steps(0, 10);
	reap();
	say(0);
}

static void mode_rawfork(void)
{
	steps(0, 10);
	if (syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) == 0) {
		steps(1, 10);
		say(1);
		_exit(0);
	}
	steps(0, 10);
	reap();
	say(0);
}

static void mode_spawn(char *self)
{
	char *const args[] = {self, (char *)(uintptr_t) "grandchild", NULL};
	pid_t pid;

	steps(0, 10);
	if (posix_spawn(&pid, self, NULL, NULL, args, environ))
		_exit(7);
	reap();
	steps(0, 10);
	say(0);
}

static void mode_exec(char *self)
{
	char *const args[] = {self, (char *)(uintptr_t) "grandchild", NULL};

	steps(0, 10);
	say(0);
	execv(self, args);
	_exit(7);
}

static void *thread_steps(void *arg)
{
	unsigned who = (unsigned)(uintptr_t)arg;

	steps(who, 20000);
	return NULL;
}

/* Forks while other threads trace. */
static void mode_threads(void)
{
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, thread_steps, (void *)(uintptr_t)(20 + i)))
			_exit(6);
	for (unsigned i = 0; i < 20; i++) {
		if (fork() == 0) {
			steps(i, 10);
			say(i);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < 4; i++) {
		(void)pthread_join(threads[i], NULL); /* ours, joined once */
		say(20 + i);
	}
	reap();
}

static volatile sig_atomic_t ticks;

static void on_tick(int sig)
{
	(void)sig;
	steps(1, 3);
	ticks++;
}

static void mode_signals(void)
{
	struct sigaction sa = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
	struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};

	if (sigaction(SIGALRM, &sa, NULL) || setitimer(ITIMER_REAL, &often, NULL))
		_exit(5);
	while (ticks < 60)
		step(0);
	(void)setitimer(ITIMER_REAL, &never, NULL); /* cannot fail */
	say(0);
	say(1);
}

static void mode_setuid(void)
{
	if (setgid(65534) || setuid(65534))
		_exit(4);
	steps(0, 100);
	say(0);
}

static void mode_jail(void)
{
	if (unshare(CLONE_NEWNS | CLONE_FILES | CLONE_FS | CLONE_NEWUTS) ||
	    chroot("/proc/self/fdinfo") || chdir("/"))
		_exit(4);
	steps(0, 100);
	say(0);
}

static void mode_strict(void)
{
	static const char line[] = "emitted 0 100\nstopped 1000\n";

	steps(0, 100);
	tocsin_stop();
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		_exit(4);
	steps(0, 1000);
	if (write(STDOUT_FILENO, line, sizeof(line) - 1) != sizeof(line) - 1)
		(void)syscall(SYS_exit, 4);
	(void)syscall(SYS_exit, 0); /* exit_group() would kill us */
}

/* A filter that kills for everything but write() and the ends. */
static void mode_filter(bool waits)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (tocsin_freeze() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		_exit(4);
	if (waits) /* for a recording that comes at its own pace to find the rings */
		(void)usleep(200000);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		_exit(4);
	steps(0, 1000);
	say(0);
	_exit(0);
}

/* dlopen and dlclose over and over, while another thread traces. */
static void mode_plugin(const char *path)
{
	pthread_t thread;
	unsigned total = 0;

	if (pthread_create(&thread, NULL, thread_steps, (void *)(uintptr_t)20))
		_exit(3);
	for (unsigned i = 0; i < 50; i++) {
		void *plugin = dlopen(path, RTLD_NOW);
		void (*work)(unsigned, unsigned) =
			plugin ? (void (*)(unsigned, unsigned))dlsym(plugin, "plugin_work") : NULL;

		if (!work) {
			fprintf(stderr, "%s\n", dlerror());
			_exit(3);
		}
		work(total, 10);
		total += 10;
		if (dlclose(plugin))
			_exit(3);
	}
	(void)pthread_join(thread, NULL); /* ours, joined once */
	say(20);
	emitted[30] = total;
	say(30);
}

static void mode_closed(void)
{
	steps(0, 10);
	if (syscall(SYS_close_range, 3, ~0u, 0))
		_exit(2);
	steps(0, 10);
	say(0);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "plain";
	bool waits = argc > 2 && !strcmp(argv[argc - 1], "wait");

	emitted[60] = 1; /* the constructor's */
	if (waits)
		wait_line("ready");
	if (!strcmp(mode, "plain"))
		mode_plain();
	else if (!strcmp(mode, "forks"))
		mode_forks();
	else if (!strcmp(mode, "storm"))
		mode_storm();
	else if (!strcmp(mode, "vfork"))
		mode_vfork();
	else if (!strcmp(mode, "rawfork"))
		mode_rawfork();
	else if (!strcmp(mode, "spawn"))
		mode_spawn(argv[0]);
	else if (!strcmp(mode, "exec"))
		mode_exec(argv[0]);
	else if (!strcmp(mode, "grandchild")) {
		steps(3, 100);
		say(3);
	} else if (!strcmp(mode, "threads"))
		mode_threads();
	else if (!strcmp(mode, "signals"))
		mode_signals();
	else if (!strcmp(mode, "setuid"))
		mode_setuid();
	else if (!strcmp(mode, "jail"))
		mode_jail();
	else if (!strcmp(mode, "strict"))
		mode_strict();
	else if (!strcmp(mode, "filter"))
		mode_filter(waits);
	else if (!strcmp(mode, "plugin"))
		mode_plugin(argv[2]);
	else if (!strcmp(mode, "closed"))
		mode_closed();
	else
		return 64;
	if (waits)
		wait_line("done");
	return 0;
}
