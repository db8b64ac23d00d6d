/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_ATTACH_JOB_H
#define TOCSIN_COLLECTOR_ATTACH_JOB_H

/* What the files that attach share: the place at hand, and single probes. */

#include "../elf/bind.h"
#include "attach.h"
#include "attach_files.h"

/* Places in one file that get the same program: their probes go into one link. */
struct attach_batch {
	struct {
		struct bind_point bind;
		struct watch_place place;
	} * point;
	size_t nr, capacity;
	bool is_return;
};

struct attach_job {
	const struct attach_kernel *k;
	const struct attach_targets *targets;
	struct attachment *out;
	struct tocsin_err *err;
	uint32_t *next_cookie;
	const char *role;         /* "start", "stop" */
	struct watch_probe probe; /* what each probe of this place does */
	enum watch_program program;
	int key;                            /* argument index, -1: none */
	const struct attach_values *values; /* that are wanted; NULL: none */
	struct attach_batch batch;
	uint64_t start_ns, stop_ns; /* of the dearest probe of each */
};

/** attach_cost() - a probe of the job's kind costs a pass so much. */
void attach_cost(struct attach_job *j, uint64_t ns);

/** attach_watch() - the kernel half of a watch, as the others want it. */
struct attach_kernel attach_watch(struct watch_kernel *k);

/* --- attach_probe.c: single probes, all with the job's probe --- */

/** attachment_add_link() - keep a link; takes it, and closes it on failure. Return: 0, or -ENOMEM.
 */
int attachment_add_link(struct attachment *a, struct watch_link *link);

/** attachment_note() - keep a sentence for people. Return: 0, or -ENOMEM. */
int attachment_note(struct attachment *a, const char *text);

/** attach_cookie() - a place in the table of probes, filled, and the attachment's. Return: 0, or
 * -ENOSPC, -ENOMEM, -errno. */
int attach_cookie(struct attach_job *j, uint32_t *ret);

/** attach_point() - one more probe of the batch, as the job's probe says. Return: as
 * attach_cookie().
 */
int attach_point(struct attach_job *j, const struct bind_point *p, bool is_return);

/** attach_points() - attach the batch, for each target or for all, look whether it stands, and
 * empty it. Return: 0, or -EPERM one does not stand, -errno. */
int attach_points(struct attach_job *j, const struct file *f);

/** attach_points_drop() - forget the batch, which is not attached. Return: @r. */
int attach_points_drop(struct attach_job *j, int r);

/** attach_batch_done() - free what it holds. */
void attach_batch_done(struct attach_batch *b);

/** attach_say() - a sentence about a place that was bound. Return: 0, or -ENOMEM. */
int attach_say(struct attach_job *j, const struct file *f, const struct bind_point *p,
	       const char *what, const char *how);

/** attach_say_forced() - what was refused and given nevertheless: the causes since @causes_before
 * become sentences. Return: 0, or -ENOMEM. */
int attach_say_forced(struct attach_job *j, unsigned causes_before);

/** attach_causes() - how many causes there are by now. */
unsigned attach_causes(const struct attach_job *j);

/* --- attach_elf.c: places in files --- */

/** attach_usdt_sites() - every site of a USDT probe. Return: 0, or as attach_section(). */
int attach_usdt_sites(struct attach_job *j, struct elf_file *elf, const struct file *f,
		      const struct elf_usdt *sites, size_t nr);

/** attach_in_files() - a place in the files that it names or that the targets run. Return: as
 * attach_section(). */
int attach_in_files(struct attach_job *j, const struct section *s, const struct place *place);

#endif
