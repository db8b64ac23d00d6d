// SPDX-License-Identifier: MIT
/* The control socket of a watch, both ends. */
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
#include "process.h"

#define CTL_DIR "/run/tocsin"

struct ctl_server {
	int fd;
	struct sockaddr_un addr;
};

static void address_of(pid_t pid, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)snprintf(addr->sun_path, sizeof(addr->sun_path), CTL_DIR "/watch.%d", pid);
}

int ctl_server_open(struct ctl_server **ret, struct tocsin_err *err)
{
	struct ctl_server *s = calloc(1, sizeof(*s));
	mode_t mask;
	int r = 0;

	if (!s)
		return -ENOMEM;
	address_of(getpid(), &s->addr);
	if (mkdir(CTL_DIR, 0755) && errno != EEXIST)
		r = -errno;
	s->fd = r ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (!r && s->fd < 0)
		r = -errno;
	if (!r) {
		(void)unlink(
			s->addr.sun_path); /* of a dead process of our number; missing as a rule */
		mask = umask(0177);
		if (bind(s->fd, (struct sockaddr *)&s->addr, sizeof(s->addr)) || listen(s->fd, 4))
			r = -errno;
		(void)umask(mask); /* cannot fail */
	}
	if (r) {
		tocsin_err_add(err, "cannot make the control socket '%s': %s", s->addr.sun_path,
			       strerror(-r));
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
	char *answer TOCSIN_CLEANUP(tocsin_free_charp) = malloc(CTL_ANSWER_MAX);
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	struct timeval patience = {.tv_usec = 100000};
	char request[CTL_REQUEST_MAX];
	bool ok;

	if (fd < 0)
		return errno == EAGAIN || errno == ECONNABORTED ? 0 : -errno;
	if (!answer)
		return -ENOMEM;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
			 sizeof(patience)); /* default: wait longer */
	if (read_request(fd, request, sizeof(request)) < 0)
		return 0; /* a peer that says nothing is answered nothing */
	request[strcspn(request, "\n")] = 0;
	answer[0] = 0;
	ok = fn(arg, request, answer, CTL_ANSWER_MAX);
	if (!write_all(fd, ok ? "ok\n" : "error\n", ok ? 3 : 6))
		(void)write_all(fd, answer, strlen(answer)); /* the peer has gone: its loss */
	return 0;
}

/* The only watch there is. */
static int find_watch(pid_t *ret, struct tocsin_err *err)
{
	DIR *dir = opendir(CTL_DIR);
	struct dirent *d;
	char list[256] = "";
	unsigned nr = 0;

	while (dir && (d = readdir(dir))) {
		uint64_t pid;

		if (strncmp(d->d_name, "watch.", 6) || tocsin_parse_u64(d->d_name + 6, &pid) ||
		    pid > INT_MAX || !process_exists((pid_t)pid))
			continue;
		*ret = (pid_t)pid;
		(void)snprintf(list + strlen(list), sizeof(list) - strlen(list), " %d", (pid_t)pid);
		nr++;
	}
	if (dir)
		(void)closedir(dir); /* nothing was written through it */
	if (!nr)
		return tocsin_err_fail(-ENOENT, err, "no watch is running");
	if (nr > 1)
		return tocsin_err_fail(
			-ENOTUNIQ, err,
			"several watches are running (%s ): say which with --watch PID", list);
	return 0;
}

int ctl_ask(pid_t pid, const char *request, bool *ret_ok, char *answer, size_t len,
	    struct tocsin_err *err)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = {.tv_sec = 10}; /* an attach takes a second */
	struct sockaddr_un addr;
	size_t have = 0, head;
	ssize_t n = 1;
	bool ok;
	int r;

	if (fd < 0)
		return -errno;
	answer[0] = 0;
	if (!pid) {
		r = find_watch(&pid, err);
		if (r)
			return r;
	}
	address_of(pid, &addr);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return tocsin_err_fail(-errno, err, "cannot reach the watch %d at '%s': %s", pid,
				       addr.sun_path, strerror(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience)); /* default: wait for ever */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	r = write_all(fd, request, strlen(request));
	if (!r && shutdown(fd, SHUT_WR))
		r = -errno;
	while (!r && n > 0 && have < len - 1) {
		n = read(fd, answer + have, len - 1 - have);
		if (n < 0)
			r = -errno;
		else
			have += (size_t)n;
	}
	answer[have] = 0;
	ok = strncmp(answer, "ok\n", 3) == 0;
	if (!r && !ok && strncmp(answer, "error\n", 6) != 0)
		r = -EPROTO;
	if (r)
		return tocsin_err_fail(r, err, "no answer from the watch %d: %s", pid,
				       strerror(-r));
	*ret_ok = ok;
	head = ok ? 3 : 6;
	memmove(answer, answer + head, have - head + 1);
	return 0;
}
