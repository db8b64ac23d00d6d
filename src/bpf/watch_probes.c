// SPDX-License-Identifier: MIT
/* The probes of the kernel half: attached to programs and to tracepoints, and taken away. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "multi.h"
#include "watch_kernel.h"
#include "watch_links.h"

/* Probes that were attached together: one link of many (fd), or `nr` of perf_event_open(), or a
 * part in a tracepoint's. */
struct watch_link {
	struct hook *hook; /* of a tracepoint, lent; NULL: none */
	uint32_t cookie;   /* in it */
	int fd;            /* -1: none */
	size_t nr;
	struct bpf_link *perf[];
};

static struct bpf_program *program_of(struct watch_kernel *k, enum watch_program which)
{
	switch (which) {
	case WATCH_PROBE_START: return k->skel->progs.probe_start;
	case WATCH_PROBE_STOP: return k->skel->progs.probe_stop;
	case WATCH_RECORD_START: return k->skel->progs.record_start;
	case WATCH_RECORD_STOP: return k->skel->progs.record_stop;
	case WATCH_NOTE: return k->skel->progs.probe_note;
	}
	return NULL;
}

static int attach_perf(struct bpf_program *program, const struct watch_uprobes *u,
		       struct watch_link *link)
{
	for (size_t i = 0; i < u->nr; i++) {
		LIBBPF_OPTS(bpf_uprobe_opts, opts, .ref_ctr_offset = u->place[i].ref_ctr_offset,
			    .bpf_cookie = u->place[i].cookie, .retprobe = u->is_return);
		struct bpf_link *one = bpf_program__attach_uprobe_opts(
			program, u->pid ?: -1, u->path, u->place[i].offset, &opts);

		if (!one)
			return -errno;
		link->perf[link->nr++] = one;
	}
	return 0;
}

static int attach_multi(struct bpf_program *program, const struct watch_uprobes *u,
			struct watch_link *link)
{
	uint64_t *word TOCSIN_CLEANUP(tocsin_free_voidp) = calloc(u->nr, 3 * sizeof(*word));
	struct multi m = {.program = bpf_program__fd(program),
			  .type = MULTI_UPROBE,
			  .path = u->path,
			  .nr = u->nr,
			  .pid = u->pid,
			  .is_return = u->is_return};

	if (!word)
		return -ENOMEM;
	for (size_t i = 0; i < u->nr; i++) {
		word[i] = u->place[i].offset;
		word[u->nr + i] = u->place[i].cookie;
		word[2 * u->nr + i] = u->place[i].ref_ctr_offset;
	}
	m.offset = word;
	m.cookie = word + u->nr;
	m.ref_ctr = word + 2 * u->nr;
	link->fd = multi_attach(&m);
	return link->fd < 0 ? link->fd : 0;
}

/* Room for a link of @nr probes of perf_event_open(). */
static struct watch_link *link_new(size_t nr)
{
	struct watch_link *link = calloc(1, sizeof(*link) + nr * sizeof(link->perf[0]));

	if (link)
		link->fd = -1;
	return link;
}

int watch_links_attach(struct bpf_program *program, bool has_multi, const struct watch_uprobes *u,
		       struct watch_link **ret_link, struct tocsin_err *err)
{
	libbpf_print_fn_t previous = libbpf_set_print(complaint_keep);
	struct watch_link *link = link_new(has_multi ? 0 : u->nr);
	int r = -ENOMEM;

	if (link)
		r = has_multi ? attach_multi(program, u, link) : attach_perf(program, u, link);
	(void)libbpf_set_print(previous);
	if (r) {
		watch_links_close(&link, 1);
		return tocsin_err_fail(r, err, "cannot attach %s at '%s'+0x%llx%s: %s",
				       u->nr == 1 ? "a probe" : "probes", u->path,
				       (unsigned long long)(u->nr ? u->place[0].offset : 0),
				       u->nr == 1 ? "" : " and other places", strerror(-r));
	}
	*ret_link = link;
	return 0;
}

int watch_kernel_attach_uprobes(struct watch_kernel *k, const struct watch_uprobes *u,
				struct watch_link **ret_link, struct tocsin_err *err)
{
	return watch_links_attach(program_of(k, u->program), k->has_multi, u, ret_link, err);
}

int watch_link_tracepoint(struct bpf_program *program, const char *category, const char *name,
			  uint32_t cookie, struct watch_link **ret_link, struct tocsin_err *err)
{
	LIBBPF_OPTS(bpf_tracepoint_opts, opts, .bpf_cookie = cookie);
	libbpf_print_fn_t previous = libbpf_set_print(complaint_keep);
	struct watch_link *link = link_new(1);
	int r = link ? 0 : -ENOMEM;

	if (!r) {
		link->perf[0] = bpf_program__attach_tracepoint_opts(program, category, name, &opts);
		link->nr = link->perf[0] != NULL;
		r = link->nr ? 0 : -errno;
	}
	(void)libbpf_set_print(previous);
	if (r) {
		watch_links_close(&link, 1);
		return tocsin_err_fail(r, err, "cannot attach to the tracepoint '%s:%s': %s",
				       category, name, strerror(-r));
	}
	*ret_link = link;
	return 0;
}

/* --- tracepoints
 * ----------------------------------------------------------------------------------------------
 *
 * The kernel attaches a program to a tracepoint once, so the sections that start (or stop) at the
 * same one share its link: their probes are a chain, and the link's cookie is that of the first.
 */

/* One program at one tracepoint. Its first cookie stays the link's while the hook lives. */
struct hook {
	struct watch_kernel *k;
	struct hook *next;
	enum watch_program program;
	char *category, *name;
	struct bpf_link *link;
	uint32_t *cookie; /* of the chain, in its order */
	size_t nr, capacity;
	size_t nr_users;
};

static int chain_set(struct watch_kernel *k, uint32_t cookie, uint32_t next)
{
	int map = bpf_map__fd(k->skel->maps.probes);
	struct watch_probe probe;

	if (bpf_map_lookup_elem(map, &cookie, &probe))
		return -errno;
	probe.next = next;
	return bpf_map_update_elem(map, &cookie, &probe, BPF_ANY) ? -errno : 0;
}

static struct hook *hook_free(struct hook *h)
{
	if (!h)
		return NULL;
	for (struct hook **at = &h->k->hooks; *at; at = &(*at)->next)
		if (*at == h) {
			*at = h->next;
			break;
		}
	(void)bpf_link__destroy(h->link);
	free(h->category);
	free(h->name);
	free(h->cookie);
	free(h);
	return NULL;
}

static struct hook *hook_find(struct watch_kernel *k, enum watch_program program,
			      const char *category, const char *name)
{
	for (struct hook *h = k->hooks; h; h = h->next)
		if (h->program == program && !strcmp(h->category, category) &&
		    !strcmp(h->name, name))
			return h;
	return NULL;
}

/* A hook with its link, and nobody in its chain yet but the link's cookie. */
static int hook_make(struct watch_kernel *k, enum watch_program program, const char *category,
		     const char *name, uint32_t cookie, struct hook **ret)
{
	LIBBPF_OPTS(bpf_tracepoint_opts, opts, .bpf_cookie = cookie);
	struct hook *h = calloc(1, sizeof(*h));
	int r = -ENOMEM;

	if (!h)
		return r;
	h->k = k;
	h->program = program;
	h->category = strdup(category);
	h->name = strdup(name);
	if (h->category && h->name) {
		h->link = bpf_program__attach_tracepoint_opts(program_of(k, program), category,
							      name, &opts);
		r = h->link ? 0 : -errno;
	}
	if (r) {
		(void)hook_free(h);
		return r;
	}
	h->next = k->hooks;
	k->hooks = h;
	*ret = h;
	return 0;
}

static int hook_add(struct hook *h, uint32_t cookie)
{
	int r = 0;

	if (h->nr == h->capacity) {
		size_t capacity = h->capacity ? 2 * h->capacity : 4;
		uint32_t *bigger = reallocarray(h->cookie, capacity, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		h->cookie = bigger;
		h->capacity = capacity;
	}
	if (h->nr)
		r = chain_set(h->k, h->cookie[h->nr - 1], cookie);
	if (r)
		return r;
	h->cookie[h->nr++] = cookie;
	h->nr_users++;
	return 0;
}

/* One that leaves does nothing any more: the first stays in the chain for the link's sake. */
static void hook_leave(struct hook *h, uint32_t cookie)
{
	if (!--h->nr_users) {
		(void)hook_free(h);
		return;
	}
	for (size_t i = 1; i < h->nr; i++)
		if (h->cookie[i] == cookie) {
			uint32_t behind = i + 1 < h->nr ? h->cookie[i + 1] : 0;

			if (chain_set(h->k, h->cookie[i - 1], behind))
				return; /* it stays, as the first does */
			memmove(&h->cookie[i], &h->cookie[i + 1],
				(h->nr - i - 1) * sizeof(h->cookie[0]));
			h->nr--;
			return;
		}
}

int watch_kernel_attach_tracepoint(struct watch_kernel *k, enum watch_program program,
				   const char *category, const char *name, uint32_t cookie,
				   struct watch_link **ret_link, struct tocsin_err *err)
{
	libbpf_print_fn_t previous = libbpf_set_print(complaint_keep);
	struct watch_link *link = link_new(0);
	int r = link ? 0 : -ENOMEM;

	if (!r) {
		link->hook = hook_find(k, program, category, name);
		link->cookie = cookie;
		if (!link->hook)
			r = hook_make(k, program, category, name, cookie, &link->hook);
	}
	if (!r) {
		r = hook_add(link->hook, cookie);
		if (r && !link->hook->nr_users)
			(void)hook_free(link->hook);
	}
	(void)libbpf_set_print(previous);
	if (r) {
		free(link);
		return tocsin_err_fail(r, err, "cannot attach to the tracepoint '%s:%s': %s",
				       category, name, strerror(-r));
	}
	*ret_link = link;
	return 0;
}

/* --- taking probes away
 * ----------------------------------------------------------------------------------------------
 */

#define CLOSERS_MAX 64

struct closing {
	struct watch_link **link;
	size_t nr;
	size_t next; /* atomic */
};

/* Closes the descriptors, and the kernel cannot refuse. */
static void *close_some(void *arg)
{
	struct closing *c = arg;

	for (;;) {
		size_t i = __atomic_fetch_add(&c->next, 1, __ATOMIC_RELAXED);
		struct watch_link *link;

		if (i >= c->nr)
			return NULL;
		link = c->link[i];
		c->link[i] = NULL;
		if (!link)
			continue;
		for (size_t p = 0; p < link->nr; p++)
			(void)bpf_link__destroy(link->perf[p]);
		if (link->fd >= 0)
			(void)close(link->fd);
		free(link);
	}
}

void watch_links_close(struct watch_link **link, size_t nr)
{
	struct closing c = {.link = link, .nr = nr};
	pthread_t closer[CLOSERS_MAX];
	size_t nr_closers = 0;

	for (size_t i = 0; i < nr; i++) /* several may share one */
		if (link[i] && link[i]->hook)
			hook_leave(link[i]->hook, link[i]->cookie);
	while (nr_closers < CLOSERS_MAX && nr_closers + 1 < nr &&
	       !pthread_create(&closer[nr_closers], NULL, close_some, &c))
		nr_closers++;
	(void)close_some(&c); /* all of them, where there is no thread */
	for (size_t i = 0; i < nr_closers; i++)
		(void)pthread_join(closer[i], NULL);
}
