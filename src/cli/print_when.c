// SPDX-License-Identifier: MIT
/* Points in time on the command line of `tocsin print`. */
#include "print_when.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../base/parse.h"

#define SECOND_NS ((int64_t)1000000000)

/* Digits behind a point, as nanoseconds; nothing behind them. */
static int fraction_parse(const char *text, int64_t *ret_ns)
{
	int64_t ns = 0, unit = SECOND_NS;

	if (!*text) {
		*ret_ns = 0;
		return 0;
	}
	if (*text++ != '.' || !*text)
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++) {
		unit /= 10;
		ns += unit * (*text - '0');
	}
	*ret_ns = ns;
	return *text ? -EINVAL : 0;
}

static int seconds_parse(const char *text, int64_t *ret_ns)
{
	char whole[24];
	size_t len = strcspn(text, ".");
	uint64_t seconds;
	int64_t rest;
	int r;

	if (len >= sizeof(whole))
		return -EINVAL;
	(void)snprintf(whole, sizeof(whole), "%.*s", (int)len, text);
	r = tocsin_parse_u64(whole, &seconds);
	if (r == 0)
		r = fraction_parse(text + len, &rest);
	if (r < 0 || seconds > INT64_MAX / SECOND_NS - 1)
		return -EINVAL;
	*ret_ns = (int64_t)seconds * SECOND_NS + rest;
	return 0;
}

int print_when_parse(const char *text, struct print_when *ret_when)
{
	struct tm tm = {.tm_isdst = -1};
	const char *rest;
	uint64_t after;
	int64_t ns;

	if (*text == '@') {
		ret_when->kind = WHEN_ABSOLUTE;
		return seconds_parse(text + 1, &ret_when->ns);
	}
	if (*text == '+') {
		if (tocsin_parse_duration(text + 1, &after) < 0)
			return -EINVAL;
		*ret_when = (struct print_when){WHEN_AFTER_START, (int64_t)after};
		return 0;
	}
	rest = strptime(text, "%Y-%m-%d %H:%M:%S", &tm) ?: strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (rest) {
		if (fraction_parse(rest, &ns) < 0)
			return -EINVAL;
		*ret_when =
			(struct print_when){WHEN_ABSOLUTE, (int64_t)mktime(&tm) * SECOND_NS + ns};
		return 0;
	}
	tm = (struct tm){0};
	rest = strptime(text, "%H:%M:%S", &tm) ?: strptime(text, "%H:%M", &tm);
	if (!rest || fraction_parse(rest, &ns) < 0)
		return -EINVAL;
	ns += ((int64_t)tm.tm_hour * 3600 + (int64_t)tm.tm_min * 60 + tm.tm_sec) * SECOND_NS;
	*ret_when = (struct print_when){WHEN_OF_DAY, ns};
	return 0;
}

int64_t print_when_ns(const struct print_when *when, int64_t start_ns)
{
	time_t start = (time_t)(start_ns / SECOND_NS);
	struct tm tm = {0};

	if (when->kind == WHEN_ABSOLUTE)
		return when->ns;
	if (when->kind == WHEN_AFTER_START)
		return start_ns > INT64_MAX - when->ns ? INT64_MAX : start_ns + when->ns;
	if (!localtime_r(&start, &tm))
		return when->ns;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	return (int64_t)mktime(&tm) * SECOND_NS + when->ns;
}
