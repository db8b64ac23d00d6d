// SPDX-License-Identifier: MIT
/* The kernel's functions by address, from files made for the purpose and from this kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis/ksyms.h"

static char path[64];

static struct ksyms *table_of(const char *text, size_t len)
{
	struct ksyms *k;
	int fd;

	(void)snprintf(path, sizeof(path), "/tmp/tocsin-kallsyms-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, text + done, len - done);

		assert_true(n > 0);
		done += (size_t)n;
	}
	assert_int_equal(close(fd), 0);
	k = ksyms_new(path);
	assert_non_null(k);
	return k;
}

static void table_done(struct ksyms *k)
{
	assert_null(ksyms_free(k));
	(void)unlink(path);
}

static void assert_at(struct ksyms *k, uint64_t address, const char *name, uint64_t offset)
{
	uint64_t found = 0;
	const char *text = ksyms_find(k, address, &found);

	assert_non_null(text);
	assert_string_equal(text, name);
	assert_int_equal(found, offset);
}

static void test_lookup(void **state)
{
	static const char text[] = "ffffffff81000000 T _text\n"
				   "ffffffff81000000 T second_name\n"
				   "ffffffff81000f0 t __pfx_ignored\n"
				   "ffffffff81000100 t do_wait\n"
				   "ffffffff81000180 D some_data\n"
				   "ffffffffc0a00000 t xfs_log_force\t[xfs]\n"
				   "ffffffff81000200 W weak_one\n"
				   "ffffffff81000240 t $x\n"
				   "ffffffff81000250 t last_without_newline";
	struct ksyms *k = table_of(text, sizeof(text) - 1);

	(void)state;
	assert_true(ksyms_bytes(k) < 256); /* nothing before the first question */
	assert_at(k, 0xffffffff81000000, "_text", 0);
	assert_at(k, 0xffffffff810000ff, "_text", 0xff);
	assert_at(k, 0xffffffff81000100, "do_wait", 0);
	assert_at(k, 0xffffffff810001ff, "do_wait", 0xff); /* not the data */
	assert_at(k, 0xffffffff8100024f, "weak_one", 0x4f);
	assert_at(k, 0xffffffff81000260, "last_without_newline", 0x10);
	assert_at(k, 0xffffffffc0a00010, "xfs_log_force", 0x10); /* sorted, without its module */
	assert_non_null(ksyms_find(k, 0xffffffff81000000, NULL));
	assert_null(ksyms_find(k, 0xffffffff80ffffff, NULL));
	assert_null(ksyms_find(k, 0, NULL));
	assert_null(ksyms_find(k, 0xffffffffa0000000, NULL)); /* a program made while running */
	assert_null(ksyms_find(k, UINT64_MAX, NULL));
	assert_int_equal(ksyms_load(k), 0);
	table_done(k);
}

static void test_hidden(void **state)
{
	static const char text[] = "0000000000000000 T _text\n0000000000000000 t do_wait\n";
	struct ksyms *k = table_of(text, sizeof(text) - 1);

	(void)state;
	assert_int_equal(ksyms_load(k), -EPERM);
	assert_null(ksyms_find(k, 0, NULL));
	assert_null(ksyms_find(k, 0xffffffff81000000, NULL));
	assert_int_equal(ksyms_load(k), -EPERM);
	table_done(k);
}

static void test_failures(void **state)
{
	static const char text[] = "no symbols at all\n\n \nffffffff81000000 D data\n";
	struct ksyms *k = ksyms_new("/nonexistent/kallsyms");

	(void)state;
	assert_int_equal(ksyms_load(k), -ENOENT);
	assert_null(ksyms_find(k, 1, NULL));
	assert_null(ksyms_free(k));
	k = ksyms_new("/");
	assert_int_equal(ksyms_load(k), -EIO); /* a folder opens, and does not read */
	assert_null(ksyms_free(k));
	k = table_of(text, sizeof(text) - 1);
	assert_int_equal(ksyms_load(k), -ENODATA);
	table_done(k);
	k = table_of("", 0);
	assert_int_equal(ksyms_load(k), -ENODATA);
	table_done(k);
	assert_null(ksyms_free(NULL));
}

/* Lines that are no symbols are passed over; those around them are read. */
static void test_garbage(void **state)
{
	size_t size = 1 << 20, used = 0;
	char *text = malloc(size);
	struct ksyms *k;

	(void)state;
	assert_non_null(text);
	used += (size_t)snprintf(text, size, "ffffffff81000000 t first\n");
	used += (size_t)snprintf(text + used, size - used,
				 "ffffffff810000001 t seventeen_digits\n"
				 "ffffffff81000010\n"
				 "ffffffff81000010 \n"
				 "ffffffff81000010 t\n"
				 "ffffffff81000010 t \n"
				 "ffffffff81000010  t blank\n"
				 "zzzzffff81000010 t no_hex\n"
				 " ffffffff81000010 t indented\n"
				 "FFFFFFFF81000010 t capitals\n");
	memset(text + used, 'a', 5000); /* an endless line, whose rest looks like a symbol */
	used += 5000;
	used += (size_t)snprintf(text + used, size - used, " t x ffffffff81000010 t rest\n");
	memcpy(text + used, "ffffffff81000010 t nul\0l\n", 25);
	used += 25;
	used += (size_t)snprintf(text + used, size - used, "ffffffff81000100 t last\n");
	k = table_of(text, used);
	assert_at(k, 0xffffffff81000050, "first", 0x50);
	assert_at(k, 0xffffffff81000100, "last", 0);
	table_done(k);
	free(text);
}

/* This kernel: small enough, and every function found by its own address. */
static void test_live(void **state)
{
	struct ksyms *k = ksyms_new(NULL);
	unsigned long long address;
	char line[1024], type, name[600];
	unsigned checked = 0;
	FILE *f;
	int r = ksyms_load(k);

	(void)state;
	if (r == -EPERM || r == -ENOENT) {
		assert_null(ksyms_free(k));
		skip();
	}
	assert_int_equal(r, 0);
	assert_true(ksyms_bytes(k) < 6u << 20);
	f = fopen("/proc/kallsyms", "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		uint64_t offset = 1;
		const char *found;

		if (sscanf(line, "%llx %c %599s", &address, &type, name) != 3 ||
		    !strchr("tT", type) || !strncmp(name, "__pfx_", 6) || strchr(line, '['))
			continue;
		found = ksyms_find(k, address, &offset);
		assert_non_null(found);
		assert_int_equal(offset, 0);
		checked += !strcmp(found, name); /* else another name of the same address */
	}
	assert_int_equal(fclose(f), 0);
	assert_true(checked > 1000);
	assert_null(ksyms_free(k));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup),   cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_failures), cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_live),
	};

	return cmocka_run_group_tests_name("ksyms", tests, NULL, NULL);
}
