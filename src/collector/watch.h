/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_WATCH_H
#define TOCSIN_COLLECTOR_WATCH_H

/* A watch: sections, the processes they are for, and the records that come of them. */

#include "../bpf/watch.h"
#include "attach.h"
#include "section.h"
#include "watch_stack.h"

struct watch_options {
	struct watch_kernel_config kernel;
	struct pid_set pids;     /* asked for by number */
	const char *const *comm; /* by name */
	size_t nr_comms;
	const char *cgroup;  /* by cgroup, NULL: none */
	const char *program; /* that a child of ours is about to execute, as we can open it; NULL:
				none */
	pid_t program_pid;   /* the child */
	bool force;
	bool notes;              /* also attach the pairs of abi/notes.def */
	const char *stack_cache; /* folder for unwinding tables, NULL: none; user stacks are taken
				    if kernel.stack_bytes */
};

/* A section that ended over budget, was abandoned, or whose deadline passed, with what came with
 * it. All lent. */
struct watch_record {
	const struct section *section;
	const struct watch_event_section *event;
	const struct watch_spell *spell;
	unsigned nr_spells;
	unsigned nr_spells_lost; /* sent, but not received */
};

struct watch_handlers {
	void *arg;
	/* Each returns 0, or a negative errno that ends watch_poll(). */
	int (*on_section)(void *arg, const struct watch_record *record);
	int (*on_process)(void *arg, const struct watch_event_process *event);
};

struct watch;

/**
 * watch_open() - load the kernel half and find the processes.
 * @opts:     lent for the call; what it points to, for the life of the watch
 * @handlers: lent for the life of the watch
 *
 * Return: 0, or -ESRCH a process asked for by number does not exist, -EPERM no privilege (@err says
 * which), -errno. Thread-safe: per object. Signal-safe: no.
 */
int watch_open(const struct watch_options *opts, const struct watch_handlers *handlers,
	       struct watch **ret, struct tocsin_err *err);

/** watch_close() - remove every probe. Return: NULL. */
struct watch *watch_close(struct watch *w);

/** watch_silence() - probes do nothing from here on: what is counted and what was sent stay equal.
 */
void watch_silence(struct watch *w);

/**
 * watch_add() - attach one section; takes @s's contents on success and leaves it zeroed.
 *
 * Return: 0, or -EEXIST a section of this name is active, -ENOSPC, or as attach_section().
 */
int watch_add(struct watch *w, struct section *s, struct tocsin_err *err);

/**
 * watch_link() - also watch the sections that these processes' programs define themselves.
 * @glob: of their names, * and ?; lent for the life of the watch
 *
 * watch_poll() looks for processes, and for sections of theirs, that come later.
 *
 * Return: 0, -ENOSPC, -E2BIG, -errno.
 */
int watch_link(struct watch *w, const char *const *glob, size_t nr_globs, struct tocsin_err *err);

/** watch_nr_linked() - processes found that use sections of their own. */
unsigned watch_nr_linked(const struct watch *w);

/** watch_link_refusal() - why the first of those was passed over that were; "": none was. Lent.
 * @ret_nr: how many processes there were. */
const char *watch_link_refusal(const struct watch *w, unsigned *ret_nr);

/**
 * watch_remove_at() - detach the kernel-style section that starts at this offset.
 * @ret_open: how many of it were open and are given up; written on success only
 *
 * Return: 0, -ENOENT there is none (without a cause in @err), or -errno: it was removed, but what
 * was open could not be counted.
 */
int watch_remove_at(struct watch *w, const char *path, uint64_t offset, uint64_t *ret_open,
		    struct tocsin_err *err);

/** watch_remove_name() - detach a section by its name. Return: as watch_remove_at(). */
int watch_remove_name(struct watch *w, const char *name, uint64_t *ret_open,
		      struct tocsin_err *err);

/**
 * watch_reread() - make the active sections of files equal to a list: those of other text are
 * removed, new ones attached. What the list takes away (`removal`) goes also where it is of the
 * command line, or was added while running.
 * @list: emptied of what was taken
 *
 * A section that cannot be attached is left out with its cause in @err; the others are done.
 *
 * Return: 0, or the first failure.
 */
int watch_reread(struct watch *w, struct section_list *list, struct tocsin_err *err);

/** watch_fd() - becomes readable when watch_poll() has something to do. */
int watch_fd(struct watch *w);

/** watch_due_ns() - when watch_poll() has something to do without that, by CLOCK_MONOTONIC. */
uint64_t watch_due_ns(const struct watch *w);

/** watch_poll() - hand over what the kernel half has sent. Return: 0, or a handler's error. */
int watch_poll(struct watch *w);

/** watch_nr_sections() - sections ever added; removed ones keep their place. */
unsigned watch_nr_sections(const struct watch *w);

/** watch_section() - a section as written, lent. @ret_active may be NULL. */
const struct section *watch_section(const struct watch *w, unsigned i, bool *ret_active);

/** watch_open_at_removal() - of a removed section, how many were open and given up. */
uint64_t watch_open_at_removal(const struct watch *w, unsigned i);

const struct attachment *watch_attachment(const struct watch *w, unsigned i);

unsigned watch_nr_probes(const struct watch *w);

/** watch_alive() - does any process that was asked for still run? True for watches that may get new
 * ones. */
bool watch_alive(const struct watch *w);

/** watch_asked_for() - is it one of the processes that the watch began with? */
bool watch_asked_for(const struct watch *w, uint32_t tgid);

/** watch_stacks() - NULL: user stacks are not taken. */
struct stacks *watch_stacks(struct watch *w);

struct watch_kernel *watch_kernel_of(const struct watch *w);

/** watch_records_lost() - sections whose records did not arrive whole. */
uint64_t watch_records_lost(const struct watch *w);

#endif
