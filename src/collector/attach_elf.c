// SPDX-License-Identifier: MIT
/*
 * Places in programs and libraries.
 *
 * A place without a path is looked for in every different program that the targets run, and, for
 * processes that are there already, in the shared libraries that they have mapped; it must be found
 * in one of them at least.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"
#include "attach_around.h"
#include "attach_job.h"

/* x86-64: where struct pt_regs keeps the arguments of a function, in their order. */
static const __u16 func_arg_reg[] = {112, 104, 96, 88, 72, 64};

/* What was learnt while a place was not found. */
struct search {
	struct tocsin_nearest near;
	size_t nr_files;        /* looked into */
	struct elf_shape shape; /* of the first */
	bool has_usdt;          /* the first has some */
	char path[PATH_MAX];
	char cause[TOCSIN_ERR_CAUSE_LEN]; /* what the first lookup said */
};

static int key_from_usdt(struct attach_job *j, const struct elf_usdt *site)
{
	if (j->key < 0)
		return 0;
	if ((unsigned)j->key >= site->nr_args)
		return tocsin_err_fail(-EINVAL, j->err, "%s:%s has %u arguments: there is no arg%d",
				       site->provider, site->name, site->nr_args, j->key);
	if (site->arg[j->key].kind == ARG_NONE)
		return tocsin_err_fail(-EINVAL, j->err, "arg%d of %s:%s cannot be read: %s", j->key,
				       site->provider, site->name, site->arg_fault[j->key]);
	j->probe.key = site->arg[j->key];
	return 0;
}

static int values_from_usdt(struct attach_job *j, const struct elf_usdt *site)
{
	int wanted = j->key, r = 0;

	for (int i = 0; j->values && i < WATCH_ARGS && !r; i++) {
		if (!(j->values->args >> i & 1))
			continue;
		j->key = i;
		r = key_from_usdt(j, site);
		j->probe.arg[i] = j->probe.key;
	}
	j->key = wanted;
	return r;
}

int attach_usdt_sites(struct attach_job *j, struct elf_file *elf, const struct file *f,
		      const struct elf_usdt *sites, size_t nr)
{
	char what[160];
	int r = 0;

	(void)snprintf(what, sizeof(what), "usdt:%s:%s", sites[0].provider, sites[0].name);
	for (size_t i = 0; i < nr && !r; i++) {
		unsigned causes = attach_causes(j);
		struct bind_point p;

		r = bind_usdt_site(elf, &sites[i], j->targets->force, &p, j->err);
		r = r ?: attach_say_forced(j, causes);
		r = r ?: key_from_usdt(j, &sites[i]);
		r = r ?: values_from_usdt(j, &sites[i]);
		if (!r && (j->probe.action == ACT_NOTE_BEGIN))
			memcpy(j->probe.arg, sites[i].arg, sizeof(j->probe.arg));
		r = r ?: attach_point(j, &p, false);
		if (!r && i == 0)
			r = attach_say(j, f, &p, what, "");
	}
	return r ? attach_points_drop(j, r) : attach_points(j, f);
}

struct name_search {
	const char *name;
	char provider[128];
	unsigned found;
};

static int provider_match(const char *provider, const char *name, void *arg)
{
	struct name_search *s = arg;

	if (strcmp(name, s->name) || (s->found && !strcmp(provider, s->provider)))
		return 0;
	(void)snprintf(s->provider, sizeof(s->provider), "%s", provider);
	s->found++;
	return 0;
}

/* The provider of PostgreSQL's probes is `postgresql` and its program `postgres`: the program's
 * name stands for the one provider in it that has such a probe. */
static int usdt_by_program_name(struct elf_file *elf, const struct file *f,
				const struct place *place, struct elf_usdt **sites, size_t *nr,
				struct tocsin_nearest *near)
{
	const char *base = strrchr(f->path, '/');
	struct name_search s = {.name = place->name};
	int r;

	if (strcmp(base ? base + 1 : f->path, place->group))
		return -ENOENT;
	r = elf_for_each_usdt(elf, provider_match, &s, NULL);
	if (r || s.found != 1)
		return r ?: -ENOENT;
	return elf_find_usdt(elf, s.provider, place->name, sites, nr, near, NULL);
}

static int attach_usdt(struct attach_job *j, struct elf_file *elf, const struct file *f,
		       const struct place *place, struct tocsin_nearest *near)
{
	struct elf_usdt *sites = NULL;
	size_t nr = 0;
	int r = elf_find_usdt(elf, place->group, place->name, &sites, &nr, near, NULL);

	if (r == -ENOENT && !place->path)
		r = usdt_by_program_name(elf, f, place, &sites, &nr, near);
	if (r)
		return r;
	r = attach_usdt_sites(j, elf, f, sites, nr);
	(void)elf_usdt_free(sites, nr); /* returns NULL always */
	return r;
}

static int key_from_registers(struct attach_job *j, const char *what)
{
	if (j->key < 0)
		return 0;
	if ((size_t)j->key >= sizeof(func_arg_reg) / sizeof(func_arg_reg[0]))
		return tocsin_err_fail(-EINVAL, j->err, "%s: only arg0 to arg5 are in registers",
				       what);
	j->probe.key = (struct watch_arg){.kind = ARG_REG, .size = 8, .reg = func_arg_reg[j->key]};
	return 0;
}

#define REG_RETURN 80 /* rax */

/* The wanted values at a function's first instruction, or behind its last. */
static int values_from_registers(struct attach_job *j)
{
	for (unsigned i = 0; j->values && i < WATCH_ARGS; i++) {
		struct watch_arg *arg = &j->probe.arg[i];

		if (!(j->values->args >> i & 1))
			continue;
		if (j->values->is_end && i)
			return tocsin_err_fail(-EINVAL, j->err,
					       "of a function's end only its value is there: arg0");
		*arg = (struct watch_arg){.kind = ARG_REG,
					  .size = 8,
					  .reg = j->values->is_end ? REG_RETURN : func_arg_reg[i]};
	}
	return 0;
}

static int attach_entry(struct attach_job *j, struct elf_file *elf, const struct file *f,
			const struct place *place, const struct elf_func *func)
{
	unsigned causes = attach_causes(j);
	struct bind_point p;
	char what[300];
	int r = bind_func_entry(elf, func, j->targets->force, &p, j->err);

	r = r ?: attach_say_forced(j, causes);
	r = r ?: key_from_registers(j, place->name);
	r = r ?: values_from_registers(j);
	r = r ?: attach_point(j, &p, false);
	r = r ?: attach_points(j, f);
	(void)snprintf(what, sizeof(what), "func:%s", place->name);
	return r ?: attach_say(j, f, &p, what, "");
}

static int attach_offset(struct attach_job *j, struct elf_file *elf, const struct file *f,
			 const struct place *place)
{
	unsigned causes = attach_causes(j);
	struct bind_point p;
	int r;

	if (j->key >= 0 || (j->values && j->values->args))
		return tocsin_err_fail(-EINVAL, j->err,
				       "a section at a file offset has no arguments to pair by");
	r = bind_offset(elf, place->offset, j->targets->force, &p, j->err);
	r = r ?: attach_say_forced(j, causes);
	r = r ?: attach_point(j, &p, false);
	r = r ?: attach_points(j, f);
	return r ?: attach_say(j, f, &p, "offset", "");
}

/* The end of a function that is a section of its own. */
static int attach_returns(struct attach_job *j, struct elf_file *elf, const struct file *f,
			  const struct place *place, const struct elf_func *func,
			  struct watch_probe *start_probe)
{
	unsigned causes = attach_causes(j);
	struct bind_returns ends = {0};
	struct bind_around around;
	char how[300];
	int r = attach_around(j->targets, elf, f, &around);

	r = r ?: bind_func_returns(elf, func, &around, j->targets->force, &ends, j->err);
	r = r ?: attach_say_forced(j, causes);
	j->probe.flags |= WATCH_PROBE_FRAME;
	if (!ends.by_return_probe)
		j->probe.flags |= WATCH_PROBE_ENDS;
	if (ends.switches_stacks)
		j->probe.flags |= WATCH_PROBE_SWITCHES_STACKS;
	start_probe->flags = j->probe.flags;
	for (size_t i = 0; i < ends.nr && !r && !ends.by_return_probe; i++)
		if (ends.point[i].offset == func->offset)
			r = tocsin_err_fail(
				-EPERM, j->err,
				"'%s' only jumps to another function: watch that one, or give an explicit stop",
				place->name);
	for (size_t i = 0; i < ends.nr && !r; i++)
		r = attach_point(j, &ends.point[i], ends.by_return_probe);
	r = r ? attach_points_drop(j, r) : attach_points(j, f);
	if (!r) {
		(void)snprintf(how, sizeof(how), " (%s)", ends.why);
		r = ends.nr ? attach_say(j, f, &ends.point[0],
					 ends.by_return_probe ? "return" : "each return", how)
			    : 0;
	}
	bind_returns_done(&ends);
	return r;
}

/* A function as a place, or, where a start has no stop, as a section of its own: then its ends
 * first, since no section may start that cannot end. */
static int attach_func(struct attach_job *j, const struct section *s, struct elf_file *elf,
		       const struct file *f, const struct place *place, struct tocsin_nearest *near)
{
	struct watch_probe start = j->probe;
	struct elf_func func;
	int r = elf_find_func(elf, place->name, &func, near, j->err);

	if (!r && j->values && j->values->is_end) {
		r = values_from_registers(j);
		return r ?: attach_returns(j, elf, f, place, &func, &start);
	}
	if (!r && j->probe.action == ACT_START && s->stop.kind == PLACE_NONE) {
		j->probe.action = ACT_STOP;
		j->program = WATCH_PROBE_STOP;
		j->role = "stop";
		r = attach_returns(j, elf, f, place, &func, &start);
		j->probe = start;
		j->program = WATCH_PROBE_START;
		j->role = "start";
	}
	return r ?: attach_entry(j, elf, f, place, &func);
}

/* Why a name may be missing in a file: the end of a sentence. */
static const char *blame(const struct place *place, const struct search *search)
{
	const struct elf_shape *shape = &search->shape;

	if (shape->is_cut)
		return ": the file is damaged, its table of sections lies beyond its end";
	if (place->kind == PLACE_USDT)
		return search->has_usdt ? "" : ": the file has no USDT probes";
	if (!shape->has_symbols)
		return ": the file is stripped of all names: install its debug symbols, or give "
		       "offsets, as in 'PATH:0x1234 .. PATH:0x1260 < 1ms'";
	if (!shape->has_symtab)
		return ": the file is stripped of the names that it does not export: install its "
		       "debug symbols, or give offsets, as in 'PATH:0x1234 .. PATH:0x1260 < 1ms'";
	return "";
}

static int any_usdt(const char *provider, const char *name, void *arg)
{
	(void)provider;
	(void)name;
	*(bool *)arg = true;
	return 1;
}

/* Attach one place in one file. 0: attached; 1: not there. */
static int attach_in_file(struct attach_job *j, const struct section *s, const struct place *place,
			  const struct file *f, struct search *search)
{
	struct elf_file *elf TOCSIN_CLEANUP(elf_file_freep) = NULL;
	unsigned causes = attach_causes(j);
	int r = elf_file_open(f->path, &elf, j->err);

	if (r)
		return r;
	switch (place->kind) {
	case PLACE_USDT: r = attach_usdt(j, elf, f, place, &search->near); break;
	case PLACE_FUNC: r = attach_func(j, s, elf, f, place, &search->near); break;
	case PLACE_OFFSET: r = attach_offset(j, elf, f, place); break;
	case PLACE_NONE:
	case PLACE_SYSCALL:
	case PLACE_TRACEPOINT: r = -EINVAL; break;
	}
	if (r != -ENOENT)
		return r;
	if (!search->nr_files++) {
		elf_file_shape(elf, &search->shape);
		(void)elf_for_each_usdt(elf, any_usdt, &search->has_usdt, NULL);
		(void)snprintf(search->path, sizeof(search->path), "%s", f->path);
		if (attach_causes(j) > causes)
			(void)snprintf(search->cause, sizeof(search->cause), "%s",
				       j->err->cause[causes]);
	}
	return 1;
}

/* What is said names the file where there was one, and its shape, which may be why; of several,
 * that the program was not all. */
static int not_found(const struct attach_job *j, const struct place *place,
		     const struct search *search)
{
	const char *why = blame(place, search);
	char names[400], what[400], hint[400] = "";

	(void)tocsin_nearest_text(&search->near, names, sizeof(names));
	(void)place_text(place, what, sizeof(what));
	if (!search->nr_files)
		return tocsin_err_fail(-ENOENT, j->err, "no '%s': no file to look in", what);
	if (strstr(search->cause, "only uses")) /* from where is known, then */
		return tocsin_err_fail(-ENOENT, j->err, "%s, as in 'func:libNAME.so:%s'",
				       search->cause, place->name);
	if (place->path)
		return tocsin_err_fail(-ENOENT, j->err, "no '%s'%s%s%s", what,
				       names[0] ? ": did you mean " : "", names, why);
	if (!names[0] && !why[0])
		(void)snprintf(hint, sizeof(hint),
			       ": in a library that is not mapped yet it is found by name, as in "
			       "'%s:libNAME.so:%s%s%s'",
			       place->kind == PLACE_USDT ? "usdt" : "func",
			       place->kind == PLACE_USDT ? place->group : "",
			       place->kind == PLACE_USDT ? ":" : "", place->name);
	return tocsin_err_fail(
		-ENOENT, j->err, "no '%s' in '%s'%s%s%s%s", what, search->path,
		search->nr_files > 1 ? " or what else the watched processes have mapped" : "",
		names[0] ? ": did you mean " : "", names, hint[0] ? hint : why);
}

int attach_in_files(struct attach_job *j, const struct section *s, const struct place *place)
{
	struct file_list files TOCSIN_CLEANUP(file_list_done) = {0};
	struct search search = {.nr_files = 0};
	size_t programs, found = 0;
	char wanted[256];
	int r;

	if (place->kind == PLACE_USDT)
		(void)snprintf(wanted, sizeof(wanted), "%s:%s", place->group, place->name);
	else
		(void)snprintf(wanted, sizeof(wanted), "%s", place->name ? place->name : "");
	tocsin_nearest_init(&search.near, wanted);
	r = place->path ? files_named(j->targets, place->path, &files, j->err)
			: files_of_programs(j->targets, &files, j->err);
	programs = files.nr;
	for (size_t i = 0; i < files.nr && r >= 0; i++) {
		unsigned causes = attach_causes(j);

		r = attach_in_file(j, s, place, &files.item[i], &search);
		if (!r)
			found++;
		if (r == 1 && j->err)
			j->err->nr_causes =
				causes; /* "not in this one" is no failure while others are left */
		if (i + 1 == programs && programs == files.nr && !found && r >= 0 && !place->path)
			r = files_of_libraries(j->targets, &files);
	}
	if (r < 0)
		return r;
	return found ? 0 : not_found(j, place, &search);
}
