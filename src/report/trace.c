// SPDX-License-Identifier: MIT
/*
 * From the result model to events of a trace. trace.def lists the events; from it come, in this
 * order, a struct of values an event, the table of its fields for ctf/, and the classes. What is
 * left is to fill the structs.
 *
 * The time of an event is that of the thing it tells: the end of a section, the firing of a
 * deadline. Causes and spells stand behind the violation they belong to, with its time and its
 * number; their own times are fields.
 */
#include "trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "../base/cleanup.h"
#include "trace_events.h"

#define FRAME_TEXT_LEN 1024

/* clang-format does not know a brace that a macro closes. */
/* clang-format off */
static const struct ctf_labels labels_states = {state_names, TS_NR};
static const struct ctf_labels labels_causes = {cause_names, CAUSE_NR};
static const struct ctf_labels labels_confidences = {confidence_names, CONFIDENCE_NONE + 1};
static const char *const reach_names[] = {
#define X(NAME, name, text) name,
#include "../abi/stack_reasons.def"
#undef X
};
static const struct ctf_labels labels_reaches = {reach_names, STACK_REASONS};
static const struct ctf_labels labels_processes = {process_names, PROCESS_EXITED + 1};

#define EVENT(name, id)           static const struct ctf_field fields_##name[] = {
#define FIELD(event, KIND, name)  {#name, CTF_##KIND, offsetof(struct trace_##event, name), NULL},
#define ENUM(event, name, labels) {#name, CTF_ENUM, offsetof(struct trace_##event, name), &labels_##labels},
#define END(event)                };
#include "trace.def"
#undef EVENT
#undef FIELD
#undef ENUM
#undef END

#define EVENT(name, id) {#name, fields_##name, sizeof(fields_##name) / sizeof(fields_##name[0]), id},
#define FIELD(event, KIND, name)
#define ENUM(event, name, labels)
#define END(event)
const struct ctf_event_class trace_classes[TRACE_CLASS_NR] = {
#include "trace.def"
};
#undef EVENT
#undef FIELD
#undef ENUM
#undef END

/* clang-format on */

static const struct ctf_stream_class stream_class = {
	.name = "watch",
	.event = trace_classes,
	.nr_events = TRACE_CLASS_NR,
};

enum { ENV_DOMAIN, ENV_TRACER, ENV_FORMAT, ENV_HOSTNAME, ENV_KERNEL, ENV_NR };

struct trace_sink {
	struct ctf_writer *writer;
	struct ctf_stream *stream;
	struct utsname host;
	struct ctf_env env[ENV_NR];
	struct ctf_trace_class class;
};

static void trace_sink_closep(struct trace_sink **sink)
{
	(void)trace_sink_close(*sink); /* always NULL */
}

int trace_sink_open(const char *dir, int64_t realtime_offset_ns, struct tocsin_err *err,
		    struct trace_sink **ret_sink)
{
	struct trace_sink *sink TOCSIN_CLEANUP(trace_sink_closep) = calloc(1, sizeof(*sink));
	int r;

	if (!sink)
		return tocsin_err_fail(-ENOMEM, err, "cannot make trace '%s': out of memory", dir);
	(void)uname(&sink->host); /* fails for a bad pointer only */
	sink->env[ENV_DOMAIN] = (struct ctf_env){"domain", "watch"};
	sink->env[ENV_TRACER] = (struct ctf_env){"tracer_name", "tocsin"};
	sink->env[ENV_FORMAT] = (struct ctf_env){"tocsin_format", "1"};
	sink->env[ENV_HOSTNAME] = (struct ctf_env){"hostname", sink->host.nodename};
	sink->env[ENV_KERNEL] = (struct ctf_env){"kernel_release", sink->host.release};
	sink->class = (struct ctf_trace_class){
		.stream = &stream_class,
		.nr_streams = 1,
		.env = sink->env,
		.nr_env = ENV_NR,
		.realtime_offset_ns = realtime_offset_ns,
	};
	r = ctf_writer_open(dir, &sink->class, err, &sink->writer);
	if (r < 0)
		return r;
	r = ctf_writer_add_stream(sink->writer, 0, 0, &sink->stream);
	if (r < 0)
		return tocsin_err_fail(r, err, "cannot write trace '%s': %s", dir, strerror(-r));
	*ret_sink = tocsin_take_ptr(&sink);
	return 0;
}

static int append(struct trace_sink *sink, unsigned class, uint64_t t_ns, const void *values)
{
	return ctf_stream_append(sink->stream, &trace_classes[class], t_ns, values);
}

/* Members that events of one kind share, as trace.def lists them. */
#define HEAD_OF(v, comm_buf)                                                                       \
	.number = (v)->number, .section = (v)->section, .tid = (v)->raw.tid, .pid = (v)->raw.tgid, \
	.comm = NAME_COPY((v)->raw.comm, comm_buf),                                                \
	.is_keyed = !!((v)->raw.flags & SECTION_KEYED),                                            \
	.key = (v)->raw.flags & SECTION_KEYED ? (v)->raw.key : 0, .start_ns = (v)->raw.start_ns,   \
	.end_ns = (v)->raw.end_ns, .elapsed_ns = violation_elapsed_ns(v),                          \
	.budget_ns = (v)->budget_ns, .split_known = !((v)->raw.flags & SECTION_NO_SPLIT)

#define CAUSE_OF(c, comm_buf)                                                              \
	.kind = (uint8_t)(c)->kind, .confidence = (uint8_t)(c)->confidence, .ns = (c)->ns, \
	.spells = (c)->nr_spells, .peer_tid = (c)->peer.tid, .peer_pid = (c)->peer.tgid,   \
	.peer_comm = NAME_COPY((c)->peer.comm, comm_buf), .subject = (c)->subject,         \
	.text = (c)->text, .evidence = (c)->evidence

static int append_spell(struct trace_sink *sink, const struct violation *v,
			const struct spell *spell, unsigned index)
{
	const struct watch_spell *s = &spell->raw;
	bool has_file = s->flags & SPELL_FILE, has_socket = s->flags & SPELL_SOCKET;
	bool has_io = spell_has_io(s), has_occupant = spell_has_occupant(s);
	char waker[FIELD_NAME_LEN], owner[FIELD_NAME_LEN], occupant[FIELD_NAME_LEN],
		file[FIELD_NAME_LEN];
	char io_dev[FIELD_NAME_LEN], file_dev[FIELD_NAME_LEN], cgroup[FIELD_NAME_LEN];
	char family[FIELD_NAME_LEN], address[FIELD_NAME_LEN];
	char flags[SPELL_FLAGS_TEXT_LEN];
	uint64_t args[3] = {s->arg[0], s->arg[1], s->arg[2]};
	uint64_t note[WATCH_ARGS];
	struct trace_spell e;

	for (unsigned i = 0; i < WATCH_ARGS; i++)
		note[i] = s->note[i];
	e = (struct trace_spell){
		.number = v->number,
		.index = index,
		.out_ns = s->t_out,
		.wake_ns = s->t_wake,
		.in_ns = s->t_in,
		.state = s->state,
		.cause = (uint8_t)spell->kind,
		.wait_cause = (uint8_t)(spell_has_waited(s) ? spell->wait_kind : CAUSE_UNKNOWN),
		.throttled_ns = s->throttled_ns,
		.syscall = spell->syscall,
		.syscall_nr = s->nr,
		.args = {args, spell_has_syscall(s) ? 3 : 0},
		.stack = {spell->frame, spell->nr_frames},
		.waker_tid = s->waker_tid,
		.waker_pid = s->waker_tgid,
		.waker_comm = NAME_COPY(s->waker_comm, waker),
		.waker_syscall_nr = s->waker_tid ? s->waker_nr : -1,
		.owner_tid = s->owner_tid,
		.owner_pid = s->owner_tgid,
		.owner_comm = NAME_COPY(s->owner_comm, owner),
		.io_dev = has_io ? dev_text(s->io_dev, io_dev) : "",
		.io_latency_ns = has_io ? s->io_latency_ns : 0,
		.io_age_ns = has_io ? s->io_age_ns : 0,
		.io_bytes = has_io ? s->io_bytes : 0,
		.file_dev = has_file ? dev_text(s->file_dev, file_dev) : "",
		.file_ino = has_file ? s->file_ino : 0,
		.file_mode = has_file ? s->file_mode : 0,
		.file_name = has_file ? NAME_COPY(s->file_name, file) : "",
		.socket_family = has_socket ? family_text(s->sock_family, family) : "",
		.socket_address = has_socket ? address_text(s, address) : "",
		.socket_port = has_socket ? spell_port(s) : 0,
		.occupant_tid = has_occupant ? s->occ_tid : 0,
		.occupant_pid = has_occupant ? s->occ_tgid : 0,
		.occupant_comm = has_occupant ? NAME_COPY(s->occ_comm, occupant) : "",
		.occupant_prio = has_occupant ? s->occ_prio : 0,
		.occupant_ns = has_occupant ? s->occ_ns : 0,
		.cgroup_id = s->cgroup_id,
		.cgroup_name = s->cgroup_id ? NAME_COPY(s->cgroup, cgroup) : "",
		.cgroup_quota_ns = s->cgroup_id ? s->quota_ns : 0,
		.cgroup_period_ns = s->cgroup_id ? s->period_ns : 0,
		.note_kind = s->note_kind,
		.note_args = {note, s->note_kind ? WATCH_ARGS : 0},
		.flags = spell_flags_text(s->flags, flags),
	};
	return append(sink, TRACE_CLASS_spell, v->raw.end_ns, &e);
}

/* Of the deadline (spell -1), or of a spell. */
static int append_user_stack(struct trace_sink *sink, const struct violation *v,
			     const struct named_stack *stack, int spell)
{
	struct trace_user_stack e = {
		.number = v->number,
		.fired = !!(v->flags & VIOLATION_OPEN),
		.spell = spell,
		.reach = (uint8_t)stack->why,
	};
	const char **text TOCSIN_CLEANUP(tocsin_free_voidp) = calloc(stack->nr ?: 1, sizeof(*text));
	char *line TOCSIN_CLEANUP(tocsin_free_charp) = malloc((stack->nr ?: 1) * FRAME_TEXT_LEN);

	if (!text || !line)
		return -ENOMEM;
	for (unsigned i = 0; i < stack->nr; i++) {
		const struct named_frame *f = &stack->frame[i];

		text[i] = line + i * FRAME_TEXT_LEN;
		(void)snprintf(line + i * FRAME_TEXT_LEN, FRAME_TEXT_LEN, "%s%s\t%s:%u\t%s+0x%llx",
			       f->is_inlined ? "inlined " : "", f->function[0] ? f->function : "?",
			       f->file[0] ? f->file : "?", f->line, f->module[0] ? f->module : "?",
			       (unsigned long long)f->vaddr);
	}
	e.frames = (ctf_type_STRS){text, stack->nr};
	return append(sink, TRACE_CLASS_user_stack, v->raw.end_ns, &e);
}

static int append_user_stacks(struct trace_sink *sink, const struct violation *v)
{
	int ret = v->stack ? append_user_stack(sink, v, v->stack, -1) : 0;

	for (unsigned i = 0; i < v->nr_spells; i++)
		if (v->spell[i].user_stack)
			ret = append_user_stack(sink, v, v->spell[i].user_stack, (int)i) ?: ret;
	return ret;
}

static int append_fired(struct trace_sink *sink, const struct violation *v)
{
	char comm[FIELD_NAME_LEN];
	struct spell buf;
	const struct spell *spell = violation_open_spell(v, &buf);
	struct trace_fired e = {
		HEAD_OF(v, comm),
#define X(NAME, name, text) .split_##name##_ns = v->raw.split_ns[TS_##NAME],
#include "../abi/states.def"
#undef X
		.state = (uint8_t)v->raw.state,
		.late_ns = v->fired_late_ns,
		.verdict = v->verdict,
		.spells = spell ? 1 : 0,
	};
	int r = append(sink, TRACE_CLASS_fired, v->raw.end_ns, &e);

	if (spell)
		r = append_spell(sink, v, spell, 0) ?: r;
	return append_user_stacks(sink, v) ?: r;
}

int trace_sink_violation(struct trace_sink *sink, const struct violation *v)
{
	char comm[FIELD_NAME_LEN];
	struct trace_violation e;
	int ret;

	if (v->flags & VIOLATION_OPEN)
		return append_fired(sink, v);
	e = (struct trace_violation){
		HEAD_OF(v, comm),
#define X(NAME, name, text) .split_##name##_ns = v->raw.split_ns[TS_##NAME],
#include "../abi/states.def"
#undef X
		.fired = !!(v->raw.flags & SECTION_FIRED),
		.fired_late_ns = v->fired_late_ns,
		.abandoned = violation_abandoned(v),
		.stop_tid = v->raw.flags & SECTION_MOVED ? v->raw.stop_tid : v->raw.tid,
		.verdict = v->verdict,
		.causes = v->nr_causes,
		.spells = v->nr_spells,
		.spells_total = v->raw.spells_long,
		.spells_lost = v->nr_spells_lost,
		.spells_short = v->raw.spells_short,
		.short_ns = v->raw.short_ns,
	};
	ret = append(sink, TRACE_CLASS_violation, v->raw.end_ns, &e);
	for (unsigned i = 0; i < v->nr_causes; i++) {
		const struct cause *c = &v->cause[i];
		char peer[FIELD_NAME_LEN];
		struct trace_cause ec = {.number = v->number, .index = i, CAUSE_OF(c, peer)};

		ret = append(sink, TRACE_CLASS_cause, v->raw.end_ns, &ec) ?: ret;
	}
	for (unsigned i = 0; i < v->nr_spells; i++)
		ret = append_spell(sink, v, &v->spell[i], i) ?: ret;
	return append_user_stacks(sink, v) ?: ret;
}

int trace_sink_process(struct trace_sink *sink, const struct watch_event_process *process)
{
	char comm[FIELD_NAME_LEN];
	struct trace_process e = {
		.what = (uint8_t)(process->what <= PROCESS_EXITED ? process->what : 0),
		.pid = process->tgid,
		.parent = process->parent,
		.comm = NAME_COPY(process->comm, comm),
	};

	return append(sink, TRACE_CLASS_process, process->head.t_ns, &e);
}

static int append_section(struct trace_sink *sink, const struct section_summary *s, uint64_t now_ns)
{
	struct trace_summary_section e = {
		.name = s->name,
		.text = s->text,
		.budget_ns = s->budget_ns,
		.closed = s->closed,
		.over = s->over,
		.fired = s->fired,
		.abandoned = s->abandoned,
		.still_open = s->still_open,
		.removed_open = s->removed_open,
		.unreported = s->unreported,
		.mean_ns = s->mean_ns,
		.p50_ns = s->p50_ns,
		.p90_ns = s->p90_ns,
		.p99_ns = s->p99_ns,
		.p999_ns = s->p999_ns,
		.max_ns = s->max_ns,
#define X(NAME, name, text) .over_split_##name##_ns = s->over_split_ns[TS_##NAME],
#include "../abi/states.def"
#undef X
		.causes = s->nr_causes,
		.other_ns = s->other_ns,
	};
	int ret = append(sink, TRACE_CLASS_summary_section, now_ns, &e);

	for (unsigned i = 0; i < s->nr_causes; i++) {
		const struct cause *c = &s->cause[i];
		char peer[FIELD_NAME_LEN];
		struct trace_summary_cause ec = {.section = s->name, .index = i, CAUSE_OF(c, peer)};

		ret = append(sink, TRACE_CLASS_summary_cause, now_ns, &ec) ?: ret;
	}
	return ret;
}

static int append_losses(struct trace_sink *sink, const struct loss_text *text,
			 const uint64_t *count, unsigned nr, uint64_t now_ns)
{
	int ret = 0;

	for (unsigned i = 0; i < nr; i++) {
		struct trace_loss e = {
			.name = text[i].name, .count = count[i], .sentence = text[i].sentence};

		ret = append(sink, TRACE_CLASS_loss, now_ns, &e) ?: ret;
	}
	return ret;
}

int trace_sink_summary(struct trace_sink *sink, const struct watch_summary *summary,
		       const struct sink_losses *sinks, uint64_t now_ns)
{
	struct trace_summary e = {
		.duration_ns = summary->duration_ns,
		.sections = summary->nr_sections,
		.records_lost = summary->records_lost,
		.throttle_known = summary->throttle_known,
	};
	int ret = append(sink, TRACE_CLASS_summary, now_ns, &e);

	for (unsigned i = 0; i < summary->nr_sections; i++)
		ret = append_section(sink, &summary->section[i], now_ns) ?: ret;
	ret = append_losses(sink, loss_text, summary->loss, LOSS_NR, now_ns) ?: ret;
	if (sinks)
		ret = append_losses(sink, sink_text, sinks->count, SINK_NR, now_ns) ?: ret;
	return ret;
}

int trace_sink_tick(struct trace_sink *sink, uint64_t now_ns)
{
	return ctf_writer_tick(sink->writer, now_ns);
}

int trace_sink_flush(struct trace_sink *sink)
{
	return ctf_writer_flush(sink->writer);
}

struct ctf_stats trace_sink_get_stats(const struct trace_sink *sink)
{
	return ctf_writer_get_stats(sink->writer);
}

struct trace_sink *trace_sink_close(struct trace_sink *sink)
{
	if (!sink)
		return NULL;
	sink->writer = ctf_writer_close(sink->writer);
	free(sink);
	return NULL;
}
