// SPDX-License-Identifier: MIT
/*
 * The kernel's functions by address.
 *
 * /proc/kallsyms has some 120,000 lines; what is kept is one array of (address, place of the name)
 * in order of address, and all names one after the other in one arena: 2.5 MiB, nothing before the
 * first question. Left out: data, the paddings before functions (__pfx_, half of the list on
 * x86-64), and the mapping symbols of aarch64 ($x). Of several names of one address the first
 * stays, as the kernel itself does it.
 *
 * The list has no sizes. An address belongs to the last function that begins at or before it, but
 * not when that one is farther than any function is long: code that is made while running, such as
 * BPF programs, lies behind the kernel's last name and must not be taken for it.
 *
 * With kernel.kptr_restrict, or without CAP_SYSLOG, all addresses read as zero.
 */
#include "ksyms.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/banned.h"
#include "../base/cleanup.h"

#define FUNCTION_MAX_BYTES (1u << 20) /* the longest of a big kernel has 60 KiB */
#define LINE_MAX_BYTES     1024       /* the kernel's names end at 512 */
#define ARENA_MAX_BYTES    UINT32_MAX

struct ksym {
	uint64_t address;
	uint32_t name; /* place in the arena */
};

struct ksyms {
	const char *path;
	bool is_tried;
	int error; /* of the attempt to read */
	struct ksym *sym;
	size_t nr;
	size_t capacity;
	char *arena;
	size_t arena_bytes;
	size_t arena_capacity;
};

struct ksyms *ksyms_new(const char *path)
{
	struct ksyms *k = calloc(1, sizeof(*k));

	if (k)
		k->path = path ?: "/proc/kallsyms";
	return k;
}

static void ksyms_empty(struct ksyms *k)
{
	free(k->sym);
	free(k->arena);
	k->sym = NULL;
	k->arena = NULL;
	k->nr = k->capacity = 0;
	k->arena_bytes = k->arena_capacity = 0;
}

struct ksyms *ksyms_free(struct ksyms *k)
{
	if (k)
		ksyms_empty(k);
	free(k);
	return NULL;
}

static int ksyms_add(struct ksyms *k, uint64_t address, const char *name, size_t len)
{
	if (k->nr == KSYMS_MAX || len + 1 > ARENA_MAX_BYTES - k->arena_bytes)
		return -E2BIG;
	if (k->nr == k->capacity) {
		size_t capacity = k->capacity ? k->capacity * 2 : 16384;
		struct ksym *sym = reallocarray(k->sym, capacity, sizeof(*sym));

		if (!sym)
			return -ENOMEM;
		k->sym = sym;
		k->capacity = capacity;
	}
	while (k->arena_capacity - k->arena_bytes < len + 1) {
		size_t capacity = k->arena_capacity ? k->arena_capacity * 2 : 1u << 19;
		char *arena = realloc(k->arena, capacity);

		if (!arena)
			return -ENOMEM;
		k->arena = arena;
		k->arena_capacity = capacity;
	}
	k->sym[k->nr++] = (struct ksym){.address = address, .name = (uint32_t)k->arena_bytes};
	memcpy(k->arena + k->arena_bytes, name, len);
	k->arena[k->arena_bytes + len] = '\0';
	k->arena_bytes += len + 1;
	return 0;
}

/* 16 digits at most; the end of the number, or NULL when there is none. */
static const char *hex_read(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;
	unsigned digits = 0;

	for (;; text++, digits++) {
		char c = *text;

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			break;
	}
	if (!digits || digits > 16)
		return NULL;
	*ret_value = value;
	return text;
}

/* "ffffffff81000000 T _text", with "\t[module]" behind it for a module's. Other lines are passed
 * over: what cannot be read cannot be a name that a stack needs. */
static int line_read(struct ksyms *k, const char *line, bool *has_function)
{
	uint64_t address = 0;
	const char *at = hex_read(line, &address);
	size_t len;

	if (!at || at[0] != ' ' || !at[1] || !strchr("tTwW", at[1]) || at[2] != ' ')
		return 0;
	at += 3;
	len = strcspn(at, " \t\n");
	if (!len || at[0] == '$' || !strncmp(at, "__pfx_", 6))
		return 0;
	*has_function = true;
	return address ? ksyms_add(k, address, at, len) : 0;
}

static int by_address(const void *a, const void *b)
{
	const struct ksym *x = a, *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name; /* names lie in the file's order */
}

static void ksyms_order(struct ksyms *k)
{
	size_t kept = 0;
	void *smaller;

	qsort(k->sym, k->nr, sizeof(*k->sym), by_address);
	for (size_t i = 0; i < k->nr; i++)
		if (!kept || k->sym[i].address != k->sym[kept - 1].address)
			k->sym[kept++] = k->sym[i];
	k->nr = kept;
	smaller = reallocarray(k->sym, k->nr, sizeof(*k->sym));
	if (smaller) {
		k->sym = smaller;
		k->capacity = k->nr;
	}
	smaller = realloc(k->arena, k->arena_bytes);
	if (smaller) {
		k->arena = smaller;
		k->arena_capacity = k->arena_bytes;
	}
}

static int ksyms_read(struct ksyms *k)
{
	TOCSIN_CLEANUP(tocsin_fclosep) FILE *f = fopen(k->path, "re");
	bool has_function = false, is_middle = false;
	char line[LINE_MAX_BYTES];
	int r;

	if (!f)
		return -errno;
	line[sizeof(line) - 1] = '.';
	while (fgets(line, sizeof(line), f)) {
		bool is_full = !line[sizeof(line) - 1] && line[sizeof(line) - 2] != '\n';

		/* of an overlong line neither the beginning nor the rest is a symbol, and no
		 * symbol has a NUL in it */
		if (!is_full && !is_middle && (strchr(line, '\n') || feof(f))) {
			r = line_read(k, line, &has_function);
			if (r < 0)
				return r;
		}
		is_middle = is_full;
		line[sizeof(line) - 1] = '.';
	}
	if (ferror(f))
		return -EIO;
	if (!k->nr)
		return has_function ? -EPERM : -ENODATA;
	ksyms_order(k);
	return 0;
}

int ksyms_load(struct ksyms *k)
{
	if (k->is_tried)
		return k->error;
	k->is_tried = true;
	k->error = ksyms_read(k);
	if (k->error)
		ksyms_empty(k);
	return k->error;
}

const char *ksyms_find(struct ksyms *k, uint64_t address, uint64_t *ret_offset)
{
	size_t low = 0, high;

	if (ksyms_load(k))
		return NULL;
	high = k->nr; /* the first one behind the address lies in low .. high */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (k->sym[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || address - k->sym[low - 1].address >= FUNCTION_MAX_BYTES)
		return NULL;
	if (ret_offset)
		*ret_offset = address - k->sym[low - 1].address;
	return k->arena + k->sym[low - 1].name;
}

size_t ksyms_bytes(const struct ksyms *k)
{
	return sizeof(*k) + k->capacity * sizeof(*k->sym) + k->arena_capacity;
}
