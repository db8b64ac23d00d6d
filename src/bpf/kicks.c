// SPDX-License-Identifier: MIT
#include "kicks.h"

#include <errno.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

int kicks_make(const struct bpf_map *rings, int nr_cpus)
{
	for (int cpu = 0; cpu < nr_cpus; cpu++) {
		int fd = bpf_map_create(BPF_MAP_TYPE_USER_RINGBUF, "kick", 0, 0,
					(unsigned)getpagesize(), NULL);
		int r = fd < 0 ? -errno : 0;

		if (!r && bpf_map_update_elem(bpf_map__fd(rings), &cpu, &fd, BPF_ANY))
			r = -errno;
		if (fd >= 0)
			(void)close(fd); /* the map holds it */
		if (r)
			return r;
	}
	return 0;
}
