// SPDX-License-Identifier: MIT
/*
 * A watch, from its parts. The records of one late section come as its spells, then the section;
 * between them those of other threads may stand, so spells are kept by (thread, serial) until their
 * section arrives. One that never does, because the ring was full, is dropped when the table is
 * full, and counted.
 */
#include "watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "watch_linked.h"

/* Between two looks for linked programs and their sections; after one has begun, for so long, it is
 * about to describe them. */
#define LOOK_NS       100000000ull
#define LOOK_YOUNG_NS 2000000ull
#define YOUNG_NS      500000000ull

#define PENDING_MAX \
	256 /* threads that may be sending the spells of a late section at the same time */

struct pending {
	uint64_t serial;
	uint32_t tid; /* 0: free */
	unsigned nr;
	unsigned capacity;
	struct watch_spell *spell;
};

struct entry {
	struct section section;
	struct attachment attachment;
	bool active;
	uint64_t since_ns;   /* before its first probe: what is older is not of it but of a section
				that could not be attached */
	uint64_t removed_ns; /* when its probes were told to do nothing, 0: not removed */
	uint64_t nr_open_at_removal;
	bool is_linked; /* defined by programs; its index means the same in all of them */
};

struct watch {
	struct watch_kernel *kernel;
	const struct watch_handlers *handlers;
	struct attach_targets targets;
	struct entry entry[WATCH_SECTIONS_MAX];
	unsigned nr_entries;
	unsigned max_entries;
	uint32_t next_cookie;
	struct attachment notes;
	struct pending pending[PENDING_MAX];
	uint64_t records_lost;
	bool wants_notes;
	bool may_get_more; /* by name, cgroup, or all */
	bool all, follow;
	const char *const *comm;
	size_t nr_comms;
	char cgroup_dir[4096]; /* "": none */
	struct linked *linked; /* NULL: not wanted */
	struct stacks *stacks; /* NULL: not wanted */
	uint64_t look_ns;      /* when to look again */
	uint64_t young_ns;     /* until then a process is young */
};

static void watch_closep(struct watch **w)
{
	watch_close(*w);
}

/* --- processes
 * ----------------------------------------------------------------------------------------------------
 */

static int check_pids(const struct pid_set *pids, struct tocsin_err *err)
{
	char exe[64], program[2];

	for (size_t i = 0; i < pids->nr; i++) {
		if (!process_exists(pids->pid[i]))
			return tocsin_err_fail(-ESRCH, err, "no process %d", pids->pid[i]);
		(void)snprintf(exe, sizeof(exe), "/proc/%d/exe", pids->pid[i]);
		if (process_of_thread(pids->pid[i]) != pids->pid[i])
			return tocsin_err_fail(
				-ESRCH, err,
				"%d is a thread of process %d: watch that, as in -p %d",
				pids->pid[i], process_of_thread(pids->pid[i]),
				process_of_thread(pids->pid[i]));
		if (readlink(exe, program, sizeof(program)) < 0 && errno == ENOENT)
			return tocsin_err_fail(-ESRCH, err,
					       "process %d runs no program: it is a kernel thread",
					       pids->pid[i]);
	}
	return 0;
}

/* The processes that are meant by number, name, control group and descent, as of now. */
static int processes_now(const struct watch *w, const struct pid_set *asked, struct pid_set *set)
{
	int r = 0;

	for (size_t i = 0; i < asked->nr && !r; i++)
		r = pid_set_add(set, asked->pid[i]);
	for (size_t i = 0; i < w->nr_comms && !r; i++)
		r = process_find_comm(w->comm[i], set);
	if (!r && w->cgroup_dir[0])
		r = cgroup_add_processes(w->cgroup_dir, set);
	if (!r && w->follow)
		r = process_add_descendants(set);
	return r;
}

/* After the fork hook is attached, so that no child is missed in between. */
static int find_processes(struct watch *w, const struct pid_set *asked, struct tocsin_err *err)
{
	int r = processes_now(w, asked, &w->targets.pids);

	for (size_t i = 0; i < w->targets.pids.nr && !r; i++)
		r = watch_kernel_add_process(w->kernel, (uint32_t)w->targets.pids.pid[i]);
	for (size_t i = 0; w->stacks && i < w->targets.pids.nr; i++)
		stacks_prepare(w->stacks, (uint32_t)w->targets.pids.pid[i]);
	if (r == -E2BIG)
		return tocsin_err_fail(
			-ENOSPC, err,
			"%zu processes are to be watched, more than there is room for "
			"(--max-processes)",
			w->targets.pids.nr);
	return r ? tocsin_err_fail(r, err, "cannot find the processes to watch: %s", strerror(-r))
		 : 0;
}

int watch_open(const struct watch_options *opts, const struct watch_handlers *handlers,
	       struct watch **ret, struct tocsin_err *err)
{
	struct watch *w TOCSIN_CLEANUP(watch_closep) = calloc(1, sizeof(*w));
	struct watch_kernel_config cfg = opts->kernel;
	struct cgroup_place cgroup;
	int r;

	if (!w)
		return -ENOMEM;
	r = check_pids(&opts->pids, err);
	if (!r && opts->cgroup) {
		r = cgroup_find(opts->cgroup, &cgroup, w->cgroup_dir, sizeof(w->cgroup_dir), err);
		if (!r) {
			cfg.cgroup_id = cgroup.id;
			r = watch_kernel_cgroup_subsys(cgroup.controller, &cfg.cgroup_subsys, err);
		}
	}
	if (r)
		return r;
	cfg.comm = opts->comm;
	cfg.nr_comms = (uint32_t)opts->nr_comms;
	w->handlers = handlers;
	w->max_entries = cfg.max_sections;
	w->wants_notes = opts->notes;
	w->targets.force = opts->force;
	w->may_get_more = cfg.all || cfg.nr_comms || opts->cgroup;
	w->targets.open = w->may_get_more || cfg.follow;
	w->all = cfg.all;
	w->follow = cfg.follow;
	w->comm = opts->comm;
	w->nr_comms = opts->nr_comms;
	w->targets.program = opts->program;
	w->targets.program_pid = opts->program_pid;
	cfg.stack_session = (uint64_t)clock_realtime_offset_ns() + clock_now_ns();
	r = watch_kernel_open(&cfg, &w->kernel, err);
	if (!r && cfg.stack_bytes)
		r = stacks_open(&(struct stacks_options){.kernel = w->kernel,
							 .session = cfg.stack_session,
							 .cache_dir = opts->stack_cache},
				&w->stacks);
	r = r ?: find_processes(w, &opts->pids, err);
	if (r)
		return r;
	*ret = tocsin_take_ptr(&w);
	return 0;
}

struct watch *watch_close(struct watch *w)
{
	struct attachment *all[WATCH_SECTIONS_MAX + 1];

	if (!w)
		return NULL;
	for (unsigned i = 0; i < w->nr_entries; i++) {
		all[i] = &w->entry[i].attachment;
		section_done(&w->entry[i].section);
	}
	all[w->nr_entries] = &w->notes;
	attachments_done(all, w->nr_entries + 1);
	linked_close(w->linked);
	(void)stacks_close(w->stacks); /* always NULL */
	for (unsigned i = 0; i < PENDING_MAX; i++)
		free(w->pending[i].spell);
	watch_kernel_close(w->kernel);
	pid_set_done(&w->targets.pids);
	free(w);
	return NULL;
}

/* --- sections
 * -----------------------------------------------------------------------------------------------------
 */

static bool same_start(const struct section *a, const struct section *b)
{
	return a->is_tlob && b->is_tlob && a->start.offset == b->start.offset &&
	       !strcmp(a->start.path, b->start.path);
}

/* Some probes of a section that could not be attached may have stood for a moment, and its index is
 * the next section's. */
static void index_clear(struct watch *w, uint32_t first_cookie, struct tocsin_err *err)
{
	if (first_cookie == w->next_cookie)
		return;
	if (watch_kernel_reset_section(w->kernel, w->nr_entries, err))
		w->max_entries = w->nr_entries; /* better no more sections than wrong ones */
}

int watch_add(struct watch *w, struct section *s, struct tocsin_err *err)
{
	struct entry *e = &w->entry[w->nr_entries];
	uint32_t first_cookie = w->next_cookie;
	int r;

	for (unsigned i = 0; i < w->nr_entries; i++) {
		const struct section *other = &w->entry[i].section;

		if (w->entry[i].active && (!strcmp(other->name, s->name) || same_start(other, s)))
			return tocsin_err_fail(-EEXIST, err, "there is a section '%s' already: %s",
					       other->name, other->text);
	}
	if (w->nr_entries == w->max_entries)
		return tocsin_err_fail(
			-ENOSPC, err,
			"no room for another section: %u have been defined (--max-sections)",
			w->max_entries);
	e->since_ns = clock_now_ns();
	r = attach_section(w->kernel, s, w->nr_entries, &w->targets, &w->next_cookie,
			   &e->attachment, err);
	if (!r && w->wants_notes && !w->nr_entries) {
		r = attach_notes(w->kernel, &w->targets, &w->next_cookie, &w->notes, err);
		if (r) {
			attachment_silence(w->kernel, &e->attachment);
			attachment_done(&e->attachment);
		}
	}
	if (r) {
		index_clear(w, first_cookie, err);
		return r;
	}
	e->section = *s;
	*s = (struct section){0};
	e->active = true;
	w->nr_entries++;
	return 0;
}

/* From here on its probes do nothing; they are taken away by attachments_done(). */
static int entry_end(struct watch *w, unsigned i, struct tocsin_err *err)
{
	struct entry *e = &w->entry[i];
	int r;

	e->removed_ns = clock_now_ns();
	attachment_silence(w->kernel, &e->attachment);
	r = watch_kernel_drop_section(w->kernel, i, &e->nr_open_at_removal, err);
	e->active = false;
	return r;
}

void watch_silence(struct watch *w)
{
	for (unsigned i = 0; i < w->nr_entries; i++)
		attachment_silence(w->kernel, &w->entry[i].attachment);
}

static int remove_and_count(struct watch *w, unsigned i, uint64_t *ret_open, struct tocsin_err *err)
{
	int r = entry_end(w, i, err);

	attachment_done(&w->entry[i].attachment);
	if (!r)
		*ret_open = w->entry[i].nr_open_at_removal;
	return r;
}

/* The active section that starts at this offset. Return: its place, or nr_entries. */
static unsigned find_start(const struct watch *w, const char *path, uint64_t offset)
{
	unsigned i;

	for (i = 0; i < w->nr_entries; i++) {
		const struct section *s = &w->entry[i].section;

		if (w->entry[i].active && s->start.kind == PLACE_OFFSET &&
		    s->start.offset == offset && s->start.path && !strcmp(s->start.path, path))
			break;
	}
	return i;
}

int watch_remove_at(struct watch *w, const char *path, uint64_t offset, uint64_t *ret_open,
		    struct tocsin_err *err)
{
	unsigned i = find_start(w, path, offset);

	return i < w->nr_entries ? remove_and_count(w, i, ret_open, err) : -ENOENT;
}

int watch_remove_name(struct watch *w, const char *name, uint64_t *ret_open, struct tocsin_err *err)
{
	for (unsigned i = 0; i < w->nr_entries; i++)
		if (w->entry[i].active && !strcmp(w->entry[i].section.name, name))
			return remove_and_count(w, i, ret_open, err);
	return -ENOENT;
}

/* What a file takes away, wherever it came from. */
static int removals_do(struct watch *w, const struct section_list *list, struct tocsin_err *err)
{
	int first = 0;

	for (size_t k = 0; k < list->nr_removals; k++) {
		const struct section *gone = &list->removal[k];
		unsigned i = find_start(w, gone->start.path, gone->start.offset);
		int r;

		if (i < w->nr_entries)
			r = entry_end(w, i, err);
		else
			r = tocsin_err_fail(-ENOENT, err, "%s:%u: no section starts at %s",
					    gone->file, gone->line, gone->text + 1);
		first = first ?: r;
	}
	return first;
}

/* Is it of a file, and not in the list? */
static bool is_left_out(const struct entry *e, const struct section_list *list)
{
	if (!e->active || !e->section.line)
		return false; /* of the command line, or added while running: no file has it */
	for (size_t k = 0; k < list->nr; k++)
		if (!strcmp(list->item[k].text, e->section.text))
			return false;
	return true;
}

int watch_reread(struct watch *w, struct section_list *list, struct tocsin_err *err)
{
	struct attachment *gone[WATCH_SECTIONS_MAX];
	unsigned nr_gone = 0;
	int first = removals_do(w, list, err);

	for (unsigned i = 0; i < w->nr_entries; i++) {
		int r = 0;

		if (is_left_out(&w->entry[i], list))
			r = entry_end(w, i, err);
		first = first ?: r;
		if (!w->entry[i].active && w->entry[i].attachment.nr_links)
			gone[nr_gone++] = &w->entry[i].attachment;
	}
	attachments_done(gone, nr_gone);
	for (size_t k = 0; k < list->nr; k++) {
		bool known = false;
		int r;

		for (unsigned i = 0; i < w->nr_entries; i++)
			known |= w->entry[i].active &&
				 !strcmp(list->item[k].text, w->entry[i].section.text);
		if (known)
			continue;
		r = watch_add(w, &list->item[k], err);
		if (r && !first)
			first = r;
		if (!r) { /* its contents are ours: close the gap in the list */
			memmove(&list->item[k], &list->item[k + 1],
				(list->nr - k - 1) * sizeof(list->item[0]));
			list->nr--;
			k--;
		}
	}
	return first;
}

/* --- sections that programs define themselves
 * ------------------------------------------------------------------------------------------------------
 */

static int linked_name(void *arg, const char *name, uint32_t *ret_index, struct tocsin_err *err)
{
	struct watch *w = arg;
	struct entry *e = &w->entry[w->nr_entries];

	for (unsigned i = 0; i < w->nr_entries; i++)
		if (w->entry[i].is_linked && !strcmp(w->entry[i].section.name, name)) {
			*ret_index = i;
			return 0;
		}
	if (w->nr_entries == w->max_entries)
		return tocsin_err_fail(
			-ENOSPC, err,
			"no room for the linked section '%s': %u sections have been defined (--max-sections)",
			name, w->max_entries);
	e->section.name = strdup(name);
	if (!e->section.name || asprintf(&e->section.text, "linked:%s", name) < 0) {
		free(e->section.name);
		e->section = (struct section){0};
		return -ENOMEM;
	}
	e->is_linked = true;
	e->active = true;
	*ret_index = w->nr_entries++;
	return 0;
}

static int look(struct watch *w, struct tocsin_err *err)
{
	uint64_t now_ns = clock_now_ns();
	bool is_young = now_ns < w->young_ns;
	struct pid_set now = {0};
	int r;

	w->look_ns = now_ns + (is_young ? LOOK_YOUNG_NS : LOOK_NS);
	r = w->all ? process_find_all(&now) : processes_now(w, &w->targets.pids, &now);
	r = r ?: linked_look(w->linked, &now, err);
	pid_set_done(&now);
	return r;
}

int watch_link(struct watch *w, const char *const *glob, size_t nr_globs, struct tocsin_err *err)
{
	const struct linked_options opts = {.kernel = w->kernel,
					    .glob = glob,
					    .nr_globs = nr_globs,
					    .name = linked_name,
					    .arg = w};
	int r = linked_open(&opts, &w->linked);

	return r ?: look(w, err);
}

unsigned watch_nr_linked(const struct watch *w)
{
	return w->linked ? linked_nr_processes(w->linked) : 0;
}

const char *watch_link_refusal(const struct watch *w, unsigned *ret_nr)
{
	*ret_nr = w->linked ? linked_nr_refused(w->linked) : 0;
	return w->linked ? linked_refusal(w->linked) : "";
}

/* --- records
 * ------------------------------------------------------------------------------------------------------
 */

static struct pending *pending_find(struct watch *w, uint32_t tid, uint64_t serial)
{
	for (unsigned i = 0; i < PENDING_MAX; i++)
		if (w->pending[i].tid == tid && w->pending[i].serial == serial)
			return &w->pending[i];
	return NULL;
}

static struct pending *pending_make(struct watch *w, uint32_t tid, uint64_t serial)
{
	struct pending *oldest = &w->pending[0];

	for (unsigned i = 0; i < PENDING_MAX; i++) {
		if (!w->pending[i].tid) {
			oldest = &w->pending[i];
			break;
		}
		if (w->pending[i].serial < oldest->serial)
			oldest = &w->pending[i];
	}
	if (oldest->tid)
		w->records_lost++; /* its section never came */
	oldest->tid = tid;
	oldest->serial = serial;
	oldest->nr = 0;
	return oldest;
}

static int take_spell(struct watch *w, const struct watch_event_spell *ev)
{
	struct pending *p =
		pending_find(w, ev->tid, ev->serial) ?: pending_make(w, ev->tid, ev->serial);

	if (p->nr == WATCH_SPELLS)
		return 0; /* cannot happen: the kernel half sends no more; what is missing is
			     counted at the section */
	if (p->nr == p->capacity) {
		unsigned capacity = p->capacity ? 2 * p->capacity : 8;
		struct watch_spell *bigger = reallocarray(p->spell, capacity, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		p->spell = bigger;
		p->capacity = capacity;
	}
	p->spell[p->nr++] = ev->spell;
	return 0;
}

/* Not of the section that has the index now, or of one whose stops are not looked at any more. */
static bool is_stale(const struct entry *e, const struct watch_event_section *ev)
{
	return ev->start_ns < e->since_ns ||
	       (ev->head.type == EV_FIRED && e->removed_ns && ev->head.t_ns > e->removed_ns);
}

static int take_section(struct watch *w, const struct watch_event_section *ev)
{
	struct pending *p = ev->head.type == EV_FIRED ? NULL : pending_find(w, ev->tid, ev->serial);
	struct watch_record record = {.event = ev};
	int r;

	/* of a section that failed to attach after its start had fired */
	if (ev->section >= w->nr_entries || is_stale(&w->entry[ev->section], ev)) {
		if (p)
			p->tid = 0;
		return 0;
	}
	record.section = &w->entry[ev->section].section;
	if (p) {
		record.spell = p->spell;
		record.nr_spells = p->nr;
	}
	if (ev->head.type != EV_FIRED && ev->spells > record.nr_spells) {
		record.nr_spells_lost = ev->spells - record.nr_spells;
		w->records_lost++;
	}
	r = w->handlers->on_section(w->handlers->arg, &record);
	if (p)
		p->tid = 0;
	return r;
}

/* What was not linked may be now. */
static void process_changed(struct watch *w, const struct watch_event_process *ev)
{
	if (w->stacks && ev->what != PROCESS_FORKED) {
		(void)stacks_take(w->stacks); /* while they can be walked; later none is found */
		stacks_forget(w->stacks, ev->tgid);
		if (ev->what == PROCESS_EXECED)
			stacks_prepare(w->stacks, ev->tgid);
	}
	if (!w->linked)
		return;
	if (ev->what == PROCESS_EXITED)
		return;
	linked_forget(w->linked, (pid_t)ev->tgid);
	w->look_ns = 0;
	w->young_ns = clock_now_ns() + YOUNG_NS;
}

static int on_event(void *arg, const void *event, size_t len)
{
	const struct watch_event_head *head = event;
	struct watch *w = arg;
	int r = 0;

	if (len < sizeof(*head))
		return -EPROTO;
	switch (head->type) {
	case EV_SPELL:
		r = len < sizeof(struct watch_event_spell) ? -EPROTO : take_spell(w, event);
		break;
	case EV_FIRED:
	case EV_CLOSED:
	case EV_ABANDONED:
		r = len < sizeof(struct watch_event_section) ? -EPROTO : take_section(w, event);
		break;
	case EV_PROCESS:
		if (len >= sizeof(struct watch_event_process))
			process_changed(w, event);
		r = len < sizeof(struct watch_event_process)
			    ? -EPROTO
			    : w->handlers->on_process(w->handlers->arg, event);
		break;
	default: r = -EPROTO;
	}
	return r;
}

int watch_poll(struct watch *w)
{
	int r = w->stacks ? stacks_take(w->stacks) : 0;

	r = r ?: watch_kernel_consume(w->kernel, on_event, w);
	if (r >= 0 && w->linked && clock_now_ns() >= w->look_ns)
		r = look(w, NULL);
	return r < 0 ? r : 0;
}

uint64_t watch_due_ns(const struct watch *w)
{
	return w->linked ? w->look_ns : UINT64_MAX;
}

int watch_fd(struct watch *w)
{
	return watch_kernel_event_fd(w->kernel);
}

/* --- what there is
 * ------------------------------------------------------------------------------------------------
 */

unsigned watch_nr_sections(const struct watch *w)
{
	return w->nr_entries;
}

const struct section *watch_section(const struct watch *w, unsigned i, bool *ret_active)
{
	if (ret_active)
		*ret_active = w->entry[i].active;
	return &w->entry[i].section;
}

uint64_t watch_open_at_removal(const struct watch *w, unsigned i)
{
	return w->entry[i].nr_open_at_removal;
}

const struct attachment *watch_attachment(const struct watch *w, unsigned i)
{
	return &w->entry[i].attachment;
}

unsigned watch_nr_probes(const struct watch *w)
{
	size_t nr = w->notes.nr;

	for (unsigned i = 0; i < w->nr_entries; i++)
		nr += w->entry[i].attachment.nr;
	return (unsigned)nr;
}

bool watch_alive(const struct watch *w)
{
	if (w->may_get_more || !w->targets.pids.nr)
		return true;
	if (w->targets.open) /* by fork only: as long as one of them is left */
		return watch_kernel_has_processes(w->kernel);
	for (size_t i = 0; i < w->targets.pids.nr; i++)
		if (process_exists(w->targets.pids.pid[i]))
			return true;
	return false;
}

bool watch_asked_for(const struct watch *w, uint32_t tgid)
{
	return pid_set_has(&w->targets.pids, (pid_t)tgid);
}

struct stacks *watch_stacks(struct watch *w)
{
	return w->stacks;
}

struct watch_kernel *watch_kernel_of(const struct watch *w)
{
	return w->kernel;
}

uint64_t watch_records_lost(const struct watch *w)
{
	return w->records_lost;
}
