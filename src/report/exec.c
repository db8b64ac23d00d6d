// SPDX-License-Identifier: MIT
/*
 * A command a violation.
 *
 * A violation may come a thousand times a second, and a command may hang: so commands are let
 * through by a token bucket, and only so many run at once; what is not run is counted. A command
 * gets: /dev/null as its standard input, our standard error as its standard output as well (ours
 * may be a JSON stream), no signal blocked or ignored, and a process group of its own, so that
 * Ctrl-C ends the watch and lets the command finish, and so that at the end a command can be ended
 * with all that it started. Every other descriptor of the watch is O_CLOEXEC.
 *
 * Ended commands are reaped one by one, by their ids: the watch's own child (`-- CMD`) is somebody
 * else's to reap.
 *
 * What comes from the traced world reaches the environment without control characters, since people
 * echo it.
 */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "out.h"

#define NS_PER_S   1000000000ull
#define KILL_NS    NS_PER_S /* from SIGTERM to SIGKILL */
#define POLL_NS    5000000  /* between two looks at the commands while closing */
#define ENV_PREFIX "TOCSIN_"

struct exec_sink {
	char *command; /* owned */
	struct exec_limits limits;
	double tokens;                   /* commands that may be started now */
	uint64_t refilled_ns;            /* 0: not yet */
	pid_t running[EXEC_RUNNING_MAX]; /* process ids, the first nr_running */
	unsigned nr_running;
	struct exec_stats stats;
};

int exec_sink_open(const char *command, struct exec_limits limits, struct exec_sink **ret_sink)
{
	struct exec_sink *sink;

	if (!(limits.rate_per_s > 0))
		limits = (struct exec_limits){EXEC_RATE_PER_S, EXEC_BURST, EXEC_MAX_RUNNING};
	if (!limits.burst || !limits.max_running || limits.max_running > EXEC_RUNNING_MAX)
		return -EINVAL;
	sink = calloc(1, sizeof(*sink));
	if (!sink)
		return -ENOMEM;
	sink->command = strdup(command);
	if (!sink->command) {
		free(sink);
		return -ENOMEM;
	}
	sink->limits = limits;
	sink->tokens = limits.burst;
	*ret_sink = sink;
	return 0;
}

static bool take_token(struct exec_sink *sink, uint64_t now_ns)
{
	if (sink->refilled_ns && now_ns > sink->refilled_ns) {
		double passed_s = (double)(now_ns - sink->refilled_ns) / (double)NS_PER_S;

		sink->tokens += passed_s * sink->limits.rate_per_s;
		if (sink->tokens > sink->limits.burst)
			sink->tokens = sink->limits.burst;
	}
	sink->refilled_ns = now_ns;
	if (sink->tokens < 1)
		return false;
	sink->tokens -= 1;
	return true;
}

/* The environment as one text, "NAME=value\0NAME=value\0". */
static void env_u64(struct out *env, const char *name, uint64_t value)
{
	out_add(env, ENV_PREFIX "%s=%llu", name, (unsigned long long)value);
	out_add_bytes(env, "", 1);
}

static void env_text(struct out *env, const char *name, const char *value)
{
	out_add(env, ENV_PREFIX "%s=", name);
	out_add_clean(env, value);
	out_add_bytes(env, "", 1);
}

static void put_env(struct out *env, const struct violation *v)
{
	char buf[FIELD_NAME_LEN];

	env_text(env, "SECTION", v->section);
	env_u64(env, "NUMBER", v->number);
	env_u64(env, "PID", v->raw.tgid);
	env_u64(env, "TID", v->raw.tid);
	env_text(env, "COMM", NAME_COPY(v->raw.comm, buf));
	if (v->raw.flags & SECTION_KEYED)
		env_u64(env, "KEY", v->raw.key);
	env_u64(env, "START_NS", v->raw.start_ns);
	env_u64(env, "END_NS", v->raw.end_ns);
	env_u64(env, "ELAPSED_NS", violation_elapsed_ns(v));
	env_u64(env, "BUDGET_NS", v->budget_ns);
	env_text(env, "VERDICT", v->verdict);
	env_text(env, "CAUSE",
		 v->nr_causes ? CAUSE_NAME(v->cause[0].kind) : CAUSE_NAME(CAUSE_UNKNOWN));
	env_u64(env, "SPLIT_KNOWN", !(v->raw.flags & SECTION_NO_SPLIT));
#define X(NAME, name, text) env_u64(env, "SPLIT_" #NAME "_NS", v->raw.split_ns[TS_##NAME]);
#include "../abi/states.def"
#undef X
}

/* Our environment without variables of ours that it had before, and those of the violation. Freeing
 * it is freeing the array: the strings are lent from @env and environ. */
static char **env_vector(const struct out *env)
{
	size_t nr = 1;
	char **vector;
	char **entry;

	for (char **e = environ; e && *e; e++)
		nr++;
	for (size_t i = 0; i < env->len; i++)
		nr += !env->buf[i];
	vector = calloc(nr, sizeof(*vector));
	if (!vector)
		return NULL;
	entry = vector;
	for (char **e = environ; e && *e; e++) {
		if (strncmp(*e, ENV_PREFIX, sizeof(ENV_PREFIX) - 1) != 0)
			*entry++ = *e;
	}
	for (size_t i = 0; i < env->len; i += strlen(env->buf + i) + 1)
		*entry++ = env->buf + i;
	return vector;
}

static int spawn_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r;

	(void)sigemptyset(&none); /* cannot fail, nor can sigfillset() */
	(void)sigfillset(&all);
	r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &all);
	if (r == 0)
		r = posix_spawnattr_setpgroup(attr, 0);
	if (r == 0)
		r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
							   POSIX_SPAWN_SETPGROUP);
	return -r;
}

static int spawn(char *command, char **env, pid_t *ret_pid)
{
	char sh[] = "sh", c[] = "-c";
	char *words[] = {sh, c, command, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r) {
		(void)posix_spawn_file_actions_destroy(&actions); /* frees memory only */
		return -r;
	}
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	if (r == 0)
		r = -spawn_attributes(&attr);
	if (r == 0)
		r = posix_spawn(ret_pid, "/bin/sh", &actions, &attr, words, env);
	(void)posix_spawnattr_destroy(&attr); /* frees memory only, as below */
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int start(struct exec_sink *sink, const struct violation *v, pid_t *ret_pid)
{
	struct out env TOCSIN_CLEANUP(out_done);
	char **vector TOCSIN_CLEANUP(tocsin_free_voidp) = NULL;

	out_init(&env, -1);
	put_env(&env, v);
	if (env.failed)
		return env.failed;
	vector = env_vector(&env);
	if (!vector)
		return -ENOMEM;
	return spawn(sink->command, vector, ret_pid);
}

int exec_sink_violation(struct exec_sink *sink, const struct violation *v, uint64_t now_ns)
{
	int r;

	if (exec_sink_reap(sink) >= sink->limits.max_running || !take_token(sink, now_ns)) {
		sink->stats.suppressed++;
		return 0;
	}
	r = start(sink, v, &sink->running[sink->nr_running]);
	if (r < 0) {
		sink->stats.not_started++;
		sink->stats.last_failure = r;
		return r;
	}
	sink->nr_running++;
	sink->stats.started++;
	return 1;
}

unsigned exec_sink_reap(struct exec_sink *sink)
{
	for (unsigned i = 0; i < sink->nr_running;) {
		int status = 0;
		pid_t pid = waitpid(sink->running[i], &status, WNOHANG);

		if (pid == 0 || (pid < 0 && errno == EINTR)) {
			i++;
			continue;
		}
		/* Should it not be ours to wait for (SIGCHLD ignored), its status is lost, and
		 * nothing else. */
		if (pid > 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
			sink->stats.failed++;
		sink->running[i] = sink->running[--sink->nr_running];
	}
	return sink->nr_running;
}

struct exec_stats exec_sink_get_stats(const struct exec_sink *sink)
{
	return sink->stats;
}

/* Return: how many are still running at @until_ns. */
static unsigned wait_until(struct exec_sink *sink, uint64_t until_ns)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};

	while (exec_sink_reap(sink) && clock_now_ns() < until_ns)
		(void)nanosleep(&pause, NULL); /* a signal only makes it shorter */
	return sink->nr_running;
}

static void signal_all(const struct exec_sink *sink, int signo)
{
	for (unsigned i = 0; i < sink->nr_running; i++)
		(void)kill(-sink->running[i],
			   signo); /* it may have ended, then there is no such group */
}

struct exec_sink *exec_sink_close(struct exec_sink *sink, uint64_t grace_ns,
				  struct exec_stats *ret_stats)
{
	if (!sink)
		return NULL;
	if (wait_until(sink, clock_now_ns() + grace_ns)) {
		sink->stats.killed += sink->nr_running;
		signal_all(sink, SIGTERM);
		if (wait_until(sink, clock_now_ns() + KILL_NS)) {
			signal_all(sink, SIGKILL);
			/* Only one in an uninterruptible wait lives on; it is init's then. */
			(void)wait_until(sink, clock_now_ns() + KILL_NS);
		}
	}
	if (ret_stats)
		*ret_stats = sink->stats;
	free(sink->command);
	free(sink);
	return NULL;
}
