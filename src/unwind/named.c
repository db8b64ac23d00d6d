// SPDX-License-Identifier: MIT
#include "named.h"

static const struct {
	const char *name, *text;
} reasons[] = {
#define X(NAME, name, text) {name, text},
#include "../abi/stack_reasons.def"
#undef X
};

const char *stack_reason_name(enum stack_reason why)
{
	return why < STACK_REASONS ? reasons[why].name : "";
}

const char *stack_reason_text(enum stack_reason why)
{
	return why < STACK_REASONS ? reasons[why].text : "";
}
