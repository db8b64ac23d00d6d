// SPDX-License-Identifier: MIT
/*
 * Files that are not what they say: cut short, with random bytes changed, with absurd sizes.
 * Whatever is asked of them ends with an error or an answer. Under the address sanitizer a read
 * outside would end the test.
 */
#include "sites.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define FLIPS_EACH  500u /* files of random changes, for each of the originals */
#define SIZE_MAX_MB 4

struct image {
	uint8_t *bytes;
	size_t len;
};

static struct image image_read(const char *name)
{
	struct image image;
	const char *path = site_path(name);
	FILE *f = fopen(path, "re");
	struct stat st;

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	image.len = (size_t)st.st_size;
	assert_true(image.len < SIZE_MAX_MB << 20);
	image.bytes = malloc(image.len);
	assert_non_null(image.bytes);
	assert_int_equal(fread(image.bytes, 1, image.len, f), image.len);
	assert_int_equal(fclose(f), 0);
	return image;
}

struct ask {
	struct elf_file *f;
	unsigned nr;
};

static int ask_func(const struct elf_func *func, void *arg)
{
	struct bind_returns ends = {0};
	struct ask *ask = arg;
	struct bind_point p;

	if (ask->nr++ % 5) /* a sample; the damage is the same for all */
		return ask->nr > 60;
	(void)bind_func_entry(ask->f, func, ask->nr % 2, &p, NULL);
	(void)bind_offset(ask->f, func->offset + 5, false, &p, NULL);
	if (bind_func_returns(ask->f, func, NULL, ask->nr % 3 == 0, &ends, NULL) == 0)
		bind_returns_done(&ends);
	return 0;
}

static int ask_usdt(const char *provider, const char *name, void *arg)
{
	struct elf_usdt *sites = NULL;
	struct ask *ask = arg;
	struct bind_point p;
	size_t nr = 0;

	if (ask->nr++ > 20)
		return 1;
	if (elf_find_usdt(ask->f, provider, name, &sites, &nr, NULL, NULL) != 0)
		return 0;
	for (size_t i = 0; i < nr && i < 4; i++)
		(void)bind_usdt_site(ask->f, &sites[i], i % 2, &p, NULL);
	elf_usdt_free(sites, nr);
	return 0;
}

/* Ask everything. Return: what opening said. */
static int ask_all(const uint8_t *bytes, size_t len)
{
	static const char *const names[] = {"ends_moved", "shop::order::total", "shared@SITES_1",
					    "leaf", "main"};
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = NULL;
	int fd = memfd_create("hostile", MFD_CLOEXEC), r;
	struct tocsin_err err = {0};
	struct tocsin_nearest near;
	struct ask ask = {0};
	struct elf_func func;
	char path[64];

	assert_true(fd >= 0);
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, bytes + done, len - done);

		assert_true(n > 0);
		done += (size_t)n;
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = elf_file_open(path, &f, &err);
	if (r == 0) {
		ask.f = f;
		f->kernel = SITES_KERNEL;
		for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
			tocsin_nearest_init(&near, names[i]);
			(void)elf_find_func(f, names[i], &func, &near, NULL);
		}
		(void)elf_for_each_func(f, ask_func, &ask);
		ask.nr = 0;
		(void)elf_for_each_usdt(f, ask_usdt, &ask, NULL);
		for (uint64_t at = 0; at < len; at += len / 16 + 1)
			(void)elf_func_at(f, at, &func, NULL);
	} else {
		assert_true(r < 0);
		assert_true(err.nr_causes > 0 || r == -ENOMEM);
	}
	assert_int_equal(close(fd), 0);
	return r;
}

static void test_cut(void **state)
{
	static const char *const files[] = {"libcode.so", "names"};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct image image = image_read(files[i]);

		for (size_t len = 0; len < 256; len++)
			(void)ask_all(image.bytes, len);
		for (size_t len = 256; len < image.len; len += 151)
			(void)ask_all(image.bytes, len);
		assert_int_equal(ask_all(image.bytes, image.len), 0);
		assert_int_not_equal(ask_all(image.bytes, 3), 0);
		assert_int_not_equal(ask_all(image.bytes, 63), 0);
		free(image.bytes);
	}
}

/* The same changes in every run. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/*
 * Half of the changes go to the headers and the tables behind the code, where they do the most; a
 * quarter of the files have one changed byte, the others up to 32.
 */
static void test_changed(void **state)
{
	static const char *const files[] = {"libcode.so", "libnotes.so", "names", "libversions.so"};
	uint64_t seed = 0x9e3779b97f4a7c15;
	unsigned opened = 0;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct image image = image_read(files[i]);
		uint8_t *copy = malloc(image.len);

		assert_non_null(copy);
		for (unsigned n = 0; n < FLIPS_EACH; n++) {
			unsigned changes = n % 4 ? 1 + (unsigned)(next_random(&seed) % 32) : 1;

			memcpy(copy, image.bytes, image.len);
			for (unsigned k = 0; k < changes; k++) {
				size_t at = next_random(&seed) % image.len;

				if (k % 4 == 0)
					at %= 1024;
				else if (k % 4 == 1)
					at = image.len - 1 - at % 4096;
				copy[at] = (uint8_t)next_random(&seed);
			}
			opened += ask_all(copy, image.len) == 0;
		}
		free(copy);
		free(image.bytes);
	}
	/* Most are still ELF files, so that what comes behind opening is tested. */
	print_message("# %u of %u changed files could be opened\n", opened, 4 * FLIPS_EACH);
	assert_true(opened > 2 * FLIPS_EACH);
}

/* Every field of the tables in turn gets the values that arithmetic goes wrong with. */
static void test_absurd(void **state)
{
	static const uint64_t values[] = {0,
					  1,
					  0x7fffffff,
					  0xffffffff,
					  1ull << 40,
					  INT64_MAX,
					  UINT64_MAX,
					  UINT64_MAX - 4095,
					  UINT64_MAX - 0x1000000};
	struct image image = image_read("names");
	Elf64_Ehdr eh;

	(void)state;
	memcpy(&eh, image.bytes, sizeof(eh));
	for (unsigned table = 0; table < 2; table++) {
		size_t at = table ? eh.e_shoff : eh.e_phoff, nr = table ? eh.e_shnum : eh.e_phnum;
		size_t entry = table ? sizeof(Elf64_Shdr) : sizeof(Elf64_Phdr);

		assert_true(at + nr * entry <= image.len);
		for (size_t field = 0; field < nr * entry / 8; field++) {
			uint8_t kept[8];

			memcpy(kept, image.bytes + at + field * 8, 8);
			for (size_t v = field % 2; v < sizeof(values) / sizeof(*values); v += 2) {
				memcpy(image.bytes + at + field * 8, &values[v], 8);
				(void)ask_all(image.bytes, image.len);
			}
			memcpy(image.bytes + at + field * 8, kept, 8);
		}
	}
	free(image.bytes);
}

static int open_header(uint8_t class, uint8_t data, uint16_t type)
{
	Elf64_Ehdr eh = {.e_ident = {0x7f, 'E', 'L', 'F', class, data, EV_CURRENT},
			 .e_type = type,
			 .e_machine = EM_X86_64,
			 .e_version = EV_CURRENT,
			 .e_ehsize = sizeof(eh)};
	uint8_t bytes[256] = {0};

	memcpy(bytes, &eh, sizeof(eh));
	return ask_all(bytes, sizeof(bytes));
}

static void test_other_files(void **state)
{
	struct elf_file *f = NULL;

	(void)state;
	assert_int_equal(open_header(ELFCLASS64, ELFDATA2LSB, ET_DYN), 0);
	assert_int_equal(open_header(ELFCLASS64, ELFDATA2LSB, ET_REL), -ENOTSUP);
	assert_int_equal(open_header(ELFCLASS64, ELFDATA2LSB, ET_CORE), -ENOTSUP);
	assert_int_equal(open_header(ELFCLASS32, ELFDATA2LSB, ET_EXEC), -ENOTSUP);
	assert_int_not_equal(open_header(ELFCLASS64, ELFDATA2MSB, ET_EXEC), 0);
	assert_int_equal(ask_all((const uint8_t *)"#!/bin/sh\n", 10), -ENOEXEC);
	assert_int_equal(ask_all(NULL, 0), -ENOEXEC);
	assert_int_equal(ask_all((const uint8_t *)"!<arch>\n", 8), -ENOEXEC);
	assert_int_equal(elf_file_open("/nonexistent/file", &f, NULL), -ENOENT);
	assert_int_equal(elf_file_open("/", &f, NULL), -ENOEXEC);
	assert_int_equal(elf_file_open("/dev/zero", &f, NULL), -ENOEXEC);
	assert_null(f);
}

/* A symbol table of 3 GiB in a file that is nearly all hole must not be read. */
static void test_sparse(void **state)
{
	struct image image = image_read("names");
	int fd = memfd_create("sparse", MFD_CLOEXEC);
	struct tocsin_err err = {0};
	struct elf_file *f = NULL;
	struct elf_func func;
	char path[64];
	Elf64_Ehdr eh;

	(void)state;
	assert_true(fd >= 0);
	memcpy(&eh, image.bytes, sizeof(eh));
	for (unsigned i = 0; i < eh.e_shnum; i++) {
		Elf64_Shdr *sh = (Elf64_Shdr *)(void *)(image.bytes + eh.e_shoff) + i;

		if (sh->sh_type == SHT_SYMTAB || sh->sh_type == SHT_DYNSYM) {
			sh->sh_offset = 1u << 20;
			sh->sh_size = 3ull << 30;
		}
	}
	assert_int_equal(pwrite(fd, image.bytes, image.len, 0), (ssize_t)image.len);
	assert_int_equal(ftruncate(fd, 4ll << 30), 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(elf_file_open(path, &f, &err), 0);
	assert_true(elf_find_func(f, "main", &func, NULL, &err) < 0);
	assert_true(err.nr_causes > 0);
	f = elf_file_free(f);
	assert_int_equal(close(fd), 0);
	free(image.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut),    cmocka_unit_test(test_changed),
		cmocka_unit_test(test_absurd), cmocka_unit_test(test_other_files),
		cmocka_unit_test(test_sparse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
