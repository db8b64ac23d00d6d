// SPDX-License-Identifier: MIT
/* Tracepoints: which exist, and the layout of their records. */
#include "tracefs.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/cleanup.h"

const char *tracefs_dir(void)
{
	static const char *const dir[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
	char path[64];
	struct stat st;

	for (size_t i = 0; i < sizeof(dir) / sizeof(dir[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/events", dir[i]);
		/* Not access(), which does not know the capabilities that a file has given us. */
		if (!stat(path, &st))
			return dir[i];
	}
	return NULL;
}

static int need_tracefs(const char **ret_dir, struct tocsin_err *err)
{
	*ret_dir = tracefs_dir();
	if (*ret_dir)
		return 0;
	return tocsin_err_fail(-ENODEV, err,
			       "no tracefs is mounted (or it may not be read): "
			       "mount -t tracefs nodev /sys/kernel/tracing");
}

/* Names of a category that begin with @prefix, without it. */
static void offer_category(const char *dir, const char *category, const char *prefix,
			   struct tocsin_nearest *near)
{
	size_t len = strlen(prefix);
	char path[PATH_MAX];
	struct dirent *d;
	DIR *events;

	(void)snprintf(path, sizeof(path), "%s/events/%s", dir, category);
	events = opendir(path);
	if (!events)
		return;
	while ((d = readdir(events)))
		if (d->d_name[0] != '.' && !strncmp(d->d_name, prefix, len))
			tocsin_nearest_offer(near, d->d_name + len);
	(void)closedir(events); /* nothing was written through it */
}

int tracefs_check(const char *category, const char *name, struct tocsin_nearest *near,
		  struct tocsin_err *err)
{
	char path[PATH_MAX];
	const char *dir;
	struct stat st;
	int r = need_tracefs(&dir, err);

	if (r)
		return r;
	if (strchr(category, '/') || strchr(name, '/') || category[0] == '.' || name[0] == '.')
		return -ENOENT;
	(void)snprintf(path, sizeof(path), "%s/events/%s/%s/id", dir, category, name);
	if (!stat(path, &st))
		return 0;
	r = -errno;
	if (r == -ENOENT && near)
		offer_category(dir, category, "", near);
	return r;
}

/* Where the kernel calls a system call otherwise than the library and its manual do. */
static const struct {
	const char *name;
	const char *kernel;
} syscall_alias[] = {
	{"fstat", "newfstat"}, {"lstat", "newlstat"}, {"sendfile", "sendfile64"},
	{"stat", "newstat"},   {"umount2", "umount"}, {"uname", "newuname"},
};

int tracefs_syscall(const char *name, const char *side, char *buf, size_t len,
		    struct tocsin_nearest *near, struct tocsin_err *err)
{
	const char *dir, *kernel = name;
	int r;

	(void)snprintf(buf, len, "sys_%s_%s", side, name);
	r = tracefs_check("syscalls", buf, NULL, err);
	for (size_t i = 0;
	     r == -ENOENT && i < sizeof(syscall_alias) / sizeof(syscall_alias[0]) && kernel == name;
	     i++)
		if (!strcmp(syscall_alias[i].name, name))
			kernel = syscall_alias[i].kernel;
	if (kernel != name) {
		(void)snprintf(buf, len, "sys_%s_%s", side, kernel);
		r = tracefs_check("syscalls", buf, NULL, err);
	}
	dir = tracefs_dir();
	if (r == -ENOENT && near && dir)
		offer_category(dir, "syscalls", "sys_enter_", near);
	return r;
}

/* One line: `\tfield:unsigned long args[6];\toffset:16;\tsize:48;\tsigned:0;` */
static bool field_line(const char *line, char *text, size_t len, unsigned *offset, unsigned *size,
		       unsigned *is_signed)
{
	const char *f = strstr(line, "field:"), *semi, *o;

	if (!f)
		return false;
	f += strlen("field:");
	semi = strchr(f, ';');
	o = semi ? strstr(semi, "offset:") : NULL;
	if (!o || sscanf(o, "offset:%u; size:%u; signed:%u;", offset, size, is_signed) != 3)
		return false;
	(void)snprintf(text, len, "%.*s", (int)(semi - f), f);
	return true;
}

/* The name at the end of `unsigned long args[6]`. */
static bool field_is(const char *text, const char *name)
{
	const char *end = strchr(text, '['), *at;
	size_t len = strlen(name);

	end = end ?: text + strlen(text);
	at = end - len;
	return at > text && memcmp(at, name, len) == 0 && (at[-1] == ' ' || at[-1] == '*');
}

/* The @n-th field, or the one called @wanted. @ret_nr: how many there were before it. */
static int field_find(const char *category, const char *name, unsigned n, const char *wanted,
		      unsigned *ret_nr, struct watch_arg *ret, struct tocsin_err *err)
{
	FILE *f TOCSIN_CLEANUP(tocsin_fclosep) = NULL;
	char path[PATH_MAX], line[512], text[128];
	unsigned offset, size, is_signed;
	const char *dir;
	int r = need_tracefs(&dir, err);

	if (r)
		return r;
	(void)snprintf(path, sizeof(path), "%s/events/%s/%s/format", dir, category, name);
	f = fopen(path, "re");
	if (!f)
		return tocsin_err_fail(-errno, err, "cannot open '%s': %s", path, strerror(errno));
	*ret_nr = 0;
	while (fgets(line, sizeof(line), f)) {
		if (!field_line(line, text, sizeof(text), &offset, &size, &is_signed) ||
		    strstr(text, " common_"))
			continue;
		if (wanted ? !field_is(text, wanted) : *ret_nr != n) {
			++*ret_nr;
			continue;
		}
		if ((size != 1 && size != 2 && size != 4 && size != 8) || offset > 0x3ff - 8)
			return tocsin_err_fail(-EINVAL, err, "field '%s' of %s:%s is not a number",
					       text, category, name);
		*ret = (struct watch_arg){.kind = ARG_RECORD,
					  .size = (__u8)size,
					  .is_signed = is_signed != 0,
					  .value = (__s64)offset};
		return 0;
	}
	return -ENOENT;
}

int tracefs_field(const char *category, const char *name, unsigned n, struct watch_arg *ret,
		  struct tocsin_err *err)
{
	unsigned nr = 0;
	int r = field_find(category, name, n, NULL, &nr, ret, err);

	return r == -ENOENT && nr
		       ? tocsin_err_fail(r, err, "%s:%s has %u fields: there is no arg%u", category,
					 name, nr, n)
		       : r;
}

int tracefs_field_named(const char *category, const char *name, const char *field,
			struct watch_arg *ret, struct tocsin_err *err)
{
	unsigned nr = 0;
	int r = field_find(category, name, 0, field, &nr, ret, err);

	return r == -ENOENT && nr
		       ? tocsin_err_fail(r, err, "%s:%s has no field '%s'", category, name, field)
		       : r;
}
