/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_SITES_H
#define TESTS_UNIT_SITES_H

/* Opening the files of tests/targets/sites, and asking about functions in them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "elf/bind.h"
#include "elf/elf_internal.h"

#define SITES_KERNEL (6u << 16 | 18) /* whose rules the expectations are of */

/* Path of a target. A build that could not make it (no C++, no sys/sdt.h) skips the test, with the
 * reason. */
static inline const char *site_path(const char *name)
{
	static char path[4096];
	const char *dir = getenv("TOCSIN_SITES");

	if (!dir)
		fail_msg("TOCSIN_SITES is not set");
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (access(path, R_OK) != 0) {
		print_message("# %s was not built\n", name);
		skip();
	}
	return path;
}

static inline struct elf_file *site_open_path(const char *path)
{
	struct tocsin_err err = {0};
	struct elf_file *f = NULL;
	char text[2048];

	if (elf_file_open(path, &f, &err) != 0)
		fail_msg("%s", tocsin_err_text(&err, text, sizeof(text)));
	f->kernel = SITES_KERNEL;
	return f;
}

static inline struct elf_file *site_open(const char *name)
{
	return site_open_path(site_path(name));
}

static inline struct elf_func site_func(struct elf_file *f, const char *symbol)
{
	struct tocsin_err err = {0};
	struct elf_func func;
	char text[2048];

	if (elf_find_func(f, symbol, &func, NULL, &err) != 0)
		fail_msg("%s", tocsin_err_text(&err, text, sizeof(text)));
	return func;
}

#endif
