// SPDX-License-Identifier: MIT
/*
 * Pins. A link that is pinned keeps its program attached, a program keeps its maps. Names in the
 * directory: link_N, ring_CPU, losses, about. `about` is pinned last: a directory without it is
 * being made, or what a killed tocsin left of one; removing takes away whatever is there.
 */
#include "record_keep.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>

#include "../base/cleanup.h"
#include "record_kernel.h"

#define BPF_FS "/sys/fs/bpf"

static int bpf_fs_ready(struct tocsin_err *err)
{
	struct statfs fs;

	if (statfs(BPF_FS, &fs) == 0 && fs.f_type == BPF_FS_MAGIC)
		return 0;
	if (mount("bpf", BPF_FS, "bpf", 0, "mode=0700"))
		return tocsin_err_fail(-errno, err,
				       "cannot mount the BPF file system at '" BPF_FS "': %s",
				       strerror(errno));
	return 0;
}

static const char *pin_name(char buf[static 96], const char *what, unsigned n)
{
	(void)snprintf(buf, 96, RECORD_KEEP_DIR "/%s_%u", what, n);
	return buf;
}

static int links_pin(struct record_kernel *k)
{
	unsigned n = 0;
	char path[96];
	int r = 0;

	for (int i = 0; i < k->skel->skeleton->prog_cnt && !r; i++) {
		struct bpf_link *link = *k->skel->skeleton->progs[i].link;

		if (link)
			r = bpf_link__pin(link, pin_name(path, "link", n++));
	}
	for (uint32_t i = 0; i < k->nr_links && !r; i++)
		r = bpf_link__pin(k->link[i], pin_name(path, "link", n++));
	return r;
}

static int about_pin(const void *about, size_t bytes)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) =
		bpf_map_create(BPF_MAP_TYPE_ARRAY, "tocsin_about", 4, (uint32_t)bytes, 1, NULL);
	uint32_t zero = 0;

	if (fd < 0 || bpf_map_update_elem(fd, &zero, about, BPF_ANY) ||
	    bpf_obj_pin(fd, RECORD_KEEP_DIR "/about"))
		return -errno;
	return 0;
}

int record_kernel_keep(struct record_kernel *k, const void *about, size_t about_bytes,
		       struct tocsin_err *err)
{
	int r = bpf_fs_ready(err);
	char path[96];

	if (r)
		return r;
	if (mkdir(RECORD_KEEP_DIR, 0700))
		return tocsin_err_fail(
			-errno, err,
			errno == EEXIST
				? "a flight recorder of kernel events is running already (tocsin record --flight --off ends it)"
				: "cannot make '" RECORD_KEEP_DIR "'");
	r = links_pin(k);
	for (unsigned i = 0; i < k->nr_rings && !r; i++)
		if (bpf_obj_pin(k->ring[i].fd, pin_name(path, "ring", k->ring[i].cpu)))
			r = -errno;
	if (!r && bpf_obj_pin(bpf_map__fd(k->skel->maps.data_losses), RECORD_KEEP_DIR "/losses"))
		r = -errno;
	r = r ?: about_pin(about, about_bytes);
	if (!r)
		return 0;
	(void)record_kept_remove(NULL); /* of what was made, as much as there is */
	return tocsin_err_fail(r, err, "cannot pin the flight recorder: %s", strerror(-r));
}

static void closedirp(DIR **d)
{
	if (*d)
		(void)closedir(*d); /* nothing was written through it */
}

static int ring_take(struct record_kept *kept, const char *name)
{
	void *more = reallocarray(kept->ring, kept->nr_rings + 1, sizeof(kept->ring[0]));
	char path[512];
	unsigned cpu;
	int fd;

	if (!more)
		return -ENOMEM;
	kept->ring = more;
	if (sscanf(name, "ring_%u", &cpu) != 1)
		return 0;
	(void)snprintf(path, sizeof(path), RECORD_KEEP_DIR "/%s", name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	kept->ring[kept->nr_rings].cpu = cpu;
	kept->ring[kept->nr_rings++].fd = fd;
	return 0;
}

/* The one value of a pinned map. @ret: free() it. */
static int value_read(const char *path, void **ret, size_t *ret_bytes)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) = bpf_obj_get(path);
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info), zero = 0;
	void *value;

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	value = malloc(info.value_size);
	if (!value)
		return -ENOMEM;
	if (bpf_map_lookup_elem(fd, &zero, value)) {
		free(value);
		return -errno;
	}
	*ret = value;
	*ret_bytes = info.value_size;
	return 0;
}

int record_kept_open(struct record_kept *ret, struct tocsin_err *err)
{
	DIR *d TOCSIN_CLEANUP(closedirp) = opendir(RECORD_KEEP_DIR);
	void *losses TOCSIN_CLEANUP(tocsin_free_voidp) = NULL;
	struct dirent *entry;
	size_t bytes = 0;
	int r = d ? 0 : -errno;

	*ret = (struct record_kept){0};
	if (r == -ENOENT)
		return tocsin_err_fail(
			r, err,
			"no flight recorder of kernel events is running (tocsin record --flight -k switches it on)");
	r = r ?: value_read(RECORD_KEEP_DIR "/about", &ret->about, &ret->about_bytes);
	r = r ?: value_read(RECORD_KEEP_DIR "/losses", &losses, &bytes);
	if (!r)
		memcpy(ret->loss, losses, bytes < sizeof(ret->loss) ? bytes : sizeof(ret->loss));
	while (!r && (entry = readdir(d)))
		if (!strncmp(entry->d_name, "ring_", 5))
			r = ring_take(ret, entry->d_name);
	if (!r)
		return 0;
	record_kept_done(ret);
	return tocsin_err_fail(r, err,
			       "cannot open the flight recorder in '" RECORD_KEEP_DIR "': %s",
			       strerror(-r));
}

void record_kept_done(struct record_kept *kept)
{
	for (unsigned i = 0; i < kept->nr_rings; i++)
		(void)close(kept->ring[i].fd); /* a map: nothing to flush */
	free(kept->ring);
	free(kept->about);
	*kept = (struct record_kept){0};
}

int record_kept_remove(struct tocsin_err *err)
{
	DIR *d TOCSIN_CLEANUP(closedirp) = opendir(RECORD_KEEP_DIR);
	struct dirent *entry;
	int r = 0;

	if (!d)
		return tocsin_err_fail(-errno, err,
				       errno == ENOENT
					       ? "no flight recorder of kernel events is running"
					       : "cannot open '" RECORD_KEEP_DIR "'");
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.' && unlinkat(dirfd(d), entry->d_name, 0))
			r = -errno;
	if (!r && rmdir(RECORD_KEEP_DIR))
		r = -errno;
	return r ? tocsin_err_fail(r, err, "cannot remove '" RECORD_KEEP_DIR "': %s", strerror(-r))
		 : 0;
}
