// SPDX-License-Identifier: MIT
/* `tocsin record --trace LIST -- CMD`. */
#include "record_preload.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/parse.h"
#include "../elf/elf_file.h"

#define VARIABLE  "LD_PRELOAD"
#define VALUE_MAX 16384

/* src/preload/functions.c reads them. */
#define DEPTH_VARIABLE "TOCSIN_FUNCTION_DEPTH"
#define MIN_VARIABLE   "TOCSIN_FUNCTION_MIN"

static const char *const names[] = {
#define X(name, text) #name,
#include "record_preload.def"
#undef X
};

static char *before; /* the variable as it was, owned; NULL: it was not set */

int record_preload_find(const char *name, char *path, size_t size)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[len > 0 ? len : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash) {
		*slash = '\0';
		if ((size_t)snprintf(path, size, "%s/src/preload/libtocsin-%s.so", self, name) <
			    size &&
		    access(path, R_OK) == 0)
			return 0;
	}
	if ((size_t)snprintf(path, size, "%s/libtocsin-%s.so", TOCSIN_LIBDIR, name) < size &&
	    access(path, R_OK) == 0)
		return 0;
	return -ENOENT;
}

static int name_check(const struct opt_command *cmd, const char *name)
{
	struct tocsin_nearest nearest;
	char near[200];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], name))
			return -1;
	tocsin_nearest_init(&nearest, name);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		tocsin_nearest_offer(&nearest, names[i]);
	(void)tocsin_nearest_text(&nearest, near, sizeof(near));
	return cli_usage(cmd, "--trace knows no '%.80s'%s%s", name, near[0] ? ", nearest is " : "",
			 near);
}

/* ---- programs in which it cannot be done */

struct needed {
	size_t nr;
	const char *sanitizer;
};

static int needed_take(const char *name, void *arg)
{
	static const struct {
		const char *file, *name;
	} runtimes[] = {
		{"libasan.so", "AddressSanitizer"},       {"libtsan.so", "ThreadSanitizer"},
		{"liblsan.so", "LeakSanitizer"},          {"libhwasan.so", "HWAddressSanitizer"},
		{"libclang_rt.", "a sanitizer of clang"},
	};
	struct needed *needed = arg;

	needed->nr++;
	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++)
		if (!strncmp(name, runtimes[i].file, strlen(runtimes[i].file)))
			needed->sanitizer = runtimes[i].name;
	return 0;
}

static int program_check(const char *path)
{
	struct elf_file *f TOCSIN_CLEANUP(elf_file_freep) = NULL;
	struct tocsin_err err = {0};
	struct needed needed = {0};
	struct stat st;

	if (stat(path, &st) == 0 && st.st_mode & (S_ISUID | S_ISGID)) {
		cli_error(
			"cannot trace '%s' by --trace: it changes its user or group as it starts, "
			"and then no library is put before its own",
			path);
		return CLI_WATCH_FAILED;
	}
	if (elf_file_open(path, &f, &err))
		return -1; /* a script, or what the kernel will refuse: its interpreter is traced */
	if (elf_for_each_needed(f, needed_take, &needed))
		return cli_fail(CLI_WATCH_FAILED, &err);
	if (!needed.nr) {
		cli_error("cannot trace '%s' by --trace: it is linked statically, and no library "
			  "can be put before its functions",
			  path);
		return CLI_WATCH_FAILED;
	}
	if (needed.sanitizer) {
		cli_error("cannot trace '%s' by --trace: it is built with %s, which must be the "
			  "first to see such calls",
			  path, needed.sanitizer);
		return CLI_WATCH_FAILED;
	}
	return -1;
}

/* ---- the variable */

static int name_add(const struct opt_command *cmd, const char *name, char *value, size_t *used)
{
	char path[PATH_MAX];
	int status = name_check(cmd, name), n;

	if (status >= 0)
		return status;
	if (record_preload_find(name, path, sizeof(path))) {
		cli_error("the library 'libtocsin-%s.so' is not installed", name);
		return CLI_WATCH_FAILED;
	}
	if (strpbrk(path, ": ")) {
		cli_error("%s cannot name '%s', which has a blank or a colon", VARIABLE, path);
		return CLI_WATCH_FAILED;
	}
	n = snprintf(value + *used, VALUE_MAX - *used, "%s%s", *used ? ":" : "", path);
	*used += (size_t)n;
	return *used < VALUE_MAX ? -1 : cli_usage(cmd, "--trace is too long");
}

static int setting_set(const char *name, uint64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value); /* fits */
	return value ? setenv(name, text, 1) : 0;
}

int record_preload_set(const struct opt_command *cmd, const char *list, uint64_t depth,
		       uint64_t min_ns, const char *program)
{
	char value[VALUE_MAX] = "";
	const char *old = getenv(VARIABLE);
	size_t used = 0;
	int status = -1;

	if (!list)
		return -1;
	for (const char *at = list; *at && status < 0;) {
		size_t len = strcspn(at, ",");
		char name[64];

		(void)snprintf(name, sizeof(name), "%.*s", (int)(len < 60 ? len : 60), at);
		status = name_add(cmd, name, value, &used);
		at += len + (at[len] == ',');
	}
	if (status < 0 && !used)
		status = cli_usage(cmd, "--trace wants names");
	if (status < 0)
		status = program_check(program);
	if (status >= 0)
		return status;
	/* What was there comes behind: an allocator, which is then the one that is traced. */
	if (old && *old)
		used += (size_t)snprintf(value + used, sizeof(value) - used, ":%s", old);
	if (used >= sizeof(value))
		return cli_usage(cmd, "%s is too long", VARIABLE);
	before = old ? strdup(old) : NULL;
	if ((old && !before) || setenv(VARIABLE, value, 1) || setting_set(DEPTH_VARIABLE, depth) ||
	    setting_set(MIN_VARIABLE, min_ns)) {
		cli_error("cannot set %s: out of memory", VARIABLE);
		return CLI_WATCH_FAILED;
	}
	return -1;
}

void record_preload_unset(void)
{
	(void)(before ? setenv(VARIABLE, before, 1) : unsetenv(VARIABLE)); /* as it was */
	(void)unsetenv(DEPTH_VARIABLE); /* the names are no secrets */
	(void)unsetenv(MIN_VARIABLE);
	free(before);
	before = NULL;
}
