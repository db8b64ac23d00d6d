// SPDX-License-Identifier: MIT
/*
 * Single probes.
 *
 * They are attached for one process each where the targets cannot grow, so that nobody else pays
 * for them; else once for every process that maps the file, and the kernel half sorts out who is
 * watched.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "attach_job.h"

/* Room for one more of several arrays' elements. Return: 0, or -ENOMEM. */
static int reserve(void *array, size_t size, size_t nr, size_t *capacity)
{
	void **at = array, *bigger;
	size_t wanted = *capacity ? 2 * *capacity : 8;

	if (nr < *capacity)
		return 0;
	bigger = reallocarray(*at, wanted, size);
	if (!bigger)
		return -ENOMEM;
	*at = bigger;
	*capacity = wanted;
	return 0;
}

int attachment_add_link(struct attachment *a, struct watch_link *link)
{
	int r = reserve(&a->link, sizeof(*a->link), a->nr_links, &a->capacity_links);

	if (r)
		watch_links_close(&link, 1);
	else
		a->link[a->nr_links++] = link;
	return r;
}

int attachment_note(struct attachment *a, const char *text)
{
	struct attach_note *bigger = reallocarray(a->note, a->nr_notes + 1, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	a->note = bigger;
	(void)snprintf(bigger[a->nr_notes++].text, sizeof(bigger->text), "%s", text);
	return 0;
}

int attach_cookie(struct attach_job *j, uint32_t *ret)
{
	struct attachment *a = j->out;
	int r = reserve(&a->cookie, sizeof(*a->cookie), a->nr, &a->capacity);

	if (r)
		return r;
	r = j->k->set_probe(j->k->kernel, *j->next_cookie, &j->probe);
	if (r == -E2BIG)
		return tocsin_err_fail(
			-ENOSPC, j->err,
			"no room for another probe: %u have been placed (--max-probes)",
			*j->next_cookie);
	if (r)
		return tocsin_err_fail(r, j->err, "cannot tell the kernel half about a probe: %s",
				       strerror(-r));
	a->cookie[a->nr++] = *j->next_cookie;
	*ret = (*j->next_cookie)++;
	return 0;
}

/* An attach can succeed and the probe still not stand in the program. */
static int read_back(struct attach_job *j, const struct file *f, const struct bind_point *p)
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

void attach_cost(struct attach_job *j, uint64_t ns)
{
	uint64_t *most = j->probe.action == ACT_START ? &j->start_ns : &j->stop_ns;

	if (ns > *most)
		*most = ns;
}

int attach_point(struct attach_job *j, const struct bind_point *p, bool is_return)
{
	struct attach_batch *b = &j->batch;
	uint32_t cookie;
	int r = reserve(&b->point, sizeof(*b->point), b->nr, &b->capacity);

	/* A return probe runs when the return address has been popped. */
	j->probe.sp_adjust = is_return ? -8 : p->sp_adjust;
	r = r ?: attach_cookie(j, &cookie);
	if (r)
		return r;
	attach_cost(j, bind_cost_ns(p->cost));
	if (p->cost == BIND_STEPPED)
		j->out->is_stepped = true;
	b->is_return = is_return;
	b->point[b->nr].bind = *p;
	b->point[b->nr++].place = (struct watch_place){p->offset, p->ref_ctr_offset, cookie};
	return 0;
}

/* One link for each process that they are for, or one for all. */
static int batch_attach(struct attach_job *j, const struct file *f, const struct watch_place *place)
{
	struct watch_uprobes u = {.program = j->program,
				  .path = f->path,
				  .is_return = j->batch.is_return,
				  .place = place,
				  .nr = j->batch.nr};
	const struct attach_targets *t = j->targets;
	bool for_all = t->open || !t->pids.nr;
	size_t nr = for_all ? 1 : t->pids.nr;
	int r = 0;

	for (size_t i = 0; i < nr && !r; i++) {
		struct watch_link *link = NULL;

		u.pid = for_all ? 0 : t->pids.pid[i];
		r = j->k->attach_uprobes(j->k->kernel, &u, &link, j->err);
		if (r == -ESRCH) /* the process has ended since it was found */
			r = 0;
		else if (!r)
			r = attachment_add_link(j->out, link);
	}
	return r;
}

int attach_points(struct attach_job *j, const struct file *f)
{
	struct attach_batch *b = &j->batch;
	struct watch_place *place TOCSIN_CLEANUP(tocsin_free_voidp) = NULL;
	int r = 0;

	if (!b->nr)
		return 0;
	place = calloc(b->nr, sizeof(*place));
	if (!place)
		return -ENOMEM;
	for (size_t i = 0; i < b->nr; i++)
		place[i] = b->point[i].place;
	r = batch_attach(j, f, place);
	for (size_t i = 0; i < b->nr && !r; i++)
		r = read_back(j, f, &b->point[i].bind);
	b->nr = 0;
	return r;
}

int attach_points_drop(struct attach_job *j, int r)
{
	j->out->nr -= j->batch.nr;
	j->batch.nr = 0;
	return r;
}

void attach_batch_done(struct attach_batch *b)
{
	free(b->point);
	*b = (struct attach_batch){0};
}

int attach_say(struct attach_job *j, const struct file *f, const struct bind_point *p,
	       const char *what, const char *how)
{
	const char *base = strrchr(f->path, '/');
	char text[sizeof(((struct attach_note *)0)->text)];

	(void)snprintf(text, sizeof(text), "%s %s at %.100s+0x%llx%s: `%s`, %s", j->role, what,
		       base ? base + 1 : f->path, (unsigned long long)p->offset, how, p->insn,
		       bind_cost_text(p->cost));
	return attachment_note(j->out, text);
}

/* With --force a place is given though it was refused, and the causes say what may happen: tell,
 * and take them away. */
int attach_say_forced(struct attach_job *j, unsigned causes_before)
{
	char text[sizeof(((struct attach_note *)0)->text)];
	struct tocsin_err *err = j->err;
	int r = 0;

	while (err && err->nr_causes > causes_before && !r) {
		(void)snprintf(text, sizeof(text), "%s: %.300s",
			       j->targets->force ? "forced" : "left out",
			       err->cause[--err->nr_causes]);
		r = attachment_note(j->out, text);
	}
	return r;
}

unsigned attach_causes(const struct attach_job *j)
{
	return j->err ? j->err->nr_causes : 0;
}

/* The kernel takes probes away some time after their links are closed, and not in our order: a
 * start that still fires would open what no stop closes. */
void attachment_silence(struct watch_kernel *k, const struct attachment *a)
{
	for (size_t i = 0; i < a->nr; i++)
		(void)watch_kernel_silence_probe(k, a->cookie[i]); /* it exists: cannot fail */
}

void attachments_done(struct attachment *const *a, size_t nr)
{
	struct watch_link **all TOCSIN_CLEANUP(tocsin_free_voidp) = NULL;
	size_t nr_all = 0;

	for (size_t i = 0; i < nr; i++)
		nr_all += a[i]->nr_links;
	all = calloc(nr_all ?: 1, sizeof(*all));
	nr_all = 0;
	for (size_t i = 0; i < nr; i++) {
		if (all && a[i]->nr_links)
			memcpy(&all[nr_all], a[i]->link, a[i]->nr_links * sizeof(*all));
		else if (!all) /* one after the other, then */
			watch_links_close(a[i]->link, a[i]->nr_links);
		nr_all += a[i]->nr_links;
		free(a[i]->link);
		free(a[i]->cookie);
		free(a[i]->note);
		*a[i] = (struct attachment){0};
	}
	if (all)
		watch_links_close(all, nr_all);
}

void attachment_done(struct attachment *a)
{
	attachments_done(&a, 1);
}
