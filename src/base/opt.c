// SPDX-License-Identifier: MIT
/*
 * Reading of command lines by option tables.
 *
 * Words are taken from left to right. Operands gather in front of the word at hand; an option is
 * moved before them, with its value, so that in the end all options come first. "--" is moved like
 * an option and ends the reading. Every error is one sentence: what is wrong, the nearest known
 * name, where to read more.
 */
#include "opt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "text.h"
#include "utf8.h"

#define WORD "%.80s" /* a word of the user's, in a sentence */

/* An option as the user named it. */
struct named {
	const struct opt *opt; /* NULL: --help */
	bool is_off;           /* --no-name */
	char shown[96];        /* as the sentence names it */
};

struct reading {
	const struct opt_command *cmd;
	struct tocsin_err *err;
	bool is_help; /* --help was read: nothing else counts */
};

int opt_fail(const struct opt_command *cmd, struct tocsin_err *err, const char *fmt, ...)
{
	char text[TOCSIN_ERR_CAUSE_LEN - 64];
	struct tocsin_text t;
	va_list ap;

	tocsin_text_init(&t, text, sizeof(text));
	va_start(ap, fmt);
	tocsin_text_addv(&t, fmt, ap);
	va_end(ap);
	return tocsin_err_fail(-EINVAL, err, "%s; see 'tocsin %s --help'", text, cmd->name);
}

void opt_strings_done(struct opt_strings *s)
{
	if (!s)
		return;
	free(s->item);
	*s = (struct opt_strings){0};
}

static int strings_add(struct opt_strings *s, const char *value)
{
	const char **item = reallocarray(s->item, s->nr + 1, sizeof(*item));

	if (!item)
		return -ENOMEM;
	s->item = item;
	s->item[s->nr++] = value;
	return 0;
}

static void size_add(struct tocsin_text *t, uint64_t bytes)
{
	static const char suffixes[] = "KMG";
	int at = -1;

	for (; at < 2 && bytes && bytes % 1024 == 0; at++)
		bytes /= 1024;
	tocsin_text_add(t, "%" PRIu64, bytes);
	if (at >= 0)
		tocsin_text_add_bytes(t, &suffixes[at], 1);
}

static void number_add(struct tocsin_text *t, enum opt_kind kind, uint64_t value)
{
	char buf[32];

	if (kind == OPT_DURATION)
		tocsin_text_add(t, "%s", tocsin_print_duration(value, buf, sizeof(buf)));
	else if (kind == OPT_SIZE)
		size_add(t, value);
	else
		tocsin_text_add(t, "%" PRIu64, value);
}

static int number_set(const struct reading *rd, const struct named *named, const char *value)
{
	const struct opt *o = named->opt;
	const char *what = "a whole number";
	struct tocsin_text t;
	char range[80];
	uint64_t v = 0;
	int r;

	if (o->kind == OPT_DURATION) {
		what = "a duration with its unit, such as 10ms, 1.5s or 2m";
		r = tocsin_parse_duration(value, &v);
	} else if (o->kind == OPT_SIZE) {
		what = "a size in bytes, such as 4096, 64K or 8M";
		r = tocsin_parse_size(value, &v);
	} else {
		r = tocsin_parse_u64(value, &v);
	}
	if (r == -EINVAL)
		return opt_fail(rd->cmd, rd->err, "option '%s': '" WORD "' is not %s", named->shown,
				value, what);
	if (r == 0 && ((!o->min && !o->max) || (v >= o->min && v <= o->max))) {
		*(uint64_t *)o->value = v;
		return 0;
	}
	tocsin_text_init(&t, range, sizeof(range));
	if (o->min || o->max) {
		tocsin_text_add(&t, ", from ");
		number_add(&t, o->kind, o->min);
		tocsin_text_add(&t, " to ");
		number_add(&t, o->kind, o->max);
	}
	return opt_fail(rd->cmd, rd->err, "option '%s': '" WORD "' is out of range%s", named->shown,
			value, range);
}

static int value_set(const struct reading *rd, const struct named *named, const char *value)
{
	int r;

	switch (named->opt->kind) {
	case OPT_STRING: *(const char **)named->opt->value = value; return 0;
	case OPT_STRINGS:
		r = strings_add(named->opt->value, value);
		return r < 0 ? tocsin_err_fail(r, rd->err, "no memory for option '%s'",
					       named->shown)
			     : 0;
	case OPT_U64:
	case OPT_DURATION:
	case OPT_SIZE: return number_set(rd, named, value);
	case OPT_FLAG:
	case OPT_GROUP:
	case OPT_END: break;
	}
	tocsin_assert_failed("option takes a value", __FILE__, __LINE__);
}

/* Long names in the order of the table, a flag's --no- form behind it, --help last. */
static bool name_next(const struct opt **o, struct named *n)
{
	if (n->opt && n->opt->kind == OPT_FLAG && !n->is_off) {
		n->is_off = true;
		(void)snprintf(n->shown, sizeof(n->shown), "--no-%s", n->opt->name);
		return true;
	}
	if (!*o)
		return false;
	n->is_off = false;
	while ((*o)->kind == OPT_GROUP || ((*o)->kind != OPT_END && !(*o)->name))
		(*o)++;
	if ((*o)->kind == OPT_END) {
		*n = (struct named){.shown = "--help"};
		*o = NULL;
		return true;
	}
	n->opt = (*o)++;
	(void)snprintf(n->shown, sizeof(n->shown), "--%s", n->opt->name);
	return true;
}

static const struct opt *options_of(const struct opt_command *cmd)
{
	static const struct opt none[] = {{.kind = OPT_END}};

	return cmd->options ? cmd->options : none;
}

/* The option that @len bytes of @word (with the dashes) name, whole or shortened. */
static int named_find(const struct reading *rd, const char *word, size_t len,
		      struct named *ret_named)
{
	struct tocsin_nearest nearest;
	char names[300], wanted[96];
	struct tocsin_text t;
	const struct opt *o = options_of(rd->cmd);
	struct named n = {0};
	unsigned nr = 0;

	(void)snprintf(wanted, sizeof(wanted), "%.*s",
		       (int)(len < sizeof(wanted) ? len : sizeof(wanted)), word);
	tocsin_nearest_init(&nearest, wanted);
	tocsin_text_init(&t, names, sizeof(names));
	while (name_next(&o, &n)) {
		tocsin_nearest_offer(&nearest, n.shown);
		if (len <= 2 || len > strlen(n.shown) || memcmp(n.shown, word, len) != 0)
			continue;
		if (!n.shown[len]) {
			*ret_named = n;
			return 0;
		}
		if (nr++ == 0)
			*ret_named = n;
		tocsin_text_add(&t, "%s'%s'", nr > 1 ? ", " : "", n.shown);
	}
	if (nr == 1)
		return 0;
	if (nr)
		return opt_fail(rd->cmd, rd->err, "option '%s' is short for several: %s", wanted,
				names);
	(void)tocsin_nearest_text(&nearest, names, sizeof(names));
	return opt_fail(rd->cmd, rd->err, "unknown option '%s'%s%s", wanted,
			names[0] ? ", nearest is " : "", names);
}

/* Does a long option have just this name? For `-json`, which is a cluster of letters. */
static bool name_exists(const struct opt_command *cmd, const char *name)
{
	const struct opt *o = options_of(cmd);
	struct named n = {0};

	while (name_next(&o, &n))
		if (strcmp(n.shown + 2, name) == 0)
			return true;
	return false;
}

static const struct opt *letter_find(const struct opt_command *cmd, char letter)
{
	for (const struct opt *o = cmd->options; o && o->kind != OPT_END; o++)
		if (o->kind != OPT_GROUP && o->letter == letter)
			return o;
	return NULL;
}

static int value_missing(const struct reading *rd, const struct named *named)
{
	return opt_fail(rd->cmd, rd->err, "option '%s' needs a value: %s %s", named->shown,
			named->shown, named->opt->metavar ? named->opt->metavar : "VALUE");
}

/* `--name`, `--name=value`, `--name value`. Return: words used, or -errno. */
static int long_read(struct reading *rd, const char *word, const char *next)
{
	const char *value = strchr(word, '=');
	struct named named = {0};
	int r;

	r = named_find(rd, word, value ? (size_t)(value - word) : strlen(word), &named);
	if (r < 0)
		return r;
	if (!named.opt || named.opt->kind == OPT_FLAG) {
		if (value)
			return opt_fail(rd->cmd, rd->err, "option '%s' takes no value",
					named.shown);
		if (named.opt)
			*(bool *)named.opt->value = !named.is_off;
		else
			rd->is_help = true;
		return 1;
	}
	if (!value && !next)
		return value_missing(rd, &named);
	r = value_set(rd, &named, value ? value + 1 : next);
	return r < 0 ? r : value ? 1 : 2;
}

static unsigned char_len(const char *s)
{
	uint32_t code;
	unsigned n = utf8_step(s, strlen(s), &code);

	return n ? n : 1;
}

/* `-a`, `-abc`, `-nvalue`, `-n value`. Return: words used, or -errno. */
static int letters_read(struct reading *rd, const char *word, const char *next)
{
	struct named named = {0};
	int r;

	for (const char *s = word + 1; *s; s++) {
		named.opt = letter_find(rd->cmd, *s);
		(void)snprintf(named.shown, sizeof(named.shown), "-%c", *s);
		if (!named.opt && *s == 'h') {
			rd->is_help = true;
			return 1;
		}
		if (!named.opt && name_exists(rd->cmd, word + 1))
			return opt_fail(rd->cmd, rd->err,
					"unknown option '" WORD "', nearest is '-" WORD "'", word,
					word);
		if (!named.opt)
			return opt_fail(rd->cmd, rd->err, "unknown option '-%.*s'",
					(int)char_len(s), s);
		if (named.opt->kind == OPT_FLAG) {
			*(bool *)named.opt->value = true;
			continue;
		}
		if (!s[1] && !next)
			return value_missing(rd, &named);
		r = value_set(rd, &named, s[1] ? s + 1 : next);
		return r < 0 ? r : s[1] ? 1 : 2;
	}
	return 1;
}

/* Move @nr words at @from (one or two) before those at @to. */
static void words_move(char **argv, int to, int from, int nr)
{
	char *moved[2];

	memcpy(moved, argv + from, (size_t)nr * sizeof(*argv));
	memmove(argv + to + nr, argv + to, (size_t)(from - to) * sizeof(*argv));
	memcpy(argv + to, moved, (size_t)nr * sizeof(*argv));
}

int opt_parse(const struct opt_command *cmd, int argc, char **argv, int *ret_operands,
	      int *ret_after_dashes, struct tocsin_err *err)
{
	struct reading rd = {.cmd = cmd, .err = err};
	int operands = 1, at = 1, used;

	for (; at < argc; at += used) {
		const char *word = argv[at];
		const char *next = at + 1 < argc ? argv[at + 1] : NULL;
		bool is_end = strcmp(word, "--") == 0;

		used = 1;
		if (word[0] != '-' || !word[1])
			continue; /* an operand */
		if (!is_end)
			used = word[1] == '-' ? long_read(&rd, word, next)
					      : letters_read(&rd, word, next);
		if (used < 0)
			return used;
		if (rd.is_help)
			return 1;
		words_move(argv, operands, at, used);
		operands += used;
		if (is_end) {
			at++;
			break;
		}
	}
	*ret_operands = operands;
	*ret_after_dashes = at;
	return 0;
}
