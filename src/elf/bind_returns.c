// SPDX-License-Identifier: MIT
/*
 * How to see the end of a function.
 *
 * A return probe is cheap and sees every end, for the kernel swaps the return address on the stack
 * for its own when the function starts. Measured, with the swapped address on the stack: a C++
 * exception that passes ends in terminate(); two coroutines that take turns end in SIGILL; and when
 * the probe is not on the first instruction, so that something else is on top of the stack, in
 * SIGSEGV. Behind endbr64 nothing has been pushed yet, so that is still the true entry. longjmp,
 * tail calls, fork, pthread_exit and recursion come through unharmed (of recursion more than 64
 * deep the rest is not seen).
 *
 * setjmp and its kin keep their return address for a second use, long after the probe is gone.
 *
 * So a return probe is given only where the file shows no sign of either danger (hazards.def) and
 * its first instruction can be probed. What is not known: a C program that throws by way of a
 * library's library, or one that loads such a library while it runs.
 *
 * Otherwise every end gets a probe of its own: each ret (single-stepped: 5-8 us) and each jump to
 * another function (emulated), with rsp there as at the start. That is right only when all ends are
 * known, so the function is followed completely (flow_walk.c), and refused if that fails. An
 * exception that passes is not an end that can be seen this way: the section is abandoned with its
 * frame.
 */
#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "bind_internal.h"

#define ENDS_MAX 256

void bind_returns_done(struct bind_returns *r)
{
	free(r->point);
	*r = (struct bind_returns){0};
}

/* The first instruction, or that behind endbr64 where that can be probed more cheaply. Return: 0,
 * or -EPERM with @why. */
static int true_entry(struct flow *fl, struct bind_point *ret, char *why, size_t len)
{
	uint64_t vaddr = fl->func.vaddr;
	const cs_insn *in = bind_insn_at(fl, vaddr);
	struct insn_fate fate;

	if (in && in->id == X86_INS_ENDBR64) {
		const cs_insn *next = bind_insn_at(fl, vaddr + in->size);
		char unused[320];

		if (next && !(fl->part[0].mark[next->address - vaddr] & MARK_TARGET)) {
			fate = bind_fate(fl->f, next);
			if (!bind_danger(fl, next, &fate, unused, sizeof(unused))) {
				bind_fill(fl->f, next, &fate, ret);
				ret->shift = (unsigned)(next->address - vaddr);
				return 0;
			}
		}
		in = bind_insn_at(fl, vaddr);
	}
	if (!in) {
		(void)snprintf(why, len, "its first bytes are no instruction that we know");
		return -EPERM;
	}
	fate = bind_fate(fl->f, in);
	bind_fill(fl->f, in, &fate, ret);
	return bind_danger(fl, in, &fate, why, len) ? -EPERM : 0;
}

static int by_return_probe(const struct bind_point *entry, struct bind_returns *ret)
{
	ret->point = malloc(sizeof(*entry));
	if (!ret->point)
		return -ENOMEM;
	*ret->point = *entry;
	ret->nr = 1;
	ret->by_return_probe = true;
	return 0;
}

/* Probes on everything marked as an end. */
static int by_ends(struct flow *fl, struct bind_returns *ret, char *why, size_t len)
{
	ret->point = calloc(ENDS_MAX, sizeof(*ret->point));
	if (!ret->point)
		return -ENOMEM;
	for (size_t i = 0; i < fl->nr_parts; i++) {
		const struct flow_part *p = &fl->part[i];

		for (uint64_t at = 0; at < p->size; at++) {
			struct bind_point *point = &ret->point[ret->nr];
			struct insn_fate fate;
			const cs_insn *in;

			if (!(p->mark[at] & MARK_EXIT))
				continue;
			if (ret->nr == ENDS_MAX) {
				(void)snprintf(why, len, "it has more than %d ends", ENDS_MAX);
				return -EPERM;
			}
			in = bind_insn_at(fl, p->vaddr + at);
			TOCSIN_ASSERT(in); /* the walk has been here */
			fate = bind_fate(fl->f, in);
			if (bind_danger(fl, in, &fate, why, len))
				return -EPERM;
			bind_fill(fl->f, in, &fate, point);
			point->shift = i == 0 ? (unsigned)at : 0;
			ret->nr++;
		}
	}
	if (!ret->nr) {
		(void)snprintf(why, len, "it never returns");
		return -EPERM;
	}
	return 0;
}

/* Return: text, or NULL: a return probe is safe as far as can be known. */
static const char *why_no_return_probe(const struct elf_hazards *h, const struct elf_func *func,
				       const struct bind_around *around, const char *entry_why)
{
	if (h->throws[0])
		return h->throws;
	if (h->switches[0])
		return h->switches;
	if (h->walks[0])
		return h->walks;
	if (around && around->why[0])
		return around->why;
	if (hazards_returns_twice(func->name))
		return "its return address is used twice";
	return entry_why;
}

int bind_around_see(struct bind_around *around, struct elf_file *f, const char *name)
{
	const struct elf_hazards *h;
	int r = elf_find_hazards(f, &h);

	if (r)
		return r;
	around->switches |= h->switches[0] != '\0';
	if (!around->why[0] && (h->throws[0] || h->switches[0]))
		(void)snprintf(around->why, sizeof(around->why),
			       "'%.60s' is mapped with it, and %.150s", name,
			       h->throws[0] ? h->throws : h->switches);
	return 0;
}

int bind_func_returns(struct elf_file *f, const struct elf_func *func,
		      const struct bind_around *around, bool force, struct bind_returns *ret,
		      struct tocsin_err *err)
{
	TOCSIN_CLEANUP(bind_returns_done) struct bind_returns found = {0};
	TOCSIN_CLEANUP(flow_freep) struct flow *fl = NULL;
	const struct elf_hazards *h;
	struct bind_point entry = {0};
	char why[320] = "", entry_why[320] = "";
	const char *reason;
	bool has_entry;
	int r = bind_check_machine(f, err);

	r = r < 0 ? r : bind_check_noinstr(f, func->vaddr, force, err);
	if (r < 0)
		return r;
	r = elf_find_hazards(f, &h);
	r = r < 0 ? r : flow_new(f, func, &fl, err);
	if (r < 0)
		return r;
	has_entry = true_entry(fl, &entry, entry_why, sizeof(entry_why)) == 0;
	reason = why_no_return_probe(h, func, around, has_entry ? NULL : entry_why);
	if (!reason) {
		r = by_return_probe(&entry, &found);
		(void)snprintf(found.why, sizeof(found.why),
			       "by a return probe: no sign of exceptions or of switching stacks");
	} else {
		r = flow_walk(fl, err);
		if (r < 0)
			return r;
		r = fl->is_complete ? by_ends(fl, &found, why, sizeof(why)) : -EPERM;
		(void)snprintf(found.why, sizeof(found.why),
			       "by a probe on each of its %zu ends, no return probe: %.180s",
			       found.nr, reason);
	}
	if (r == -EPERM) {
		r = bind_refuse(
			force, err,
			"the end of '%.80s' cannot be seen safely, give an explicit stop: a return probe could kill "
			"the program (%.150s), and not all its ends are known: %.150s",
			func->name, reason, fl->why[0] ? fl->why : why);
		if (r < 0 || !entry.offset) /* not even force can probe what is no instruction */
			return -EPERM;
		bind_returns_done(&found);
		r = by_return_probe(&entry, &found);
		(void)snprintf(found.why, sizeof(found.why), "by a return probe, by force: %.200s",
			       reason);
	}
	if (r < 0)
		return r;
	found.switches_stacks = h->switches[0] || (around && around->switches);
	*ret = found;
	found = (struct bind_returns){0};
	return 0;
}
