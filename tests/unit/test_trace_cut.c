// SPDX-License-Identifier: MIT
/*
 * A power cut may leave a file of a trace at any length: it is read up to the last packet that is
 * whole, and what is missing is told with the file and the byte. Tried at every length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctf/writer.h"
#include "trace/trace.h"

#define PACKETS 3
#define EVENTS  8 /* of a packet */

struct note {
	uint64_t number;
	const char *text;
};

static const struct ctf_field fields[] = {
	{"number", CTF_U64, offsetof(struct note, number), NULL},
	{"text", CTF_STR, offsetof(struct note, text), NULL},
};
static const struct ctf_event_class events[] = {{"note", fields, 2, 0}};
static const struct ctf_stream_class streams[] = {
	{.name = "notes", .event = events, .nr_events = 1}};
static const struct ctf_trace_class trace_class = {
	.stream = streams, .nr_streams = 1, .realtime_offset_ns = 1700000000000000000};

/* Writes the trace. @ends: where each packet ends in the file. */
static void trace_write(const char *dir, const char *file, off_t ends[PACKETS])
{
	struct tocsin_err err = {0};
	struct ctf_writer *w;
	struct ctf_stream *s;
	struct stat st;
	uint64_t n = 0;

	assert_int_equal(ctf_writer_open(dir, &trace_class, &err, &w), 0);
	assert_int_equal(ctf_writer_add_stream(w, 0, 0, &s), 0);
	for (unsigned i = 0; i < PACKETS; i++) {
		for (unsigned k = 0; k < EVENTS; k++, n++) {
			struct note note = {n, n % 2 ? "odd" : "even, and longer"};

			assert_int_equal(ctf_stream_append(s, &events[0], 1000 * (n + 1), &note),
					 0);
		}
		assert_int_equal(ctf_writer_flush(w), 0);
		assert_int_equal(stat(file, &st), 0);
		ends[i] = st.st_size;
	}
	assert_null(ctf_writer_close(w));
}

/* Return: events read; each is the next one, with its values. @ret_wrong: empty, or what was told.
 */
static uint64_t trace_read(const char *dir, char ret_wrong[512])
{
	const struct trace_options all = {.from_ns = INT64_MIN, .to_ns = INT64_MAX};
	const struct trace_event *e;
	const struct ctf_values *values;
	struct tocsin_err err = {0};
	struct trace *t;
	uint64_t nr = 0;
	int state;

	*ret_wrong = '\0';
	assert_int_equal(trace_open(&dir, 1, &all, &err, &t), 0);
	while ((state = trace_next(t, &e)) != TRACE_END) {
		assert_true(state == TRACE_EVENT || state == TRACE_CUT);
		if (state == TRACE_CUT) {
			assert_string_equal(ret_wrong, ""); /* once */
			(void)snprintf(ret_wrong, 512, "%s", e->wrong);
			continue;
		}
		assert_int_equal(trace_values(t, &values), 0);
		assert_int_equal(values->nr, 3); /* the payload and its two fields */
		assert_int_equal(values->item[1].u, nr);
		assert_memory_equal(values->item[2].text, nr % 2 ? "odd" : "even, and longer",
				    values->item[2].len);
		nr++;
	}
	assert_null(trace_close(t));
	return nr;
}

static void every_length(void **state)
{
	char dir[] = "/tmp/tocsin-cut.XXXXXX", file[64], metadata[64], wrong[512], place[160];
	off_t ends[PACKETS] = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(rmdir(dir), 0); /* the writer makes it */
	(void)snprintf(file, sizeof(file), "%s/notes_0", dir);
	(void)snprintf(metadata, sizeof(metadata), "%s/metadata", dir);
	trace_write(dir, file, ends);
	for (off_t len = ends[PACKETS - 1]; len >= 0; len--) {
		unsigned whole = 0;

		assert_int_equal(truncate(file, len), 0);
		while (whole < PACKETS && ends[whole] <= len)
			whole++;
		assert_int_equal(trace_read(dir, wrong), whole * EVENTS);
		if (len == (whole ? ends[whole - 1] : 0)) {
			assert_string_equal(wrong, "");
			continue;
		}
		(void)snprintf(place, sizeof(place), "'%s' byte %lld: ", file,
			       (long long)(whole ? ends[whole - 1] : 0));
		assert_memory_equal(wrong, place, strlen(place));
	}
	assert_int_equal(unlink(file) | unlink(metadata) | rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_length)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
