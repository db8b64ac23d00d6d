// SPDX-License-Identifier: MIT
/*
 * The notes of <sys/sdt.h>: section .note.stapsdt, owner "stapsdt", type 3. Their descriptor is
 *
 *   u64 location | u64 base | u64 semaphore | provider NUL | name NUL | arguments NUL
 *
 * Addresses are as linked. Prelinking moves a file's code after that without touching notes, so the
 * section .stapsdt.base is there to tell by how much: its address minus the base in the note is
 * added to the location and to the semaphore.
 *
 * The kernel counts users of a semaphore in the running program; it wants the place in the file,
 * which for that variable lies in a writable segment.
 */
#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "elf_internal.h"
#include "usdt.h"

#define NOTE_STAPSDT 3
#define OWNER        "stapsdt"

struct note {
	uint64_t location, base, semaphore;
	const char *provider, *name, *args; /* lent from the section */
};

/* One of the three strings. Return: the place behind it, or NULL: not terminated. */
static const char *string_take(const char *at, const char *end, const char **ret)
{
	const char *nul = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;

	*ret = at;
	return nul ? nul + 1 : NULL;
}

static bool note_parse(const char *desc, size_t len, struct note *ret)
{
	const char *at = desc + 24, *end = desc + len;

	if (len < 24 + 3)
		return false;
	memcpy(&ret->location, desc, 8);
	memcpy(&ret->base, desc + 8, 8);
	memcpy(&ret->semaphore, desc + 16, 8);
	at = string_take(at, end, &ret->provider);
	if (at)
		at = string_take(at, end, &ret->name);
	if (at)
		at = string_take(at, end, &ret->args);
	return at;
}

typedef int (*note_fn)(struct elf_file *f, const struct note *note, void *arg,
		       struct tocsin_err *err);

static int for_each_note(struct elf_file *f, note_fn fn, void *arg, struct tocsin_err *err)
{
	size_t at = 0, next, name, desc;
	GElf_Shdr shdr;
	Elf_Scn *scn = elf_section_find(f->elf, ".note.stapsdt", &shdr);
	Elf_Data *data;
	GElf_Nhdr nh;

	if (!scn)
		return 0;
	if (shdr.sh_size > ELF_SECTION_MAX)
		return tocsin_err_fail(-EBADMSG, err, "USDT notes of '%s' are larger than 1 GiB",
				       f->path);
	data = elf_getdata(scn, NULL);
	if (!data)
		return tocsin_err_fail(-EBADMSG, err, "damaged USDT notes in '%s': %s", f->path,
				       elf_errmsg(-1));
	while ((next = gelf_getnote(data, at, &nh, &name, &desc))) {
		const char *bytes = data->d_buf;
		struct note note;
		int r;

		at = next;
		if (nh.n_type != NOTE_STAPSDT || nh.n_namesz != sizeof(OWNER) ||
		    memcmp(bytes + name, OWNER, sizeof(OWNER)) != 0)
			continue;
		if (!note_parse(bytes + desc, nh.n_descsz, &note))
			return tocsin_err_fail(-EBADMSG, err, "damaged USDT note in '%s'", f->path);
		r = fn(f, &note, arg, err);
		if (r)
			return r;
	}
	return 0;
}

struct find {
	const char *provider, *name; /* wanted */
	struct elf_usdt *site;
	size_t nr, capacity;
	struct tocsin_nearest *near;
	bool has_base;
	uint64_t base; /* address of .stapsdt.base */
};

static int site_fill(struct elf_file *f, const struct find *find, const struct note *note,
		     struct elf_usdt *ret, struct tocsin_err *err)
{
	uint64_t moved = find->has_base && note->base ? find->base - note->base : 0;

	ret->vaddr = note->location + moved;
	if (elf_vaddr_to_offset(f, ret->vaddr, PF_X, &ret->offset) < 0)
		return tocsin_err_fail(-EBADMSG, err, "USDT '%s:%s' of '%s' lies outside its code",
				       find->provider, find->name, f->path);
	if (note->semaphore &&
	    elf_vaddr_to_offset(f, note->semaphore + moved, PF_W, &ret->semaphore_offset) < 0)
		return tocsin_err_fail(
			-EBADMSG, err,
			"the semaphore of USDT '%s:%s' of '%s' lies outside its data",
			find->provider, find->name, f->path);
	ret->provider = strdup(note->provider);
	ret->name = strdup(note->name);
	ret->args = strdup(note->args);
	if (!ret->provider || !ret->name || !ret->args)
		return -ENOMEM;
	ret->nr_args = usdt_parse_args(note->args, ret->arg, ret->arg_fault);
	for (unsigned i = 0; f->machine != EM_X86_64 && i < ret->nr_args; i++) {
		ret->arg[i] = (struct watch_arg){.kind = ARG_NONE};
		ret->arg_fault[i] = "arguments are read on x86-64 only";
	}
	return 0;
}

static int site_add(struct elf_file *f, const struct note *note, void *arg, struct tocsin_err *err)
{
	struct find *find = arg;
	char text[256];

	if (strcmp(note->provider, find->provider) != 0 || strcmp(note->name, find->name) != 0) {
		(void)snprintf(text, sizeof(text), "%s:%s", note->provider, note->name);
		if (find->near)
			tocsin_nearest_offer(find->near, text);
		return 0;
	}
	if (find->nr == USDT_SITES_MAX)
		return tocsin_err_fail(-EFBIG, err, "USDT '%s:%s' has more than %d sites in '%s'",
				       find->provider, find->name, USDT_SITES_MAX, f->path);
	if (find->nr == find->capacity) {
		size_t more = find->capacity ? 2 * find->capacity : 4;
		struct elf_usdt *bigger = reallocarray(find->site, more, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		find->site = bigger;
		find->capacity = more;
	}
	find->site[find->nr] = (struct elf_usdt){0};
	return site_fill(f, find, note, &find->site[find->nr++], err);
}

struct elf_usdt *elf_usdt_free(struct elf_usdt *sites, size_t nr)
{
	for (size_t i = 0; sites && i < nr; i++) {
		free(sites[i].provider);
		free(sites[i].name);
		free(sites[i].args);
	}
	free(sites);
	return NULL;
}

int elf_find_usdt(struct elf_file *f, const char *provider, const char *name,
		  struct elf_usdt **ret_sites, size_t *ret_nr, struct tocsin_nearest *near,
		  struct tocsin_err *err)
{
	struct find find = {.provider = provider, .name = name, .near = near};
	GElf_Shdr shdr;
	int r;

	if (elf_section_find(f->elf, ".stapsdt.base", &shdr)) {
		find.has_base = true;
		find.base = shdr.sh_addr;
	}
	r = for_each_note(f, site_add, &find, err);
	if (r < 0) {
		elf_usdt_free(find.site, find.nr);
		return r;
	}
	if (!find.nr)
		return tocsin_err_fail(-ENOENT, err, "no USDT '%s:%s' in '%s'", provider, name,
				       f->path);
	*ret_sites = find.site;
	*ret_nr = find.nr;
	return 0;
}

struct walk {
	elf_usdt_fn fn;
	void *arg;
};

static int walk_note(struct elf_file *f, const struct note *note, void *arg, struct tocsin_err *err)
{
	struct walk *walk = arg;

	(void)f;
	(void)err;
	return walk->fn(note->provider, note->name, walk->arg);
}

int elf_for_each_usdt(struct elf_file *f, elf_usdt_fn fn, void *arg, struct tocsin_err *err)
{
	struct walk walk = {.fn = fn, .arg = arg};

	return for_each_note(f, walk_note, &walk, err);
}
