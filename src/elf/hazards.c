// SPDX-License-Identifier: MIT
/*
 * Can a function of this file be unwound through, or be left on one stack and gone on with on
 * another? The signs are in hazards.def: sections, symbols (defined or used), libraries named in
 * the dynamic section. A file without any symbols could do anything, and is taken to do both.
 */
#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "elf_internal.h"

enum sign_kind { SIGN_SYMBOL, SIGN_SECTION, SIGN_LIBRARY };

struct sign {
	enum sign_kind kind;
	size_t what; /* offset of the text in struct elf_hazards */
	const char *name;
};

static const struct sign signs[] = {
#define SYMBOL(what, name)  {SIGN_SYMBOL, offsetof(struct elf_hazards, what), name},
#define SECTION(what, name) {SIGN_SECTION, offsetof(struct elf_hazards, what), name},
#define LIBRARY(what, name) {SIGN_LIBRARY, offsetof(struct elf_hazards, what), name},
#define TWICE(name)
#include "hazards.def"
#undef SYMBOL
#undef SECTION
#undef LIBRARY
#undef TWICE
};

static const char *const twice[] = {
#define SYMBOL(what, name)
#define SECTION(what, name)
#define LIBRARY(what, name)
#define TWICE(name) name,
#include "hazards.def"
#undef SYMBOL
#undef SECTION
#undef LIBRARY
#undef TWICE
};

static void see(struct elf_hazards *h, enum sign_kind kind, const char *name)
{
	static const char *const verb[] = {
		[SIGN_SYMBOL] = "has or uses",
		[SIGN_SECTION] = "has a section",
		[SIGN_LIBRARY] = "is linked with",
	};

	for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
		const struct sign *s = &signs[i];
		char *buf = (char *)h + s->what;
		size_t len = strlen(s->name);

		if (s->kind != kind || *buf || strncmp(name, s->name, len) != 0)
			continue;
		/* An imported symbol may carry its version. */
		if (kind == SIGN_LIBRARY || !name[len] || (kind == SIGN_SYMBOL && name[len] == '@'))
			(void)snprintf(buf, sizeof(h->throws), "it %s '%.100s'", verb[kind], name);
	}
}

static void see_symbols(struct elf_hazards *h, Elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr,
			size_t *nr)
{
	Elf_Data *data = shdr->sh_size <= ELF_SECTION_MAX ? elf_getdata(scn, NULL) : NULL;
	GElf_Sym s;

	for (int i = 1; data && gelf_getsym(data, i, &s); i++) {
		const char *name = elf_strptr(elf, shdr->sh_link, s.st_name);

		if (!name || !*name)
			continue;
		see(h, SIGN_SYMBOL, name);
		(*nr)++;
	}
}

static int each_needed(Elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr, elf_needed_fn fn, void *arg)
{
	Elf_Data *data = shdr->sh_size <= ELF_SECTION_MAX ? elf_getdata(scn, NULL) : NULL;
	GElf_Dyn dyn;
	int r = 0;

	for (int i = 0; data && gelf_getdyn(data, i, &dyn) && dyn.d_tag != DT_NULL && !r; i++) {
		const char *name = dyn.d_tag == DT_NEEDED
					   ? elf_strptr(elf, shdr->sh_link, dyn.d_un.d_val)
					   : NULL;

		if (name)
			r = fn(name, arg);
	}
	return r;
}

int elf_for_each_needed(struct elf_file *f, elf_needed_fn fn, void *arg)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	int r = 0;

	while (!r && (scn = elf_nextscn(f->elf, scn)))
		if (gelf_getshdr(scn, &shdr) && shdr.sh_type == SHT_DYNAMIC)
			r = each_needed(f->elf, scn, &shdr, fn, arg);
	return r;
}

static int see_library(const char *name, void *arg)
{
	see(arg, SIGN_LIBRARY, name);
	return 0;
}

static void see_file(struct elf_hazards *h, Elf *elf, size_t *nr_symbols)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &shdr))
			continue;
		if (shdr.sh_size)
			see(h, SIGN_SECTION, elf_section_name(elf, &shdr));
		if (shdr.sh_type == SHT_SYMTAB || shdr.sh_type == SHT_DYNSYM)
			see_symbols(h, elf, scn, &shdr, nr_symbols);
		else if (shdr.sh_type == SHT_DYNAMIC)
			(void)each_needed(elf, scn, &shdr, see_library, h); /* 0 always */
	}
}

int elf_find_hazards(struct elf_file *f, const struct elf_hazards **ret)
{
	size_t nr_symbols = 0;

	if (!f->hazards) {
		f->hazards = calloc(1, sizeof(*f->hazards));
		if (!f->hazards)
			return -ENOMEM;
		see_file(f->hazards, f->elf, &nr_symbols);
		if (f->debug_elf)
			see_file(f->hazards, f->debug_elf, &nr_symbols);
		if (!nr_symbols) {
			static const char unknown[] =
				"it is stripped of everything that could tell";

			if (!f->hazards->throws[0])
				memcpy(f->hazards->throws, unknown, sizeof(unknown));
			if (!f->hazards->switches[0])
				memcpy(f->hazards->switches, unknown, sizeof(unknown));
		}
	}
	*ret = f->hazards;
	return 0;
}

bool hazards_returns_twice(const char *name)
{
	for (size_t i = 0; i < sizeof(twice) / sizeof(*twice); i++)
		if (strncmp(name, twice[i], strcspn(name, "@")) == 0 &&
		    strlen(twice[i]) == strcspn(name, "@"))
			return true;
	return false;
}
