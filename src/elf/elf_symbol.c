// SPDX-License-Identifier: MIT
/*
 * Functions by name and by address.
 *
 * All symbol tables are joined into one array sorted by address: .dynsym (with its versions),
 * .symtab, and that of a separate debug file. The same function may stand in it several times, and
 * under several names; only different addresses count as different functions.
 *
 * Of functions with the wanted name the best kind is taken: a global one in its default version,
 * then one that is local to a source file, then an old version, then a mere label. Where two of the
 * best kind differ the name is ambiguous, and the user is told the candidates: a wrong guess would
 * watch the wrong function and say nothing.
 */
#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "elf_internal.h"

#define CANDIDATES_SHOWN 4
#define VERSIONS_MAX     32768 /* a version index has 15 bits */
#define VERSYM_HIDDEN    0x8000
#define NAME_LEN_MAX \
	4096           /* bytes; all symbols of a hostile file may share one string of gigabytes */
#define ALIASES_MAX 64 /* symbols looked back over to find one that covers an address */

static int versions_load(struct elf_file *f, Elf_Scn *scn, const GElf_Shdr *shdr)
{
	Elf_Data *data = shdr->sh_size <= ELF_SECTION_MAX ? elf_getdata(scn, NULL) : NULL;
	size_t at = 0;

	if (!data || f->version_name)
		return 0;
	f->version_name = calloc(VERSIONS_MAX, sizeof(*f->version_name));
	if (!f->version_name)
		return -ENOMEM;
	f->nr_versions = VERSIONS_MAX;
	for (unsigned i = 0; i < VERSIONS_MAX && at < data->d_size; i++) {
		GElf_Verdaux aux;
		GElf_Verdef def;

		if (!gelf_getverdef(data, (int)at, &def))
			break;
		if (def.vd_aux <= data->d_size - at &&
		    gelf_getverdaux(data, (int)(at + def.vd_aux), &aux))
			f->version_name[def.vd_ndx & (VERSIONS_MAX - 1)] =
				elf_strptr(f->elf, shdr->sh_link, aux.vda_name);
		if (!def.vd_next || def.vd_next > data->d_size - at)
			break;
		at += def.vd_next;
	}
	return 0;
}

/* Is it a function, or a global label in code? */
static bool sym_is_code(const struct elf_file *f, const GElf_Sym *s)
{
	unsigned type = GELF_ST_TYPE(s->st_info);

	if (s->st_shndx == SHN_UNDEF || !s->st_value)
		return false;
	if (type != STT_FUNC && type != STT_GNU_IFUNC &&
	    (type != STT_NOTYPE || GELF_ST_BIND(s->st_info) == STB_LOCAL))
		return false;
	return elf_vaddr_room(f, s->st_value, PF_X) > 0;
}

static struct elf_sym sym_make(const GElf_Sym *s, const char *name)
{
	struct elf_sym sym = {.vaddr = s->st_value, .size = s->st_size, .name = name};

	if (GELF_ST_BIND(s->st_info) == STB_LOCAL)
		sym.flags |= SYM_LOCAL;
	if (GELF_ST_TYPE(s->st_info) == STT_GNU_IFUNC)
		sym.flags |= SYM_IFUNC;
	if (GELF_ST_TYPE(s->st_info) == STT_NOTYPE)
		sym.flags |= SYM_NOTYPE;
	return sym;
}

static int table_add(struct elf_file *f, Elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr,
		     Elf_Data *versym, struct tocsin_err *err)
{
	Elf_Data *data = shdr->sh_size <= ELF_SECTION_MAX ? elf_getdata(scn, NULL) : NULL;
	size_t nr = data ? data->d_size / sizeof(Elf64_Sym) : 0;
	struct elf_sym *bigger;

	if (!data)
		return tocsin_err_fail(-EBADMSG, err, "damaged symbol table in '%s': %s", f->path,
				       elf_errmsg(-1));
	bigger = reallocarray(f->sym, f->nr_syms + nr + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	f->sym = bigger;
	for (size_t i = 0; i < nr; i++) {
		struct elf_sym *sym = &f->sym[f->nr_syms];
		const char *name;
		GElf_Versym v;
		GElf_Sym s;

		if (!gelf_getsym(data, (int)i, &s) || !sym_is_code(f, &s))
			continue;
		name = elf_strptr(elf, shdr->sh_link, s.st_name);
		if (!name || !*name || strnlen(name, NAME_LEN_MAX) == NAME_LEN_MAX)
			continue;
		*sym = sym_make(&s, name);
		if (versym && gelf_getversym(versym, (int)i, &v)) {
			unsigned index = v & (VERSIONS_MAX - 1u);

			/* 0 and 1 are "local" and "global, no version". */
			sym->version =
				index > 1 && index < f->nr_versions ? f->version_name[index] : NULL;
			if (v & VERSYM_HIDDEN)
				sym->flags |= SYM_HIDDEN;
		}
		f->nr_syms++;
	}
	return 0;
}

static int tables_of(struct elf_file *f, Elf *elf, bool is_debug, struct tocsin_err *err)
{
	Elf_Scn *scn = NULL, *dynsym = NULL;
	Elf_Data *versym = NULL;
	GElf_Shdr shdr, dynsym_shdr;
	int r;

	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &shdr))
			continue;
		if (shdr.sh_type == SHT_SYMTAB) {
			r = table_add(f, elf, scn, &shdr, NULL, err);
			if (r < 0)
				return r;
			f->has_symtab = true;
		} else if (is_debug) {
			continue;
		} else if (shdr.sh_type == SHT_DYNSYM) {
			dynsym = scn;
			dynsym_shdr = shdr;
		} else if (shdr.sh_type == SHT_GNU_versym && shdr.sh_size <= ELF_SECTION_MAX) {
			versym = elf_getdata(scn, NULL);
		} else if (shdr.sh_type == SHT_GNU_verdef) {
			r = versions_load(f, scn, &shdr);
			if (r < 0)
				return r;
		}
	}
	return dynsym ? table_add(f, elf, dynsym, &dynsym_shdr, versym, err) : 0;
}

static int sym_compare(const void *a, const void *b)
{
	const struct elf_sym *x = a, *y = b;

	if (x->vaddr != y->vaddr)
		return x->vaddr > y->vaddr ? 1 : -1;
	if ((x->flags ^ y->flags) & SYM_NOTYPE)
		return x->flags & SYM_NOTYPE ? 1 : -1;
	if ((x->flags ^ y->flags) & SYM_LOCAL)
		return x->flags & SYM_LOCAL ? 1 : -1;
	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* A symbol without a size ends with its unwinding table's entry, or where the next symbol begins.
 */
static void sizes_complete(struct elf_file *f)
{
	uint64_t next = 0;

	for (size_t i = f->nr_syms; i-- > 0;) {
		struct elf_sym *s = &f->sym[i];
		uint64_t room = elf_vaddr_room(f, s->vaddr, PF_X);
		const struct elf_frame *frame;

		if (i + 1 < f->nr_syms && f->sym[i + 1].vaddr != s->vaddr)
			next = f->sym[i + 1].vaddr;
		if (!s->size) {
			frame = elf_frame_at(f, s->vaddr);
			s->flags |= SYM_GUESSED;
			s->size = room;
			if (frame)
				s->size = frame->vaddr + frame->size - s->vaddr;
			else if (next && next - s->vaddr < room)
				s->size = next - s->vaddr;
		}
		if (s->size > room)
			s->size = room;
	}
}

int elf_load_symbols(struct elf_file *f, struct tocsin_err *err)
{
	int r;

	if (f->has_syms)
		return 0;
	f->nr_syms = 0;
	r = elf_load_frames(f, err);
	if (r < 0)
		return r;
	r = tables_of(f, f->elf, false, err);
	if (r < 0)
		return r;
	if (f->debug_elf) {
		size_t before = f->nr_syms;

		/* A damaged debug file is as good as none. */
		if (tables_of(f, f->debug_elf, true, NULL) < 0)
			f->nr_syms = before;
	}
	if (f->nr_syms)
		qsort(f->sym, f->nr_syms, sizeof(*f->sym), sym_compare);
	sizes_complete(f);
	f->has_syms = true;
	return 0;
}

/* Index of the first symbol at or above @vaddr. */
static size_t sym_lower(const struct elf_file *f, uint64_t vaddr)
{
	size_t low = 0, high = f->nr_syms;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->sym[mid].vaddr < vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool elf_sym_starts(const struct elf_file *f, uint64_t vaddr, const struct elf_sym **ret_first)
{
	size_t i = sym_lower(f, vaddr);

	if (i == f->nr_syms || f->sym[i].vaddr != vaddr || (f->sym[i].flags & SYM_NOTYPE))
		return false;
	*ret_first = &f->sym[i];
	return true;
}

const struct elf_sym *elf_sym_at(const struct elf_file *f, uint64_t vaddr)
{
	size_t i = sym_lower(f, vaddr + 1);

	for (unsigned n = 0; i-- > 0 && n < ALIASES_MAX; n++) {
		const struct elf_sym *s = &f->sym[i], *first;

		if ((s->flags & SYM_NOTYPE) || vaddr - s->vaddr >= s->size)
			continue;
		/* Of its aliases the first sorts best: global, largest. */
		return elf_sym_starts(f, s->vaddr, &first) && vaddr - first->vaddr < first->size
			       ? first
			       : s;
	}
	return NULL;
}

static void func_fill(const struct elf_file *f, uint64_t vaddr, uint64_t size, const char *name,
		      struct elf_func *ret)
{
	*ret = (struct elf_func){.vaddr = vaddr, .size = size};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name); /* a long one is cut */
	/* Symbols and frames outside executable segments were not loaded. */
	TOCSIN_ASSERT(elf_vaddr_to_offset(f, vaddr, PF_X, &ret->offset) == 0);
}

int elf_func_at(struct elf_file *f, uint64_t vaddr, struct elf_func *ret, struct tocsin_err *err)
{
	const struct elf_frame *frame;
	const struct elf_sym *s;
	int r = elf_load_symbols(f, err);

	if (r < 0)
		return r;
	s = elf_sym_at(f, vaddr);
	frame = elf_frame_at(f, vaddr);
	if (s && (!frame || !(s->flags & SYM_GUESSED) || frame->vaddr == s->vaddr))
		func_fill(f, s->vaddr, s->size, s->name, ret);
	else if (frame)
		func_fill(f, frame->vaddr, frame->size, "", ret);
	else
		return -ENOENT;
	return 0;
}

int elf_for_each_func(struct elf_file *f, elf_func_fn fn, void *arg)
{
	int r = elf_load_symbols(f, NULL);

	for (size_t i = 0; r == 0 && i < f->nr_syms; i++) {
		const struct elf_sym *s = &f->sym[i];
		struct elf_func func;

		if (s->flags & SYM_NOTYPE)
			continue;
		func_fill(f, s->vaddr, s->size, s->name, &func);
		r = fn(&func, arg);
	}
	return r;
}

/* What was asked for: a name, and perhaps a version behind one or two '@'. */
struct wanted {
	const char *name;
	size_t name_len;
	const char *version; /* NULL: the default one */
	bool only_default;   /* two '@' */
};

static struct wanted wanted_parse(const char *symbol)
{
	const char *at = strchr(symbol, '@');
	struct wanted w = {.name = symbol, .name_len = at ? (size_t)(at - symbol) : strlen(symbol)};

	if (at) {
		w.only_default = at[1] == '@';
		w.version = at + (w.only_default ? 2 : 1);
	}
	return w;
}

/* How well a symbol fits; 0: not. */
static int sym_rank(const struct elf_sym *s, const struct wanted *w)
{
	const char *at = strchr(s->name, '@');
	const char *version = s->version;
	bool is_hidden = s->flags & SYM_HIDDEN;

	if ((at ? (size_t)(at - s->name) : strlen(s->name)) != w->name_len ||
	    memcmp(s->name, w->name, w->name_len) != 0)
		return 0;
	if (at) {
		is_hidden = at[1] != '@';
		version = at + (is_hidden ? 1 : 2);
	}
	if (w->version &&
	    (!version || strcmp(version, w->version) != 0 || (w->only_default && is_hidden)))
		return 0;
	if (s->flags & SYM_NOTYPE)
		return 1;
	if (is_hidden && !w->version)
		return 2;
	return s->flags & SYM_LOCAL ? 3 : 4;
}

struct matches {
	const struct elf_sym *best;
	int rank;
	size_t nr;     /* different addresses of the best rank */
	uint64_t last; /* the highest of them */
	const struct elf_sym *shown[CANDIDATES_SHOWN];
};

/* Symbols come by rising address, so equal addresses are neighbours. */
static void match_add(struct matches *m, const struct elf_sym *s, int rank)
{
	if (rank > m->rank)
		*m = (struct matches){.best = s, .rank = rank};
	else if (rank < m->rank || s->vaddr == m->last)
		return;
	if (m->nr < CANDIDATES_SHOWN)
		m->shown[m->nr] = s;
	m->last = s->vaddr;
	m->nr++;
}

/* Copies that the compiler made of a function (name.constprop.0, name.cold) go by their own names
 * only. */
static void match_readable(const struct elf_file *f, const char *symbol, struct matches *m)
{
	for (size_t i = 0; i < f->nr_syms; i++) {
		const struct elf_sym *s = &f->sym[i];

		if (!strchr(s->name, '.') && demangle_matches(s->name, symbol))
			match_add(m, s, s->flags & SYM_LOCAL ? 3 : 4);
	}
}

static int fail_ambiguous(const struct elf_file *f, const char *symbol, const struct matches *m,
			  struct tocsin_err *err)
{
	size_t shown = m->nr < CANDIDATES_SHOWN ? m->nr : CANDIDATES_SHOWN;

	for (size_t i = shown; i-- > 0;) {
		const struct elf_sym *s = m->shown[i];
		uint64_t offset = 0;
		char text[200];

		(void)elf_vaddr_to_offset(f, s->vaddr, PF_X,
					  &offset); /* loaded symbols always have one */
		tocsin_err_add(err, "'%.120s'%s%s is '%s' at file offset 0x%lx", s->name,
			       s->version ? " version " : "", s->version ? s->version : "",
			       demangle_text(s->name, text, sizeof(text)), offset);
	}
	return tocsin_err_fail(
		-ENOTUNIQ, err,
		"'%s' is ambiguous in '%s': %zu functions have this name; give the full name or "
		"the file offset",
		symbol, f->path, m->nr);
}

/* The functions that an IFUNC chooses among are usually called __NAME_something. */
static int fail_ifunc(const struct elf_file *f, const struct wanted *w, struct tocsin_err *err)
{
	unsigned shown = 0;
	char list[256] = "";

	for (size_t i = 0; i < f->nr_syms && shown < CANDIDATES_SHOWN; i++) {
		const char *name = f->sym[i].name;
		size_t used = strlen(list);

		if (strncmp(name, "__", 2) == 0 && strncmp(name + 2, w->name, w->name_len) == 0 &&
		    name[2 + w->name_len] == '_') {
			(void)snprintf(list + used, sizeof(list) - used, "%s'%.60s'",
				       shown ? ", " : "", name);
			shown++;
		}
	}
	return tocsin_err_fail(
		-EOPNOTSUPP, err,
		"'%.*s' in '%s' is an IFUNC: the function that is called is chosen when the program "
		"starts; name that one%s%s%s",
		(int)w->name_len, w->name, f->path, shown ? " (" : "", list, shown ? ")" : "");
}

/* Does the file use a function of this name from a library? */
static bool is_imported(const struct elf_file *f, const struct wanted *w)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(f->elf, scn))) {
		Elf_Data *data;
		GElf_Sym s;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_DYNSYM ||
		    shdr.sh_size > ELF_SECTION_MAX)
			continue;
		data = elf_getdata(scn, NULL);
		for (int i = 0; data && gelf_getsym(data, i, &s); i++) {
			const char *name = elf_strptr(f->elf, shdr.sh_link, s.st_name);

			if (s.st_shndx == SHN_UNDEF && name &&
			    strncmp(name, w->name, w->name_len) == 0 && !name[w->name_len])
				return true;
		}
	}
	return false;
}

static void offer_names(const struct elf_file *f, const char *symbol, struct tocsin_nearest *near)
{
	bool is_cxx = strstr(symbol, "::");

	for (size_t i = 0; near && i < f->nr_syms; i++) {
		const char *name = f->sym[i].name, *readable;
		char text[256];

		readable = is_cxx ? demangle_name(name, text, sizeof(text)) : NULL;
		if (!readable) {
			(void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(name, "@"), name);
			readable = text;
		}
		tocsin_nearest_offer(near, readable);
	}
}

int elf_find_func(struct elf_file *f, const char *symbol, struct elf_func *ret,
		  struct tocsin_nearest *near, struct tocsin_err *err)
{
	struct wanted w = wanted_parse(symbol);
	struct matches m = {0};
	int r = elf_load_symbols(f, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < f->nr_syms; i++) {
		int rank = sym_rank(&f->sym[i], &w);

		if (rank)
			match_add(&m, &f->sym[i], rank);
	}
	if (!m.rank)
		match_readable(f, symbol, &m);
	if (!m.rank) {
		if (is_imported(f, &w))
			return tocsin_err_fail(
				-ENOENT, err,
				"'%s' only uses '%s' from a library: name that library", f->path,
				symbol);
		offer_names(f, symbol, near);
		return tocsin_err_fail(-ENOENT, err, "no function '%s' in '%s'%s", symbol, f->path,
				       f->nr_syms ? "" : ", which has no symbols");
	}
	if (m.nr > 1)
		return fail_ambiguous(f, symbol, &m, err);
	if (m.best->flags & SYM_IFUNC)
		return fail_ifunc(f, &w, err);
	func_fill(f, m.best->vaddr, m.best->size, m.best->name, ret);
	return 0;
}

void elf_file_shape(struct elf_file *f, struct elf_shape *ret)
{
	GElf_Ehdr ehdr;
	uint64_t end;

	*ret = (struct elf_shape){.has_symtab = false};
	if (elf_load_symbols(f, NULL) == 0) {
		ret->has_symtab = f->has_symtab;
		ret->has_symbols = f->nr_syms != 0;
	}
	if (!gelf_getehdr(f->elf, &ehdr))
		return;
	ret->is_program = ehdr.e_type == ET_EXEC;
	for (int i = 0; i < ehdr.e_phnum && !ret->is_program; i++) {
		GElf_Phdr phdr;

		ret->is_program = gelf_getphdr(f->elf, i, &phdr) && phdr.p_type == PT_INTERP;
	}
	ret->is_cut = __builtin_add_overflow(ehdr.e_shoff,
					     (uint64_t)ehdr.e_shnum * ehdr.e_shentsize, &end) ||
		      end > f->size_bytes;
}
