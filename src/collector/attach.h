/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_ATTACH_H
#define TOCSIN_COLLECTOR_ATTACH_H

/*
 * From a section as written to probes in the kernel: find the files, find the code in them, find a
 * place that does not hurt, attach, and look whether the probe really stands there.
 */

#include "../bpf/watch.h"
#include "process.h"
#include "section.h"

/* Whom the probes are for. */
struct attach_targets {
	struct pid_set pids; /* processes known by now */
	bool open;           /* more may come: by fork, by name, by cgroup, or all */
	const char *program; /* of a process that has not executed it yet, as we can open it; NULL:
				none */
	pid_t program_pid;   /* that process, 0: none */
	bool force;
};

/* What was attached, for people. */
struct attach_note {
	char text[320]; /* "start usdt:postgres:query__start at postgres+0x4722d3: `nop`, ~500 ns
			   emulated" */
};

/* The probes of one section. */
struct attachment {
	struct watch_link **link;
	size_t nr_links, capacity_links;
	uint32_t *cookie;
	size_t nr; /* probes: cookies */
	size_t capacity;
	struct attach_note *note;
	size_t nr_notes;
	uint64_t pass_ns; /* what the probes cost a section, roughly: the dearest start and stop */
	bool is_stepped;  /* one of them is single-stepped */
};

/* The kernel half that probes are placed in. */
struct attach_kernel {
	void *kernel;
	int (*set_probe)(void *kernel, uint32_t cookie, const struct watch_probe *probe);
	int (*silence_probe)(void *kernel, uint32_t cookie);
	int (*attach_uprobes)(void *kernel, const struct watch_uprobes *u,
			      struct watch_link **ret_link, struct tocsin_err *err);
	int (*attach_tracepoint)(void *kernel, enum watch_program program, const char *category,
				 const char *name, uint32_t cookie, struct watch_link **ret_link,
				 struct tocsin_err *err);
};

/* A place whose values are wanted. */
struct attach_values {
	const struct place *place; /* lent */
	bool is_end;  /* a function's returns, a system call's exit: arg[0] is its value */
	uint8_t args; /* a bit each: arguments that are wanted */
	const char *field[WATCH_ARGS]; /* of a tracepoint: their names; NULL: not wanted */
};

/**
 * attach_values() - attach one place; its probe has the values in arg[], and action ACT_START.
 *
 * Return: as attach_section().
 */
int attach_values(const struct attach_kernel *k, const struct attach_values *what,
		  const struct attach_targets *targets, uint32_t *next_cookie,
		  struct attachment *ret, struct tocsin_err *err);

/**
 * attach_section() - attach a section's probes.
 * @k:       the kernel half
 * @section: as written, lent
 * @index:   its place in the kernel half's tables
 * @targets: whom for, lent
 * @next_cookie: first free place in the table of probes, moved on
 * @ret:     to be given to attachment_done()
 * @err:     causes; the nearest names when something does not exist
 *
 * All or nothing. The probes fire at once, but only for processes that the kernel half watches.
 *
 * Return: 0, or -ENOENT no such file, function, probe; -EPERM binding there would hurt the program,
 * or no privilege (the causes say which); -ENOTUNIQ; -ENOSPC too many probes; -errno.
 */
int attach_section(struct watch_kernel *k, const struct section *section, uint32_t index,
		   const struct attach_targets *targets, uint32_t *next_cookie,
		   struct attachment *ret, struct tocsin_err *err);

/**
 * attach_notes() - attach what abi/notes.def and abi/doubts.def list and the targets' programs
 * have.
 *
 * Return: 0 (also when there are none), or -errno.
 */
int attach_notes(struct watch_kernel *k, const struct attach_targets *targets,
		 uint32_t *next_cookie, struct attachment *ret, struct tocsin_err *err);

/** attachment_silence() - its probes do nothing from here on; before attachment_done(). */
void attachment_silence(struct watch_kernel *k, const struct attachment *a);

/** attachment_done() - detach; accepts a zeroed one. */
void attachment_done(struct attachment *a);

/** attachments_done() - the same for several, which takes hardly longer than for one. */
void attachments_done(struct attachment *const *a, size_t nr);

#endif
