// SPDX-License-Identifier: MIT
/* What `tocsin ctl` asks of a running watch. */
#include "watch_ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void watch_say_bound(const struct watch *w, unsigned i)
{
	const struct attachment *a = watch_attachment(w, i);

	for (size_t n = 0; n < a->nr_notes; n++)
		(void)fprintf(stderr, "%s: %s\n", watch_section(w, i, NULL)->name, a->note[n].text);
}

static bool ctl_list(struct watch *w, FILE *answer)
{
	char line[SECTION_TEXT_MAX];

	for (unsigned i = 0; i < watch_nr_sections(w); i++) {
		bool active;
		const struct section *s = watch_section(w, i, &active);

		if (active)
			(void)fprintf(answer, "%s\n", section_normal(s, line, sizeof(line)));
	}
	return true;
}

static void say_causes(const struct tocsin_err *err, FILE *answer)
{
	char text[4096];

	(void)fputs(tocsin_err_text(err, text, sizeof(text)), answer);
}

/* What came of a removal. */
static bool ctl_removed(int r, const char *what, uint64_t nr_open, const struct tocsin_err *err,
			FILE *answer)
{
	if (r == -ENOENT && !err->nr_causes)
		(void)fprintf(answer, "no section %s\n", what);
	else if (r)
		say_causes(err, answer);
	else if (nr_open)
		(void)fprintf(answer, "%llu of it %s open and given up\n",
			      (unsigned long long)nr_open, nr_open == 1 ? "was" : "were");
	return r == 0;
}

bool watch_ctl_answer(void *arg, const char *request, FILE *answer)
{
	struct watch *w = arg;
	struct tocsin_err err = {0};
	struct tocsin_diag diag;
	enum section_line kind;
	struct section s = {0};
	char what[SECTION_LINE_MAX + 8];
	uint64_t nr_open = 0;
	int r;

	if (!strcmp(request, "list"))
		return ctl_list(w, answer);
	if (!strncmp(request, "remove ", 7)) {
		r = watch_remove_name(w, request + 7, &nr_open, &err);
		(void)snprintf(what, sizeof(what), "'%s'", request + 7);
		return ctl_removed(r, what, nr_open, &err, answer);
	}
	if (strncmp(request, "add ", 4)) {
		(void)fprintf(answer, "unknown request '%.40s'\n", request);
		return false;
	}
	r = section_parse(request + 4, "request", 0, &kind, &s, &diag);
	if (r) {
		char text[4096];

		(void)fputs(tocsin_diag_text(&diag, text, sizeof(text)), answer);
		return false;
	}
	if (kind == SECTION_LINE_REMOVE) {
		r = watch_remove_at(w, s.start.path, s.start.offset, &nr_open, &err);
		(void)snprintf(what, sizeof(what), "at '%s'", request + 5); /* behind "add -" */
		section_done(&s);
		return ctl_removed(r, what, nr_open, &err, answer);
	}
	if (kind == SECTION_LINE_ADD)
		r = watch_add(w, &s, &err);
	if (r)
		say_causes(&err, answer);
	else if (kind == SECTION_LINE_ADD)
		watch_say_bound(w, watch_nr_sections(w) - 1);
	section_done(&s);
	return r == 0;
}
