// SPDX-License-Identifier: MIT
/* The trace on disk: heads, order, losses, and what is left when a write fails. Its pages are read
 * back by hand; that Babeltrace reads them too is tests/e2e/ctf_babeltrace.py. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctf/metadata.h"
#include "ctf/record.h"
#include "ctf/writer.h"
#include "ctf_sample.h"

#define PAGE 4096u

static char base[] = "/tmp/tocsin-ctf-XXXXXX";
static char dir[sizeof(base) + 16];

static int setup(void **state)
{
	(void)state;
	memcpy(base + sizeof(base) - 7, "XXXXXX", 6);
	if (!mkdtemp(base))
		return -1;
	(void)snprintf(dir, sizeof(dir), "%s/trace", base);
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"metadata", "plain_0", "plain_1",
					    "ring_0",   "ring_1",  "other"};

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	if (rmdir(dir) < 0 && errno != ENOENT && errno != ENOTDIR)
		return -1;
	(void)unlink(dir);
	return rmdir(base);
}

static struct ctf_writer *open_trace(void)
{
	struct ctf_writer *w;

	assert_int_equal(ctf_writer_open(dir, &sample_trace, NULL, &w), 0);
	return w;
}

static struct ctf_stream *add_stream(struct ctf_writer *w, unsigned class_id, uint32_t cpu)
{
	struct ctf_stream *s;

	assert_int_equal(ctf_writer_add_stream(w, class_id, cpu, &s), 0);
	return s;
}

static int append(struct ctf_stream *s, uint64_t t_ns, const char *text)
{
	const struct sample_text values = {text};

	return ctf_stream_append(s, &sample_events[SAMPLE_TEXT], t_ns, &values);
}

/* The whole file; lent until the next call. */
static const uint8_t *read_stream(const char *name, size_t *ret_len)
{
	static uint8_t bytes[2 * CTF_PACKET_MAX];
	char path[128];
	ssize_t len;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	len = read(fd, bytes, sizeof(bytes));
	assert_true(len >= 0);
	(void)close(fd);
	*ret_len = (size_t)len;
	return bytes;
}

static struct ctf_packet_head head_at(const uint8_t *bytes)
{
	struct ctf_packet_head head;

	memcpy(&head, bytes, sizeof(head));
	assert_int_equal(head.magic, CTF_MAGIC);
	return head;
}

static void test_heads(void **state)
{
	struct ctf_writer *w = open_trace();
	struct ctf_stream *s = add_stream(w, 0, 0);
	struct ctf_packet_head a, b;
	struct ctf_stats stats;
	const uint8_t *bytes;
	size_t len;

	(void)state;
	assert_int_equal(append(s, 1000, "one"), 0);
	assert_int_equal(append(s, 2000, "two two"), 0);
	assert_int_equal(ctf_writer_flush(w), 0);
	assert_int_equal(ctf_writer_flush(w), 0); /* nothing more to write: no empty packet */
	ctf_stream_discard(s, 5);
	assert_int_equal(append(s, 3000, ""), 0);
	stats = ctf_writer_get_stats(w);
	assert_int_equal(stats.events, 2);
	w = ctf_writer_close(w); /* writes it */
	bytes = read_stream("plain_0", &len);
	assert_int_equal(len, 2 * PAGE);
	a = head_at(bytes);
	b = head_at(bytes + PAGE);
	assert_int_equal(a.stream_id, 0);
	assert_int_equal(a.begin_ns, 1000);
	assert_int_equal(a.end_ns, 2000);
	/* Up to the zero byte of the second string: the padding behind it is not content. */
	assert_int_equal(a.content_bits, 8 * (CTF_HEAD_BYTES + 16 + 8 + 8));
	assert_int_equal(a.packet_bits, 8 * PAGE);
	assert_int_equal(a.discarded, 0);
	assert_int_equal(b.begin_ns, 2000);
	assert_int_equal(b.end_ns, 3000);
	assert_int_equal(b.content_bits, 8 * (CTF_HEAD_BYTES + 8 + 2));
	assert_int_equal(b.discarded, 5);
	assert_memory_equal(a.uuid, b.uuid, 16);
	assert_string_equal((const char *)bytes + CTF_HEAD_BYTES + 8, "one");
	assert_string_equal((const char *)bytes + CTF_HEAD_BYTES + 16 + 8, "two two");
}

static bool is_extended(const uint8_t *record)
{
	return record[0] == 0xff && record[1] == 0xff;
}

/* Time does not go back, and its upper half is there where it changes, and only there. */
static void test_times(void **state)
{
	static const struct {
		uint64_t t_ns, expected_ns;
		bool extended;
	} event[] = {
		{(5ull << 32) - 10, (5ull << 32) - 10, false},
		{(5ull << 32) - 10, (5ull << 32) - 10, false},
		{(5ull << 32) - 20, (5ull << 32) - 10, false},
		{(5ull << 32) + 1, (5ull << 32) + 1, true},
		{(5ull << 32) + 2, (5ull << 32) + 2, false},
		{(7ull << 32) + 3, (7ull << 32) + 3, true},
		{UINT64_MAX, (7ull << 32) + 3, false},
		{CTF_TIME_MAX, CTF_TIME_MAX, true},
		{CTF_TIME_MAX + 1, CTF_TIME_MAX, false},
	};
	struct ctf_writer *w = open_trace();
	struct ctf_stream *s = add_stream(w, 0, 0);
	const uint8_t *bytes, *record;
	size_t len;

	(void)state;
	for (unsigned i = 0; i < sizeof(event) / sizeof(event[0]); i++)
		assert_int_equal(append(s, event[i].t_ns, "x"), 0);
	assert_int_equal(ctf_writer_get_stats(w).retimed, 3);
	w = ctf_writer_close(w);
	bytes = read_stream("plain_0", &len);
	assert_int_equal(head_at(bytes).begin_ns, event[0].t_ns);
	assert_int_equal(head_at(bytes).end_ns, CTF_TIME_MAX);
	record = bytes + CTF_HEAD_BYTES;
	for (unsigned i = 0; i < sizeof(event) / sizeof(event[0]); i++) {
		uint64_t t_ns = 0;

		assert_int_equal(is_extended(record), event[i].extended);
		memcpy(&t_ns, record + (event[i].extended ? 8 : 4), event[i].extended ? 8 : 4);
		assert_int_equal(t_ns, event[i].extended ? event[i].expected_ns
							 : (uint32_t)event[i].expected_ns);
		record += (size_t)(record[2] | record[3] << 8) * 8;
	}
}

/* Steps over the records of a file, checks the heads, and returns how many there were. */
static unsigned count_records(const char *name, size_t head_bytes)
{
	size_t len, pos = 0;
	const uint8_t *bytes = read_stream(name, &len);
	unsigned nr = 0;

	while (pos < len) {
		struct ctf_packet_head head = head_at(bytes + pos);
		size_t at = head_bytes;

		assert_int_equal(head.packet_bits % (8 * PAGE), 0);
		assert_true(head.content_bits <= head.packet_bits);
		while (at < head.content_bits / 8) {
			size_t words = bytes[pos + at + 2] | (size_t)bytes[pos + at + 3] << 8;

			assert_true(words > 0);
			at += words * 8;
			nr++;
		}
		assert_true(at < head.content_bits / 8 + 8);
		pos += head.packet_bits / 8;
	}
	assert_int_equal(pos, len);
	return nr;
}

static void test_large_packets(void **state)
{
	static char text[20001];
	struct ctf_writer *w = open_trace();
	struct ctf_stream *s = add_stream(w, 0, 0);
	struct ctf_stats stats;

	(void)state;
	memset(text, 't', sizeof(text) - 1);
	/* More than CTF_PACKET_MAX together: the buffer goes out by itself. */
	for (unsigned i = 0; i < 14; i++)
		assert_int_equal(append(s, i, text), 0);
	stats = ctf_writer_get_stats(w);
	assert_int_equal(stats.packets, 1);
	assert_int_equal(stats.events, 13);
	assert_int_equal(ctf_writer_flush(w), 0);
	assert_int_equal(ctf_writer_get_stats(w).events, 14);
	assert_int_equal(count_records("plain_0", CTF_HEAD_BYTES), 14);
	/* A packet of exactly one page, and one that needs eight bytes of the next. */
	text[PAGE - CTF_HEAD_BYTES - 8 - 1] = '\0';
	assert_int_equal(append(s, 20, text), 0);
	assert_int_equal(ctf_writer_flush(w), 0);
	assert_int_equal(ctf_writer_get_stats(w).bytes, stats.bytes + 5 * PAGE + PAGE);
	assert_int_equal(append(s, 21, text), 0);
	assert_int_equal(append(s, 21, ""), 0);
	w = ctf_writer_close(w);
	assert_int_equal(count_records("plain_0", CTF_HEAD_BYTES), 17);
}

static void test_content_of_pages(void **state)
{
	static char text[30001];
	struct ctf_writer *w = open_trace();
	struct ctf_stream *s = add_stream(w, 0, 0);
	const uint8_t *bytes;
	size_t len;

	(void)state;
	for (unsigned i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('a' + i % 23);
	assert_int_equal(append(s, 1, text), 0);
	w = ctf_writer_close(w);
	bytes = read_stream("plain_0", &len);
	assert_int_equal(len, 8 * PAGE);
	assert_memory_equal(bytes + CTF_HEAD_BYTES + 8, text, sizeof(text));
	for (size_t i = CTF_HEAD_BYTES + 8 + sizeof(text); i < len && i % PAGE; i++)
		assert_int_equal(bytes[i], 0);
}

static void test_too_long(void **state)
{
	static char text[CTF_RECORD_MAX + 1];
	struct ctf_writer *w = open_trace();
	struct ctf_stream *s = add_stream(w, 0, 0);
	size_t len;

	(void)state;
	memset(text, 't', sizeof(text) - 1);
	assert_int_equal(append(s, 1, "before"), 0);
	assert_int_equal(append(s, 2, text), -E2BIG);
	assert_int_equal(append(s, 3, "after"), 0);
	assert_int_equal(ctf_writer_flush(w), 0);
	assert_int_equal(ctf_writer_get_stats(w).lost, 1);
	assert_int_equal(ctf_writer_get_stats(w).events, 2);
	w = ctf_writer_close(w);
	assert_int_equal(count_records("plain_0", CTF_HEAD_BYTES), 2);
	assert_int_equal(head_at(read_stream("plain_0", &len) + len - PAGE).discarded, 1);
}

/* Bytes of a ring as packets of their own, in a stream per CPU. */
static void test_ring_packets(void **state)
{
	static uint8_t ring[3 * PAGE];
	struct ctf_writer *w = open_trace();
	struct ctf_stream *s = add_stream(w, 1, 3), *other = add_stream(w, 1, 4);
	struct ctf_packet packet = {.records = ring, .first_ns = 100, .last_ns = 200};
	const struct sample_text values = {"a record in a ring"};
	struct ctf_packet_head head;
	const uint8_t *bytes;
	size_t len;

	(void)state;
	while (packet.nr_events < 300) {
		packet.len_bytes = (packet.len_bytes + 7) & ~7ull;
		assert_int_equal(
			ctf_record_write(&sample_events[SAMPLE_TEXT], &values,
					 100 + packet.nr_events / 3, false,
					 (struct ctf_room){ring + packet.len_bytes,
							   sizeof(ring) - packet.len_bytes},
					 &len),
			0);
		packet.len_bytes += len;
		packet.nr_events++;
	}
	assert_int_equal(ctf_stream_packet(s, &packet), 0);
	/* What waits in the stream goes out before it, so its time may not lie after the packet's.
	 */
	assert_int_equal(append(s, 300, "between"), 0);
	assert_int_equal(ctf_stream_packet(s, &packet), -EINVAL);
	packet.first_ns = packet.last_ns = 300;
	assert_int_equal(ctf_stream_packet(s, &packet), 0);
	packet.last_ns = 299;
	assert_int_equal(ctf_stream_packet(other, &packet), -EINVAL);
	assert_int_equal(ctf_writer_get_stats(w).lost, 600);
	assert_int_equal(ctf_writer_get_stats(w).events, 601);
	w = ctf_writer_close(w);
	assert_int_equal(count_records("ring_0", CTF_HEAD_BYTES_CPU), 601);
	bytes = read_stream("ring_0", &len);
	head = head_at(bytes);
	assert_int_equal(head.stream_id, 1);
	assert_int_equal(head.cpu_id, 3);
	assert_int_equal(head.begin_ns, 100);
	assert_int_equal(head.end_ns, 200);
	assert_int_equal(head.content_bits, 8 * (CTF_HEAD_BYTES_CPU + packet.len_bytes));
	assert_int_equal(head_at(bytes + len - 3 * PAGE).discarded, 300);
	(void)read_stream("ring_1", &len);
	assert_int_equal(len, 0);
}

/* A file that may not grow is what a full disk is: the trace stays whole, losses are counted, and
 * it goes on after. */
static void test_write_failure(void **state)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct ctf_writer *w = open_trace();
	struct ctf_stream *s = add_stream(w, 0, 0);
	static char text[10001];
	struct rlimit limit, small;
	size_t len;

	(void)state;
	memset(text, 't', sizeof(text) - 1);
	assert_int_equal(append(s, 1, text), 0);
	assert_int_equal(ctf_writer_flush(w), 0);
	assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	for (small.rlim_cur = 3 * PAGE; small.rlim_cur <= 6 * PAGE - 1; small.rlim_cur += 1000) {
		assert_int_equal(append(s, 2, text), 0);
		assert_int_equal(append(s, 3, "y"), 0);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		assert_int_equal(ctf_writer_flush(w), -EFBIG);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		assert_int_equal(count_records("plain_0", CTF_HEAD_BYTES), 1);
	}
	assert_int_equal(ctf_writer_get_stats(w).failures, 13);
	assert_int_equal(ctf_writer_get_stats(w).lost, 26);
	assert_int_equal(ctf_writer_get_stats(w).last_failure, -EFBIG);
	assert_int_equal(append(s, 4, "z"), 0);
	assert_int_equal(ctf_writer_flush(w), 0);
	w = ctf_writer_close(w);
	assert_int_equal(count_records("plain_0", CTF_HEAD_BYTES), 2);
	(void)read_stream("plain_0", &len);
	assert_int_equal(head_at(read_stream("plain_0", &len) + 3 * PAGE).discarded, 26);
	assert_int_equal(head_at(read_stream("plain_0", &len) + 3 * PAGE).begin_ns, 1);
}

static void test_tick(void **state)
{
	struct ctf_writer *w = open_trace();
	struct ctf_stream *s = add_stream(w, 0, 0);

	(void)state;
	assert_int_equal(ctf_writer_tick(w, 50 * CTF_FLUSH_NS), 0);
	assert_int_equal(append(s, 1, "x"), 0);
	assert_int_equal(ctf_writer_tick(w, 51 * CTF_FLUSH_NS - 1), 0);
	assert_int_equal(ctf_writer_get_stats(w).events, 0);
	assert_int_equal(ctf_writer_tick(w, 51 * CTF_FLUSH_NS), 0);
	assert_int_equal(ctf_writer_get_stats(w).events, 1);
	w = ctf_writer_close(w);
}

static void test_directories(void **state)
{
	struct tocsin_err err = {0};
	struct ctf_writer *w = NULL;
	struct ctf_stream *s;
	char path[128], text[256];
	int fd;

	(void)state;
	/* Parents are not made. */
	(void)snprintf(path, sizeof(path), "%s/none/trace", base);
	assert_int_equal(ctf_writer_open(path, &sample_trace, NULL, &w), -ENOENT);
	/* An empty one is taken, a second trace in it is not. */
	assert_int_equal(mkdir(dir, 0700), 0);
	w = open_trace();
	assert_int_equal(ctf_writer_add_stream(w, 2, 0, &s), -EINVAL);
	w = ctf_writer_close(w);
	assert_int_equal(ctf_writer_open(dir, &sample_trace, &err, &w), -EEXIST);
	(void)tocsin_err_text(&err, text, sizeof(text));
	(void)snprintf(path, sizeof(path), "trace directory '%s' is not empty", dir);
	assert_string_equal(text, path);
	(void)snprintf(path, sizeof(path), "%s/metadata", dir);
	assert_int_equal(unlink(path), 0);
	/* Neither is one with any other file; it is left alone. */
	(void)snprintf(path, sizeof(path), "%s/other", dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(ctf_writer_open(dir, &sample_trace, NULL, &w), -EEXIST);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	/* A file is not a folder. */
	fd = open(dir, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(ctf_writer_open(dir, &sample_trace, NULL, &w), -ENOTDIR);
	assert_null(ctf_writer_close(NULL));
}

/* A failure takes away what was made. */
static void test_failed_open(void **state)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct rlimit limit, none;
	struct ctf_writer *w;
	struct stat st;

	(void)state;
	assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	none = limit;
	none.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(ctf_writer_open(dir, &sample_trace, NULL, &w), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(stat(dir, &st), -1);
	assert_int_equal(errno, ENOENT);
}

/* Nothing of an open trace goes to a child. */
static void test_cloexec(void **state)
{
	struct ctf_writer *w = open_trace();
	unsigned nr = 0;

	(void)state;
	(void)add_stream(w, 0, 0);
	for (int fd = 3; fd < 64; fd++) {
		char link[64], target[256];
		ssize_t len;

		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		len = readlink(link, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = '\0';
		if (strncmp(target, base, strlen(base)) != 0)
			continue;
		nr++;
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	}
	assert_int_equal(nr, 2);
	w = ctf_writer_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_heads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_times, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_packets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_content_of_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ring_packets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tick, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directories, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cloexec, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
