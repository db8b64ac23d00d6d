// SPDX-License-Identifier: MIT
#include "walk.h"

#include <string.h>

const struct unwind_map *unwind_map_at(const struct unwind_space *space, uint64_t address)
{
	size_t low = 0, high = space->nr_maps;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (space->map[mid].end <= address)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == space->nr_maps || address < space->map[low].start)
		return NULL;
	return &space->map[low];
}

static inline bool load(const struct unwind_stack *stack, uint64_t address, uint64_t *ret)
{
	uint64_t off = address - stack->base;

	if (off < stack->len && stack->len - off >= sizeof(*ret)) {
		memcpy(ret, stack->bytes + off, sizeof(*ret));
		return true;
	}
	return stack->read && stack->read(stack->arg, address, ret) == 0;
}

static const struct unwind_rule no_rule = {.cfa = UNWIND_CFA_NONE};

/* The rule at an address. Return: NULL when it is in no mapping. */
static const struct unwind_rule *rule_find(const struct unwind_space *space, uint64_t pc)
{
	const struct unwind_map *map = unwind_map_at(space, pc);
	const struct unwind_rule *rule;

	if (!map)
		return NULL;
	rule = map->table ? unwind_table_find(map->table, pc - map->bias) : NULL;
	return rule ? rule : &no_rule;
}

static inline const struct unwind_rule *rule_at(const struct unwind_space *space, uint64_t pc)
{
	struct unwind_cache *cache = space->cache;
	uint64_t slot = (pc ^ pc >> 10) % UNWIND_CACHE_SLOTS;
	const struct unwind_rule *rule;

	if (!pc) /* the mark of an empty slot */
		return NULL;
	if (!cache)
		return rule_find(space, pc);
	if (cache->slot[slot].pc == pc) {
		cache->hits++;
		return &cache->slot[slot].rule;
	}
	cache->misses++;
	rule = rule_find(space, pc);
	if (rule) {
		cache->slot[slot].pc = pc;
		cache->slot[slot].rule = *rule;
	}
	return rule;
}

struct frame_state {
	struct unwind_regs regs;
	bool has_fp;
	bool has_lr;   /* the link register is this frame's: innermost, or interrupted */
	bool is_exact; /* pc is an instruction, not a return address */
};

static inline enum stack_reason cfa_of(const struct frame_state *s, const struct unwind_rule *rule,
				       const struct unwind_stack *stack, uint64_t *ret)
{
	uint64_t base = s->regs.sp;

	switch ((enum unwind_cfa)rule->cfa) {
	case UNWIND_CFA_SP: break;
	case UNWIND_CFA_FP:
	case UNWIND_CFA_FP_DEREF:
		if (!s->has_fp)
			return STACK_REGISTER_LOST;
		base = s->regs.fp;
		break;
	case UNWIND_CFA_SP_DEREF: break;
	case UNWIND_CFA_PLT:
		if ((s->regs.pc & 15) >= (uint64_t)rule->cfa_add)
			base += 8;
		break;
	case UNWIND_CFA_NONE: return STACK_NO_TABLE;
	case UNWIND_CFA_END:
	case UNWIND_CFA_UNSUPPORTED:
	case UNWIND_CFA_NR:
	default: return STACK_UNSUPPORTED;
	}
	base += (uint64_t)(int64_t)rule->cfa_off;
	if (rule->cfa == UNWIND_CFA_SP_DEREF || rule->cfa == UNWIND_CFA_FP_DEREF) {
		if (!load(stack, base, &base))
			return STACK_NOT_COPIED;
		base += (uint64_t)(int64_t)rule->cfa_add;
	}
	*ret = base;
	return STACK_COMPLETE;
}

static inline bool fp_step(struct frame_state *s, const struct unwind_rule *rule,
			   const struct unwind_stack *stack, uint64_t cfa)
{
	uint64_t at;

	switch ((enum unwind_fp)rule->fp) {
	case UNWIND_FP_SAME: return true;
	case UNWIND_FP_AT_CFA: at = cfa; break;
	case UNWIND_FP_AT_SP: at = s->regs.sp; break;
	case UNWIND_FP_AT_FP:
		if (!s->has_fp)
			return true; /* stays lost */
		at = s->regs.fp;
		break;
	case UNWIND_FP_LOST:
	case UNWIND_FP_NR:
	default: s->has_fp = false; return true;
	}
	s->has_fp = true;
	return load(stack, at + (uint64_t)(int64_t)rule->fp_off, &s->regs.fp);
}

/* To the caller. */
static inline enum stack_reason step(const struct unwind_space *space, struct frame_state *s,
				     const struct unwind_rule *rule,
				     const struct unwind_stack *stack)
{
	bool is_signal = rule->flags & UNWIND_RULE_SIGNAL;
	uint64_t cfa = 0, ra = s->regs.lr;
	enum stack_reason why = cfa_of(s, rule, stack, &cfa);

	if (why != STACK_COMPLETE)
		return why;
	if (cfa & 7)
		return STACK_MISALIGNED;
	if (rule->ra == UNWIND_RA_IN_LR) {
		if (!s->has_lr)
			return STACK_REGISTER_LOST;
		if (cfa < s->regs.sp)
			return STACK_NOT_ASCENDING;
	} else {
		uint64_t at = rule->ra == UNWIND_RA_AT_CFA ? cfa : s->regs.sp;

		/* What a signal interrupted may have been on another stack. */
		if (cfa <= s->regs.sp && !is_signal)
			return STACK_NOT_ASCENDING;
		if (!load(stack, at + (uint64_t)(int64_t)rule->ra_off, &ra))
			return STACK_NOT_COPIED;
	}
	if (!fp_step(s, rule, stack, cfa))
		return STACK_NOT_COPIED;
	if (rule->flags & UNWIND_RULE_SIGNED)
		ra &= space->code_mask;
	s->regs.pc = ra;
	s->regs.sp = cfa;
	s->has_lr = false;
	s->is_exact = is_signal;
	return STACK_COMPLETE;
}

size_t unwind_walk(const struct unwind_space *space, const struct unwind_regs *regs,
		   const struct unwind_stack *stack, struct unwind_frame *frame, size_t max,
		   enum stack_reason *ret_why)
{
	struct frame_state s = {.regs = *regs, .has_fp = true, .has_lr = true, .is_exact = true};
	enum stack_reason why = STACK_COMPLETE;
	size_t n = 0;

	for (;;) {
		const struct unwind_rule *rule =
			rule_at(space, s.is_exact ? s.regs.pc : s.regs.pc - 1);

		if (!rule)
			why = STACK_NOT_CODE;
		if (!rule && n)
			break; /* not a return address: it is not shown */
		frame[n++] = (struct unwind_frame){s.regs.pc, s.is_exact};
		if (!rule || rule->cfa == UNWIND_CFA_END)
			break;
		if (n == max) {
			why = STACK_DEPTH;
			break;
		}
		why = step(space, &s, rule, stack);
		if (why != STACK_COMPLETE)
			break;
	}
	*ret_why = why;
	return n;
}
