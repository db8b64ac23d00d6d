// SPDX-License-Identifier: MIT
/*
 * Fuzzes reading a trace. Input: length of the metadata (u16, little endian), metadata, a stream,
 * which is a compressed file if it begins as one.
 * What is read is looked at byte by byte, time and again with a range of time, and reading comes to
 * an end.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctf/read_map.h"
#include "trace/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

static char dir[] = "/tmp/tocsin-fuzz.XXXXXX";

static void dir_remove(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/metadata", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/stream", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/stream.zst", dir);
	(void)unlink(path);
	(void)rmdir(dir);
}

static void file_write(const char *name, const uint8_t *bytes, size_t len)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	(void)close(fd);
}

static void stream_write(const uint8_t *bytes, size_t len)
{
	static const uint8_t magic[] = {0x28, 0xb5, 0x2f, 0xfd};
	bool is_packed = len >= sizeof(magic) && memcmp(bytes, magic, sizeof(magic)) == 0;

	file_write("stream", bytes, is_packed ? 0 : len); /* an empty file is no stream */
	file_write("stream.zst", bytes, is_packed ? len : 0);
}

static void values_look(const struct ctf_values *values)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < values->nr; i++) {
		const struct ctf_value *v = &values->item[i];

		CHECK(v->nr_below < values->nr - i && v->scope < SCOPE_NR);
		if (v->is_text)
			for (size_t k = 0; k < v->len; k++)
				sum += (unsigned char)v->text[k];
	}
	__asm__ volatile("" : : "r"(sum));
}

static void trace_look(int64_t from_ns, int64_t to_ns)
{
	const struct trace_options options = {.from_ns = from_ns, .to_ns = to_ns};
	const char *paths[] = {dir};
	const struct ctf_values *values;
	const struct trace_event *e;
	struct tocsin_err err = {0};
	struct trace *t;
	int state;

	if (trace_open(paths, 1, &options, &err, &t) < 0)
		return;
	while ((state = trace_next(t, &e)) >= 0 && state != TRACE_END) {
		if (state == TRACE_EVENT) {
			CHECK(e->t_ns >= from_ns && e->t_ns <= to_ns);
			CHECK(trace_values(t, &values) == 0);
			values_look(values);
			CHECK(trace_packet_values(t, &values) == 0);
			values_look(values);
		} else if (state == TRACE_CUT || state == TRACE_BAD) {
			CHECK(strstr(e->wrong, "byte "));
		}
	}
	CHECK(state == TRACE_END);
	(void)trace_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
	static bool is_made;
	size_t len;

	if (bytes < 2)
		return 0;
	if (!is_made) {
		CHECK(mkdtemp(dir));
		CHECK(ctf_map_guard() == 0);
		(void)atexit(dir_remove);
		is_made = true;
	}
	len = input[0] | (size_t)input[1] << 8;
	if (len > bytes - 2)
		len = bytes - 2;
	file_write("metadata", input + 2, len);
	stream_write(input + 2 + len, bytes - 2 - len);
	trace_look(INT64_MIN, INT64_MAX);
	trace_look(1700000000000000000, 1700001000000000000);
	return 0;
}
