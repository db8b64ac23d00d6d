// SPDX-License-Identifier: MIT
/*
 * From sections to probes.
 *
 * A place without a path is looked for in every different program that the targets run, and, for
 * processes that are there already, in the shared libraries that they have mapped; it must be found
 * in one of them at least. Probes are attached for one process each where the targets cannot grow,
 * so that nobody else pays for them; else once for every process that maps the file, and the kernel
 * half sorts out who is watched.
 */
#include "attach.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/cleanup.h"
#include "../elf/bind.h"
#include "attach_files.h"
#include "tracefs.h"

/* x86-64: where struct pt_regs keeps the arguments of a function, in their order. */
static const __u16 func_arg_reg[] = {112, 104, 96, 88, 72, 64};

static void usdt_sites_free(struct elf_usdt *sites, size_t nr)
{
	(void)elf_usdt_free(sites, nr); /* returns NULL always */
}

struct job {
	struct watch_kernel *k;
	const struct attach_targets *targets;
	struct attachment *out;
	struct tocsin_err *err;
	uint32_t *next_cookie;
	const char *role;         /* "start", "stop" */
	struct watch_probe probe; /* what each probe of this place does */
	enum watch_program program;
	int key; /* argument index, -1: none */
};

static int attachment_add(struct attachment *a, void *link, uint32_t cookie)
{
	if (a->nr == a->capacity) {
		size_t capacity = a->capacity ? 2 * a->capacity : 8;
		void **bigger = reallocarray(a->link, capacity, sizeof(*bigger));
		uint32_t *cookies;

		if (!bigger)
			return -ENOMEM;
		a->link = bigger;
		cookies = reallocarray(a->cookie, capacity, sizeof(*cookies));
		if (!cookies)
			return -ENOMEM;
		a->cookie = cookies;
		a->capacity = capacity;
	}
	a->link[a->nr] = link;
	a->cookie[a->nr++] = cookie;
	return 0;
}

static int note_add(struct attachment *a, const char *text)
{
	struct attach_note *bigger = reallocarray(a->note, a->nr_notes + 1, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	a->note = bigger;
	(void)snprintf(bigger[a->nr_notes++].text, sizeof(bigger->text), "%s", text);
	return 0;
}

static int take_cookie(struct job *j, uint32_t *ret)
{
	int r = watch_kernel_set_probe(j->k, *j->next_cookie, &j->probe);

	if (r == -E2BIG)
		return tocsin_err_fail(
			-ENOSPC, j->err,
			"no room for another probe: %u have been placed (--max-probes)",
			*j->next_cookie);
	if (r)
		return tocsin_err_fail(r, j->err, "cannot tell the kernel half about a probe: %s",
				       strerror(-r));
	*ret = (*j->next_cookie)++;
	return 0;
}

/* An attach can succeed and the probe still not stand in the program. */
static int read_back(struct job *j, const struct file *f, const struct bind_point *p)
{
	uint8_t byte = 0;
	int r;

	if (!f->pid)
		return 0;
	r = bind_read_back(f->pid, f->path, p->offset, &byte);
	if (r == -ENOENT || r == -ESRCH)
		return 0; /* not mapped (yet), or gone: nothing to compare */
	if (r)
		return tocsin_err_fail(r, j->err, "cannot read back the probe in process %d: %s",
				       f->pid, strerror(-r));
	if (byte == 0xcc || byte == 0xe8 || j->targets->force)
		return 0;
	return tocsin_err_fail(
		-EPERM, j->err,
		"the kernel accepted a probe on `%s` at '%s'+0x%llx but did not set it: it would never fire",
		p->insn, f->path, (unsigned long long)p->offset);
}

static int attach_point(struct job *j, const struct file *f, const struct bind_point *p,
			bool is_return)
{
	struct watch_uprobe u = {.program = j->program,
				 .path = f->path,
				 .offset = p->offset,
				 .ref_ctr_offset = p->ref_ctr_offset,
				 .is_return = is_return};
	const struct attach_targets *t = j->targets;
	size_t nr = t->open || !t->pids.nr ? 1 : t->pids.nr;
	int r;

	/* A return probe runs when the return address has been popped. */
	j->probe.sp_adjust = is_return ? -8 : p->sp_adjust;
	r = take_cookie(j, &u.cookie);
	for (size_t i = 0; i < nr && !r; i++) {
		void *link = NULL;

		u.pid = t->open || !t->pids.nr ? -1 : t->pids.pid[i];
		r = watch_kernel_attach_uprobe(j->k, &u, &link, j->err);
		if (r == -ESRCH) { /* the process has ended since it was found */
			r = 0;
			continue;
		}
		if (!r) {
			r = attachment_add(j->out, link, u.cookie);
			if (r)
				watch_link_close(link);
		}
	}
	return r ?: read_back(j, f, p);
}

static int say_bound(struct job *j, const struct file *f, const struct bind_point *p,
		     const char *what, const char *how)
{
	const char *base = strrchr(f->path, '/');
	char text[sizeof(((struct attach_note *)0)->text)];

	(void)snprintf(text, sizeof(text), "%s %s at %.100s+0x%llx%s: `%s`, %s", j->role, what,
		       base ? base + 1 : f->path, (unsigned long long)p->offset, how, p->insn,
		       bind_cost_text(p->cost));
	return note_add(j->out, text);
}

/* With --force a place is given though it was refused, and the causes say what may happen: tell,
 * and take them away. */
static int say_forced(struct job *j, unsigned causes_before)
{
	char text[sizeof(((struct attach_note *)0)->text)];
	struct tocsin_err *err = j->err;
	int r = 0;

	while (err && err->nr_causes > causes_before && !r) {
		(void)snprintf(text, sizeof(text), "%s: %.300s",
			       j->targets->force ? "forced" : "left out",
			       err->cause[--err->nr_causes]);
		r = note_add(j->out, text);
	}
	return r;
}

static unsigned causes_of(const struct job *j)
{
	return j->err ? j->err->nr_causes : 0;
}

static int key_from_usdt(struct job *j, const struct elf_usdt *site)
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

static int attach_usdt_sites(struct job *j, struct elf_file *elf, const struct file *f,
			     const struct elf_usdt *sites, size_t nr)
{
	char what[160];
	int r = 0;

	(void)snprintf(what, sizeof(what), "usdt:%s:%s", sites[0].provider, sites[0].name);
	for (size_t i = 0; i < nr && !r; i++) {
		unsigned causes = causes_of(j);
		struct bind_point p;

		r = bind_usdt_site(elf, &sites[i], j->targets->force, &p, j->err);
		r = r ?: say_forced(j, causes);
		r = r ?: key_from_usdt(j, &sites[i]);
		if (!r && (j->probe.action == ACT_NOTE_BEGIN))
			memcpy(j->probe.arg, sites[i].arg, sizeof(j->probe.arg));
		r = r ?: attach_point(j, f, &p, false);
		if (!r && i == 0)
			r = say_bound(j, f, &p, what, "");
	}
	return r;
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

static int attach_usdt(struct job *j, struct elf_file *elf, const struct file *f,
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
	usdt_sites_free(sites, nr);
	return r;
}

static int key_from_registers(struct job *j, const char *what)
{
	if (j->key < 0)
		return 0;
	if ((size_t)j->key >= sizeof(func_arg_reg) / sizeof(func_arg_reg[0]))
		return tocsin_err_fail(-EINVAL, j->err, "%s: only arg0 to arg5 are in registers",
				       what);
	j->probe.key = (struct watch_arg){.kind = ARG_REG, .size = 8, .reg = func_arg_reg[j->key]};
	return 0;
}

static int attach_func(struct job *j, struct elf_file *elf, const struct file *f,
		       const struct place *place, struct tocsin_nearest *near)
{
	struct elf_func func;
	struct bind_point p;
	char what[300];
	int r = elf_find_func(elf, place->name, &func, near, j->err);
	unsigned causes = causes_of(j);

	r = r ?: bind_func_entry(elf, &func, j->targets->force, &p, j->err);
	r = r ?: say_forced(j, causes);
	r = r ?: key_from_registers(j, place->name);
	r = r ?: attach_point(j, f, &p, false);
	(void)snprintf(what, sizeof(what), "func:%s", place->name);
	return r ?: say_bound(j, f, &p, what, "");
}

static int attach_offset(struct job *j, struct elf_file *elf, const struct file *f,
			 const struct place *place)
{
	unsigned causes = causes_of(j);
	struct bind_point p;
	int r;

	if (j->key >= 0)
		return tocsin_err_fail(-EINVAL, j->err,
				       "a section at a file offset has no arguments to pair by");
	r = bind_offset(elf, place->offset, j->targets->force, &p, j->err);
	r = r ?: say_forced(j, causes);
	r = r ?: attach_point(j, f, &p, false);
	return r ?: say_bound(j, f, &p, "offset", "");
}

/* The end of a function that is a section of its own. */
static int attach_returns(struct job *j, struct elf_file *elf, const struct file *f,
			  const struct place *place, struct watch_probe *start_probe)
{
	struct bind_returns ends = {0};
	struct elf_func func;
	char how[300];
	int r = elf_find_func(elf, place->name, &func, NULL, j->err);
	unsigned causes = causes_of(j);

	r = r ?: bind_func_returns(elf, &func, j->targets->force, &ends, j->err);
	r = r ?: say_forced(j, causes);
	j->probe.flags |= WATCH_PROBE_FRAME;
	if (!ends.by_return_probe)
		j->probe.flags |= WATCH_PROBE_ENDS;
	if (ends.switches_stacks)
		j->probe.flags |= WATCH_PROBE_SWITCHES_STACKS;
	start_probe->flags = j->probe.flags;
	for (size_t i = 0; i < ends.nr && !r && !ends.by_return_probe; i++)
		if (ends.point[i].offset == func.offset)
			r = tocsin_err_fail(
				-EPERM, j->err,
				"'%s' only jumps to another function: watch that one, or give an explicit stop",
				place->name);
	for (size_t i = 0; i < ends.nr && !r; i++)
		r = attach_point(j, f, &ends.point[i], ends.by_return_probe);
	if (!r) {
		(void)snprintf(how, sizeof(how), " (%s)", ends.why);
		r = ends.nr ? say_bound(j, f, &ends.point[0],
					ends.by_return_probe ? "return" : "each return", how)
			    : 0;
	}
	bind_returns_done(&ends);
	return r;
}

static struct watch_probe probe_for(const struct section *s, uint32_t index,
				    enum watch_action action)
{
	return (struct watch_probe){.action = (__u8)action,
				    .section = (__u16)index,
				    .budget_ns = s->budget_ns,
				    .flags = s->start_key >= 0 ? WATCH_PROBE_KEYED : 0};
}

/* Attach one place in one file. 0: attached; 1: not there. */
static int attach_in_file(struct job *j, const struct section *s, const struct place *place,
			  const struct file *f, struct tocsin_nearest *near)
{
	struct elf_file *elf TOCSIN_CLEANUP(elf_file_freep) = NULL;
	bool to_return = j->probe.action == ACT_START && s->stop.kind == PLACE_NONE &&
			 place->kind == PLACE_FUNC;
	struct watch_probe start = j->probe;
	int r = elf_file_open(f->path, &elf, j->err);

	if (r)
		return r;
	if (to_return) {
		struct elf_func func;

		r = elf_find_func(elf, place->name, &func, near, j->err);
		if (r)
			return r == -ENOENT ? 1 : r;
		/* the stop first: no section may start that cannot end */
		j->probe.action = ACT_STOP;
		j->program = WATCH_PROBE_STOP;
		j->role = "stop";
		r = attach_returns(j, elf, f, place, &start);
		j->probe = start;
		j->program = WATCH_PROBE_START;
		j->role = "start";
		if (r)
			return r;
	}
	switch (place->kind) {
	case PLACE_USDT: r = attach_usdt(j, elf, f, place, near); break;
	case PLACE_FUNC: r = attach_func(j, elf, f, place, near); break;
	case PLACE_OFFSET: r = attach_offset(j, elf, f, place); break;
	case PLACE_NONE:
	case PLACE_SYSCALL:
	case PLACE_TRACEPOINT: r = -EINVAL; break;
	}
	return r == -ENOENT ? 1 : r;
}

static int not_found(const struct place *place, const struct tocsin_nearest *near,
		     struct tocsin_err *err)
{
	char names[400], what[400];

	(void)tocsin_nearest_text(near, names, sizeof(names));
	return tocsin_err_fail(-ENOENT, err, "no '%s' in the watched program%s%s",
			       place_text(place, what, sizeof(what)),
			       names[0] ? ": did you mean " : "", names);
}

static int attach_in_files(struct job *j, const struct section *s, const struct place *place)
{
	struct file_list files TOCSIN_CLEANUP(file_list_done) = {0};
	struct tocsin_nearest near;
	size_t programs, found = 0;
	char wanted[256];
	int r;

	if (place->kind == PLACE_USDT)
		(void)snprintf(wanted, sizeof(wanted), "%s:%s", place->group, place->name);
	else
		(void)snprintf(wanted, sizeof(wanted), "%s", place->name ? place->name : "");
	tocsin_nearest_init(&near, wanted);
	r = place->path ? files_named(j->targets, place->path, &files, j->err)
			: files_of_programs(j->targets, &files, j->err);
	programs = files.nr;
	for (size_t i = 0; i < files.nr && r >= 0; i++) {
		unsigned causes = j->err ? j->err->nr_causes : 0;

		r = attach_in_file(j, s, place, &files.item[i], &near);
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
	return found ? 0 : not_found(place, &near, j->err);
}

static int attach_record(struct job *j, const char *category, const char *name, unsigned key_skip)
{
	struct tocsin_nearest near;
	char names[400];
	uint32_t cookie;
	void *link = NULL;
	int r;

	tocsin_nearest_init(&near, name);
	r = tracefs_check(category, name, &near, j->err);
	if (r == -ENOENT)
		return tocsin_err_fail(r, j->err, "no tracepoint '%s:%s'%s%s", category, name,
				       near.nr ? ": did you mean " : "",
				       tocsin_nearest_text(&near, names, sizeof(names)));
	if (r)
		return tocsin_err_fail(r, j->err, "cannot look for the tracepoint '%s:%s': %s",
				       category, name, strerror(-r));
	if (j->key >= 0)
		r = tracefs_field(category, name, (unsigned)j->key + key_skip, &j->probe.key,
				  j->err);
	r = r ?: take_cookie(j, &cookie);
	r = r
		    ?: watch_kernel_attach_tracepoint(j->k, j->program, category, name, cookie,
						      &link, j->err);
	if (r)
		return r;
	r = attachment_add(j->out, link, cookie);
	if (r)
		watch_link_close(link);
	(void)snprintf(names, sizeof(names), "%s %s:%s: tracepoint%s", j->role, category, name,
		       strcmp(category, "syscalls")
			       ? ""
			       : "; every system call of the machine costs some 100 ns more");
	return r ?: note_add(j->out, names);
}

static int attach_syscall(struct job *j, const char *name, const char *side)
{
	char tracepoint[128];

	(void)snprintf(tracepoint, sizeof(tracepoint), "sys_%s_%s", side, name);
	return attach_record(j, "syscalls", tracepoint, 1); /* behind the number */
}

static int attach_place(struct job *j, const struct section *s, const struct place *place)
{
	switch (place->kind) {
	case PLACE_USDT:
	case PLACE_FUNC:
	case PLACE_OFFSET: return attach_in_files(j, s, place);
	case PLACE_SYSCALL:
		j->program = j->probe.action == ACT_START ? WATCH_RECORD_START : WATCH_RECORD_STOP;
		return attach_syscall(j, place->name, "enter");
	case PLACE_TRACEPOINT:
		j->program = j->probe.action == ACT_START ? WATCH_RECORD_START : WATCH_RECORD_STOP;
		return attach_record(j, place->group, place->name, 0);
	case PLACE_NONE: break;
	}
	return -EINVAL;
}

int attach_section(struct watch_kernel *k, const struct section *section, uint32_t index,
		   const struct attach_targets *targets, uint32_t *next_cookie,
		   struct attachment *ret, struct tocsin_err *err)
{
	struct attachment a = {0};
	struct job j = {.k = k,
			.targets = targets,
			.out = &a,
			.err = err,
			.next_cookie = next_cookie,
			.role = "stop",
			.key = section->stop_key,
			.program = WATCH_PROBE_STOP,
			.probe = probe_for(section, index, ACT_STOP)};
	int r = 0;

	/* The stop first: no section may start that cannot end. */
	if (section->stop.kind != PLACE_NONE) {
		r = attach_place(&j, section, &section->stop);
	} else if (section->start.kind == PLACE_SYSCALL) {
		j.program = WATCH_RECORD_STOP;
		r = attach_syscall(&j, section->start.name, "exit");
	}
	j.role = "start";
	j.key = section->start_key;
	j.program = WATCH_PROBE_START;
	j.probe = probe_for(section, index, ACT_START);
	r = r ?: attach_place(&j, section, &section->start);
	if (r) {
		attachment_silence(k, &a);
		attachment_done(&a);
		return r;
	}
	*ret = a;
	return 0;
}

/* --- notes
 * --------------------------------------------------------------------------------------------------------
 */

static const struct {
	const char *provider;
	const char *begin;
	const char *end;
	bool text; /* the first argument is the address of a text */
} notes[] = {
#define NOTE_IS_TEXT_NUMBER                           false
#define NOTE_IS_TEXT_TEXT                             true
#define X(NAME, provider, begin, end, decoder, first) {provider, begin, end, NOTE_IS_TEXT_##first},
#include "../abi/notes.def"
#undef X
};

static int attach_note_pair(struct job *j, struct elf_file *elf, const struct file *f, size_t kind)
{
	struct elf_usdt *begin = NULL, *end = NULL;
	size_t nr_begin = 0, nr_end = 0;
	int r = elf_find_usdt(elf, notes[kind].provider, notes[kind].begin, &begin, &nr_begin, NULL,
			      NULL);

	r = r
		    ?: elf_find_usdt(elf, notes[kind].provider, notes[kind].end, &end, &nr_end,
				     NULL, NULL);
	j->probe = (struct watch_probe){.action = ACT_NOTE_END, .section = (__u16)kind};
	r = r ?: attach_usdt_sites(j, elf, f, end, nr_end);
	j->probe.action = ACT_NOTE_BEGIN;
	if (!r && notes[kind].text)
		for (size_t i = 0; i < nr_begin; i++) {
			begin[i].arg[3] =
				begin[i].arg[1]; /* behind the text, which takes three places */
			begin[i].arg[1].kind = begin[i].arg[2].kind = ARG_NONE;
			begin[i].arg[0].kind =
				begin[i].arg[0].kind == ARG_REG ? ARG_STRING : ARG_NONE;
		}
	r = r ?: attach_usdt_sites(j, elf, f, begin, nr_begin);
	usdt_sites_free(begin, nr_begin);
	usdt_sites_free(end, nr_end);
	return r == -ENOENT ? 0 : r;
}

static const struct {
	const char *provider;
	const char *probe;
} doubts[] = {
#define X(provider, probe) {provider, probe},
#include "../abi/doubts.def"
#undef X
};

static int attach_doubt(struct job *j, struct elf_file *elf, const struct file *f, size_t i)
{
	struct elf_usdt *sites = NULL;
	size_t nr = 0;
	int r = elf_find_usdt(elf, doubts[i].provider, doubts[i].probe, &sites, &nr, NULL, NULL);

	j->probe = (struct watch_probe){.action = ACT_DOUBT};
	r = r ?: attach_usdt_sites(j, elf, f, sites, nr);
	usdt_sites_free(sites, nr);
	return r == -ENOENT ? 0 : r;
}

/* What helps to explain may fail where what was asked for does not: a place that is refused is left
 * out. */
static int forgive_refusal(struct job *j, int r, unsigned causes)
{
	if (r != -EPERM && r != -ENOTSUP)
		return r;
	(void)say_forced(j, causes); /* no memory for a remark: the remark is lost */
	return 0;
}

int attach_notes(struct watch_kernel *k, const struct attach_targets *targets,
		 uint32_t *next_cookie, struct attachment *ret, struct tocsin_err *err)
{
	struct file_list files TOCSIN_CLEANUP(file_list_done) = {0};
	struct attachment a = {0};
	struct job j = {.k = k,
			.targets = targets,
			.out = &a,
			.err = err,
			.next_cookie = next_cookie,
			.role = "note",
			.key = -1,
			.program = WATCH_NOTE};
	int r = 0;

	if (files_of_programs(targets, &files, NULL))
		return 0; /* nothing to look in: sections that name their files need none */
	for (size_t i = 0; i < files.nr && !r; i++) {
		struct elf_file *elf TOCSIN_CLEANUP(elf_file_freep) = NULL;

		if (elf_file_open(files.item[i].path, &elf, NULL))
			continue; /* no ELF file has no notes */
		for (size_t kind = 0; kind < sizeof(notes) / sizeof(notes[0]) && !r; kind++)
			r = forgive_refusal(&j, attach_note_pair(&j, elf, &files.item[i], kind), 0);
		for (size_t n = 0; n < sizeof(doubts) / sizeof(doubts[0]) && !r; n++)
			r = forgive_refusal(&j, attach_doubt(&j, elf, &files.item[i], n), 0);
	}
	if (r) {
		attachment_done(&a);
		return r;
	}
	*ret = a;
	return 0;
}

/* The kernel takes probes away some time after their links are closed, and not in our order: a
 * start that still fires would open what no stop closes. */
void attachment_silence(struct watch_kernel *k, const struct attachment *a)
{
	static const struct watch_probe nothing; /* ACT_NONE */

	for (size_t i = 0; i < a->nr; i++)
		(void)watch_kernel_set_probe(k, a->cookie[i],
					     &nothing); /* the place exists: cannot fail */
}

void attachment_done(struct attachment *a)
{
	for (size_t i = 0; i < a->nr; i++)
		watch_link_close(a->link[i]);
	free(a->link);
	free(a->cookie);
	free(a->note);
	*a = (struct attachment){0};
}
