// SPDX-License-Identifier: MIT
/* Numbers, durations and sizes as people write them, and the names that they meant to write. */
#include "parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "text.h"

__extension__ typedef unsigned __int128 u128;

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_M  (60 * NS_PER_S)
#define NS_PER_H  (60 * NS_PER_M)

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Value of a digit in the base, or -1. */
static int digit_value(char c, unsigned base)
{
	int v = -1;

	if (is_digit(c))
		v = c - '0';
	else if (c >= 'a' && c <= 'f')
		v = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		v = c - 'A' + 10;
	return v < (int)base ? v : -1;
}

/* All digits at @text; more than fits is read to its end too, so that "not a number" goes before
 * "too large". */
static int digits_read(const char **text, unsigned base, uint64_t *ret_value)
{
	uint64_t value = 0;
	bool fits = true;
	const char *s = *text;
	int d;

	for (; (d = digit_value(*s, base)) >= 0; s++)
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, (uint64_t)d, &value))
			fits = false;
	if (s == *text)
		return -EINVAL;
	*text = s;
	if (!fits)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int tocsin_parse_u64(const char *text, uint64_t *ret_value)
{
	unsigned base = 10;
	uint64_t value = 0;
	int r;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	r = digits_read(&text, base, &value);
	if (*text)
		return -EINVAL;
	if (r == 0)
		*ret_value = value;
	return r;
}

static const struct {
	char name[4];
	uint64_t ns;
} units[] = {
	{"ns", 1},
	{"us", NS_PER_US},
	{"ms", NS_PER_MS},
	{"s", NS_PER_S},
	{"m", NS_PER_M},
	{"h", NS_PER_H},
	{"\xc2\xb5s", NS_PER_US}, /* micro sign */
	{"\xce\xbcs", NS_PER_US}, /* Greek mu, which looks the same */
};

static uint64_t unit_ns(const char *name)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(name, units[i].name) == 0)
			return units[i].ns;
	return 0;
}

int tocsin_parse_duration(const char *text, uint64_t *ret_ns)
{
	uint64_t whole = 0, fraction = 0, scale = 1, unit;
	u128 ns;
	int r;

	r = digits_read(&text, 10, &whole);
	if (r == -EINVAL)
		return r;
	if (*text == '.') {
		text++;
		if (!is_digit(*text))
			return -EINVAL;
		/* 18 digits of an hour are far below a nanosecond; further ones change nothing. */
		for (; is_digit(*text); text++) {
			if (scale == 1000000000000000000ull)
				continue;
			fraction = fraction * 10 + (uint64_t)(*text - '0');
			scale *= 10;
		}
	}
	unit = unit_ns(text);
	if (!unit)
		return -EINVAL;
	if (r < 0)
		return r;
	ns = (u128)whole * unit + (u128)fraction * unit / scale;
	if (ns > INT64_MAX)
		return -ERANGE;
	*ret_ns = (uint64_t)ns;
	return 0;
}

int tocsin_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char suffixes[] = "KMG";
	uint64_t bytes = 0;
	unsigned shift = 0;
	const char *suffix;
	int r;

	r = digits_read(&text, 10, &bytes);
	if (r == -EINVAL)
		return r;
	if (*text) {
		suffix = strchr(suffixes, *text);
		if (!suffix || text[1])
			return -EINVAL;
		shift = 10 * (unsigned)(suffix - suffixes + 1);
	}
	if (r < 0)
		return r;
	if (bytes > UINT64_MAX >> shift)
		return -ERANGE;
	*ret_bytes = bytes << shift;
	return 0;
}

/* In this unit with three digits, rounded half up; false when it rounds to 1000 or more. */
static bool format_in_unit(uint64_t ns, uint64_t unit, const char *name, char *buf, size_t len)
{
	unsigned scale = 100; /* decimals shown: 2, 1, 0 */

	for (int decimals = 2; decimals >= 0; decimals--, scale /= 10) {
		u128 value = ((u128)ns * scale * 2 + unit) / ((u128)unit * 2);
		unsigned v;

		if (value >= 1000)
			continue;
		v = (unsigned)value;
		if (decimals)
			(void)snprintf(buf, len, "%u.%0*u %s", v / scale, decimals, v % scale,
				       name);
		else
			(void)snprintf(buf, len, "%u %s", v, name);
		return true;
	}
	return false;
}

const char *tocsin_format_duration(uint64_t ns, char *buf, size_t len)
{
	if (ns < NS_PER_US)
		(void)snprintf(buf, len, "%" PRIu64 " ns", ns);
	else if (!format_in_unit(ns, NS_PER_US, "us", buf, len) &&
		 !format_in_unit(ns, NS_PER_MS, "ms", buf, len) &&
		 !format_in_unit(ns, NS_PER_S, "s", buf, len) &&
		 (ns >= NS_PER_H - NS_PER_S * 3 || !format_in_unit(ns, NS_PER_M, "m", buf, len)) &&
		 !format_in_unit(ns, NS_PER_H, "h", buf, len))
		(void)snprintf(buf, len, "%" PRIu64 " h",
			       ns / NS_PER_H + (ns % NS_PER_H >= NS_PER_H / 2));
	return buf;
}

/* With up to three decimals of this unit; false when it needs more. */
static bool print_in_unit(uint64_t ns, uint64_t unit, const char *name, char *buf, size_t len)
{
	unsigned thousandths;
	int decimals = 3;

	if (ns < unit || ns % (unit / 1000))
		return false;
	thousandths = (unsigned)(ns % unit / (unit / 1000));
	for (; decimals && thousandths % 10 == 0; decimals--)
		thousandths /= 10;
	if (decimals)
		(void)snprintf(buf, len, "%" PRIu64 ".%0*u%s", ns / unit, decimals, thousandths,
			       name);
	else
		(void)snprintf(buf, len, "%" PRIu64 "%s", ns / unit, name);
	return true;
}

const char *tocsin_print_duration(uint64_t ns, char *buf, size_t len)
{
	if (ns && ns % NS_PER_H == 0)
		(void)snprintf(buf, len, "%" PRIu64 "h", ns / NS_PER_H);
	else if (ns && ns % NS_PER_M == 0)
		(void)snprintf(buf, len, "%" PRIu64 "m", ns / NS_PER_M);
	else if (!print_in_unit(ns, NS_PER_S, "s", buf, len) &&
		 !print_in_unit(ns, NS_PER_MS, "ms", buf, len) &&
		 !print_in_unit(ns, NS_PER_US, "us", buf, len))
		(void)snprintf(buf, len, "%" PRIu64 "ns", ns);
	return buf;
}

static unsigned min_u(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Only cells within the limit of the diagonal can end below it, so a row is the band of them: cell
 * k of row i is column i - limit + k. Row i is made from the one above and, for transpositions, the
 * one above that. */
struct edit {
	const char *a, *b;
	size_t b_len;
	unsigned limit;
	unsigned rows[3][2 * TOCSIN_EDIT_LIMIT_MAX + 1];
	unsigned *row, *up, *up2;
};

static unsigned edit_cell(const struct edit *e, size_t i, unsigned k)
{
	unsigned d = e->limit + 1;
	size_t j;

	if (i + k < e->limit || i + k - e->limit > e->b_len)
		return d;
	j = i + k - e->limit;
	if (j == 0)
		return (unsigned)i; /* at most limit, as k >= 0 */
	d = min_u(d, e->up[k] + (e->a[i - 1] != e->b[j - 1]));
	if (k < 2 * e->limit)
		d = min_u(d, e->up[k + 1] + 1);
	if (k)
		d = min_u(d, e->row[k - 1] + 1);
	if (i > 1 && j > 1 && e->a[i - 1] == e->b[j - 2] && e->a[i - 2] == e->b[j - 1])
		d = min_u(d, e->up2[k] + 1);
	return d;
}

unsigned tocsin_edit_distance(const char *a, const char *b, unsigned limit)
{
	struct edit e = {.a = a, .b = b, .b_len = strlen(b), .limit = limit};
	size_t a_len = strlen(a);
	unsigned over = limit + 1;

	TOCSIN_ASSERT(limit <= TOCSIN_EDIT_LIMIT_MAX);
	if (a_len > e.b_len + limit || e.b_len > a_len + limit)
		return over;
	e.row = e.rows[0];
	e.up = e.rows[1];
	e.up2 = e.rows[2];
	for (unsigned k = 0; k <= 2 * limit; k++) {
		e.up2[k] = over;
		e.up[k] = k >= limit ? k - limit : over; /* row 0: column j is j away */
	}
	for (size_t i = 1; i <= a_len; i++) {
		unsigned best = over, *spare = e.up2;

		for (unsigned k = 0; k <= 2 * limit; k++) {
			e.row[k] = edit_cell(&e, i, k);
			best = min_u(best, e.row[k]);
		}
		if (best == over)
			return over;
		e.up2 = e.up;
		e.up = e.row;
		e.row = spare;
	}
	return min_u(e.up[e.b_len + limit - a_len], over);
}

void tocsin_nearest_init(struct tocsin_nearest *n, const char *wanted)
{
	*n = (struct tocsin_nearest){.wanted = wanted};
}

void tocsin_nearest_offer(struct tocsin_nearest *n, const char *candidate)
{
	size_t wanted_len = strlen(n->wanted), len = strlen(candidate);
	unsigned limit = min_u(1 + (unsigned)(wanted_len < 64 ? wanted_len : 64) / 4, 8);
	const unsigned max = sizeof(n->best) / sizeof(n->best[0]);
	unsigned distance, at;

	if (len >= sizeof(n->best[0].name) || wanted_len < 2)
		return;
	if (wanted_len >= 4 && strncmp(candidate, n->wanted, wanted_len) == 0)
		distance = min_u((unsigned)(len - wanted_len), limit);
	else
		distance = tocsin_edit_distance(n->wanted, candidate, limit);
	if (distance > limit)
		return;
	for (unsigned i = 0; i < n->nr; i++)
		if (strcmp(n->best[i].name, candidate) == 0)
			return;
	for (at = 0; at < n->nr && n->best[at].distance <= distance;)
		at++;
	if (at == max)
		return;
	if (n->nr < max)
		n->nr++;
	memmove(&n->best[at + 1], &n->best[at], (n->nr - 1 - at) * sizeof(n->best[0]));
	memcpy(n->best[at].name, candidate, len + 1);
	n->best[at].distance = distance;
}

const char *tocsin_nearest_text(const struct tocsin_nearest *n, char *buf, size_t len)
{
	struct tocsin_text t;
	unsigned nr = 0;

	while (nr < n->nr && n->best[nr].distance <= n->best[0].distance + 1)
		nr++;
	tocsin_text_init(&t, buf, len);
	for (unsigned i = 0; i < nr; i++) {
		if (i)
			tocsin_text_add(&t, i + 1 < nr ? ", " : " or ");
		tocsin_text_add(&t, "'%s'", n->best[i].name);
	}
	return buf;
}
