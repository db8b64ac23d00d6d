// SPDX-License-Identifier: MIT
/*
 * Finished chunks. A file NAME becomes .NAME.zst, which is renamed to NAME.zst when it is whole,
 * and goes then; metadata first, so that no reader takes half a folder for a trace. A kill in
 * between leaves files that are either whole or begin with a dot.
 */
#include "record_chunk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if TOCSIN_HAS_ZSTD
#	include <zstd.h>
#endif

#include "../base/cleanup.h"
#include "record.h"

struct record_chunks {
	char *dir;
	bool is_zstd;
	uint64_t keep;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	unsigned finished;
	bool is_closing;
	int failure;
};

static void closedirp(DIR **d)
{
	if (*d)
		(void)closedir(*d); /* nothing was written through it */
}

bool record_chunk_has_zstd(void)
{
	return TOCSIN_HAS_ZSTD;
}

#if TOCSIN_HAS_ZSTD
static void zstd_freep(ZSTD_CCtx **z)
{
	(void)ZSTD_freeCCtx(*z); /* cannot fail */
}

static int write_all(int fd, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len) {
		ssize_t nr = write(fd, p, len);

		if (nr < 0 && errno == EINTR)
			continue;
		if (nr <= 0)
			return nr < 0 ? -errno : -ENOSPC;
		p += nr;
		len -= (size_t)nr;
	}
	return 0;
}

static int compress_stream(ZSTD_CCtx *z, int in_fd, int out_fd)
{
	size_t in_len = ZSTD_CStreamInSize(), out_len = ZSTD_CStreamOutSize();
	void *in_buf TOCSIN_CLEANUP(tocsin_free_voidp) = malloc(in_len);
	void *out_buf TOCSIN_CLEANUP(tocsin_free_voidp) = malloc(out_len);
	ssize_t nr = 1;

	if (!in_buf || !out_buf)
		return -ENOMEM;
	while (nr > 0) {
		ZSTD_inBuffer in = {.src = in_buf};
		size_t left = 1;

		nr = read(in_fd, in_buf, in_len);
		if (nr < 0 && errno == EINTR) {
			nr = 1;
			continue;
		}
		if (nr < 0)
			return -errno;
		in.size = (size_t)nr;
		while (nr ? in.pos < in.size : left != 0) {
			ZSTD_outBuffer out = {.dst = out_buf, .size = out_len};
			int r;

			left = ZSTD_compressStream2(z, &out, &in,
						    nr ? ZSTD_e_continue : ZSTD_e_end);
			if (ZSTD_isError(left))
				return -EIO;
			r = write_all(out_fd, out_buf, out.pos);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int compress_file(int dir_fd, const char *name)
{
	ZSTD_CCtx *z TOCSIN_CLEANUP(zstd_freep) = ZSTD_createCCtx();
	int in_fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	int out_fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;
	char hidden[NAME_MAX + 1], done[NAME_MAX + 1];
	int r;

	if (!z)
		return -ENOMEM;
	if (snprintf(hidden, sizeof(hidden), ".%s.zst", name) >= (int)sizeof(hidden) ||
	    snprintf(done, sizeof(done), "%s.zst", name) >= (int)sizeof(done))
		return -ENAMETOOLONG;
	in_fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (in_fd < 0)
		return -errno;
	out_fd =
		openat(dir_fd, hidden, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (out_fd < 0)
		return -errno;
	r = compress_stream(z, in_fd, out_fd);
	if (r == 0 && renameat(dir_fd, hidden, dir_fd, done) < 0)
		r = -errno;
	if (r == 0 && unlinkat(dir_fd, name, 0) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir_fd, hidden, 0); /* the failure before it is the one to tell */
	return r;
}

static bool is_compressed(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && !strcmp(name + len - 4, ".zst");
}

static int chunk_compress(const char *path)
{
	DIR *d TOCSIN_CLEANUP(closedirp) = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (!d)
		return -errno;
	r = compress_file(dirfd(d), "metadata");
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "metadata") != 0 &&
		    !is_compressed(entry->d_name))
			r = compress_file(dirfd(d), entry->d_name) ?: r;
	return r;
}
#else
static int chunk_compress(const char *path)
{
	(void)path;
	return -EOPNOTSUPP;
}
#endif

/* Files of ours only: a folder that somebody put something else into stays. */
static int chunk_remove(const char *path)
{
	DIR *d TOCSIN_CLEANUP(closedirp) = opendir(path);
	struct dirent *entry;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			(void)unlinkat(dirfd(d), entry->d_name, 0); /* rmdir() tells */
	return rmdir(path) < 0 ? -errno : 0;
}

void record_discard_empty(const char *dir)
{
	DIR *d TOCSIN_CLEANUP(closedirp) = opendir(dir);
	struct dirent *entry;

	if (!d)
		return;
	while ((entry = readdir(d)))
		if (!strncmp(entry->d_name, "process_", 8) || !strncmp(entry->d_name, "kernel", 6))
			return;
	rewinddir(d);
	while ((entry = readdir(d))) {
		char path[PATH_MAX];
		unsigned chunk;

		if (!strcmp(entry->d_name, "metadata") || !strncmp(entry->d_name, "session_", 8))
			(void)unlinkat(dirfd(d), entry->d_name, 0); /* rmdir() tells */
		else if (sscanf(entry->d_name, RECORD_CHUNK_FORMAT, &chunk) == 1 &&
			 snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < PATH_MAX)
			record_discard_empty(path);
	}
	(void)rmdir(dir); /* what somebody else put there stays */
}

static int finish(struct record_chunks *c, unsigned chunk)
{
	char path[PATH_MAX];
	int r = 0;

	if (snprintf(path, sizeof(path), "%s/" RECORD_CHUNK_FORMAT, c->dir, chunk) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	if (c->is_zstd)
		r = chunk_compress(path);
	if (c->keep && chunk > c->keep) {
		(void)snprintf(path, sizeof(path), "%s/" RECORD_CHUNK_FORMAT, c->dir,
			       (unsigned)(chunk - c->keep)); /* shorter than before */
		r = chunk_remove(path) ?: r;
	}
	return r;
}

static void *worker(void *arg)
{
	struct record_chunks *c = arg;
	unsigned done = 0;

	(void)pthread_mutex_lock(&c->lock); /* cannot fail, here and below: a plain mutex */
	for (;;) {
		while (done == c->finished && !c->is_closing)
			(void)pthread_cond_wait(&c->changed, &c->lock);
		if (done == c->finished)
			break;
		done++;
		(void)pthread_mutex_unlock(&c->lock);
		int r = finish(c, done);

		(void)pthread_mutex_lock(&c->lock);
		c->failure = c->failure ?: r;
	}
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

int record_chunks_open(const char *dir, bool is_zstd, uint64_t keep, struct record_chunks **ret)
{
	struct record_chunks *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->dir = strdup(dir);
	c->is_zstd = is_zstd;
	c->keep = keep;
	(void)pthread_mutex_init(&c->lock, NULL); /* cannot fail without attributes */
	(void)pthread_cond_init(&c->changed, NULL);
	r = c->dir ? pthread_create(&c->thread, NULL, worker, c) : ENOMEM;
	if (r) {
		free(c->dir);
		free(c);
		return -r;
	}
	*ret = c;
	return 0;
}

void record_chunks_finished(struct record_chunks *c, unsigned chunk)
{
	(void)pthread_mutex_lock(&c->lock);
	c->finished = chunk;
	(void)pthread_cond_signal(&c->changed);
	(void)pthread_mutex_unlock(&c->lock);
}

struct record_chunks *record_chunks_close(struct record_chunks *c, int *ret_r)
{
	*ret_r = 0;
	if (!c)
		return NULL;
	(void)pthread_mutex_lock(&c->lock);
	c->is_closing = true;
	(void)pthread_cond_signal(&c->changed);
	(void)pthread_mutex_unlock(&c->lock);
	(void)pthread_join(c->thread, NULL); /* ours, joined once */
	*ret_r = c->failure;
	(void)pthread_mutex_destroy(&c->lock);
	(void)pthread_cond_destroy(&c->changed);
	free(c->dir);
	free(c);
	return NULL;
}
