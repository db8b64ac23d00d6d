// SPDX-License-Identifier: MIT
/*
 * What was found at an address is kept, by module: a service calls from few places. The table of
 * what is kept is emptied when it is full, so its size is bounded whatever addresses come.
 */
#include "symbol.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "lines.h"
#include "module.h"

#define KNOWN_SLOTS 8192 /* of a module, a power of two */
#define NAME_BYTES  512

struct unwind_known {
	uint64_t vaddr;
	int nr; /* 0: free */
	struct unwind_symbol *sym;
	char *text; /* the names of sym */
};

static void symbols_load(struct unwind_module *m)
{
	if (m->has_symbols)
		return;
	m->has_symbols = true;
	if (m->elf)
		(void)elf_load_symbols(m->elf, NULL); /* what could be read is there */
}

const char *unwind_symbol_name(struct unwind_module *m, uint64_t vaddr, uint64_t *ret_offset)
{
	const struct elf_sym *s;

	symbols_load(m);
	s = m->elf ? elf_sym_at(m->elf, vaddr) : NULL;
	if (!s)
		return NULL;
	*ret_offset = vaddr - s->vaddr;
	return s->name;
}

void unwind_known_free(struct unwind_module *m)
{
	for (size_t i = 0; m->known && i < KNOWN_SLOTS; i++) {
		free(m->known[i].sym);
		free(m->known[i].text);
	}
	free(m->known);
	m->known = NULL;
	m->nr_known = 0;
}

/* Rust writes a hash behind its names: ::h and sixteen digits. */
static void rust_hash_cut(char *name)
{
	size_t len = strlen(name);

	if (len <= 19 || strncmp(name + len - 19, "::h", 3) != 0)
		return;
	for (size_t i = len - 16; i < len; i++)
		if (!isxdigit((unsigned char)name[i]))
			return;
	name[len - 19] = '\0';
}

static void name_write(const char *raw, char *buf, size_t len)
{
	size_t n = strcspn(raw, "@"); /* a version of the symbol */

	if (!demangle_name(raw, buf, len))
		(void)snprintf(buf, len, "%.*s", (int)n, raw);
	rust_hash_cut(buf);
}

static int known_add(struct unwind_known *k, uint64_t vaddr, const struct unwind_symbol *sym,
		     int nr)
{
	TOCSIN_CLEANUP(tocsin_free_charp) char *text = malloc((size_t)nr * NAME_BYTES);
	struct unwind_symbol *copy = malloc((size_t)nr * sizeof(*copy));

	if (!text || !copy) {
		free(copy);
		return -ENOMEM;
	}
	for (int i = 0; i < nr; i++) {
		copy[i] = sym[i];
		copy[i].function = text + (size_t)i * NAME_BYTES;
		name_write(sym[i].function, text + (size_t)i * NAME_BYTES, NAME_BYTES);
	}
	k->sym = copy;
	k->text = tocsin_take_ptr(&text);
	k->vaddr = vaddr;
	k->nr = nr;
	return 0;
}

/* Its place in the table, or the free one where it belongs. */
static struct unwind_known *known_find(struct unwind_module *m, uint64_t vaddr)
{
	size_t at = (size_t)(vaddr * 0x9e3779b97f4a7c15ull >> 40) % KNOWN_SLOTS;

	if (!m->known || m->nr_known * 2 > KNOWN_SLOTS) {
		unwind_known_free(m);
		m->known = calloc(KNOWN_SLOTS, sizeof(*m->known));
		if (!m->known)
			return NULL;
	}
	while (m->known[at].nr && m->known[at].vaddr != vaddr)
		at = (at + 1) % KNOWN_SLOTS;
	return &m->known[at];
}

int unwind_symbol_at(struct unwind_module *m, uint64_t vaddr, struct unwind_symbol *sym)
{
	struct unwind_known *k = known_find(m, vaddr);
	const char *name;
	uint64_t offset;
	int nr = 0, r;

	if (!k)
		return -ENOMEM;
	if (k->nr) {
		memcpy(sym, k->sym, (size_t)k->nr * sizeof(*sym));
		return k->nr;
	}
	if (!m->has_lines && m->elf) {
		m->has_lines = true;
		(void)unwind_lines_open(m->elf, &m->lines); /* without them names are left */
	}
	if (m->lines)
		nr = unwind_lines_at(m->lines, vaddr, sym);
	name = unwind_symbol_name(m, vaddr, &offset);
	if (!nr && !name)
		return -ENOENT;
	if (!nr) {
		nr = 1;
		sym[0] = (struct unwind_symbol){.file = ""};
	}
	if (name)
		sym[nr - 1].function = name;
	r = known_add(k, vaddr, sym, nr);
	if (r)
		return r;
	m->nr_known++;
	memcpy(sym, k->sym, (size_t)nr * sizeof(*sym));
	return nr;
}
