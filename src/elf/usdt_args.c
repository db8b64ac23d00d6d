// SPDX-License-Identifier: MIT
/*
 * Arguments of USDT sites, as the assembler wrote the operand that the compiler chose:
 *
 *   SIZE@OPERAND   SIZE is 1 2 4 8, negative for signed, with an `f` behind for floating point;
 *                  very old notes have no SIZE@
 *   $12  %r13d  (%rax)  -8(%rbp)  (%rax,%rbx,8)  16(%rax,%rbx)  counter(%rip)
 *
 * What cannot be read from the registers and memory of the stopped thread becomes ARG_NONE with the
 * reason; the site itself stays usable. A position given by a symbol (`counter(%rip)`) is one: the
 * note does not say where the symbol is.
 */
#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/user.h>

#include "usdt.h"

struct reg_name {
	char name[4][5]; /* as 8, 4, 2, 1 bytes */
	char high[3];
	uint16_t offset;
};

static const struct reg_name regs[] = {
#define X(q, d, w, b, h, offset) {{q, d, w, b}, h, offset},
#include "usdt_regs.def"
#undef X
};

/* The kernel saves registers in the order in which it shows them to debuggers. */
_Static_assert(offsetof(struct user_regs_struct, r15) == 0, "pt_regs layout");
_Static_assert(offsetof(struct user_regs_struct, r11) == 48, "pt_regs layout");
_Static_assert(offsetof(struct user_regs_struct, rax) == 80, "pt_regs layout");
_Static_assert(offsetof(struct user_regs_struct, rdi) == 112, "pt_regs layout");
_Static_assert(offsetof(struct user_regs_struct, rip) == 128, "pt_regs layout");
_Static_assert(offsetof(struct user_regs_struct, rsp) == 152, "pt_regs layout");

static const char *const fault_float = "a floating point value";
static const char *const fault_symbol = "its place is given by a symbol";
static const char *const fault_register = "in a register that a probe does not see";
static const char *const fault_segment = "relative to a segment register";
static const char *const fault_form = "its form is not understood";

static bool name_is(const char *name, const char *at, size_t len)
{
	return *name && strlen(name) == len && memcmp(name, at, len) == 0;
}

/* A register name behind its '%'. Return: 0, or -ENOENT. */
static int reg_find(const char *at, size_t len, uint16_t *ret_offset, uint8_t *ret_size)
{
	for (size_t i = 0; i < sizeof(regs) / sizeof(*regs); i++) {
		for (unsigned k = 0; k < 4; k++)
			if (name_is(regs[i].name[k], at, len)) {
				*ret_offset = regs[i].offset;
				*ret_size = (uint8_t)(8 >> k);
				return 0;
			}
		if (name_is(regs[i].high, at, len)) {
			*ret_offset = (uint16_t)(regs[i].offset + 1);
			*ret_size = 1;
			return 0;
		}
	}
	return -ENOENT;
}

/* A decimal or 0x number that may be negative, or a sum of such. Return: 0, or -EINVAL none,
 * -ERANGE. */
static int number_read(const char **at, const char *end, int64_t *ret)
{
	const char *p = *at;
	uint64_t sum = 0;
	bool any = false;

	while (p < end && (isdigit((unsigned char)*p) || *p == '-' || *p == '+')) {
		bool is_negative = *p == '-';
		char digits[24];
		size_t n = 0;
		uint64_t v;

		if (*p == '-' || *p == '+')
			p++;
		while (p < end && isalnum((unsigned char)*p) && n < sizeof(digits) - 1)
			digits[n++] = *p++;
		digits[n] = '\0';
		if (tocsin_parse_u64(digits, &v) < 0)
			return -EINVAL;
		sum += is_negative ? -v : v; /* an immediate may be all of 64 bits */
		any = true;
	}
	if (!any)
		return -EINVAL;
	*ret = (int64_t)sum;
	*at = p;
	return 0;
}

static const char *register_operand(const char *p, const char *end, struct watch_arg *arg)
{
	uint8_t width;

	if (strncmp(p, "xmm", 3) == 0 || strncmp(p, "ymm", 3) == 0 || strncmp(p, "st", 2) == 0)
		return fault_float;
	if (memchr(p, ':', (size_t)(end - p)))
		return fault_segment;
	if (reg_find(p, (size_t)(end - p), &arg->reg, &width) < 0)
		return fault_register;
	arg->kind = ARG_REG;
	if (arg->size > width)
		arg->size = width;
	return NULL;
}

/* One of the registers between the parentheses; memory is addressed by whole ones. */
static const char *address_register(const char **at, const char *end, uint16_t *ret)
{
	const char *p = *at, *name;
	uint8_t width;

	if (p == end || *p != '%')
		return fault_form;
	name = ++p;
	while (p < end && isalnum((unsigned char)*p))
		p++;
	if (name_is("rip", name, (size_t)(p - name)))
		return fault_symbol;
	if (reg_find(name, (size_t)(p - name), ret, &width) < 0 || width != 8)
		return fault_register;
	*at = p;
	return NULL;
}

static const char *memory_operand(const char *p, const char *end, struct watch_arg *arg)
{
	int64_t distance = 0, scale = 1;
	const char *fault;

	if (*p != '(' && number_read(&p, end, &distance) < 0)
		return fault_symbol;
	arg->value = distance;
	if (p == end || *p != '(')
		return fault_form;
	p++;
	fault = address_register(&p, end, &arg->reg);
	if (fault)
		return fault;
	if (p < end && *p == ',') {
		p++;
		fault = address_register(&p, end, &arg->index);
		if (fault)
			return fault;
		if (p < end && *p == ',') {
			p++;
			if (number_read(&p, end, &scale) < 0)
				return fault_form;
		}
		if (scale != 1 && scale != 2 && scale != 4 && scale != 8)
			return fault_form;
		arg->scale = (uint8_t)scale;
	}
	if (end - p != 1 || *p != ')')
		return fault_form;
	arg->kind = ARG_MEM;
	return NULL;
}

/* Reads SIZE@, if there is one. */
static const char *size_read(const char **at, const char *end, struct watch_arg *arg)
{
	const char *sign = memchr(*at, '@', (size_t)(end - *at)), *p = *at;
	bool is_float = false;
	int64_t size;

	arg->size = 8;
	if (!sign)
		return NULL;
	if (number_read(&p, sign, &size) < 0) {
		/* "8f": the number takes the letter for one of its digits. */
		is_float = sign - p >= 2 && sign[-1] == 'f';
		if (!is_float || number_read(&p, sign - 1, &size) < 0)
			return fault_form;
	}
	if (size < -8 || size > 8)
		return fault_form;
	arg->is_signed = size < 0;
	if (size < 0)
		size = -size;
	if ((size != 1 && size != 2 && size != 4 && size != 8) || p != sign - (is_float ? 1 : 0))
		return fault_form;
	arg->size = (uint8_t)size;
	*at = sign + 1;
	return is_float ? fault_float : NULL;
}

static const char *operand_read(const char *p, const char *end, struct watch_arg *arg)
{
	const char *fault = size_read(&p, end, arg);
	int64_t value;

	if (fault)
		return fault;
	if (p == end)
		return fault_form;
	if (*p == '$') {
		p++;
		if (number_read(&p, end, &value) < 0 || p != end)
			return fault_symbol;
		arg->value = value;
		arg->kind = ARG_CONST;
		return NULL;
	}
	if (*p == '%')
		return register_operand(p + 1, end, arg);
	return memory_operand(p, end, arg);
}

/* End of the argument at @p: the next blank outside parentheses. */
static const char *argument_end(const char *p)
{
	int depth = 0;

	for (; *p && (*p != ' ' || depth > 0); p++)
		if (*p == '(')
			depth++;
		else if (*p == ')')
			depth--;
	return p;
}

unsigned usdt_parse_args(const char *text, struct watch_arg *ret, const char **ret_fault)
{
	unsigned nr = 0;

	memset(ret, 0, USDT_ARGS * sizeof(*ret));
	memset(ret_fault, 0, USDT_ARGS * sizeof(*ret_fault));
	for (text += strspn(text, " "); *text && nr < USDT_ARGS; text += strspn(text, " ")) {
		const char *end = argument_end(text);
		struct watch_arg arg = {.kind = ARG_NONE};

		ret_fault[nr] = operand_read(text, end, &arg);
		if (ret_fault[nr])
			arg = (struct watch_arg){.kind = ARG_NONE};
		ret[nr++] = arg;
		text = end;
	}
	return nr;
}
