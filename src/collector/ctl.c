// SPDX-License-Identifier: MIT
/*
 * The control socket of a watch, both ends.
 *
 * It is CTL_DIR/watch.PID where that can be written, which takes root, else in the user's own
 * directory of /run. One that a killed watch left behind is known by its refusal to be connected
 * to; whoever comes across it removes it.
 */
#include "ctl.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include "../base/cleanup.h"
#include "../base/parse.h"
#include "../base/text.h"

#define CTL_DIR     "/run/tocsin"
#define CTL_PREFIX  "watch."
#define CTL_DIR_LEN 64

struct ctl_server {
	int fd;
	struct sockaddr_un addr;
};

static const char *user_dir(uid_t uid, char buf[static CTL_DIR_LEN])
{
	(void)snprintf(buf, CTL_DIR_LEN, "/run/user/%u/tocsin", uid);
	return buf;
}

static void address_of(const char *dir, pid_t pid, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)snprintf(addr->sun_path, sizeof(addr->sun_path), "%.*s/" CTL_PREFIX "%d", CTL_DIR_LEN,
		       dir, pid);
}

/* Return: a connected socket, -ENOENT nobody listens there (what was left is removed), or -errno.
 */
static int connect_to(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return fd;
	r = -errno;
	(void)close(fd);
	if (r != -ECONNREFUSED)
		return r;
	(void)unlink(addr->sun_path); /* may be another user's: then it stays */
	return -ENOENT;
}

/* Calls @fn for each watch that listens in a directory. */
static void for_each_watch(const char *dir_path, void (*fn)(void *arg, pid_t pid), void *arg)
{
	DIR *dir = opendir(dir_path);
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		struct sockaddr_un addr;
		uint64_t pid;
		int fd;

		if (strncmp(d->d_name, CTL_PREFIX, strlen(CTL_PREFIX)) ||
		    tocsin_parse_u64(d->d_name + strlen(CTL_PREFIX), &pid) || pid > INT_MAX)
			continue;
		address_of(dir_path, (pid_t)pid, &addr);
		fd = connect_to(&addr);
		if (fd >= 0)
			(void)close(fd);
		if (fd != -ENOENT)
			fn(arg, (pid_t)pid);
	}
	if (dir)
		(void)closedir(dir); /* nothing was written through it */
}

static void count_nothing(void *arg, pid_t pid)
{
	(void)arg;
	(void)pid;
}

static int bind_in(struct ctl_server *s, const char *dir, mode_t mode)
{
	mode_t mask;
	int r = 0;

	if (mkdir(dir, mode) && errno != EEXIST)
		return -errno;
	for_each_watch(dir, count_nothing, NULL); /* those that are none go */
	address_of(dir, getpid(), &s->addr);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return -errno;
	(void)unlink(s->addr.sun_path); /* of a dead process of our number; missing as a rule */
	mask = umask(0177);
	if (bind(s->fd, (struct sockaddr *)&s->addr, sizeof(s->addr)) || listen(s->fd, 4))
		r = -errno;
	(void)umask(mask); /* cannot fail */
	if (!r)
		return 0;
	(void)close(s->fd);
	s->fd = -1;
	return r;
}

int ctl_server_open(struct ctl_server **ret, struct tocsin_err *err)
{
	struct ctl_server *s = calloc(1, sizeof(*s));
	char own[CTL_DIR_LEN];
	int r;

	if (!s)
		return -ENOMEM;
	s->fd = -1;
	r = bind_in(s, CTL_DIR, 0755);
	if (r == -EACCES || r == -EPERM || r == -EROFS)
		r = bind_in(s, user_dir(geteuid(), own), 0700);
	else
		(void)snprintf(own, sizeof(own), CTL_DIR);
	if (r) {
		tocsin_err_add(err,
			       "'tocsin ctl' will not reach this watch: no socket can be made in "
			       "'%s': %s",
			       own, strerror(-r));
		ctl_server_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

struct ctl_server *ctl_server_close(struct ctl_server *s)
{
	if (!s)
		return NULL;
	if (s->fd >= 0) {
		(void)close(s->fd);
		(void)unlink(s->addr.sun_path); /* somebody may have tidied up before us */
	}
	free(s);
	return NULL;
}

int ctl_server_fd(const struct ctl_server *s)
{
	return s->fd;
}

/* Reads until the peer shuts its side, the buffer is full, or 100 ms of silence. Return: bytes, or
 * -errno. */
static ssize_t read_request(int fd, char *buf, size_t len)
{
	size_t have = 0;

	while (have < len - 1) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, 100) <= 0)
			return -ETIMEDOUT;
		n = read(fd, buf + have, len - 1 - have);
		if (n < 0)
			return -errno;
		if (!n)
			break;
		have += (size_t)n;
	}
	buf[have] = 0;
	return (ssize_t)have;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int ctl_server_serve(struct ctl_server *s, ctl_answer_fn fn, void *arg)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	struct timeval patience = {.tv_usec = 100000};
	char *text TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	char request[CTL_REQUEST_MAX], head[32];
	size_t len = 0;
	FILE *answer;
	bool ok;

	if (fd < 0)
		return errno == EAGAIN || errno == ECONNABORTED ? 0 : -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
			 sizeof(patience)); /* default: wait longer */
	if (read_request(fd, request, sizeof(request)) < 0)
		return 0; /* a peer that says nothing is answered nothing */
	request[strcspn(request, "\n")] = 0;
	answer = open_memstream(&text, &len);
	if (!answer)
		return -ENOMEM;
	ok = fn(arg, request, answer);
	if (fclose(answer)) /* memory: what was done is done, and the peer sees no answer */
		return -ENOMEM;
	(void)snprintf(head, sizeof(head), "%s %zu\n", ok ? "ok" : "error", len);
	if (!write_all(fd, head, strlen(head)))
		(void)write_all(fd, text, len); /* the peer has gone, or sees that it was cut */
	return 0;
}

struct found {
	struct tocsin_text list;
	unsigned nr;
	pid_t pid;
	char text[256];
};

static void take_watch(void *arg, pid_t pid)
{
	struct found *f = arg;

	tocsin_text_add(&f->list, "%s%d", f->nr++ ? ", " : "", pid);
	f->pid = pid;
}

/* The only watch there is. */
static int find_watch(pid_t *ret, struct tocsin_err *err)
{
	char own[CTL_DIR_LEN];
	struct found f = {.nr = 0};

	tocsin_text_init(&f.list, f.text, sizeof(f.text));
	for_each_watch(CTL_DIR, take_watch, &f);
	for_each_watch(user_dir(geteuid(), own), take_watch, &f);
	if (!f.nr)
		return tocsin_err_fail(-ENOENT, err, "no watch is running");
	if (f.nr > 1)
		return tocsin_err_fail(
			-ENOTUNIQ, err,
			"several watches are running (%s): say which with --watch PID", f.text);
	*ret = f.pid;
	return 0;
}

/* Where a watch of this number listens: root's directory, or that of the user whose it is. Return:
 * a connected socket, or -errno. */
static int reach(pid_t pid, struct tocsin_err *err)
{
	char dir[CTL_DIR_LEN], proc[32];
	struct sockaddr_un addr;
	struct stat st;
	int fd;

	address_of(CTL_DIR, pid, &addr);
	fd = connect_to(&addr);
	(void)snprintf(proc, sizeof(proc), "/proc/%d", pid);
	if (fd == -ENOENT && !stat(proc, &st)) {
		address_of(user_dir(st.st_uid, dir), pid, &addr);
		fd = connect_to(&addr);
	}
	if (fd == -ENOENT)
		return tocsin_err_fail(fd, err, "no watch is running with process id %d", pid);
	if (fd < 0)
		return tocsin_err_fail(fd, err, "cannot reach the watch %d at '%s': %s", pid,
				       addr.sun_path, strerror(-fd));
	return fd;
}

/* All that comes until the peer closes its side. */
static int read_answer(int fd, char **ret, size_t *ret_len)
{
	char *text TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	size_t have = 0, room = 0;
	ssize_t n;

	do {
		if (have + 1 >= room) {
			char *bigger;

			room = room ? 2 * room : 65536;
			if (room > 2 * CTL_ANSWER_MAX)
				return -EMSGSIZE;
			bigger = realloc(text, room);
			if (!bigger)
				return -ENOMEM;
			text = bigger;
		}
		n = read(fd, text + have, room - have - 1);
		if (n < 0)
			return -errno;
		have += (size_t)n;
	} while (n);
	text[have] = 0;
	*ret = tocsin_take_ptr(&text);
	*ret_len = have;
	return 0;
}

/* The head of an answer says how much text follows. Return: its length, or -EPROTO. */
static ssize_t head_parse(const char *answer, size_t len, bool *ret_ok)
{
	const char *newline = memchr(answer, '\n', len);
	char number[24];
	uint64_t said;

	*ret_ok = !strncmp(answer, "ok ", 3);
	if (!newline || (!*ret_ok && strncmp(answer, "error ", 6) != 0))
		return -EPROTO;
	answer += *ret_ok ? 3 : 6;
	(void)snprintf(number, sizeof(number), "%.*s", (int)(newline - answer), answer);
	if (tocsin_parse_u64(number, &said) || said > CTL_ANSWER_MAX)
		return -EPROTO;
	return (ssize_t)said;
}

int ctl_ask(pid_t pid, const char *request, bool *ret_ok, char **ret_answer, struct tocsin_err *err)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	char *answer TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	struct timeval patience = {.tv_sec = 10}; /* an attach takes a second */
	size_t have = 0, head;
	ssize_t said;
	int r;

	if (!pid) {
		r = find_watch(&pid, err);
		if (r)
			return r;
	}
	fd = reach(pid, err);
	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience)); /* default: wait for ever */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	r = write_all(fd, request, strlen(request));
	if (!r && shutdown(fd, SHUT_WR))
		r = -errno;
	r = r ?: read_answer(fd, &answer, &have);
	if (r)
		return tocsin_err_fail(r, err, "no answer from the watch %d: %s", pid,
				       strerror(-r));
	said = head_parse(answer, have, ret_ok);
	if (said < 0)
		return tocsin_err_fail((int)said, err, "no answer from the watch %d: %s", pid,
				       strerror((int)-said));
	head = strcspn(answer, "\n") + 1;
	if (have - head != (size_t)said)
		return tocsin_err_fail(-EPROTO, err,
				       "the answer of the watch %d was cut: %zu of %zd bytes came",
				       pid, have - head, said);
	memmove(answer, answer + head, have - head + 1);
	*ret_answer = tocsin_take_ptr(&answer);
	return 0;
}
