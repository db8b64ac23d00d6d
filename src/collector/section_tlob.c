// SPDX-License-Identifier: MIT
/*
 * The kernel's own line, of the latency monitor tlob that was proposed for its runtime
 * verification:
 *
 *   p PATH:START STOP threshold=NS
 *   -PATH:START
 *
 * It is taken as it stands: no names, no quotes, blanks part the words, STOP and threshold in
 * either order, offsets are bytes from the start of the file, the last ':' ends the path. What the
 * kernel refuses is refused.
 */
#include <errno.h>
#include <string.h>

#include "../base/parse.h"
#include "section_scan.h"

static int form_fault(const struct scan *sc, int r)
{
	tocsin_diag_hint(sc->diag, "expected p PATH:START STOP threshold=NS, or -PATH:START");
	return r;
}

/* Take the next word off the front. No bytes: there is none. */
static struct span word_take(struct span *s)
{
	size_t len = 0;
	struct span word;

	while (len < s->len && !is_blank(s->at[len]))
		len++;
	word = span_to(*s, len);
	*s = span_trim(span_from(*s, len));
	return word;
}

/* PATH:START */
static int start_parse(const struct scan *sc, struct span word, struct place *p)
{
	const char *colon = memrchr(word.at, ':', word.len);
	struct span path;
	uint64_t offset = 0;
	int r;

	if (!word.len)
		return form_fault(sc, scan_fault(sc, word, "no path"));
	if (!colon)
		return form_fault(sc, scan_fault(sc, word, "no offset behind '" SPAN_FMT "'",
						 SPAN_ARG(word)));
	path = span_to(word, (size_t)(colon - word.at));
	if (!path.len)
		return form_fault(sc, scan_fault(sc, word, "no path before ':'"));
	if (path.at[0] != '/')
		return scan_fault(sc, path, "path '" SPAN_FMT "' is not absolute", SPAN_ARG(path));
	r = path_check(sc, path);
	if (r == 0)
		r = offset_parse(sc, span_from(word, path.len + 1), &offset);
	if (r < 0)
		return r;
	p->path = span_dup(path);
	if (!p->path)
		return scan_nomem(sc);
	p->kind = PLACE_OFFSET;
	p->offset = offset;
	return 0;
}

static int threshold_parse(const struct scan *sc, struct span s, uint64_t *ret_ns)
{
	uint64_t ns = 0;
	char buf[40];
	int r;

	span_copy(s, buf, sizeof(buf));
	r = s.len && s.len < sizeof(buf) ? tocsin_parse_u64(buf, &ns) : -EINVAL;
	if (r == 0 && s.len > 1 && s.at[0] == '0' && is_digit(s.at[1]))
		r = -EINVAL;
	if (r == -EINVAL) {
		r = scan_fault(sc, s, "threshold '" SPAN_FMT "' is not a number", SPAN_ARG(s));
		tocsin_diag_hint(sc->diag, "a threshold is nanoseconds, without a unit");
		return r;
	}
	if (r < 0 || ns < SECTION_TLOB_MIN_NS || ns > SECTION_BUDGET_MAX_NS) {
		(void)scan_fault(
			sc, s, "threshold '" SPAN_FMT "' is out of range: %llu to %llu nanoseconds",
			SPAN_ARG(s), (unsigned long long)SECTION_TLOB_MIN_NS,
			(unsigned long long)SECTION_BUDGET_MAX_NS);
		return -ERANGE;
	}
	*ret_ns = ns;
	return 0;
}

/* STOP and threshold=NS, in either order. */
static int rest_parse(const struct scan *sc, struct span s, struct section *section)
{
	static const char threshold[] = "threshold=";
	struct span stop = {0}, limit = {0};
	struct span end = span_end(s);
	int r;

	while (s.len) {
		struct span word = word_take(&s);

		if (span_begins(word, threshold) && !limit.at)
			limit = span_from(word, sizeof(threshold) - 1);
		else if (span_begins(word, threshold))
			return scan_fault(sc, word, "a second threshold");
		else if (!stop.at)
			stop = word;
		else
			return form_fault(sc, scan_fault(sc, word,
							 "'" SPAN_FMT "' is one word too many",
							 SPAN_ARG(word)));
	}
	if (!stop.at)
		return form_fault(sc, scan_fault(sc, end, "no stop offset"));
	r = offset_parse(sc, stop, &section->stop.offset);
	if (r < 0)
		return r;
	if (!limit.at)
		return form_fault(sc, scan_fault(sc, end, "no threshold"));
	r = threshold_parse(sc, limit, &section->budget_ns);
	if (r < 0)
		return r;
	if (section->stop.offset == section->start.offset)
		return scan_fault(sc, stop, "start and stop are the same place");
	return 0;
}

int tlob_parse(const struct scan *sc, struct span s, struct section *ret_section)
{
	struct span word = word_take(&s);
	int r;

	r = start_parse(sc, word, &ret_section->start);
	if (r == 0)
		r = rest_parse(sc, s, ret_section);
	if (r < 0)
		return r;
	ret_section->stop.path = strdup(ret_section->start.path);
	if (!ret_section->stop.path)
		return scan_nomem(sc);
	ret_section->stop.kind = PLACE_OFFSET;
	ret_section->is_tlob = true;
	return 0;
}

int tlob_parse_removal(const struct scan *sc, struct span s, struct place *ret_place)
{
	struct span word = word_take(&s);

	if (s.len)
		return form_fault(
			sc, scan_fault(sc, s, "'" SPAN_FMT "' is one word too many", SPAN_ARG(s)));
	return start_parse(sc, word, ret_place);
}
