// SPDX-License-Identifier: MIT
/* A line a violation, for people at 3 a.m.: when, what, how late, who, why; in this order, as one
 * reads it. */
#include "text.h"

#include <string.h>

#include "words.h"

#define INDENT 4 /* columns before what belongs to the line above */

void text_report_init(struct text_report *t, int fd, struct out_style style, bool is_verbose)
{
	*t = (struct text_report){.style = style, .is_verbose = is_verbose};
	out_init(&t->out, fd);
}

void text_report_done(struct text_report *t)
{
	out_done(&t->out);
}

static void end_line(struct text_report *t, size_t start, unsigned indent)
{
	out_wrap(&t->out, start, t->style.columns, indent);
	out_add(&t->out, "\n");
}

static void put_when_what(struct text_report *t, const struct violation *v)
{
	struct out *o = &t->out;

	word_colour(o, &t->style, COLOUR_DIM);
	word_clock(o, v->raw.end_ns, v->realtime_offset_ns);
	word_colour(o, &t->style, COLOUR_NONE);
	out_add(o, " ");
	word_colour(o, &t->style, COLOUR_BOLD);
	out_add_clean(o, v->section);
	word_colour(o, &t->style, COLOUR_NONE);
	out_add(o, " ");
}

static void put_who(struct text_report *t, const struct violation *v)
{
	struct out *o = &t->out;

	out_add(o, "  ");
	word_task(o, v->raw.comm, v->raw.tgid, v->raw.tid);
	if (v->raw.flags & SECTION_KEYED)
		out_add(o, " key %llu", (unsigned long long)v->raw.key);
	out_add(o, ": ");
}

/* "1.04x", "1.3x", "12x": as many digits as tell that it was over. */
static void put_ratio(struct out *o, uint64_t elapsed_ns, uint64_t budget_ns)
{
	uint64_t ratio = share_permyriad(elapsed_ns, budget_ns);
	unsigned long long tenths = (ratio + 500) / 1000;

	if (ratio < 11000)
		out_add(o, "%llu.%02llux", (unsigned long long)(ratio / 10000),
			(unsigned long long)(ratio % 10000 / 100));
	else if (tenths < 100)
		out_add(o, "%llu.%llux", tenths / 10, tenths % 10);
	else
		out_add(o, "%llux", (tenths + 5) / 10);
}

static void put_split_or_why_not(struct out *o, const struct violation *v)
{
	uint64_t split_ns[TS_NR];

	if (!(v->raw.flags & SECTION_NO_SPLIT))
		word_split(o, violation_split_ns(v, split_ns));
	else if (v->raw.flags & SECTION_GAP)
		out_add(o, "split not known: a switch of the scheduler was not seen");
	else if (v->raw.flags & SECTION_MOVED)
		out_add(o, "split not known: it went from thread to thread");
	else
		out_add(o, "split not known");
}

static void put_notice(struct text_report *t, const struct violation *v)
{
	struct out *o = &t->out;
	struct spell buf;
	const struct spell *spell = violation_open_spell(v, &buf);

	word_colour(o, &t->style, COLOUR_YELLOW);
	out_add(o, "over ");
	word_budget(o, v->budget_ns);
	out_add(o, ", still open");
	word_colour(o, &t->style, COLOUR_NONE);
	put_who(t, v);
	if (v->verdict[0]) {
		out_add_clean(o, v->verdict);
		return;
	}
	out_add(o, "now %s", STATE_NAME(v->raw.state));
	if (spell && spell->syscall) {
		out_add(o, " in ");
		out_add_clean(o, spell->syscall);
	}
	out_add(o, "; so far ");
	put_split_or_why_not(o, v);
}

static void put_late(struct text_report *t, const struct violation *v)
{
	static const struct {
		const char *name, *text;
	} abandoned[] = {
		{"exit", ", its thread exited"},
		{"exec", ", its process started another program"},
		{"frame", ", its function was left without a return"},
	};
	const char *how = violation_abandoned(v);
	struct out *o = &t->out;

	word_colour(o, &t->style, COLOUR_RED);
	word_ns(o, violation_elapsed_ns(v));
	word_colour(o, &t->style, COLOUR_NONE);
	out_add(o, " (budget ");
	word_budget(o, v->budget_ns);
	out_add(o, ", ");
	put_ratio(o, violation_elapsed_ns(v), v->budget_ns);
	for (unsigned i = 0; how && i < sizeof(abandoned) / sizeof(abandoned[0]); i++) {
		if (strcmp(how, abandoned[i].name) == 0)
			out_add(o, "%s", abandoned[i].text);
	}
	out_add(o, ")");
	put_who(t, v);
	if (v->verdict[0])
		out_add_clean(o, v->verdict);
	else
		out_add(o, "no cause known");
}

static void put_spell_evidence(struct out *o, const struct watch_spell *s)
{
	char buf[FIELD_NAME_LEN];

	if (s->waker_tid) {
		out_add(o, "; woken by ");
		word_task(o, s->waker_comm, s->waker_tgid, s->waker_tid);
	}
	if (s->owner_tid) {
		out_add(o, "; held by ");
		word_task(o, s->owner_comm, s->owner_tgid, s->owner_tid);
	}
	if (spell_has_io(s)) {
		out_add(o, "; device %s took ", dev_text(s->io_dev, buf));
		word_ns(o, s->io_latency_ns);
	}
	if ((s->flags & SPELL_FILE) && s->file_name[0]) {
		out_add(o, "; file ");
		word_name(o, s->file_name, sizeof(s->file_name));
	}
	if (s->flags & SPELL_SOCKET) {
		out_add(o, "; socket %s", family_text(s->sock_family, buf));
		if (address_text(s, buf)[0])
			out_add(o, " %s port %u", buf, spell_port(s));
	}
	if (spell_has_occupant(s)) {
		out_add(o, "; the CPU had ");
		word_task(o, s->occ_comm, s->occ_tgid, s->occ_tid);
		out_add(o, " for ");
		word_ns(o, s->occ_ns);
	}
	if (s->cgroup_id) {
		out_add(o, "; quota of cgroup ");
		word_name(o, s->cgroup, sizeof(s->cgroup));
		out_add(o, ": ");
		word_ns(o, s->quota_ns);
		out_add(o, " in ");
		word_ns(o, s->period_ns);
	}
}

/* The last component says enough to whoever knows the program. */
static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Names have been cleaned. */
static void put_user_frame(struct out *o, const struct named_frame *f)
{
	if (f->function[0])
		out_add(o, "%s", f->function);
	else
		out_add(o, "0x%llx", (unsigned long long)f->vaddr);
	if (f->file[0] && f->line)
		out_add(o, " (%s:%u)", file_name(f->file), f->line);
	else if (f->module[0])
		out_add(o, " [%s]", file_name(f->module));
	if (f->is_replaced)
		out_add(o, " (replaced)");
}

/* Innermost first; an inlined function stands before "in" what it is inlined into. */
static void put_user_stack(struct text_report *t, unsigned indent, const char *title,
			   const struct named_stack *stack)
{
	struct out *o = &t->out;
	size_t start = o->len;

	out_add(o, "%*s%s", (int)indent, "", title);
	if (!stack->nr)
		out_add(o, " no stack: %s", stack_reason_text(stack->why));
	for (unsigned i = 0; i < stack->nr; i++) {
		out_add(o, "%s", !i ? " " : stack->frame[i - 1].is_inlined ? " in " : " < ");
		put_user_frame(o, &stack->frame[i]);
	}
	if (stack->nr && stack->why != STACK_COMPLETE)
		out_add(o, "; it ends here: %s", stack_reason_text(stack->why));
	end_line(t, start, indent + INDENT);
}

/* What tells most in one line: the longest spell, where it took most of the time, or the deadline.
 */
static void put_stacks(struct text_report *t, const struct violation *v)
{
	const struct spell *longest = NULL;
	uint64_t longest_ns = 0;

	for (unsigned i = 0; i < v->nr_spells; i++) {
		uint64_t ns = spell_off_ns(&v->spell[i].raw, v->raw.end_ns);

		if (v->spell[i].user_stack && ns > longest_ns) {
			longest = &v->spell[i];
			longest_ns = ns;
		}
	}
	if (longest && !t->is_verbose && longest_ns * 2 > violation_elapsed_ns(v))
		put_user_stack(t, INDENT, "most of it in:", longest->user_stack);
	else if (v->stack && (v->stack->nr ||
			      (v->stack->why != STACK_NOT_ASKED && v->stack->why != STACK_PENDING)))
		put_user_stack(t, INDENT, "at the deadline:", v->stack);
}

static void put_spell(struct text_report *t, const struct violation *v, const struct spell *spell)
{
	const struct watch_spell *s = &spell->raw;
	struct out *o = &t->out;
	size_t start = o->len;
	uint64_t wait_ns = spell_wait_ns(s, v->raw.end_ns);

	out_add(o, "%*s+", INDENT, "");
	word_ns(o, s->t_out > v->raw.start_ns ? s->t_out - v->raw.start_ns : 0);
	out_add(o, ": %s ", STATE_NAME(s->state));
	word_ns(o, spell_off_ns(s, v->raw.end_ns));
	if (spell->syscall && spell->syscall[0]) {
		out_add(o, " in ");
		out_add_clean(o, spell->syscall);
	}
	out_add(o, " [%s]", CAUSE_NAME(spell->kind));
	if (wait_ns) {
		out_add(o, ", then waiting ");
		word_ns(o, wait_ns);
		out_add(o, " [%s]", CAUSE_NAME(spell->wait_kind));
	}
	if (s->throttled_ns) {
		out_add(o, ", throttled ");
		word_ns(o, s->throttled_ns);
	}
	put_spell_evidence(o, s);
	end_line(t, start, 2 * INDENT);
	if (spell->user_stack)
		put_user_stack(t, 2 * INDENT, "in:", spell->user_stack);
	if (!spell->nr_frames)
		return;
	start = o->len;
	out_add(o, "%*sstack:", 2 * INDENT, "");
	for (unsigned i = 0; i < spell->nr_frames; i++) {
		out_add(o, " ");
		out_add_clean(o, spell->frame[i]);
	}
	end_line(t, start, 3 * INDENT);
}

static void put_details(struct text_report *t, const struct violation *v)
{
	struct out *o = &t->out;
	size_t start = o->len;

	out_add(o, "%*s", INDENT, "");
	put_split_or_why_not(o, v);
	if (v->raw.flags & SECTION_MOVED)
		out_add(o, "; stopped by thread %u", v->raw.stop_tid);
	end_line(t, start, INDENT);
	for (unsigned i = 0; i < v->nr_spells; i++)
		put_spell(t, v, &v->spell[i]);
	if (v->raw.spells_long > v->nr_spells) {
		out_add(o, "%*sspells not kept: %u", INDENT, "", v->raw.spells_long - v->nr_spells);
		if (v->nr_spells_lost)
			out_add(o, ", of these lost on the way: %u", v->nr_spells_lost);
		out_add(o, "\n");
	}
	if (v->raw.spells_short) {
		out_add(o, "%*sshort spells: %u, together ", INDENT, "", v->raw.spells_short);
		word_ns(o, v->raw.short_ns);
		out_add(o, "\n");
	}
}

int text_violation(struct text_report *t, const struct violation *v)
{
	size_t start = t->out.len;

	put_when_what(t, v);
	if (v->flags & VIOLATION_OPEN)
		put_notice(t, v);
	else
		put_late(t, v);
	end_line(t, start, INDENT);
	put_stacks(t, v);
	if (t->is_verbose && !(v->flags & VIOLATION_OPEN))
		put_details(t, v);
	return out_write(&t->out);
}

int text_process(struct text_report *t, const struct watch_event_process *process,
		 int64_t realtime_offset_ns)
{
	struct out *o = &t->out;

	word_colour(o, &t->style, COLOUR_DIM);
	word_clock(o, process->head.t_ns, realtime_offset_ns);
	word_colour(o, &t->style, COLOUR_NONE);
	out_add(o, " process ");
	word_task(o, process->comm, process->tgid, process->tgid);
	out_add(o, " %s", PROCESS_NAME(process->what));
	if (process->what == PROCESS_FORKED)
		out_add(o, " by %u", process->parent);
	out_add(o, "\n");
	return out_write(o);
}
