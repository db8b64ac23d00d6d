// SPDX-License-Identifier: MIT
/* Cases of `acct` whose time goes in being blocked: on a time, a lock, another thread, the disk, a
 * child. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "acct.h"

#define HOLD_NS (30 * NS_PER_MS)
#define TURN_NS (5 * NS_PER_MS)
#define TURNS   6u

static void run_sleep(struct trial *trial)
{
	trial->blocked_ns = 20 * NS_PER_MS;
	trial_begin(trial);
	for (trial->count = 0; trial->count < 20; trial->count++)
		sleep_ns(NS_PER_MS);
	trial_end(trial);
}

static void run_nanosleep(struct trial *trial)
{
	trial->blocked_ns = HOLD_NS;
	trial_begin(trial);
	sleep_ns(HOLD_NS);
	trial_end(trial);
}

static void *holder_thread(void *arg)
{
	struct helper *helper = arg;

	(void)pthread_mutex_lock(&helper->lock); /* a fresh, normal mutex cannot fail */
	helper_ready(helper);
	sleep_ns(HOLD_NS);
	(void)pthread_mutex_unlock(&helper->lock);
	return NULL;
}

static void run_mutex(struct trial *trial)
{
	struct helper helper = {.lock = PTHREAD_MUTEX_INITIALIZER};

	trial->blocked_ns = HOLD_NS;
	helper_start(&helper, trial, holder_thread);
	(void)sem_post(&helper.go);
	trial_begin(trial);
	(void)pthread_mutex_lock(&helper.lock);
	trial_end(trial);
	(void)pthread_mutex_unlock(&helper.lock);
	helper_join(&helper);
}

static void *signaller_thread(void *arg)
{
	struct helper *helper = arg;

	helper_ready(helper);
	sleep_ns(HOLD_NS);
	(void)pthread_mutex_lock(&helper->lock);
	helper->flag = true;
	(void)pthread_mutex_unlock(&helper->lock);
	(void)pthread_cond_signal(&helper->cond); /* cannot fail */
	return NULL;
}

static void run_condvar(struct trial *trial)
{
	struct helper helper = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.cond = PTHREAD_COND_INITIALIZER,
	};

	trial->blocked_ns = HOLD_NS;
	helper_start(&helper, trial, signaller_thread);
	(void)sem_post(&helper.go);
	trial_begin(trial);
	(void)pthread_mutex_lock(&helper.lock);
	while (!helper.flag)
		(void)pthread_cond_wait(&helper.cond, &helper.lock);
	(void)pthread_mutex_unlock(&helper.lock);
	trial_end(trial);
	helper_join(&helper);
}

static void byte_write(int fd)
{
	if (write(fd, "x", 1) != 1)
		err(3, "cannot write a byte");
}

static void byte_read(int fd)
{
	char c;

	if (read(fd, &c, 1) != 1)
		err(3, "cannot read a byte");
}

static void *waker_thread(void *arg)
{
	struct helper *helper = arg;

	thread_pin(helper->trial->cpu[0]);
	helper_ready(helper);
	for (unsigned i = 0; i < TURNS; i++) {
		sleep_ns(TURN_NS);
		byte_write(helper->fd[1]);
	}
	return NULL;
}

/* Reads a pipe that a thread on the other CPU fills. */
static void run_pipe(struct trial *trial)
{
	struct helper helper = {0};

	trial->blocked_ns = TURNS * TURN_NS;
	if (pipe2(helper.fd, O_CLOEXEC))
		err(3, "cannot make a pipe");
	thread_pin(trial->cpu[1]);
	helper_start(&helper, trial, waker_thread);
	(void)sem_post(&helper.go);
	trial_begin(trial);
	for (trial->count = 0; trial->count < TURNS; trial->count++)
		byte_read(helper.fd[0]);
	trial_end(trial);
	helper_join(&helper);
	(void)close(helper.fd[0]);
	(void)close(helper.fd[1]);
}

/* Answers each byte after a while. */
static void *server_thread(void *arg)
{
	struct helper *helper = arg;

	thread_pin(helper->trial->cpu[0]);
	helper_ready(helper);
	for (unsigned i = 0; i < TURNS; i++) {
		byte_read(helper->fd[1]);
		sleep_ns(TURN_NS);
		byte_write(helper->fd[1]);
	}
	return NULL;
}

static void round_trips(struct trial *trial, struct helper *helper)
{
	trial->blocked_ns = TURNS * TURN_NS;
	thread_pin(trial->cpu[1]);
	helper_start(helper, trial, server_thread);
	(void)sem_post(&helper->go);
	trial_begin(trial);
	for (trial->count = 0; trial->count < TURNS; trial->count++) {
		byte_write(helper->fd[0]);
		byte_read(helper->fd[0]);
	}
	trial_end(trial);
	helper_join(helper);
	(void)close(helper->fd[0]);
	(void)close(helper->fd[1]);
}

static void run_unix(struct trial *trial)
{
	struct helper helper = {0};

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, helper.fd))
		err(3, "cannot make a pair of sockets");
	round_trips(trial, &helper);
}

static void run_tcp(struct trial *trial)
{
	struct helper helper = {0};
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr *any = (struct sockaddr *)&addr;
	socklen_t len = sizeof(addr);
	int one = 1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	helper.fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || helper.fd[0] < 0 || bind(listener, any, len) ||
	    getsockname(listener, any, &len) || listen(listener, 1) ||
	    connect(helper.fd[0], any, len))
		err(3, "cannot connect over the loopback");
	helper.fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (helper.fd[1] < 0 ||
	    setsockopt(helper.fd[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	    setsockopt(helper.fd[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		err(3, "cannot accept over the loopback");
	(void)close(listener);
	trial->port = ntohs(addr.sin_port);
	round_trips(trial, &helper);
}

/* A file in the test's directory; NULL when that is not on a disk. */
static int disk_file(struct trial *trial, char path[4096])
{
	const long memory_only[] = {0x01021994 /* tmpfs */, 0x858458f6 /* ramfs */};
	struct statfs fs;
	int fd;

	if (statfs(trial->dir, &fs))
		err(3, "cannot look at '%s'", trial->dir);
	for (size_t i = 0; i < sizeof(memory_only) / sizeof(*memory_only); i++) {
		if (fs.f_type == memory_only[i]) {
			trial->skip = "the directory is not on a disk";
			return -1;
		}
	}
	(void)snprintf(path, 4096, "%s/acct-%d-%u", trial->dir, getpid(), trial->id);
	fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		err(3, "cannot make '%s'", path);
	return fd;
}

static void run_fsync(struct trial *trial)
{
	static char block[1 << 16];
	char path[4096];
	int fd = disk_file(trial, path);

	if (fd < 0)
		return;
	trial_begin(trial);
	for (trial->count = 0; trial->count < 40; trial->count++) {
		if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block) || fsync(fd))
			err(3, "cannot write to the disk");
	}
	trial_end(trial);
	(void)close(fd);
	(void)unlink(path);
}

/*
 * Touches a file that is not in memory, once in each read-around window of 32 pages, in an order
 * that no read-ahead foresees: every touch is a fault that waits for the disk, and long enough to
 * be looked into.
 */
static void run_pagein(struct trial *trial)
{
	enum {
		WINDOWS = 257 /* prime: the step visits each once */,
		STEP = 101,
		WINDOW = 32 * 4096
	};
	static char block[WINDOW];
	const size_t len = (size_t)WINDOWS * WINDOW;
	const volatile char *map;
	char path[4096];
	int fd = disk_file(trial, path);

	if (fd < 0)
		return;
	for (unsigned i = 0; i < WINDOWS; i++) {
		memset(block, (int)(i & 0xff), sizeof(block));
		if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
			err(3, "cannot write '%s'", path);
	}
	if (fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		err(3, "cannot drop '%s' from memory", path);
	map = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		err(3, "cannot map '%s'", path);
	trial_begin(trial);
	for (unsigned i = 0; i < WINDOWS; i++)
		trial->count +=
			(unsigned char)map[(size_t)(i * STEP % WINDOWS) * WINDOW + WINDOW / 2];
	trial_end(trial);
	(void)munmap((void *)(uintptr_t)map, len);
	(void)close(fd);
	(void)unlink(path);
}

static void *flock_thread(void *arg)
{
	struct helper *helper = arg;

	if (flock(helper->fd[1], LOCK_EX))
		err(3, "cannot lock a file");
	helper_ready(helper);
	sleep_ns(HOLD_NS);
	if (flock(helper->fd[1], LOCK_UN))
		err(3, "cannot unlock a file");
	return NULL;
}

static void run_flock(struct trial *trial)
{
	struct helper helper = {0};
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/acct-%d-%u", trial->dir, getpid(), trial->id);
	helper.fd[0] = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	helper.fd[1] = open(path, O_RDWR | O_CLOEXEC);
	if (helper.fd[0] < 0 || helper.fd[1] < 0)
		err(3, "cannot open '%s'", path);
	trial->blocked_ns = HOLD_NS;
	helper_start(&helper, trial, flock_thread);
	(void)sem_post(&helper.go);
	trial_begin(trial);
	if (flock(helper.fd[0], LOCK_EX))
		err(3, "cannot lock '%s'", path);
	trial_end(trial);
	helper_join(&helper);
	(void)close(helper.fd[0]);
	(void)close(helper.fd[1]);
	(void)unlink(path);
}

static void run_fork(struct trial *trial)
{
	int status;

	trial->blocked_ns = HOLD_NS;
	trial_begin(trial);
	trial->peer = fork();
	if (trial->peer < 0)
		err(3, "cannot fork");
	if (trial->peer == 0) {
		child_die_with_parent();
		spin_ns(HOLD_NS);
		_exit(0);
	}
	while (waitpid(trial->peer, &status, 0) < 0 && errno == EINTR)
		;
	trial_end(trial);
}

const struct trial_case acct_block_cases[] = {
	{"sleep", run_sleep},     {"nanosleep", run_nanosleep}, {"mutex", run_mutex},
	{"condvar", run_condvar}, {"pipe", run_pipe},           {"unix", run_unix},
	{"tcp", run_tcp},         {"fsync", run_fsync},         {"pagein", run_pagein},
	{"flock", run_flock},     {"fork", run_fork},           {NULL, NULL},
};
