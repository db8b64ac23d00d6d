// SPDX-License-Identifier: MIT
/* The result model as JSON lines. A member that is not known is left out; one that is there is
 * never a guess. */
#include "json.h"

#include <stdio.h>

#include "../abi/syscalls.h"
#include "json_text.h"

#define X(NAME, provider, begin, end, decoder, first) #decoder,
static const char *const note_names[] = {
#include "../abi/notes.def"
};
#undef X

#define NR_NOTES (sizeof(note_names) / sizeof(note_names[0]))

static void begin_object(struct out *o, const char *type)
{
	json_open(o, NULL, '{');
	json_str(o, "type", type);
}

static int end_object(struct out *o)
{
	json_close(o, '}');
	out_add_bytes(o, "\n", 1);
	return out_write(o);
}

static void put_split(struct out *o, const char *name, const uint64_t *split_ns)
{
	json_open(o, name, '{');
	for (unsigned i = 0; i < TS_NR; i++)
		json_u64(o, state_names[i], split_ns[i]);
	json_close(o, '}');
}

static void put_task(struct out *o, uint32_t tid, uint32_t tgid, const char *comm)
{
	json_u64(o, "tid", tid);
	json_u64(o, "pid", tgid);
	json_strn(o, "comm", comm, WATCH_COMM_LEN);
}

/* Several tasks of one name have a name and no number. */
static void put_peer(struct out *o, const struct peer *peer)
{
	if (!peer->tid && !peer->comm[0])
		return;
	json_open(o, "peer", '{');
	if (peer->tid)
		put_task(o, peer->tid, peer->tgid, peer->comm);
	else
		JSON_NAME(o, "comm", peer->comm);
	json_close(o, '}');
}

static void put_causes(struct out *o, const struct cause *cause, unsigned nr, uint64_t whole_ns)
{
	json_open(o, "causes", '[');
	for (unsigned i = 0; i < nr; i++) {
		const struct cause *c = &cause[i];

		json_open(o, NULL, '{');
		json_str(o, "kind", CAUSE_NAME(c->kind));
		json_u64(o, "ns", c->ns);
		json_share(o, "share", share_permyriad(c->ns, whole_ns));
		json_str(o, "confidence", CONFIDENCE_NAME(c->confidence));
		json_u64(o, "spells", c->nr_spells);
		put_peer(o, &c->peer);
		JSON_NAME(o, "subject", c->subject);
		JSON_NAME(o, "text", c->text);
		JSON_NAME(o, "evidence", c->evidence);
		json_close(o, '}');
	}
	json_close(o, ']');
}

static void put_syscall(struct out *o, const struct spell *spell)
{
	const struct watch_spell *s = &spell->raw;

	if (spell->syscall)
		json_str(o, "syscall", spell->syscall);
	if (!spell_has_syscall(s))
		return;
	json_i64(o, "syscall_nr", s->nr);
	json_open(o, "args", '[');
	/* Signed, as negative numbers (AT_FDCWD, -1) are what people look for; addresses of user
	 * space are positive. */
	for (unsigned i = 0; i < sizeof(s->arg) / sizeof(s->arg[0]); i++)
		json_i64(o, NULL, (int64_t)s->arg[i]);
	json_close(o, ']');
}

static void put_stack(struct out *o, const struct spell *spell)
{
	if (!spell->nr_frames)
		return;
	json_open(o, "stack", '[');
	for (unsigned i = 0; i < spell->nr_frames; i++)
		json_str(o, NULL, spell->frame[i]);
	json_close(o, ']');
}

static void put_user_frame(struct out *o, const struct named_frame *f)
{
	char vaddr[24];

	json_open(o, NULL, '{');
	if (f->function[0])
		json_str(o, "function", f->function);
	if (f->file[0])
		json_str(o, "file", f->file);
	if (f->line)
		json_u64(o, "line", f->line);
	if (f->is_inlined)
		json_bool(o, "inlined", true);
	if (f->module[0])
		json_str(o, "module", f->module);
	if (f->build_id[0])
		json_str(o, "build_id", f->build_id);
	if (f->is_replaced)
		json_bool(o, "replaced", true);
	(void)snprintf(vaddr, sizeof(vaddr), "0x%llx", (unsigned long long)f->vaddr);
	json_str(o, "address", vaddr);
	json_close(o, '}');
}

static void put_user_stack(struct out *o, const struct named_stack *stack)
{
	if (!stack)
		return;
	json_open(o, "user_stack", '{');
	json_str(o, "reach", stack_reason_name(stack->why));
	json_open(o, "frames", '[');
	for (unsigned i = 0; i < stack->nr; i++)
		put_user_frame(o, &stack->frame[i]);
	json_close(o, ']');
	json_close(o, '}');
}

/* Who woke it, and who held what it waited for. */
static void put_peers(struct out *o, const struct watch_spell *s)
{
	const char *syscall = s->waker_nr >= 0 ? syscall_name(s->waker_nr) : NULL;

	if (s->waker_tid) {
		json_open(o, "waker", '{');
		put_task(o, s->waker_tid, s->waker_tgid, s->waker_comm);
		if (syscall)
			json_str(o, "syscall", syscall);
		json_close(o, '}');
	}
	if (s->owner_tid) {
		json_open(o, "owner", '{');
		put_task(o, s->owner_tid, s->owner_tgid, s->owner_comm);
		json_close(o, '}');
	}
}

static void put_things(struct out *o, const struct watch_spell *s)
{
	char buf[FIELD_NAME_LEN];

	if (spell_has_io(s)) {
		json_open(o, "io", '{');
		json_str(o, "dev", dev_text(s->io_dev, buf));
		json_u64(o, "latency_ns", s->io_latency_ns);
		json_u64(o, "age_ns", s->io_age_ns);
		json_u64(o, "bytes", s->io_bytes);
		json_close(o, '}');
	}
	if (s->flags & SPELL_FILE) {
		json_open(o, "file", '{');
		json_str(o, "dev", dev_text(s->file_dev, buf));
		json_u64(o, "ino", s->file_ino);
		json_u64(o, "mode", s->file_mode);
		JSON_NAME(o, "name", s->file_name);
		json_close(o, '}');
	}
	if (s->flags & SPELL_SOCKET) {
		json_open(o, "socket", '{');
		json_str(o, "family", family_text(s->sock_family, buf));
		json_str(o, "address", address_text(s, buf));
		json_u64(o, "port", spell_port(s));
		json_close(o, '}');
	}
}

static void put_cpu(struct out *o, const struct watch_spell *s)
{
	if (spell_has_occupant(s)) {
		json_open(o, "occupant", '{');
		put_task(o, s->occ_tid, s->occ_tgid, s->occ_comm);
		json_i64(o, "prio", s->occ_prio);
		json_u64(o, "ns", s->occ_ns);
		json_close(o, '}');
	}
	if (s->cgroup_id) {
		json_open(o, "cgroup", '{');
		json_u64(o, "id", s->cgroup_id);
		JSON_NAME(o, "name", s->cgroup);
		json_u64(o, "quota_ns", s->quota_ns);
		json_u64(o, "period_ns", s->period_ns);
		json_close(o, '}');
	}
}

static void put_note(struct out *o, const struct watch_spell *s)
{
	if (!s->note_kind)
		return;
	json_open(o, "note", '{');
	json_str(o, "kind", table_name(note_names, NR_NOTES, s->note_kind - 1u));
	json_open(o, "args", '[');
	for (unsigned i = 0; i < WATCH_ARGS; i++)
		json_u64(o, NULL, s->note[i]);
	json_close(o, ']');
	json_close(o, '}');
}

static void put_flags(struct out *o, uint32_t flags)
{
	json_open(o, "flags", '[');
#define X(NAME, name)             \
	if (flags & SPELL_##NAME) \
		json_str(o, NULL, #name);
#include "spell_flags.def"
#undef X
	json_close(o, ']');
}

static void put_spell(struct out *o, const char *name, const struct spell *spell)
{
	const struct watch_spell *s = &spell->raw;

	json_open(o, name, '{');
	json_u64(o, "out_ns", s->t_out);
	if (s->t_wake)
		json_u64(o, "wake_ns", s->t_wake);
	if (s->t_in)
		json_u64(o, "in_ns", s->t_in);
	json_str(o, "state", STATE_NAME(s->state));
	json_str(o, "cause", CAUSE_NAME(spell->kind));
	if (spell_has_waited(s))
		json_str(o, "wait_cause", CAUSE_NAME(spell->wait_kind));
	json_u64(o, "throttled_ns", s->throttled_ns);
	put_syscall(o, spell);
	put_stack(o, spell);
	put_user_stack(o, spell->user_stack);
	put_peers(o, s);
	put_things(o, s);
	put_cpu(o, s);
	put_note(o, s);
	put_flags(o, s->flags);
	json_close(o, '}');
}

static void put_head(struct out *o, const struct violation *v)
{
	json_u64(o, "number", v->number);
	json_str(o, "section", v->section);
	put_task(o, v->raw.tid, v->raw.tgid, v->raw.comm);
	if (v->raw.flags & SECTION_KEYED)
		json_u64(o, "key", v->raw.key);
	json_u64(o, "start_ns", v->raw.start_ns);
	json_u64(o, "end_ns", v->raw.end_ns);
	json_u64(o, "elapsed_ns", violation_elapsed_ns(v));
	json_u64(o, "budget_ns", v->budget_ns);
	put_user_stack(o, v->stack);
}

static int json_fired(struct out *o, const struct violation *v)
{
	struct spell buf;
	const struct spell *spell = violation_open_spell(v, &buf);
	uint64_t split_ns[TS_NR];

	begin_object(o, "fired");
	put_head(o, v);
	json_str(o, "state", STATE_NAME(v->raw.state));
	json_u64(o, "late_ns", v->fired_late_ns);
	json_bool(o, "split_known", !(v->raw.flags & SECTION_NO_SPLIT));
	put_split(o, "split_ns", violation_split_ns(v, split_ns));
	if (v->verdict[0])
		JSON_NAME(o, "verdict", v->verdict);
	if (spell)
		put_spell(o, "spell", spell);
	return end_object(o);
}

int json_violation(struct out *o, const struct violation *v)
{
	const char *abandoned = violation_abandoned(v);
	uint64_t split_ns[TS_NR];

	if (v->flags & VIOLATION_OPEN)
		return json_fired(o, v);
	begin_object(o, "violation");
	put_head(o, v);
	json_bool(o, "fired", v->raw.flags & SECTION_FIRED);
	if (v->raw.flags & SECTION_FIRED)
		json_u64(o, "fired_late_ns", v->fired_late_ns);
	if (abandoned)
		json_str(o, "abandoned", abandoned);
	if (v->raw.flags & SECTION_MOVED)
		json_u64(o, "stop_tid", v->raw.stop_tid);
	json_bool(o, "split_known", !(v->raw.flags & SECTION_NO_SPLIT));
	put_split(o, "split_ns", violation_split_ns(v, split_ns));
	JSON_NAME(o, "verdict", v->verdict);
	put_causes(o, v->cause, v->nr_causes, violation_elapsed_ns(v));
	json_open(o, "spells", '[');
	for (unsigned i = 0; i < v->nr_spells; i++)
		put_spell(o, NULL, &v->spell[i]);
	json_close(o, ']');
	json_u64(o, "spells_total", v->raw.spells_long);
	json_u64(o, "spells_lost", v->nr_spells_lost);
	json_u64(o, "spells_short", v->raw.spells_short);
	json_u64(o, "short_ns", v->raw.short_ns);
	return end_object(o);
}

int json_armed(struct out *o, unsigned nr_sections, unsigned nr_probes, int64_t realtime_offset_ns)
{
	begin_object(o, "armed");
	json_u64(o, "sections", nr_sections);
	json_u64(o, "probes", nr_probes);
	json_i64(o, "realtime_offset_ns", realtime_offset_ns);
	return end_object(o);
}

int json_process(struct out *o, const struct watch_event_process *process)
{
	begin_object(o, "process");
	json_str(o, "what", PROCESS_NAME(process->what));
	json_u64(o, "pid", process->tgid);
	json_u64(o, "parent", process->parent);
	JSON_NAME(o, "comm", process->comm);
	return end_object(o);
}

static void put_section(struct out *o, const struct section_summary *s)
{
	uint64_t over_ns = 0;

	for (unsigned i = 0; i < TS_NR; i++)
		over_ns += s->over_split_ns[i];
	json_open(o, NULL, '{');
	json_str(o, "name", s->name);
	json_str(o, "text", s->text);
	json_u64(o, "budget_ns", s->budget_ns);
	json_u64(o, "closed", s->closed);
	json_u64(o, "over", s->over);
	json_u64(o, "fired", s->fired);
	json_u64(o, "abandoned", s->abandoned);
	json_u64(o, "still_open", s->still_open);
	json_u64(o, "removed_open", s->removed_open);
	json_u64(o, "unreported", s->unreported);
	json_u64(o, "mean_ns", s->mean_ns);
	json_u64(o, "p50_ns", s->p50_ns);
	json_u64(o, "p90_ns", s->p90_ns);
	json_u64(o, "p99_ns", s->p99_ns);
	json_u64(o, "p999_ns", s->p999_ns);
	json_u64(o, "max_ns", s->max_ns);
	put_split(o, "over_split_ns", s->over_split_ns);
	put_causes(o, s->cause, s->nr_causes, over_ns);
	json_u64(o, "other_ns", s->other_ns);
	json_close(o, '}');
}

static void put_losses(struct out *o, const char *name, const struct loss_text *text,
		       const uint64_t *count, unsigned nr)
{
	json_open(o, name, '{');
	for (unsigned i = 0; i < nr; i++)
		json_u64(o, text[i].name, count[i]);
	json_close(o, '}');
}

int json_summary(struct out *o, const struct watch_summary *summary,
		 const struct sink_losses *sinks)
{
	begin_object(o, "summary");
	json_u64(o, "duration_ns", summary->duration_ns);
	json_open(o, "sections", '[');
	for (unsigned i = 0; i < summary->nr_sections; i++)
		put_section(o, &summary->section[i]);
	json_close(o, ']');
	put_losses(o, "losses", loss_text, summary->loss, LOSS_NR);
	if (sinks)
		put_losses(o, "sinks", sink_text, sinks->count, SINK_NR);
	json_u64(o, "records_lost", summary->records_lost);
	json_bool(o, "throttle_known", summary->throttle_known);
	return end_object(o);
}
