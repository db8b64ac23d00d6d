// SPDX-License-Identifier: MIT
/* Bytes are foreign: a few of them may unpack to very many, so no more is unpacked than is wanted,
 * and the caller bounds that. */
#include "read_zstd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if TOCSIN_HAS_ZSTD
#	include <zstd.h>
#endif

size_t ctf_zstd_stem(const char *name)
{
	size_t len = strlen(name), suffix = sizeof(ZSTD_SUFFIX) - 1;

	return len > suffix && strcmp(name + len - suffix, ZSTD_SUFFIX) == 0 ? len - suffix : 0;
}

#if TOCSIN_HAS_ZSTD
struct ctf_zstd {
	ZSTD_DCtx *context;
	int fd;      /* lent */
	uint8_t *in; /* owned: read and not yet unpacked */
	size_t in_len, in_at;
	uint64_t in_end; /* of what was read, in the file */
	uint64_t file_bytes;
	uint8_t *bytes; /* owned: the window */
	size_t len, capacity;
	uint64_t start;    /* of the window, in the content */
	size_t frame_left; /* 0: between two frames */
	bool is_all;
	const char *wrong;
	uint64_t wrong_at;
};

struct ctf_zstd *ctf_zstd_close(struct ctf_zstd *z)
{
	if (!z)
		return NULL;
	(void)ZSTD_freeDCtx(z->context); /* cannot fail */
	free(z->in);
	free(z->bytes);
	free(z);
	return NULL;
}

int ctf_zstd_open(int fd, struct ctf_zstd **ret_zstd)
{
	struct ctf_zstd *z = calloc(1, sizeof(*z));
	struct stat st;

	if (!z)
		return -ENOMEM;
	z->fd = fd;
	z->context = ZSTD_createDCtx();
	z->in = malloc(ZSTD_DStreamInSize());
	if (!z->context || !z->in) {
		(void)ctf_zstd_close(z); /* always NULL */
		return -ENOMEM;
	}
	if (fstat(fd, &st) == 0)
		z->file_bytes = (uint64_t)st.st_size;
	*ret_zstd = z;
	return 0;
}

static int stop(struct ctf_zstd *z, const char *wrong)
{
	z->is_all = true;
	z->wrong = wrong;
	z->wrong_at = z->in_end - (z->in_len - z->in_at);
	return -EBADMSG;
}

/* Return: 1 there is input, 0 the end of the file, -errno. */
static int input_fill(struct ctf_zstd *z)
{
	ssize_t nr;

	if (z->in_at < z->in_len)
		return 1;
	do
		nr = read(z->fd, z->in, ZSTD_DStreamInSize());
	while (nr < 0 && errno == EINTR);
	if (nr < 0)
		return -errno;
	z->in_at = 0;
	z->in_len = (size_t)nr;
	z->in_end += (uint64_t)nr;
	return nr > 0;
}

/* Some more of the content. Return: 0, also at the end, or -EBADMSG, -errno. */
static int unpack(struct ctf_zstd *z)
{
	ZSTD_outBuffer out = {.dst = z->bytes, .size = z->capacity, .pos = z->len};
	ZSTD_inBuffer in;
	int r = input_fill(z);

	if (r < 0)
		return r;
	if (!r && z->frame_left)
		return stop(z, "the compressed file ends within its data");
	if (!r) {
		z->is_all = true;
		return 0;
	}
	in = (ZSTD_inBuffer){.src = z->in, .size = z->in_len, .pos = z->in_at};
	z->frame_left = ZSTD_decompressStream(z->context, &out, &in);
	z->len = out.pos;
	if (ZSTD_isError(z->frame_left))
		return stop(z, ZSTD_getErrorName(z->frame_left));
	z->in_at = in.pos;
	return 0;
}

/* Makes room for @len bytes from @offset on, at the front of the window. */
static int window_move(struct ctf_zstd *z, uint64_t offset, uint64_t len)
{
	uint64_t gone = offset - z->start;
	uint8_t *bytes;

	if (gone >= z->len) {
		z->start += z->len;
		z->len = 0;
	} else if (gone) {
		memmove(z->bytes, z->bytes + gone, z->len - gone);
		z->start = offset;
		z->len -= gone;
	}
	if (len <= z->capacity)
		return 0;
	bytes = realloc(z->bytes, len);
	if (!bytes)
		return -ENOMEM;
	z->bytes = bytes;
	z->capacity = len;
	return 0;
}

int ctf_zstd_want(struct ctf_zstd *z, uint64_t offset, uint64_t len)
{
	int r;

	if (len > ZSTD_WINDOW_MAX)
		return -EFBIG;
	if (offset < z->start)
		return -EINVAL;
	while (!z->is_all && z->start + z->len < offset + len) {
		/* What is passed over without being wanted goes as it comes. */
		r = window_move(z, offset < z->start + z->len ? offset : z->start + z->len, len);
		if (r == 0)
			r = unpack(z);
		if (r < 0)
			return r;
	}
	return 0;
}

const uint8_t *ctf_zstd_bytes(const struct ctf_zstd *z, uint64_t *ret_start, uint64_t *ret_end)
{
	*ret_start = z->start;
	*ret_end = z->start + z->len;
	return z->bytes;
}

bool ctf_zstd_is_all(const struct ctf_zstd *z)
{
	return z->is_all;
}

const char *ctf_zstd_wrong(const struct ctf_zstd *z, uint64_t *ret_at)
{
	*ret_at = z->wrong_at;
	return z->wrong;
}

uint64_t ctf_zstd_progress(const struct ctf_zstd *z, uint64_t *ret_total)
{
	*ret_total = z->file_bytes;
	return z->in_end;
}
#else
struct ctf_zstd *ctf_zstd_close(struct ctf_zstd *z)
{
	(void)z;
	return NULL;
}

int ctf_zstd_open(int fd, struct ctf_zstd **ret_zstd)
{
	(void)fd;
	(void)ret_zstd;
	return -EOPNOTSUPP;
}

/* There is no object to call the others with. */
int ctf_zstd_want(struct ctf_zstd *z, uint64_t offset, uint64_t len)
{
	(void)z;
	(void)offset;
	(void)len;
	return -EOPNOTSUPP;
}

const uint8_t *ctf_zstd_bytes(const struct ctf_zstd *z, uint64_t *ret_start, uint64_t *ret_end)
{
	(void)z;
	*ret_start = *ret_end = 0;
	return NULL;
}

bool ctf_zstd_is_all(const struct ctf_zstd *z)
{
	(void)z;
	return true;
}

const char *ctf_zstd_wrong(const struct ctf_zstd *z, uint64_t *ret_at)
{
	(void)z;
	*ret_at = 0;
	return NULL;
}

uint64_t ctf_zstd_progress(const struct ctf_zstd *z, uint64_t *ret_total)
{
	(void)z;
	*ret_total = 0;
	return 0;
}
#endif
