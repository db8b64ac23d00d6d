// SPDX-License-Identifier: MIT
/* From a raw spell to its evidence: times, names and stacks. */
#include "explain.h"

#include <inttypes.h>
#include <string.h>

#include "../abi/syscalls.h"
#include "../base/banned.h"
#include "../base/text.h"
#include "sentence.h"

struct spell_parts spell_parts(const struct watch_spell *raw, uint64_t from_ns, uint64_t to_ns)
{
	bool has_slept = raw->state == TS_BLOCKED || raw->state == TS_STOPPED;
	bool has_waited = raw->state == TS_WAITING || raw->state == TS_THROTTLED;
	uint64_t out = raw->t_out, in = raw->t_in ?: to_ns, wake, off_cpu;
	struct spell_parts parts = {0};

	if (out < from_ns)
		out = from_ns;
	if (in > to_ns)
		in = to_ns;
	if (in <= out || (!has_slept && !has_waited))
		return parts;
	wake = has_waited ? out : raw->t_wake ?: in;
	if (wake < out)
		wake = out;
	if (wake > in)
		wake = in;
	off_cpu = in - wake;
	parts.blocked_ns = wake - out;
	parts.throttled_ns = raw->throttled_ns < off_cpu ? raw->throttled_ns : off_cpu;
	parts.waited_ns = off_cpu - parts.throttled_ns;
	return parts;
}

/* Names of a stack's functions. The addresses are those to return to, so the call is before them;
 * frames without a name, such as those of BPF programs, are left out. */
static unsigned stack_names(const struct explain_context *ctx, uint32_t id,
			    const char *name[WATCH_STACK])
{
	uint64_t address[WATCH_STACK];
	size_t nr;
	unsigned named = 0;

	if (!id || !ctx->stack || !ctx->ksyms)
		return 0;
	nr = ctx->stack(ctx->arg, id, address);
	for (size_t i = 0; i < nr && i < WATCH_STACK && address[i]; i++) {
		name[named] = ksyms_find(ctx->ksyms, address[i] - 1, NULL);
		if (name[named])
			named++;
	}
	return named;
}

void spell_resolve(struct spell *s, const struct violation *v, const struct explain_context *ctx,
		   struct evidence *ret)
{
	const char *waker[WATCH_STACK];
	unsigned nr;

	s->kind = CAUSE_UNKNOWN;
	s->wait_kind = CAUSE_UNKNOWN;
	s->syscall = s->raw.flags & SPELL_IN_SYSCALL ? syscall_name(s->raw.nr) : NULL;
	s->nr_frames = stack_names(ctx, s->raw.stack_id, s->frame);
	*ret = (struct evidence){.spell = s, .tid = v->raw.tid};
	sleep_view_make(&ret->sleep, s->frame, s->nr_frames);
	nr = stack_names(ctx, s->raw.waker_stack_id, waker);
	wake_view_make(&ret->wake, waker, nr);
	if (ret->wake.is_interrupt)
		s->raw.flags |= SPELL_IRQ_WAKE;
	if (ret->wake.is_timer)
		s->raw.flags |= SPELL_TIMER_WAKE;
	ret->wake.is_interrupt = s->raw.flags & (SPELL_IRQ_WAKE | SPELL_TIMER_WAKE);
	ret->wake.is_timer = s->raw.flags & SPELL_TIMER_WAKE;
}

static void add_name(struct tocsin_text *t, const char *key, const char *name, size_t len)
{
	tocsin_text_add(t, "%s%s=", t->used ? " " : "", key);
	tocsin_text_add_clean(t, name, strnlen(name, len));
}

static void add_task(struct tocsin_text *t, const char *key, const char *comm, uint32_t tid)
{
	if (!tid)
		return;
	add_name(t, key, comm, WATCH_COMM_LEN);
	tocsin_text_add(t, ":%u", tid);
}

static void add_io(struct tocsin_text *t, const struct watch_spell *raw)
{
	char span[SPAN_TEXT_LEN];

	if (raw->flags & SPELL_IOWAIT)
		tocsin_text_add(t, "%siowait", t->used ? " " : "");
	if (!raw->t_wake || raw->io_age_ns >= DISK_FRESH_NS)
		return;
	tocsin_text_add(t, "%sio=%u:%u", t->used ? " " : "", raw->io_dev >> 20,
			raw->io_dev & 0xfffff);
	tocsin_text_add(t, " io_latency=%s", span_text(raw->io_latency_ns, span));
}

void spell_evidence(const struct spell *s, const struct finding *f, char *buf, size_t len)
{
	const struct watch_spell *raw = &s->raw;
	struct tocsin_text t;

	tocsin_text_init(&t, buf, len);
	if (f->state == TS_WAITING || f->state == TS_THROTTLED) {
		add_task(&t, "occupant", raw->occ_comm, raw->occ_tid);
		if (f->state == TS_THROTTLED)
			tocsin_text_add(&t, "%scgroup=%" PRIu64, t.used ? " " : "",
					(uint64_t)raw->cgroup_id);
		return;
	}
	if (f->why)
		tocsin_text_add(&t, "%s;", f->why);
	if (s->syscall)
		add_name(&t, "syscall", s->syscall, 64);
	else if (raw->flags & SPELL_IN_SYSCALL)
		tocsin_text_add(&t, "%ssyscall=%d", t.used ? " " : "", raw->nr);
	if (f->frame)
		add_name(&t, "stack", f->frame, 64);
	if (raw->note_kind)
		tocsin_text_add(&t, "%snote=%u", t.used ? " " : "", raw->note_kind);
	add_task(&t, "owner", raw->owner_comm, raw->owner_tid);
	if (raw->t_wake) {
		add_task(&t, "waker", raw->waker_comm, raw->waker_tid);
		if (raw->flags & (SPELL_TIMER_WAKE | SPELL_IRQ_WAKE))
			tocsin_text_add(&t, "%swoken_in=%s", t.used ? " " : "",
					raw->flags & SPELL_TIMER_WAKE ? "timer" : "interrupt");
	}
	if (raw->flags & SPELL_FILE && raw->file_name[0])
		add_name(&t, "file", raw->file_name, sizeof(raw->file_name));
	add_io(&t, raw);
}
