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

#include "attach_job.h"

int attachment_add(struct attachment *a, void *link, uint32_t cookie)
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

int attach_point(struct attach_job *j, const struct file *f, const struct bind_point *p,
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
	r = attach_cookie(j, &u.cookie);
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

void attachment_done(struct attachment *a)
{
	for (size_t i = 0; i < a->nr; i++)
		watch_link_close(a->link[i]);
	free(a->link);
	free(a->cookie);
	free(a->note);
	*a = (struct attachment){0};
}
