// SPDX-License-Identifier: MIT
/*
 * The sections as plain code: an area that looks registered, so the instructions run, one after the
 * other, also where nothing restarts them (user-mode emulation of another architecture). Every size
 * of payload, every form of header, around the end of the ring; what is read is what was written.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "abi/control.h"
#include "percpu/rseq.h"
#include "ring/reader.h"
#include "ring/ring.h"

static __thread struct tocsin_rseq_area area; /* of CPU 0, concurrency id 0 */
static struct ring_params wanted;             /* besides kind and size */
static int fds[2] = {-1, -1};
static unsigned wakes;
static unsigned number;

static void result(bool is_right, const char *name)
{
	printf("%s %u - %s\n", is_right ? "ok" : "not ok", ++number, name);
}

static int make_ring(struct ring_writer *w, int index)
{
	bool is_side = index == RING_INDEX_SIDE;
	struct ring_params params = {
		.kind = is_side ? RING_SIDE : RING_INDEXED,
		.mode = wanted.mode,
		.watermark = wanted.watermark,
		.block_ns = wanted.block_ns,
		.data_bytes = is_side ? RING_SIDE_BYTES_MIN : RING_BYTES_MIN,
		.fd = -1,
	};
	struct ring_made made;
	int r = ring_make(&params, &made);

	if (r < 0)
		return r;
	fds[is_side] = made.fd;
	return ring_publish(w, index, made.ring);
}

static void count_wake(struct ring_writer *w)
{
	(void)w;
	wakes++;
}

static bool may_not_call;

static bool may_call(struct ring_writer *w)
{
	(void)w;
	return !may_not_call;
}

static const struct ring_hooks hooks = {
	.missing = make_ring, .wake = count_wake, .may_call = may_call};

static void pretend(void)
{
	uintptr_t tp = (uintptr_t)__builtin_thread_pointer();

	tocsin_rseq.area = (intptr_t)((uintptr_t)&area - tp);
	tocsin_rseq.index_offset = offsetof(struct tocsin_rseq_area, mm_cid);
	tocsin_rseq.nr_indexes = 1;
	ring_init(CONTROL_CLOCK_TSC, &hooks);
}

static bool is_record(const struct ring_extent *extent, uint32_t id, const uint64_t *payload,
		      uint64_t bytes)
{
	const uint64_t *at = extent->data;
	bool is_extended = (at[0] & 0xffff) == RING_ID_EXTENDED;
	uint64_t got = is_extended ? at[0] >> 32 : at[0] & 0xffff;

	return extent->events == 1 && got == id &&
	       extent->bytes == (is_extended ? 16 : 8) + bytes &&
	       (id >= RING_ID_EXTENDED) <= is_extended &&
	       !memcmp(at + 1 + is_extended, payload, bytes);
}

#define ONE(size) \
	case size: return ring_write(w, id, payload, size)

static int write_one(struct ring_writer *w, uint32_t id, const uint64_t *payload, uint64_t bytes,
		     bool is_constant)
{
	if (is_constant)
		switch (bytes) {
			ONE(8);
			ONE(16);
			ONE(24);
			ONE(32);
			ONE(40);
			ONE(48);
			ONE(56);
			ONE(64);
		}
	return ring_write(w, id, payload, bytes);
}

/* Write, read, compare, release, often enough to go round many times. */
static bool every_size(struct ring_writer *w, bool is_constant)
{
	static uint64_t payload[RING_PAYLOAD_MAX / 8];
	struct ring_extent extent;
	struct ring_reader reader = {0};
	uint64_t n = 0;

	for (uint64_t bytes = 0; bytes <= RING_PAYLOAD_MAX; bytes += 8, n++) {
		uint32_t id = (uint32_t)(n % 5 == 3 ? 65535 + n : n);

		for (unsigned i = 0; i < RING_PAYLOAD_MAX / 8; i++)
			payload[i] = n << 32 | i;
		if (write_one(w, id, payload, bytes, is_constant) != 0)
			return false;
		if (!reader.ring && ring_reader_open(&reader, fds[0], 0, true) < 0)
			return false;
		do {
			if (ring_reader_next(&reader, 1, &extent) != RING_READ_MORE)
				return false;
			ring_reader_release(&reader, &extent);
		} while (ring_reader_unread(&reader));
		if (!is_record(&extent, id, payload, bytes))
			return false;
	}
	ring_reader_close(&reader);
	return true;
}

static bool discards_exactly(struct ring_writer *w)
{
	uint64_t payload[2] = {5, 6}, written = 0, lost = 0, read = 0;
	struct ring_reader reader;
	struct ring_extent extent;

	if (ring_reader_open(&reader, fds[0], 0, true) < 0)
		return false;
	for (int i = 0; i < 10000; i++)
		if (ring_write(w, 9, payload, 16) == 0)
			written++;
		else
			lost++;
	while (ring_reader_next(&reader, 5000, &extent) == RING_READ_MORE) {
		read += extent.events;
		ring_reader_release(&reader, &extent);
	}
	if (!lost || ring_reader_lost(&reader) != lost || read != written)
		return false;
	/* 24 bytes each: not one record more would have fitted. */
	return RING_BYTES_MIN - read * 24 < 24 + 16;
}

static bool overwrites(void)
{
	uint64_t payload[2] = {0, 0}, n = 0, next = 0, oldest = 0;
	struct ring_writer *w;
	struct ring_reader reader;
	struct ring_extent extent;
	enum ring_read state;

	if (ring_writer_new(&w) < 0)
		return false;
	wanted = (struct ring_params){.mode = RING_OVERWRITE};
	for (; n < 20000; n++) {
		payload[0] = n;
		if (ring_write(w, 9, payload, 16) != 0)
			return false;
	}
	if (ring_reader_open(&reader, fds[0], 0, false) < 0)
		return false;
	ring_reader_bound(&reader);
	if (ring_reader_next(&reader, UINT64_MAX, &extent) != RING_READ_LAPPED || !extent.gone)
		return false;
	while ((state = ring_reader_next(&reader, UINT64_MAX, &extent)) == RING_READ_MORE) {
		const uint64_t *first = extent.data;

		if ((first[0] & 0xffff) != RING_ID_EXTENDED || (next && first[2] != next))
			return false;
		oldest = next ? oldest : first[2];
		next = first[2] + extent.events;
	}
	/* All up to the newest, and at least six of the eight groups. */
	return state == RING_READ_END && next == n && (n - oldest) * 24 > RING_BYTES_MIN / 8 * 6;
}

/* Records of 24 bytes until there are @bytes more, or one is lost. Return: how many are there. */
static unsigned fill(struct ring_writer *w, uint64_t bytes)
{
	uint64_t payload[2] = {1, 2};
	unsigned n = 0;

	while (n * 24 < bytes && ring_write(w, 9, payload, 16) == 0)
		n++;
	return n;
}

static bool release_all(struct ring_reader *r)
{
	struct ring_extent extent;
	bool got = false;

	while (ring_reader_next(r, 4096, &extent) == RING_READ_MORE) {
		ring_reader_release(r, &extent);
		got = true;
	}
	return got;
}

/* One wake for each time that the watermark is passed, none before. */
static bool wakes_at_the_watermark(void)
{
	struct ring_reader r = {0};
	struct ring_writer *w;
	unsigned first;

	wanted = (struct ring_params){.watermark = RING_BYTES_MIN / 2};
	wakes = 0;
	if (ring_writer_new(&w) < 0 || !fill(w, RING_BYTES_MIN / 2 - 100) || wakes ||
	    ring_reader_open(&r, fds[0], 0, true) < 0)
		return false;
	(void)fill(w, 200);
	first = wakes;
	(void)fill(w, RING_BYTES_MIN / 4);
	for (int i = 0; i < 10; i++)
		(void)ring_write(w, 70000, &r, 16); /* the slow path, for another reason */
	if (first != 1 || wakes != 1 || !release_all(&r))
		return false;
	(void)fill(w, RING_BYTES_MIN / 4 * 3);
	ring_reader_close(&r);
	return wakes == 2;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* A wait in vain takes its time once; then nobody waits before the reader has moved. */
static bool waits_once(void)
{
	struct ring_writer *w;
	struct ring_reader r;
	uint64_t start, first, more;

	wanted = (struct ring_params){.mode = RING_BLOCK, .block_ns = 60000000};
	if (ring_writer_new(&w) < 0)
		return false;
	start = now_ms();
	(void)fill(w, UINT64_MAX);
	first = now_ms() - start;
	for (int i = 0; i < 50; i++)
		(void)fill(w, 1);
	more = now_ms() - start - first;
	if (first < 60 || more > 55 || ring_reader_open(&r, fds[0], 0, true) < 0)
		return false;
	if (ring_reader_lost(&r) != 51 || !release_all(&r) || !fill(w, 1000))
		return false;
	may_not_call = true;
	start = now_ms();
	(void)fill(w, UINT64_MAX);
	may_not_call = false;
	ring_reader_close(&r);
	return now_ms() - start < 55;
}

/* A limit of file sizes must not end the program. */
static bool respects_limits(void)
{
	struct ring_params params = {.kind = RING_INDEXED, .data_bytes = RING_BYTES_MIN, .fd = -1};
	struct rlimit limit = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY}, old;
	struct ring_made made;
	int r;

	if (getrlimit(RLIMIT_FSIZE, &old) < 0)
		return false;
	limit.rlim_max = old.rlim_max;
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return false;
	r = ring_make(&params, &made);
	(void)setrlimit(RLIMIT_FSIZE, &old);
	return r == -EFBIG;
}

/* What was not dealt with comes again, from the middle too. */
static bool goes_back(void)
{
	struct ring_writer *w;
	struct ring_reader r;
	struct ring_extent extent, again, side;
	uint64_t payload[2] = {1, 2};

	wanted = (struct ring_params){0};
	if (ring_writer_new(&w) < 0 || fill(w, 2400) != 100 ||
	    ring_reader_open(&r, fds[0], 0, true) < 0)
		return false;
	if (ring_reader_next(&r, 1 << 20, &extent) != RING_READ_MORE || extent.events != 100)
		return false;
	ring_reader_back(&r, &extent, 30);
	if (ring_reader_next(&r, 1 << 20, &again) != RING_READ_MORE || again.events != 70 ||
	    again.time_last != extent.time_last || again.position != 32 + 29 * 24)
		return false;
	ring_reader_release(&r, &again);
	ring_reader_close(&r);
	for (int i = 0; i < 10; i++)
		if (ring_write_side(w, 9, payload, 16) != 0)
			return false;
	if (ring_reader_open(&r, fds[1], 0, true) < 0 ||
	    ring_reader_next(&r, 1 << 20, &side) != RING_READ_MORE || side.events != 10)
		return false;
	ring_reader_back(&r, &side, 4);
	if (ring_reader_next(&r, 1 << 20, &again) != RING_READ_MORE || again.events != 6 ||
	    again.position != 4 * 32)
		return false;
	ring_reader_release(&r, &again);
	ring_reader_close(&r);
	return true;
}

int main(void)
{
	struct ring_writer *w;

	printf("1..9\n");
	pretend();
	if (ring_writer_new(&w) < 0)
		return 1;
	result(every_size(w, false), "every size, not known when compiled");
	result(every_size(w, true), "sizes that are constants");
	result(discards_exactly(w), "what does not fit is counted, and nothing else");
	result(overwrites(), "an overwriting ring keeps the newest, in whole groups");
	result(wakes_at_the_watermark(), "the collector is woken when the watermark is passed");
	result(waits_once(), "a blocking ring waits for its time, and once");
	result(respects_limits(), "a limit of file sizes is an error, not a signal");
	result(goes_back(), "an extent that was not dealt with comes again");
	ring_init(CONTROL_CLOCK_MONOTONIC, &hooks);
	wanted = (struct ring_params){0};
	result(ring_writer_new(&w) == 0 && every_size(w, true), "every size by the exact section");
	return 0;
}
