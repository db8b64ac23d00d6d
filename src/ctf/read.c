// SPDX-License-Identifier: MIT
/*
 * A trace directory: `metadata`, and every other regular file is a stream. Names with a dot in
 * front, directories (LTTng keeps an index in one) and empty files are no streams.
 *
 * Metadata may be written again while the trace is read. Then it is read again, and what was made
 * of the older text stays as long as the reader, since events at hand refer to it.
 */
#include "read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "read_zstd.h"

#define METADATA    "metadata"
#define REFUSED_LEN 320
#define AGAIN_MAX   4096 /* times that metadata is read again */

struct generation {
	struct meta meta;
	struct plan_trace plan;
	struct generation *next; /* the older one */
};

struct refused {
	char text[REFUSED_LEN];
	struct refused *next;
};

struct ctf_reader {
	char *dir;
	int dir_fd;
	struct ctf_reader_options options;
	struct generation *now;
	unsigned nr_generations;
	struct stat metadata;     /* as it was when it was read */
	struct ctf_input *inputs; /* newest first */
	struct ctf_input **fresh; /* not yet taken, in the order of names; owned array */
	size_t nr_fresh, nr_taken;
	struct refused *refused;
	struct refused *told;
};

const char *ctf_reader_dir(const struct ctf_reader *r)
{
	return r->dir;
}

const struct meta *ctf_reader_meta(const struct ctf_reader *r)
{
	return &r->now->meta;
}

const struct plan_trace *ctf_reader_plan(const struct ctf_reader *r)
{
	return &r->now->plan;
}

const struct ctf_reader_options *ctf_reader_options(const struct ctf_reader *r)
{
	return &r->options;
}

static void generation_free(struct generation *g)
{
	plan_done(&g->plan);
	meta_done(&g->meta);
	free(g);
}

/* ---- metadata */

static void zstd_closep(struct ctf_zstd **z)
{
	*z = ctf_zstd_close(*z);
}

/* Of a compressed chunk. */
static int metadata_unpack(struct ctf_reader *r, struct tocsin_err *err, char **ret_bytes,
			   size_t *ret_len)
{
	static const char name[] = METADATA ZSTD_SUFFIX;
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) =
		openat(r->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct ctf_zstd *z TOCSIN_CLEANUP(zstd_closep) = NULL;
	const uint8_t *bytes;
	uint64_t start, end = 0, at = 0;
	char why[64];
	int e = fd < 0 ? -errno : ctf_zstd_open(fd, &z);

	if (e < 0)
		return tocsin_err_fail(e, err, "cannot open '%s/%s': %s", r->dir, name,
				       e == -EOPNOTSUPP ? "this tocsin was built without zstd"
							: tocsin_errno_text(e, why, sizeof(why)));
	for (uint64_t len = 1 << 16; e == 0 && !ctf_zstd_is_all(z); len *= 2)
		e = len > META_BYTES_MAX ? -EFBIG : ctf_zstd_want(z, 0, len);
	bytes = ctf_zstd_bytes(z, &start, &end);
	if (e == -EFBIG)
		return tocsin_err_fail(e, err, "'%s/%s' unpacks to over %zu MiB", r->dir, name,
				       META_BYTES_MAX >> 20);
	if (ctf_zstd_wrong(z, &at))
		return tocsin_err_fail(-EBADMSG, err, "'%s/%s' byte %llu: %s", r->dir, name,
				       (unsigned long long)at, ctf_zstd_wrong(z, &at));
	if (e < 0)
		return tocsin_err_fail(e, err, "cannot read '%s/%s': %s", r->dir, name,
				       tocsin_errno_text(e, why, sizeof(why)));
	*ret_bytes = malloc(end + 1);
	if (!*ret_bytes)
		return -ENOMEM;
	if (end)
		memcpy(*ret_bytes, bytes, end);
	*ret_len = end;
	return 0;
}

static int metadata_bytes(struct ctf_reader *r, struct tocsin_err *err, char **ret_bytes,
			  size_t *ret_len)
{
	int fd TOCSIN_CLEANUP(tocsin_close_fdp) =
		openat(r->dir_fd, METADATA, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *bytes TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	size_t len = 0;
	ssize_t nr = 1;

	if (fd < 0 && errno == ENOENT && faccessat(r->dir_fd, METADATA ZSTD_SUFFIX, F_OK, 0) == 0)
		return metadata_unpack(r, err, ret_bytes, ret_len);
	if (fd < 0)
		return tocsin_err_fail(-errno, err, "cannot open '%s/%s': %s", r->dir, METADATA,
				       strerror(errno));
	if (fstat(fd, &r->metadata) < 0)
		return -errno;
	if (!S_ISREG(r->metadata.st_mode))
		return tocsin_err_fail(-EINVAL, err, "'%s/%s' is not a regular file", r->dir,
				       METADATA);
	if ((uint64_t)r->metadata.st_size > META_BYTES_MAX)
		return tocsin_err_fail(-EFBIG, err, "'%s/%s' is over %zu MiB", r->dir, METADATA,
				       META_BYTES_MAX >> 20);
	bytes = malloc((size_t)r->metadata.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	while (len < (size_t)r->metadata.st_size && nr > 0) {
		nr = read(fd, bytes + len, (size_t)r->metadata.st_size - len);
		if (nr < 0 && errno == EINTR)
			nr = 1;
		else if (nr < 0)
			return tocsin_err_fail(-errno, err, "cannot read '%s/%s': %s", r->dir,
					       METADATA, strerror(errno));
		else
			len += (size_t)nr;
	}
	*ret_bytes = tocsin_take_ptr(&bytes);
	*ret_len = len;
	return 0;
}

static int metadata_read(struct ctf_reader *r, struct tocsin_err *err)
{
	char *bytes TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	struct generation *g;
	struct tocsin_diag diag = {0};
	char name[256];
	size_t len = 0;
	int e = metadata_bytes(r, err, &bytes, &len);

	if (e < 0)
		return e;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	(void)snprintf(name, sizeof(name), "%.240s/%s", r->dir, METADATA);
	e = meta_read(bytes, len, name, &g->meta, &diag);
	if (e < 0) {
		free(g);
		if (diag.line)
			return tocsin_err_fail(e, err, "'%s' line %u column %u: %s", diag.file,
					       diag.line, diag.column, diag.text);
		return tocsin_err_fail(e, err, "'%s': %s", diag.file[0] ? diag.file : name,
				       diag.text);
	}
	e = plan_make(&g->meta, &g->plan, err);
	if (e < 0) {
		generation_free(g);
		return tocsin_err_fail(e, err, "'%s'", name);
	}
	g->next = r->now;
	r->now = g;
	r->nr_generations++;
	return 0;
}

/* The decoder's slots, as many as the newest plan wants. */
static int slots_fit(struct ctf_reader *r)
{
	for (struct ctf_input *in = r->inputs; in; in = in->next) {
		unsigned nr = r->now->plan.nr_slots;
		uint64_t *slot = reallocarray(in->state.slot, nr, sizeof(*slot));

		if (!slot)
			return -ENOMEM;
		if (nr > in->nr_slots)
			memset(slot + in->nr_slots, 0, (nr - in->nr_slots) * sizeof(*slot));
		in->state.slot = slot;
		in->nr_slots = nr;
	}
	return 0;
}

int ctf_reader_again(struct ctf_reader *r)
{
	struct stat now;
	int e;

	if (fstatat(r->dir_fd, METADATA, &now, 0) < 0 || r->nr_generations > AGAIN_MAX)
		return 0; /* what is known is all there will be */
	if (now.st_ino == r->metadata.st_ino && now.st_size == r->metadata.st_size &&
	    now.st_mtim.tv_sec == r->metadata.st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == r->metadata.st_mtim.tv_nsec)
		return 0;
	e = metadata_read(r, NULL);
	if (e == -ENOMEM)
		return e;
	if (e < 0)
		return 0; /* half written: what is known goes on to hold */
	e = slots_fit(r);
	return e < 0 ? e : 1;
}

/* ---- files */

static bool is_refused(const struct refused *list, const char *text)
{
	while (list && strcmp(list->text, text) != 0)
		list = list->next;
	return list;
}

static void refuse(struct ctf_reader *r, const char *name, int e)
{
	struct refused *refused = calloc(1, sizeof(*refused));
	char why[64];

	if (!refused)
		return; /* the next allocation says it */
	(void)snprintf(
		refused->text, sizeof(refused->text), "cannot read '%.200s/%.60s': %s", r->dir,
		name, e == -EINVAL ? "not a regular file" : tocsin_errno_text(e, why, sizeof(why)));
	if (is_refused(r->refused, refused->text) || is_refused(r->told, refused->text)) {
		free(refused);
		return;
	}
	refused->next = r->refused;
	r->refused = refused;
}

/* Bytes of a name that say which stream it is: NAME and NAME.zst are the same. */
static size_t stem_len(const char *name)
{
	return ctf_zstd_stem(name) ?: strlen(name);
}

static bool is_known(const struct ctf_input *known, const char *name)
{
	size_t len = stem_len(name);

	for (const struct ctf_input *in = known; in; in = in->next)
		if (stem_len(in->name) == len && strncmp(in->name, name, len) == 0)
			return true;
	return false;
}

/* Is the file there without being compressed, too? Whoever compresses removes it next. */
static bool has_plain(const struct ctf_reader *r, const char *name)
{
	char plain[NAME_MAX + 1];
	size_t len = ctf_zstd_stem(name);
	struct stat st;

	if (!len || len >= sizeof(plain))
		return false;
	memcpy(plain, name, len);
	plain[len] = '\0';
	return fstatat(r->dir_fd, plain, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > 0;
}

static void input_free(struct ctf_input *in)
{
	ctf_map_close(&in->map);
	free(in->state.slot);
	free(in->name);
	free(in);
}

void ctf_input_end(struct ctf_input *in)
{
	in->is_over = true;
	in->is_open = false;
	ctf_map_close(&in->map);
}

/* Return: 0, also when there is nothing to read in it, or -ENOENT it is gone, -ENOMEM. */
static int input_add(struct ctf_reader *r, const char *name)
{
	struct ctf_input *in = calloc(1, sizeof(*in));
	struct ctf_input **fresh;
	int e;

	if (!in)
		return -ENOMEM;
	in->reader = r;
	in->range = r->options.range;
	in->map.fd = -1;
	in->name = strdup(name);
	in->state.slot = calloc(r->now->plan.nr_slots, sizeof(*in->state.slot));
	in->nr_slots = r->now->plan.nr_slots;
	if (!in->name || !in->state.slot) {
		input_free(in);
		return -ENOMEM;
	}
	e = ctf_map_open(r->dir_fd, name, &in->map);
	if (e == 0 && !in->map.len && !in->map.zstd && !r->options.is_following)
		e = -EISDIR; /* as little to tell as one */
	if (e < 0) {
		input_free(in);
		if (e != -EISDIR && e != -ENOENT)
			refuse(r, name, e);
		return e == -ENOMEM || e == -ENOENT ? e : 0;
	}
	in->next = r->inputs;
	r->inputs = in;
	fresh = reallocarray(r->fresh, r->nr_fresh + 1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	r->fresh = fresh;
	fresh[r->nr_fresh++] = in;
	return 0;
}

/* A file that went while the directory was read may have been compressed. */
static int packed_add(struct ctf_reader *r, const char *name)
{
	char packed[NAME_MAX + 1];
	int e;

	if (snprintf(packed, sizeof(packed), "%s" ZSTD_SUFFIX, name) >= (int)sizeof(packed))
		return 0;
	e = input_add(r, packed);
	return e == -ENOENT ? 0 : e;
}

static int input_compare(const void *a, const void *b)
{
	const struct ctf_input *const *x = a, *const *y = b;

	return strverscmp((*x)->name, (*y)->name);
}

int ctf_reader_look(struct ctf_reader *r)
{
	int fd = openat(r->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct ctf_input *known = r->inputs; /* names do not come twice in one turn */
	int e = 0;

	if (!dir) {
		e = -errno;
		tocsin_close_fdp(&fd);
		return e;
	}
	while (e == 0 && (errno = 0, entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || strcmp(entry->d_name, METADATA) == 0 ||
		    strcmp(entry->d_name, METADATA ZSTD_SUFFIX) == 0 ||
		    is_known(known, entry->d_name))
			continue;
		if (!has_plain(r, entry->d_name))
			e = input_add(r, entry->d_name);
		if (e == -ENOENT)
			e = packed_add(r, entry->d_name);
	}
	if (e == 0)
		e = -errno;
	(void)closedir(dir); /* was only read */
	if (r->nr_fresh > r->nr_taken)
		qsort(r->fresh + r->nr_taken, r->nr_fresh - r->nr_taken, sizeof(*r->fresh),
		      input_compare);
	return e;
}

struct ctf_input *ctf_reader_take(struct ctf_reader *r)
{
	return r->nr_taken < r->nr_fresh ? r->fresh[r->nr_taken++] : NULL;
}

const char *ctf_reader_refused(struct ctf_reader *r)
{
	struct refused *refused = r->refused;

	if (!refused)
		return NULL;
	r->refused = refused->next;
	refused->next = r->told;
	r->told = refused;
	return refused->text;
}

static void refused_free(struct refused *refused)
{
	while (refused) {
		struct refused *next = refused->next;

		free(refused);
		refused = next;
	}
}

struct ctf_reader *ctf_reader_close(struct ctf_reader *r)
{
	if (!r)
		return NULL;
	while (r->inputs) {
		struct ctf_input *in = r->inputs;

		r->inputs = in->next;
		input_free(in);
	}
	while (r->now) {
		struct generation *g = r->now;

		r->now = g->next;
		generation_free(g);
	}
	refused_free(r->refused);
	refused_free(r->told);
	free(r->fresh);
	tocsin_close_fdp(&r->dir_fd);
	free(r->dir);
	free(r);
	return NULL;
}

int ctf_reader_open(const char *dir, const struct ctf_reader_options *options,
		    struct tocsin_err *err, struct ctf_reader **ret_reader)
{
	struct ctf_reader *r = calloc(1, sizeof(*r));
	int e = -ENOMEM;

	if (!r)
		return -ENOMEM;
	r->dir_fd = -1;
	r->options = *options;
	r->dir = strdup(dir);
	if (r->dir) {
		r->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		e = r->dir_fd < 0 ? tocsin_err_fail(-errno, err, "cannot open '%s': %s", dir,
						    strerror(errno))
				  : metadata_read(r, err);
	}
	if (e == 0) {
		e = ctf_reader_look(r);
		if (e < 0)
			(void)tocsin_err_fail(e, err, "cannot read '%s': %s", dir, strerror(-e));
	}
	if (e < 0) {
		(void)ctf_reader_close(r); /* always NULL */
		return e;
	}
	*ret_reader = r;
	return 0;
}
