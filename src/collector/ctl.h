/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_CTL_H
#define TOCSIN_COLLECTOR_CTL_H

/*
 * Talking to a watch that runs: a Unix socket, open to its owner only: /run/tocsin/watch.PID, or,
 * for one that may not write there, /run/user/UID/tocsin/watch.PID. One request a connection: a
 * line `add SECTION`, `remove PATH:OFFSET`, `remove NAME` or `list`, ended by the shutdown of the
 * sending side. The answer is `ok` or `error`, a newline, and text.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "../base/err.h"

#define CTL_REQUEST_MAX 4608 /* bytes: a command and a line of the section language */
#define CTL_ANSWER_MAX  65536

struct ctl_server;

/* Answers one request. @answer: storage of CTL_ANSWER_MAX bytes, to be terminated. Return: is it
 * `ok`? */
typedef bool (*ctl_answer_fn)(void *arg, const char *request, char *answer, size_t len);

/**
 * ctl_server_open() - make the socket of this process.
 *
 * What watches that were killed left behind is removed.
 *
 * Return: 0, or -errno.
 */
int ctl_server_open(struct ctl_server **ret, struct tocsin_err *err);

/** ctl_server_close() - removes the socket. Return: NULL. */
struct ctl_server *ctl_server_close(struct ctl_server *s);

int ctl_server_fd(const struct ctl_server *s);

/**
 * ctl_server_serve() - take one connection and answer it; a peer that does not say its request
 * within 100 ms is dropped.
 *
 * Return: 0, or -errno of accepting.
 */
int ctl_server_serve(struct ctl_server *s, ctl_answer_fn fn, void *arg);

/**
 * ctl_ask() - send a request to a running watch.
 * @pid:     the watch, 0: the only one there is
 * @ret_ok:  what the watch said
 * @answer:  storage of CTL_ANSWER_MAX bytes
 *
 * Sockets on which nobody listens any more are removed on the way.
 *
 * Return: 0, or -ENOENT no watch runs, or not this one, -ENOTUNIQ several do (@err lists them),
 * -EACCES, -errno.
 */
int ctl_ask(pid_t pid, const char *request, bool *ret_ok, char *answer, size_t len,
	    struct tocsin_err *err);

#endif
