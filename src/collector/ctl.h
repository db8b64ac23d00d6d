/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_CTL_H
#define TOCSIN_COLLECTOR_CTL_H

/*
 * Talking to a watch that runs: a Unix socket, open to its owner only: /run/tocsin/watch.PID, or,
 * for one that may not write there, /run/user/UID/tocsin/watch.PID. One request a connection: a
 * line `add SECTION`, `remove PATH:OFFSET`, `remove NAME` or `list`, ended by the shutdown of the
 * sending side. The answer is `ok LENGTH` or `error LENGTH`, a newline, and LENGTH bytes of text.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "../base/err.h"

#define CTL_REQUEST_MAX 4608 /* bytes: a command and a line of the section language */
#define CTL_ANSWER_MAX \
	(16u << 20) /* bytes of text: all sections there can be, several times over */

struct ctl_server;

/* Answers one request. @answer: where the text goes. Return: is it `ok`? */
typedef bool (*ctl_answer_fn)(void *arg, const char *request, FILE *answer);

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
 * @ret_answer: its text, terminated, to be freed; written on success only
 *
 * Sockets on which nobody listens any more are removed on the way.
 *
 * Return: 0, or -ENOENT no watch runs, or not this one, -ENOTUNIQ several do (@err lists them),
 * -EACCES, -EPROTO the answer is none, or was cut, -errno.
 */
int ctl_ask(pid_t pid, const char *request, bool *ret_ok, char **ret_answer,
	    struct tocsin_err *err);

#endif
