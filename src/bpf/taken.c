// SPDX-License-Identifier: MIT
/* Loads and runs the program that ends the open sections of an index. */
#include "taken.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../base/cleanup.h"
/* bpftool's generated code is not ours to mend */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "taken.skel.h"
#pragma GCC diagnostic pop

static int be_silent(enum libbpf_print_level level, const char *fmt, va_list args)
{
	(void)level;
	(void)fmt;
	(void)args;
	return 0;
}

/* The map of threads is the watch's; the others of that header are not used here. */
static int share_maps(struct taken_bpf *s, int threads_fd)
{
	struct bpf_map *m;
	int r = 0;

	bpf_object__for_each_map(m, s->obj)
	{
		if (m == s->maps.threads)
			r = r ?: bpf_map__reuse_fd(m, threads_fd);
		else if (!bpf_map__is_internal(m))
			r = r ?: bpf_map__set_autocreate(m, false);
	}
	return r;
}

/* Reading the iterator to its end is what runs the program, once a task. */
static int run_once(struct taken_bpf *s)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	char nothing[64];
	ssize_t n;

	fd = bpf_iter_create(bpf_link__fd(s->links.take_open));
	if (fd < 0)
		return -errno;
	do
		n = read(fd, nothing, sizeof(nothing));
	while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
	return n < 0 ? -errno : 0;
}

static int load_and_run(struct taken_bpf *s, int threads_fd, uint32_t section)
{
	int r = share_maps(s, threads_fd);

	r = r ?: taken_bpf__load(s);
	r = r ?: taken_bpf__attach(s);
	if (r)
		return r;
	s->bss->wanted_section = section;
	return run_once(s);
}

int watch_taken_count(int threads_fd, uint32_t section, uint64_t *ret, struct tocsin_err *err)
{
	libbpf_print_fn_t previous = libbpf_set_print(be_silent);
	struct taken_bpf *s = taken_bpf__open();
	int r = -ENOMEM;

	if (s) {
		r = load_and_run(s, threads_fd, section);
		if (!r)
			*ret = s->bss->nr_taken;
		taken_bpf__destroy(s);
	}
	(void)libbpf_set_print(previous);
	if (r)
		return tocsin_err_fail(r, err, "cannot count the sections that are open: %s",
				       strerror(-r));
	return 0;
}
