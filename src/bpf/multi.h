/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BPF_MULTI_H
#define TOCSIN_BPF_MULTI_H

/* Many uprobes in one link: bpf(BPF_LINK_CREATE) itself, which libbpf 1.1 does not know. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Attach types that the headers of older kernels lack. */
#define MULTI_UPROBE         48 /* 6.6 */
#define MULTI_UPROBE_SESSION 57 /* 6.13 */

struct multi {
	int program;   /* loaded with the same attach type */
	unsigned type; /* MULTI_UPROBE, MULTI_UPROBE_SESSION */
	const char *path;
	const uint64_t *offset;  /* in the file */
	const uint64_t *ref_ctr; /* of USDT semaphores, 0: none; NULL: none at all */
	const uint64_t *cookie;
	size_t nr;
	pid_t pid;      /* 0: every process that maps the file */
	bool is_return; /* not for a session */
};

/**
 * multi_attach() - attach a program to places in one file, to all or to none.
 * @m: lent
 *
 * Return: the link's descriptor, or -errno. Thread-safe: yes. Signal-safe: yes.
 */
int multi_attach(const struct multi *m);

/**
 * multi_is_known() - can this kernel do it, for a whole process too?
 *
 * Before 6.10 a link for one process fires in its first thread only: that counts as no.
 *
 * Return: as said; false also without the privilege to try. Thread-safe: yes. Signal-safe: no.
 */
bool multi_is_known(void);

#endif
