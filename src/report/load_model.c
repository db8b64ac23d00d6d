// SPDX-License-Identifier: MIT
/* From what a trace says to what the watch knew: trace.c the other way round. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "../base/parse.h"
#include "load_event.h"

static void name_fit(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size);

	memset(to, 0, size);
	memcpy(to, from, len);
}

#define NAME_FIT(array, text) name_fit(array, sizeof(array), text)

static void text_fit(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from); /* cut where it is too long */
}

/* Members that events of one kind share. The texts stay where they are. */
#define HEAD_FROM(v, e)                                                      \
	do {                                                                 \
		(v)->number = (e)->number;                                   \
		(v)->budget_ns = (e)->budget_ns;                             \
		(v)->raw.tid = (e)->tid;                                     \
		(v)->raw.tgid = (e)->pid;                                    \
		(v)->raw.key = (e)->key;                                     \
		(v)->raw.start_ns = (e)->start_ns;                           \
		(v)->raw.end_ns = (e)->start_ns + (e)->elapsed_ns;           \
		(v)->raw.deadline_ns = (e)->start_ns + (e)->budget_ns;       \
		(v)->raw.flags = ((e)->is_keyed ? SECTION_KEYED : 0u) |      \
				 ((e)->split_known ? 0u : SECTION_NO_SPLIT); \
		NAME_FIT((v)->raw.comm, (e)->comm);                          \
		text_fit((v)->verdict, sizeof((v)->verdict), (e)->verdict);  \
	} while (0)

void load_fired(const struct trace_fired *e, struct violation *ret)
{
	HEAD_FROM(ret, e);
#define X(NAME, name, text) ret->raw.split_ns[TS_##NAME] = e->split_##name##_ns;
#include "../abi/states.def"
#undef X
	ret->flags = VIOLATION_OPEN;
	ret->raw.flags |= SECTION_FIRED;
	ret->raw.state = e->state;
	ret->fired_late_ns = e->late_ns;
}

void load_violation(const struct trace_violation *e, struct violation *ret)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} abandoned[] = {
		{"exit", SECTION_ABANDON_EXIT},
		{"exec", SECTION_ABANDON_EXEC},
		{"frame", SECTION_ABANDON_FRAME},
	};

	HEAD_FROM(ret, e);
#define X(NAME, name, text) ret->raw.split_ns[TS_##NAME] = e->split_##name##_ns;
#include "../abi/states.def"
#undef X
	for (unsigned i = 0; i < sizeof(abandoned) / sizeof(abandoned[0]); i++) {
		if (strcmp(e->abandoned, abandoned[i].name) == 0) {
			ret->raw.flags |= abandoned[i].flag;
			ret->flags |= VIOLATION_ABANDONED;
		}
	}
	if (e->fired)
		ret->raw.flags |= SECTION_FIRED;
	if (e->stop_tid != e->tid)
		ret->raw.flags |= SECTION_MOVED;
	ret->raw.stop_tid = e->stop_tid;
	ret->fired_late_ns = e->fired_late_ns;
	ret->raw.spells_long = e->spells_total;
	ret->nr_spells_lost = e->spells_lost;
	ret->raw.spells_short = e->spells_short;
	ret->raw.short_ns = e->short_ns;
}

/* A table's item that we do not know is the last of the model's own: unknown. */
static unsigned clip(unsigned value, unsigned nr, unsigned unknown)
{
	return value < nr ? value : unknown;
}

#define CAUSE_FROM(c, e)                                                                      \
	do {                                                                                  \
		(c)->kind = (enum cause_kind)clip((e)->kind, CAUSE_NR, CAUSE_UNKNOWN);        \
		(c)->confidence = (enum confidence)clip((e)->confidence, CONFIDENCE_NONE + 1, \
							CONFIDENCE_NONE);                     \
		(c)->ns = (e)->ns;                                                            \
		(c)->nr_spells = (e)->spells;                                                 \
		(c)->peer.tid = (e)->peer_tid;                                                \
		(c)->peer.tgid = (e)->peer_pid;                                               \
		NAME_FIT((c)->peer.comm, (e)->peer_comm);                                     \
		text_fit((c)->subject, sizeof((c)->subject), (e)->subject);                   \
		text_fit((c)->text, sizeof((c)->text), (e)->text);                            \
		text_fit((c)->evidence, sizeof((c)->evidence), (e)->evidence);                \
	} while (0)

void load_cause(const struct trace_cause *e, struct cause *ret)
{
	CAUSE_FROM(ret, e);
}

void load_section_cause(const struct trace_summary_cause *e, struct cause *ret)
{
	CAUSE_FROM(ret, e);
}

/* ---- spells */

static uint32_t flags_from(const char *text)
{
	uint32_t flags = 0;
	size_t len;

	for (; *text; text += len + strspn(text + len, " ")) {
		len = strcspn(text, " ");
#define X(NAME, name)                                                  \
	if (len == sizeof(#name) - 1 && memcmp(text, #name, len) == 0) \
		flags |= SPELL_##NAME;
#include "spell_flags.def"
#undef X
		if (!len)
			break;
	}
	return flags;
}

/* "8:1", as dev_text() has it. */
static uint32_t dev_from(const char *text)
{
	unsigned major, minor;

	return sscanf(text, "%u:%u", &major, &minor) == 2 ? major << 20 | (minor & 0xfffff) : 0;
}

static uint16_t family_from(const char *text)
{
	static const uint16_t families[] = {AF_UNIX,    AF_INET,   AF_INET6,
					    AF_NETLINK, AF_PACKET, AF_VSOCK};
	char name[FIELD_NAME_LEN];
	uint64_t number;

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (strcmp(family_text(families[i], name), text) == 0)
			return families[i];
	return tocsin_parse_u64(text, &number) == 0 && number <= UINT16_MAX ? (uint16_t)number : 0;
}

static void socket_from(const struct trace_spell *e, struct watch_spell *s)
{
	s->sock_family = family_from(e->socket_family);
	if (inet_pton(s->sock_family, e->socket_address, s->sock_addr) != 1)
		memset(s->sock_addr, 0, sizeof(s->sock_addr));
	s->sock_port = htons(e->socket_port);
}

static void thing_from(const struct trace_spell *e, struct watch_spell *s)
{
	s->io_dev = dev_from(e->io_dev);
	s->io_age_ns = s->io_dev ? e->io_age_ns : UINT64_MAX;
	s->io_latency_ns = e->io_latency_ns;
	s->io_bytes = e->io_bytes;
	if (s->flags & SPELL_FILE) {
		s->file_dev = dev_from(e->file_dev);
		s->file_ino = e->file_ino;
		s->file_mode = e->file_mode;
		NAME_FIT(s->file_name, e->file_name);
	}
	if (s->flags & SPELL_SOCKET)
		socket_from(e, s);
}

static void tasks_from(const struct trace_spell *e, struct watch_spell *s)
{
	s->waker_tid = e->waker_tid;
	s->waker_tgid = e->waker_pid;
	NAME_FIT(s->waker_comm, e->waker_comm);
	s->waker_nr = e->waker_syscall_nr;
	s->owner_tid = e->owner_tid;
	s->owner_tgid = e->owner_pid;
	NAME_FIT(s->owner_comm, e->owner_comm);
	s->occ_tid = e->occupant_tid;
	s->occ_tgid = e->occupant_pid;
	NAME_FIT(s->occ_comm, e->occupant_comm);
	s->occ_prio = e->occupant_prio;
	s->occ_ns = e->occupant_ns;
	s->cgroup_id = e->cgroup_id;
	NAME_FIT(s->cgroup, e->cgroup_name);
	s->quota_ns = e->cgroup_quota_ns;
	s->period_ns = e->cgroup_period_ns;
}

void load_spell(const struct trace_spell *e, struct spell *ret)
{
	struct watch_spell *s = &ret->raw;

	*ret = (struct spell){
		.kind = (enum cause_kind)clip(e->cause, CAUSE_NR, CAUSE_UNKNOWN),
		.wait_kind = (enum cause_kind)clip(e->wait_cause, CAUSE_NR, CAUSE_UNKNOWN),
		.syscall = e->syscall[0] ? e->syscall : NULL,
	};
	s->t_out = e->out_ns;
	s->t_wake = e->wake_ns;
	s->t_in = e->in_ns;
	s->throttled_ns = e->throttled_ns;
	s->state = (uint8_t)clip(e->state, TS_NR, TS_UNKNOWN);
	s->flags = flags_from(e->flags);
	s->nr = e->syscall_nr;
	for (uint32_t i = 0; i < 3 && i < e->args.nr; i++)
		s->arg[i] = e->args.item[i];
	s->note_kind = e->note_kind;
	for (uint32_t i = 0; i < WATCH_ARGS && i < e->note_args.nr; i++)
		s->note[i] = e->note_args.item[i];
	ret->nr_frames = e->stack.nr < WATCH_STACK ? e->stack.nr : WATCH_STACK;
	for (unsigned i = 0; i < ret->nr_frames; i++)
		ret->frame[i] = e->stack.item[i];
	thing_from(e, s);
	tasks_from(e, s);
}

/* ---- user stacks */

/* Cuts @text at @at, which is in it. Return: what stands behind @skip bytes more. */
static char *cut(char *at, size_t skip)
{
	*at = '\0';
	return at + skip;
}

/* "?" is not known. */
static const char *known(const char *text)
{
	return strcmp(text, "?") == 0 ? "" : text;
}

/* `[inlined ]FUNCTION<tab>FILE:LINE<tab>MODULE+0xADDRESS`. What is of another form is all function.
 */
static void frame_from(char *text, struct named_frame *ret)
{
	static const char inlined[] = "inlined ";
	char *plus = strrchr(text, '+'), *tab, *colon;
	uint64_t line;

	*ret = (struct named_frame){.function = text, .file = "", .module = "", .build_id = ""};
	if (strncmp(text, inlined, sizeof(inlined) - 1) == 0) {
		ret->is_inlined = true;
		ret->function = text + sizeof(inlined) - 1;
	}
	if (!plus || tocsin_parse_u64(plus + 1, &ret->vaddr) < 0)
		return;
	(void)cut(plus, 0); /* its end is known */
	tab = strrchr(text, '\t');
	if (!tab || tab < ret->function)
		return;
	ret->module = known(cut(tab, 1));
	tab = strrchr(text, '\t');
	if (!tab || tab < ret->function)
		return;
	ret->file = cut(tab, 1);
	colon = strrchr(ret->file, ':');
	if (colon && tocsin_parse_u64(colon + 1, &line) == 0 && line <= UINT32_MAX) {
		(void)cut(colon, 0); /* its end is known */
		ret->line = (unsigned)line;
	}
	ret->file = known(ret->file);
	ret->function = known(ret->function);
}

struct named_stack *load_user_stack(const struct trace_user_stack *e, struct arena *arena)
{
	struct named_stack *stack =
		arena_alloc(arena, sizeof(*stack) + e->frames.nr * sizeof(stack->frame[0]));

	if (!stack)
		return NULL;
	stack->why = (enum stack_reason)clip(e->reach, STACK_REASONS, STACK_REASONS - 1);
	for (uint32_t i = 0; i < e->frames.nr; i++) {
		char *text = arena_text(arena, e->frames.item[i], strlen(e->frames.item[i]));

		if (!text)
			return NULL;
		frame_from(text, &stack->frame[stack->nr++]);
	}
	return stack;
}

/* ---- the rest */

void load_process(const struct trace_process *e, struct watch_event_process *ret)
{
	*ret = (struct watch_event_process){
		.what = clip(e->what, PROCESS_EXITED + 1, 0), .tgid = e->pid, .parent = e->parent};
	NAME_FIT(ret->comm, e->comm);
}

void load_section(const struct trace_summary_section *e, struct section_summary *ret)
{
	*ret = (struct section_summary){
		.name = e->name,
		.text = e->text,
		.budget_ns = e->budget_ns,
		.closed = e->closed,
		.over = e->over,
		.fired = e->fired,
		.abandoned = e->abandoned,
		.still_open = e->still_open,
		.removed_open = e->removed_open,
		.unreported = e->unreported,
		.mean_ns = e->mean_ns,
		.p50_ns = e->p50_ns,
		.p90_ns = e->p90_ns,
		.p99_ns = e->p99_ns,
		.p999_ns = e->p999_ns,
		.max_ns = e->max_ns,
#define X(NAME, name, text) .over_split_ns[TS_##NAME] = e->over_split_##name##_ns,
#include "../abi/states.def"
#undef X
		.other_ns = e->other_ns,
	};
}
