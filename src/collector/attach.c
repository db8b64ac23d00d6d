// SPDX-License-Identifier: MIT
/* From sections to probes: the stop first, then the start, each by its kind of place. */
#include "attach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../abi/syscalls.h"
#include "attach_job.h"
#include "tracefs.h"

#define RECORD_NS 100 /* what a hit of a tracepoint costs */

static int watch_set(void *k, uint32_t cookie, const struct watch_probe *probe)
{
	return watch_kernel_set_probe(k, cookie, probe);
}

static int watch_silence_one(void *k, uint32_t cookie)
{
	return watch_kernel_silence_probe(k, cookie);
}

static int watch_uprobes(void *k, const struct watch_uprobes *u, struct watch_link **ret_link,
			 struct tocsin_err *err)
{
	return watch_kernel_attach_uprobes(k, u, ret_link, err);
}

static int watch_tracepoint(void *k, enum watch_program program, const char *category,
			    const char *name, uint32_t cookie, struct watch_link **ret_link,
			    struct tocsin_err *err)
{
	return watch_kernel_attach_tracepoint(k, program, category, name, cookie, ret_link, err);
}

struct attach_kernel attach_watch(struct watch_kernel *k)
{
	return (struct attach_kernel){.kernel = k,
				      .set_probe = watch_set,
				      .silence_probe = watch_silence_one,
				      .attach_uprobes = watch_uprobes,
				      .attach_tracepoint = watch_tracepoint};
}

static struct watch_probe probe_for(const struct section *s, uint32_t index,
				    enum watch_action action)
{
	return (struct watch_probe){.action = (__u8)action,
				    .section = (__u16)index,
				    .budget_ns = s->budget_ns,
				    .flags = s->start_key >= 0 ? WATCH_PROBE_KEYED : 0};
}

/* What is wanted of a tracepoint's record: by name, or by place behind the first @skip. */
static int record_values(struct attach_job *j, const char *category, const char *name,
			 unsigned skip)
{
	int r = 0;

	for (unsigned i = 0; i < WATCH_ARGS && !r; i++) {
		struct watch_arg *arg = &j->probe.arg[i];

		if (j->values->field[i])
			r = tracefs_field_named(category, name, j->values->field[i], arg, j->err);
		else if (j->values->args >> i & 1)
			r = tracefs_field(category, name, i + skip, arg, j->err);
	}
	return r;
}

static int attach_record(struct attach_job *j, const char *category, const char *name,
			 unsigned key_skip)
{
	struct tocsin_nearest near;
	char names[400];
	uint32_t cookie;
	struct watch_link *link = NULL;
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
	if (j->values)
		r = record_values(j, category, name, key_skip);
	if (!r && j->key >= 0)
		r = tracefs_field(category, name, (unsigned)j->key + key_skip, &j->probe.key,
				  j->err);
	r = r ?: attach_cookie(j, &cookie);
	r = r
		    ?: j->k->attach_tracepoint(j->k->kernel, j->program, category, name, cookie,
					       &link, j->err);
	if (r)
		return r;
	attach_cost(j, RECORD_NS);
	r = attachment_add_link(j->out, link);
	(void)snprintf(names, sizeof(names), "%s %s:%s: tracepoint%s", j->role, category, name,
		       strcmp(category, "syscalls")
			       ? ""
			       : "; every system call of the machine costs some 100 ns more");
	return r ?: attachment_note(j->out, names);
}

static int attach_syscall(struct attach_job *j, const char *name, const char *side)
{
	struct tocsin_nearest near;
	char tracepoint[128], names[400];
	int r;

	tocsin_nearest_init(&near, name);
	r = tracefs_syscall(name, side, tracepoint, sizeof(tracepoint), &near, j->err);
	if (r == -ENOENT && syscall_number(name) >= 0)
		return tocsin_err_fail(
			r, j->err, "the kernel has no tracepoint for the system call '%s'", name);
	if (r == -ENOENT)
		return tocsin_err_fail(r, j->err, "no system call '%s'%s%s", name,
				       near.nr ? ": did you mean " : "",
				       tocsin_nearest_text(&near, names, sizeof(names)));
	if (r)
		return tocsin_err_fail(r, j->err, "cannot look for the system call '%s': %s", name,
				       strerror(-r));
	return attach_record(j, "syscalls", tracepoint, 1); /* behind the number */
}

static int attach_place(struct attach_job *j, const struct section *s, const struct place *place)
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
	const struct attach_kernel watch = attach_watch(k);
	struct attachment a = {0};
	struct attach_job j = {.k = &watch,
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
	attach_batch_done(&j.batch);
	if (r) {
		attachment_silence(k, &a);
		attachment_done(&a);
		return r;
	}
	a.pass_ns = j.start_ns + j.stop_ns;
	*ret = a;
	return 0;
}

int attach_values(const struct attach_kernel *k, const struct attach_values *what,
		  const struct attach_targets *targets, uint32_t *next_cookie,
		  struct attachment *ret, struct tocsin_err *err)
{
	/* A place that has a stop elsewhere: no end of its own is attached with it. */
	const struct section alone = {.stop = {.kind = PLACE_OFFSET}};
	struct attachment a = {0};
	struct attach_job j = {.k = k,
			       .targets = targets,
			       .out = &a,
			       .err = err,
			       .next_cookie = next_cookie,
			       .role = what->is_end ? "end" : "event",
			       .key = -1,
			       .program = WATCH_PROBE_START,
			       .probe = {.action = ACT_START},
			       .values = what};
	int r = what->is_end && what->place->kind == PLACE_SYSCALL
			? attach_syscall(&j, what->place->name, "exit")
			: attach_place(&j, &alone, what->place);

	attach_batch_done(&j.batch);
	if (r) {
		for (size_t i = 0; i < a.nr; i++)
			(void)k->silence_probe(k->kernel, a.cookie[i]); /* it exists: cannot fail */
		attachment_done(&a);
		return r;
	}
	*ret = a;
	return 0;
}
