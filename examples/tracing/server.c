// SPDX-License-Identifier: MIT
/*
 * A server of a few threads on the loopback that traces itself: each connection sends one line, and
 *gets it back, changed by a plugin.
 *
 *	make
 *	tocsin record -o trace -- ./server --requests 1000
 *	tocsin print trace | head
 *
 * With --requests N it sends itself N requests and ends; without, it serves until it is killed.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tocsin/tocsin.h>

#define THREADS 4

enum outcome { SERVED, TOO_LONG, BROKEN };

static const struct tocsin_label outcomes[] = {
	{SERVED, SERVED, "served"}, {TOO_LONG, TOO_LONG, "too_long"}, {BROKEN, BROKEN, "broken"}};

static int listener;
static void (*change)(char *line, size_t len);

static ssize_t read_line(int fd, char *line, size_t size)
{
	size_t len = 0;

	while (len < size - 1) {
		ssize_t n = read(fd, line + len, size - 1 - len);

		if (n <= 0)
			return -1;
		len += (size_t)n;
		if (line[len - 1] == '\n')
			break;
	}
	line[len] = 0;
	return (ssize_t)len;
}

static enum outcome handle(int fd)
{
	char line[128];
	ssize_t len;

	tocsin_section("handle", 5 * TOCSIN_MS); /* ends where this function does */
	len = read_line(fd, line, sizeof(line));
	if (len < 0)
		return BROKEN;
	tocsin_event("server", "request", TF_S32("fd", fd), TF_STRN("line", line, 64));
	if (line[len - 1] != '\n')
		return TOO_LONG;
	change(line, (size_t)len - 1);
	return write(fd, line, (size_t)len) == len ? SERVED : BROKEN;
}

static void *serve(void *arg)
{
	unsigned thread = (unsigned)(size_t)arg;

	for (;;) {
		struct sockaddr_in peer;
		socklen_t peer_len = sizeof(peer);
		int fd = accept(listener, (struct sockaddr *)&peer, &peer_len);
		enum outcome outcome;

		if (fd < 0)
			return NULL;
		tocsin_event("server", "accept", TF_S32("fd", fd), TF_U32("thread", thread),
			     TF_U16("port", ntohs(peer.sin_port)));
		outcome = handle(fd);
		tocsin_event("server", "done", TF_S32("fd", fd),
			     TF_ENUM("outcome", outcomes, outcome));
		close(fd);
	}
}

static int ask(const struct sockaddr_in *where, unsigned long n)
{
	char line[64];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int len = snprintf(line, sizeof(line), "request %lu\n", n);
	int r = -1;

	if (fd >= 0 && connect(fd, (const struct sockaddr *)where, sizeof(*where)) == 0 &&
	    write(fd, line, (size_t)len) == len && read_line(fd, line, sizeof(line)) == len)
		r = strncmp(line, "REQUEST ", 8) == 0 ? 0 : -1;
	if (fd >= 0)
		close(fd);
	return r;
}

int main(int argc, char **argv)
{
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t where_len = sizeof(where);
	unsigned long requests = 0;
	void *plugin = dlopen("./plugin.so", RTLD_NOW);
	pthread_t thread[THREADS];

	if (argc > 2 && !strcmp(argv[1], "--requests") && sscanf(argv[2], "%lu", &requests) != 1)
		return 2;
	change = plugin ? (void (*)(char *, size_t))dlsym(plugin, "plugin_change") : NULL;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!change || listener < 0 || bind(listener, (struct sockaddr *)&where, where_len) ||
	    listen(listener, 64) || getsockname(listener, (struct sockaddr *)&where, &where_len)) {
		fprintf(stderr, "server: %s\n", change ? strerror(errno) : dlerror());
		return 1;
	}
	for (size_t i = 0; i < THREADS; i++) {
		if (pthread_create(&thread[i], NULL, serve, (void *)i))
			return 1;
	}
	printf("port %u\n", ntohs(where.sin_port));
	fflush(stdout);
	for (unsigned long n = 0; n < requests; n++) {
		if (ask(&where, n))
			return 1;
	}
	if (!requests)
		pause();
	shutdown(listener,
		 SHUT_RDWR); /* accept() fails: each thread ends what it does, and itself */
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	return 0;
}
