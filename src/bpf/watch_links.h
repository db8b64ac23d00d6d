/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BPF_WATCH_LINKS_H
#define TOCSIN_BPF_WATCH_LINKS_H

/* Links of any program of a kernel half, each to be given to watch_links_close(). Private to the
 * loaders. */

#include <bpf/libbpf.h>

#include "watch.h"

/** watch_links_attach() - a program at places in one file. @u: its `program` is not looked at.
 * Return: 0, or -errno. */
int watch_links_attach(struct bpf_program *program, bool has_multi, const struct watch_uprobes *u,
		       struct watch_link **ret_link, struct tocsin_err *err);

/** watch_link_tracepoint() - a program at category:name, where it is not yet. Return: 0, -errno. */
int watch_link_tracepoint(struct bpf_program *program, const char *category, const char *name,
			  uint32_t cookie, struct watch_link **ret_link, struct tocsin_err *err);

#endif
