// SPDX-License-Identifier: MIT
/*
 * Where does a function end? Every way through it is followed, from its first instruction and out
 * of calls also to where its exception table says that exceptions land, with the facts of
 * flow_facts.h. It ends
 *
 *  - at a return, where the stack pointer must be what it was at the start as far as it is known;
 *
 *  - at a direct jump to the start of another function or to the procedure linkage table, and at
 *    an indirect one through a slot of the global offset table: a tail call, with the frame gone;
 *
 *  - at an indirect jump through a pointer that came from elsewhere (a virtual function), when the
 *    frame is gone and no address of a place inside the function is to be found in the file;
 *
 *  - at a call at its very end, or at a trap: these do not come back.
 *
 * A jump out to code that no symbol claims leads to a part that was moved away and lost its symbol,
 * or to a function that lost it: either is added and followed. So is one to which exceptions land.
 * Anything else (an indirect jump that is not a table with a known bound, a conditional jump to
 * another function, a jump into the middle of an instruction or of another function, a ret with
 * something still on the stack) makes the function's ends unknown, and the reason is kept.
 *
 * At the end the instructions that were never reached are looked at: if one of them would leave the
 * function, something was overlooked, and the ends are unknown too.
 *
 * States begin where something jumps to, which the reading from the front has marked; the walk
 * restarts when a jump table or a new part shows a place that it had already run through.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "../base/cleanup.h"
#include "flow.h"
#include "flow_facts.h"

#define STATES_MAX   32768
#define RESTARTS_MAX 64
#define STEPS_FACTOR 64 /* instructions walked a byte of code, at most */

struct state {
	uint64_t vaddr;
	struct flow_facts facts;
	bool is_queued;
};

struct walk {
	struct flow *fl;
	struct state *state;
	size_t nr_states, capacity;
	uint32_t *queue; /* a stack of indexes; each state is in it at most once */
	size_t nr_queued, queue_capacity;
	bool is_stale; /* a new place was found in what had been walked: begin again */
	uint64_t steps, steps_max;
	int failure; /* -errno */
	struct tocsin_err *err;
};

__attribute__((format(printf, 2, 3))) static void give_up(struct walk *w, const char *fmt, ...)
{
	va_list ap;

	if (w->fl->why[0])
		return;
	va_start(ap, fmt);
	(void)vsnprintf(w->fl->why, sizeof(w->fl->why), fmt, ap);
	va_end(ap);
}

static bool is_over(const struct walk *w)
{
	return w->failure || w->is_stale || w->fl->why[0];
}

static void queue_push(struct walk *w, uint32_t idx)
{
	if (w->state[idx].is_queued)
		return;
	if (w->nr_queued == w->queue_capacity) {
		size_t more = w->queue_capacity ? 2 * w->queue_capacity : 64;
		uint32_t *bigger = reallocarray(w->queue, more, sizeof(*bigger));

		if (!bigger) {
			w->failure = -ENOMEM;
			return;
		}
		w->queue = bigger;
		w->queue_capacity = more;
	}
	w->state[idx].is_queued = true;
	w->queue[w->nr_queued++] = idx;
}

/* The way with these facts comes to @vaddr, which lies in a part. */
static void arrive(struct walk *w, uint64_t vaddr, const struct flow_facts *facts)
{
	struct flow_part *p = flow_part_at(w->fl, vaddr);
	uint64_t off = vaddr - p->vaddr;

	p->is_entered = true;
	if (p->has_bad_sites)
		give_up(w, "its exception table cannot be read");
	if (p->head[off]) {
		uint32_t idx = p->head[off] - 1;

		if (facts_meet(&w->state[idx].facts, facts))
			queue_push(w, idx);
		return;
	}
	if (!(p->mark[off] & MARK_TARGET) && (p->mark[off] & MARK_START))
		w->is_stale = true;
	p->mark[off] |= MARK_TARGET;
	if (w->nr_states == STATES_MAX) {
		give_up(w, "it is too large to be followed");
		return;
	}
	if (w->nr_states == w->capacity) {
		size_t more = w->capacity ? 2 * w->capacity : 32;
		struct state *bigger = reallocarray(w->state, more, sizeof(*bigger));

		if (!bigger) {
			w->failure = -ENOMEM;
			return;
		}
		w->state = bigger;
		w->capacity = more;
	}
	w->state[w->nr_states] = (struct state){.vaddr = vaddr, .facts = *facts};
	p->head[off] = (uint32_t)++w->nr_states;
	queue_push(w, (uint32_t)w->nr_states - 1);
}

/*
 * Code that the function jumps to and no symbol claims. It may have been moved out of this
 * function, or be another one of which only the symbol is gone: then its ends are ends of this
 * function all the same, and as its other callers come with other stack pointers they are told
 * apart. Return: whether it could be added.
 */
static bool adopt(struct walk *w, uint64_t vaddr)
{
	int r = elf_sym_at(w->fl->f, vaddr) ? 0 : flow_add_part(w->fl, vaddr, false, w->err);

	if (r < 0)
		w->failure = r;
	if (r > 0)
		w->is_stale = true;
	return r > 0;
}

static bool section_name_begins(struct flow *fl, uint64_t vaddr, const char *prefix)
{
	GElf_Shdr shdr;

	return elf_section_at(fl->f->elf, vaddr, &shdr) &&
	       strncmp(elf_section_name(fl->f->elf, &shdr), prefix, strlen(prefix)) == 0;
}

/* Is a direct jump out of the function one to another function? Otherwise it gives up, or adopts a
 * new part. */
static bool is_tail_jump(struct walk *w, const cs_insn *in, uint64_t target,
			 const struct flow_facts *s)
{
	bool has_frame_left = s->depth != DEPTH_UNKNOWN && s->depth != 0;
	const struct elf_sym *sym;

	if (section_name_begins(w->fl, target, ".plt"))
		return true;
	if (elf_sym_starts(w->fl->f, target, &sym)) {
		if (strstr(sym->name, ".cold"))
			give_up(w, "at 0x%lx it jumps to '%.60s', a part of another function",
				in->address, sym->name);
		else if (has_frame_left)
			give_up(w, "at 0x%lx it jumps to '%.60s' with its frame still on the stack",
				in->address, sym->name);
		else
			return true;
		return false;
	}
	if (!adopt(w, target) && !w->failure)
		give_up(w,
			"it jumps from 0x%lx to 0x%lx, which no symbol or unwinding table explains",
			in->address, target);
	return false;
}

static void mark_exit(struct flow *fl, uint64_t vaddr)
{
	struct flow_part *p = flow_part_at(fl, vaddr);

	p->mark[vaddr - p->vaddr] |= MARK_EXIT;
}

static void walk_jump(struct walk *w, const cs_insn *in, uint64_t target,
		      const struct flow_facts *s)
{
	if (flow_part_at(w->fl, target))
		arrive(w, target, s);
	else if (is_tail_jump(w, in, target, s))
		mark_exit(w->fl, in->address);
}

/* Tables must not be writable, or somebody could change them. */
static bool read_table_entry(const struct walk *w, const struct fact *table, uint32_t idx,
			     uint64_t *ret)
{
	unsigned len = table->is_absolute ? 8 : 4;
	uint64_t at = table->value + (uint64_t)idx * len, unused;
	int64_t absolute;
	int32_t distance;

	if (elf_vaddr_to_offset(w->fl->f, at, PF_W, &unused) == 0)
		return false;
	if (table->is_absolute) {
		if (elf_read_vaddr(w->fl->f, at, &absolute, sizeof(absolute)) < 0)
			return false;
		*ret = (uint64_t)absolute;
	} else {
		if (elf_read_vaddr(w->fl->f, at, &distance, sizeof(distance)) < 0)
			return false;
		*ret = table->value + (uint64_t)(int64_t)distance;
	}
	return true;
}

/* Is the address of some place inside the function (not its first instruction) to be found in its
 * code? */
static bool has_own_label(struct flow *fl, const struct flow_part *p)
{
	for (uint64_t at = 0; at < p->size; at++) {
		const struct flow_part *to;
		const cs_x86_op *op;
		const cs_insn *in;
		uint64_t label = 0;

		if (!(p->mark[at] & MARK_LINEAR))
			continue;
		in = insn_decode(fl->f->decoder, p->code + at, p->size - at, p->vaddr + at);
		op = in ? in->detail->x86.operands : NULL;
		if (in && in->id == X86_INS_LEA && op[1].mem.base == X86_REG_RIP)
			label = in->address + in->size + (uint64_t)op[1].mem.disp;
		else if (in && !fl->f->is_relocated && in->detail->x86.op_count == 2 &&
			 op[1].type == X86_OP_IMM)
			label = (uint64_t)op[1].imm;
		to = flow_part_at(fl, label);
		if (to && label != fl->func.vaddr)
			return true;
	}
	return false;
}

/*
 * May a pointer that comes from elsewhere lead back into the function? Only if the address of a
 * place in it is somewhere.
 */
static bool has_labels(struct walk *w)
{
	struct flow *fl = w->fl;
	int r = elf_load_pointers(fl->f);

	if (r < 0)
		w->failure = r;
	for (size_t i = 0; r == 0 && i < fl->nr_parts; i++) {
		const struct flow_part *p = &fl->part[i];
		uint64_t skipped = p->vaddr == fl->func.vaddr; /* the first instruction */

		if (!p->is_guess &&
		    (elf_points_into(fl->f, p->vaddr + skipped, p->size - skipped) ||
		     has_own_label(fl, p)))
			return true;
	}
	return r < 0;
}

static void walk_table(struct walk *w, uint64_t from, const struct fact *table,
		       const struct flow_facts *s)
{
	uint64_t target;

	for (uint32_t i = 0; i <= table->max && !w->failure; i++) {
		if (!read_table_entry(w, table, i, &target)) {
			give_up(w, "the jump table of 0x%lx cannot be read", from);
			return;
		}
		if (flow_part_at(w->fl, target)) {
			arrive(w, target, s);
		} else if (!adopt(w, target)) {
			if (!w->failure)
				give_up(w, "the jump table of 0x%lx leads out of the function",
					from);
			return;
		}
	}
}

static void walk_indirect(struct walk *w, const cs_insn *in, const struct flow_facts *s)
{
	const cs_x86_op *op = in->detail->x86.operands;
	uint64_t from = in->address;
	struct fact table;
	char text[64];
	bool is_library;

	(void)snprintf(text, sizeof(text), "%.16s %.40s", in->mnemonic, in->op_str);
	is_library = in->id == X86_INS_JMP && op->type == X86_OP_MEM &&
		     op->mem.base == X86_REG_RIP &&
		     section_name_begins(w->fl, from + in->size + (uint64_t)op->mem.disp, ".got");
	if (in->id == X86_INS_JMP && !is_library && facts_jump_table(s, in, &table)) {
		walk_table(w, from, &table, s);
		return;
	}
	/* has_labels() decodes, so the instruction is gone afterwards. */
	if (!is_library &&
	    (in->id != X86_INS_JMP || s->depth != 0 || !facts_is_pointer(s, in) || has_labels(w))) {
		give_up(w, "it cannot be told where the jump at 0x%lx leads ('%s')", from, text);
		return;
	}
	if (s->depth != DEPTH_UNKNOWN && s->depth != 0)
		give_up(w, "at 0x%lx it jumps to a library with its frame still on the stack",
			from);
	else
		mark_exit(w->fl, from);
}

static void walk_branch(struct walk *w, const cs_insn *in, const struct insn_effect *e,
			struct flow_facts *s)
{
	struct flow_facts taken = *s;

	facts_branch(&taken, in, true);
	facts_branch(s, in, false);
	if (flow_part_at(w->fl, e->target)) {
		arrive(w, e->target, &taken);
		return;
	}
	/* A probe on a conditional tail call would not tell whether it is taken. */
	if (!adopt(w, e->target) && !w->failure)
		give_up(w, "it leaves by the conditional jump at 0x%lx", in->address);
}

/* The call site whose code holds @vaddr, or NULL. */
static const struct elf_call_site *site_at(const struct flow_part *p, uint64_t vaddr)
{
	size_t low = 0, high = p->nr_sites;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->site[mid].vaddr <= vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	return low && vaddr - p->site[low - 1].vaddr < p->site[low - 1].size ? &p->site[low - 1]
									     : NULL;
}

/* Behind a call the way goes on, and where an exception lands: with the same frame, as the unwinder
 * puts it back. */
static void walk_call(struct walk *w, const cs_insn *in, const struct insn_effect *e,
		      struct flow_facts *s)
{
	const struct flow_part *to = e->has_target ? flow_part_at(w->fl, e->target) : NULL;
	const struct elf_call_site *site = site_at(flow_part_at(w->fl, in->address), in->address);

	if (to && to->vaddr != e->target)
		give_up(w, "at 0x%lx it calls a place inside itself", in->address);
	facts_step(s, in, e);
	if (!site)
		return;
	if (flow_part_at(w->fl, site->pad))
		arrive(w, site->pad, s);
	else if (!adopt(w, site->pad) && !w->failure)
		give_up(w, "its exceptions land outside of it, at 0x%lx", site->pad);
}

/* Return: whether the way goes on behind the instruction. */
static bool walk_insn(struct walk *w, const cs_insn *in, struct flow_facts *s)
{
	struct insn_effect e;

	insn_effect(w->fl->f->decoder, in, &e);
	switch (e.flow) {
	case FLOW_CALL: walk_call(w, in, &e, s); return true;
	case FLOW_NEXT:
	case FLOW_KERNEL: facts_step(s, in, &e); return true;
	case FLOW_BRANCH: walk_branch(w, in, &e, s); return true;
	case FLOW_JUMP: walk_jump(w, in, e.target, s); return false;
	case FLOW_INDIRECT: walk_indirect(w, in, s); return false;
	case FLOW_RETURN:
		if (s->depth != DEPTH_UNKNOWN && s->depth != 0)
			give_up(w, "the return at 0x%lx has something else on the stack",
				in->address);
		else
			mark_exit(w->fl, in->address);
		return false;
	case FLOW_TRAP:
	default: return false;
	}
}

/*
 * Marks the bytes of an instruction. Return: false when they are those of two overlapping ones;
 * only a lock prefix may be jumped over, as glibc does while there is one thread.
 */
static bool claim(struct flow_part *p, uint64_t off, unsigned size)
{
	if (p->mark[off] & MARK_BODY) {
		bool is_locked = p->code[off - 1] == 0xf0 && (p->mark[off - 1] & MARK_START);

		p->mark[off] |= is_locked ? MARK_START : 0;
		return is_locked;
	}
	p->mark[off] |= MARK_START;
	for (unsigned i = 1; i < size; i++) {
		if ((p->mark[off + i] & MARK_START) && !(i == 1 && p->code[off] == 0xf0))
			return false;
		p->mark[off + i] |= MARK_BODY;
	}
	return true;
}

/* From a state straight on, until the way ends or comes to another state. */
static void run(struct walk *w, uint32_t idx)
{
	struct flow_facts s = w->state[idx].facts;
	uint64_t vaddr = w->state[idx].vaddr;
	bool is_first = true, is_behind_call = false, goes_on;

	while (!is_over(w)) {
		struct flow_part *p = flow_part_at(w->fl, vaddr);
		const cs_insn *in;
		uint64_t off;

		if (!p) {
			if (!is_behind_call)
				give_up(w, "it runs over its end at 0x%lx", vaddr);
			return;
		}
		off = vaddr - p->vaddr;
		if (!is_first && (p->mark[off] & MARK_TARGET)) {
			arrive(w, vaddr, &s);
			return;
		}
		in = insn_decode(w->fl->f->decoder, p->code + off, p->size - off, vaddr);
		if (!in || !claim(p, off, in->size)) {
			/* Behind a call that does not return there may be anything. */
			if (!is_behind_call || is_first)
				give_up(w, "the instruction at 0x%lx cannot be decoded", vaddr);
			else
				give_up(w, "what follows the call before 0x%lx is no code", vaddr);
			return;
		}
		p->is_entered = true;
		if (++w->steps > w->steps_max) {
			give_up(w, "it is too tangled to be followed");
			return;
		}
		is_behind_call = in->id == X86_INS_CALL;
		vaddr += in->size;
		goes_on = walk_insn(w, in, &s);
		if (!goes_on)
			return;
		is_first = false;
	}
}

static void walk_once(struct walk *w)
{
	struct flow_facts s = facts_entry();

	w->nr_states = w->nr_queued = 0;
	w->is_stale = false;
	for (size_t i = 0; i < w->fl->nr_parts; i++) {
		struct flow_part *p = &w->fl->part[i];

		p->is_entered = false;
		memset(p->head, 0, p->size * sizeof(*p->head));
		for (uint64_t at = 0; at < p->size; at++)
			p->mark[at] &= MARK_LINEAR | MARK_TARGET;
		w->steps_max += p->size * STEPS_FACTOR;
	}
	arrive(w, w->fl->func.vaddr, &s);
	while (w->nr_queued && !is_over(w)) {
		uint32_t idx = w->queue[--w->nr_queued];

		w->state[idx].is_queued = false;
		run(w, idx);
	}
}

/* Would an instruction that the walk did not reach leave the function? */
static void look_at_the_rest(struct walk *w)
{
	for (size_t i = 0; i < w->fl->nr_parts; i++) {
		struct flow_part *p = &w->fl->part[i];

		for (uint64_t at = 0; p->is_entered && at < p->size; at++) {
			struct insn_effect e;
			const cs_insn *in;

			if (!(p->mark[at] & MARK_LINEAR) ||
			    (p->mark[at] & (MARK_START | MARK_BODY)))
				continue;
			in = insn_decode(w->fl->f->decoder, p->code + at, p->size - at,
					 p->vaddr + at);
			if (!in)
				continue;
			insn_effect(w->fl->f->decoder, in, &e);
			if (e.flow == FLOW_RETURN || e.flow == FLOW_INDIRECT ||
			    (e.flow == FLOW_JUMP && !flow_part_at(w->fl, e.target)))
				give_up(w,
					"no way was found to the instruction at 0x%lx, which leaves it",
					in->address);
		}
	}
}

int flow_walk(struct flow *fl, struct tocsin_err *err)
{
	struct walk w = {.fl = fl, .err = err};

	for (unsigned n = 0; n < RESTARTS_MAX; n++) {
		walk_once(&w);
		if (!w.is_stale || w.failure || fl->why[0])
			break;
	}
	if (w.is_stale)
		give_up(&w, "it is too tangled to be followed");
	if (!w.failure && !fl->why[0])
		look_at_the_rest(&w);
	free(w.state);
	free(w.queue);
	if (w.failure)
		return w.failure;
	fl->is_complete = !fl->why[0];
	return 0;
}
