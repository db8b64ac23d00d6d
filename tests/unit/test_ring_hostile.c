// SPDX-License-Identifier: MIT
/* ring/reader on rings that are not what they say: refused when opened, or read to an end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "../fuzz/ring_image.h"
#include "ring/reader.h"

static struct ring_image im;

static int open_image(void **state)
{
	(void)state;
	return image_open(&im);
}

static int close_image(void **state)
{
	(void)state;
	image_close(&im);
	return 0;
}

static int try_open(void)
{
	struct ring_reader r;
	int got = ring_reader_open(&r, im.fd, 0, true);

	if (got == 0)
		ring_reader_close(&r);
	return got;
}

static void a_sound_ring_is_read(void **state)
{
	(void)state;
	for (uint16_t kind = RING_INDEXED; kind <= RING_SIDE; kind++)
		for (uint16_t mode = RING_DISCARD; mode <= RING_BLOCK; mode++) {
			struct ring_extent extent;
			struct ring_reader r;
			uint64_t events = 0;

			image_make(&im, kind, mode, 700);
			assert_int_equal(ring_reader_open(&r, im.fd, 0, true), 0);
			while (ring_reader_next(&r, 4096, &extent) == RING_READ_MORE) {
				assert_int_equal(extent.time_first, 1000 + events);
				events += extent.events;
				ring_reader_release(&r, &extent);
			}
			assert_int_equal(events, 700);
			assert_int_equal(r.corrupt, RING_CORRUPT_NOT);
			ring_reader_close(&r);
		}
}

static void impossible_headers_are_refused(void **state)
{
	(void)state;
#define REFUSED(field, value, error)                            \
	do {                                                    \
		image_make(&im, RING_INDEXED, RING_DISCARD, 5); \
		im.ring->field = (value);                       \
		assert_int_equal(try_open(), -(error));         \
	} while (0)
	REFUSED(magic, 1, EBADMSG);
	REFUSED(version, RING_VERSION + 1, EPROTO);
	REFUSED(header_bytes, 0, EBADMSG);
	REFUSED(kind, 3, EBADMSG);
	REFUSED(mode, 3, EBADMSG);
	REFUSED(data_bytes, 0, EBADMSG);
	REFUSED(data_bytes, RING_BYTES_MIN + 8, EBADMSG);
	REFUSED(data_bytes, 1ULL << 20, EBADMSG); /* longer than the file */
	REFUSED(data_bytes, 1ULL << 63, EBADMSG);
	REFUSED(groups, 8, EBADMSG);
	REFUSED(slots, 64, EBADMSG);
#undef REFUSED
	image_make(&im, RING_INDEXED, RING_OVERWRITE, 5);
	im.ring->groups = 0;
	assert_int_equal(try_open(), -EBADMSG);
	image_make(&im, RING_SIDE, RING_DISCARD, 5);
	im.ring->slots = 0;
	assert_int_equal(try_open(), -EBADMSG);
}

static void a_file_that_can_be_cut_is_refused(void **state)
{
	struct ring_reader r;
	int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_true(fd >= 0);
	image_make(&im, RING_INDEXED, RING_DISCARD, 5);
	assert_int_equal(write(fd, im.at, im.bytes), im.bytes);
	assert_int_equal(ring_reader_open(&r, fd, 0, true), -EPERM);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(ring_reader_open(&r, fd, 0, true), 0);
	ring_reader_close(&r);
	assert_int_equal(ring_reader_open(&r, fd, im.bytes, true), -EBADMSG);
	assert_int_equal(ring_reader_open(&r, fd, 4, true), -EBADMSG);
	assert_int_equal(ring_reader_open(&r, fd, 1ULL << 62, true), -EBADMSG);
	(void)close(fd);
}

/* What is spoilt, and what the reader then says. */
static enum ring_corrupt corrupt_after(uint64_t *ret_events)
{
	struct ring_extent extent;
	struct ring_reader r;
	enum ring_read state;
	enum ring_corrupt corrupt;

	*ret_events = 0;
	assert_int_equal(ring_reader_open(&r, im.fd, 0, true), 0);
	while ((state = ring_reader_next(&r, 1 << 20, &extent)) != RING_READ_CORRUPT) {
		assert_int_not_equal(state, RING_READ_END);
		*ret_events += state == RING_READ_MORE ? extent.events : 0;
	}
	assert_int_equal(ring_reader_next(&r, 1 << 20, &extent), RING_READ_CORRUPT); /* for good */
	corrupt = r.corrupt;
	ring_reader_close(&r);
	return corrupt;
}

static void damage_has_a_name_and_a_place(void **state)
{
	unsigned char *data = im.at + RING_HEADER_BYTES;
	uint64_t events, word;

	(void)state;
	image_make(&im, RING_INDEXED, RING_DISCARD, 40); /* 32 + 39 x 24 bytes */
	im.ring->head = 8 + RING_BYTES_MIN;
	assert_int_equal(corrupt_after(&events), RING_CORRUPT_HEAD);
	image_make(&im, RING_INDEXED, RING_DISCARD, 40);
	im.ring->tail = im.ring->head + 8;
	assert_int_equal(corrupt_after(&events), RING_CORRUPT_HEAD);

	image_make(&im, RING_INDEXED, RING_DISCARD, 40);
	word = 7; /* no length */
	memcpy(data + 32 + 24 * 9, &word, 8);
	assert_int_equal(corrupt_after(&events), RING_CORRUPT_LENGTH);
	assert_int_equal(events, 10); /* what is whole before it */

	image_make(&im, RING_INDEXED, RING_DISCARD, 40);
	im.ring->head -= 8; /* in the middle of the last */
	assert_int_equal(corrupt_after(&events), RING_CORRUPT_LENGTH);
	assert_int_equal(events, 39);

	image_make(&im, RING_INDEXED, RING_DISCARD, 40);
	word = 7 | 3 << 16 | 5ULL << 32; /* time 5 after 1000 */
	memcpy(data + 32 + 24 * 4, &word, 8);
	assert_int_equal(corrupt_after(&events), RING_CORRUPT_TIME);
	assert_int_equal(events, 5);

	image_make(&im, RING_INDEXED, RING_DISCARD, 40);
	im.ring->tail = 32; /* behind the extended record, and no mark says its time */
	assert_int_equal(corrupt_after(&events), RING_CORRUPT_EPOCH);

	image_make(&im, RING_INDEXED, RING_OVERWRITE, 4000);
	im.ring->first[(im.ring->entered - 1) % im.ring->groups] += 8192;
	assert_int_equal(corrupt_after(&events), RING_CORRUPT_GROUP);

	image_make(&im, RING_INDEXED, RING_OVERWRITE, 4000);
	im.ring->first[(im.ring->entered - 3) % im.ring->groups] -= 16384; /* a group of 24 KiB */
	assert_int_equal(corrupt_after(&events), RING_CORRUPT_GROUP);

	image_make(&im, RING_SIDE, RING_DISCARD, 40);
	im.slots[11].units = 3;
	assert_int_equal(corrupt_after(&events), RING_CORRUPT_SLOT);
	image_make(&im, RING_SIDE, RING_DISCARD, 40);
	im.slots[39].units = 1 << 30; /* far behind the head, and the end of the mapping */
	assert_int_equal(corrupt_after(&events), RING_CORRUPT_SLOT);
}

static void unfinished_records_are_skipped_and_counted(void **state)
{
	struct ring_extent extent;
	struct ring_reader r;
	uint64_t events = 0, skipped = 0;
	enum ring_read got;

	(void)state;
	image_make(&im, RING_SIDE, RING_DISCARD, 40);
	im.slots[3].tag = im.slots[4].tag = im.slots[20].tag = im.slots[39].tag = 0;
	assert_int_equal(ring_reader_open(&r, im.fd, 0, true), 0);
	assert_int_equal(ring_reader_next(&r, 1 << 20, &extent), RING_READ_MORE);
	assert_int_equal(extent.events, 3);
	ring_reader_release(&r, &extent);
	assert_int_equal(im.ring->tail & 0xffffffff, 3);
	assert_int_equal(ring_reader_next(&r, 1 << 20, &extent), RING_READ_END); /* not yet */
	assert_true(r.is_stuck);
	(void)nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL);
	assert_int_equal(ring_reader_next(&r, 1 << 20, &extent), RING_READ_SKIPPED);
	assert_int_equal(extent.gone, 2);
	assert_int_equal(ring_reader_next(&r, 1 << 20, &extent), RING_READ_MORE);
	assert_int_equal(extent.events, 15);
	ring_reader_release(&r, &extent);
	assert_int_equal(im.ring->tail & 0xffffffff, 3); /* its writer may still come */
	im.slots[3].tag = ring_slot_tag(3);
	im.slots[4].tag = ring_slot_tag(4);
	ring_reader_release(&r, &extent);
	assert_int_equal(im.ring->tail & 0xffffffff, 20);
	ring_reader_final(&r);
	while ((got = ring_reader_next(&r, 1 << 20, &extent)) != RING_READ_END) {
		if (got == RING_READ_MORE)
			events += extent.events;
		else if (got == RING_READ_SKIPPED)
			skipped += extent.gone;
		else
			fail();
		ring_reader_release(&r, &extent);
	}
	assert_int_equal(events, 18);
	assert_int_equal(skipped, 2);
	assert_true(im.ring->tail == im.ring->head);
	ring_reader_close(&r);
}

static _Atomic bool is_over;

/* Blows at the words that matter, now and then; between them the ring comes back to life. */
static void *scribble(void *arg)
{
	uint64_t x = (uintptr_t)arg;

	for (unsigned n = 0; !atomic_load(&is_over); n++) {
		uint64_t at, dice;

		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		dice = x >> 60;
		if (n % 64 == 0)
			image_make(&im, (uint16_t)(1 + n / 64 % 2), (uint16_t)(n / 128 % 3), 400);
		at = dice < 2   ? 128 + (x >> 30) % (sizeof(struct ring_header) - 128)
		     : dice < 3 ? (x >> 30) % 128
		     : dice < 9 ? RING_HEADER_BYTES + (x >> 30) % 8192
				: (x >> 30) % im.bytes;
		if (dice == 15)
			im.ring->head = (x >> 30) % 65536;
		else
			im.at[at] = (unsigned char)(x >> 40);
		for (int i = 0; i < 3000; i++)
			atomic_signal_fence(memory_order_seq_cst);
	}
	return NULL;
}

static void a_process_that_scribbles_stops_nobody(void **state)
{
	struct timespec start, now;
	pthread_t thread;
	uint64_t extents = 0, opened = 0;

	(void)state;
	image_make(&im, RING_INDEXED, RING_DISCARD, 400);
	atomic_store(&is_over, false);
	assert_int_equal(pthread_create(&thread, NULL, scribble, (void *)7), 0);
	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		struct ring_extent extent;
		struct ring_reader r;
		enum ring_read got = RING_READ_MORE;

		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		if (ring_reader_open(&r, im.fd, 0, true) < 0)
			continue;
		opened++;
		for (int i = 0; i < 100 && got != RING_READ_CORRUPT; i++) {
			got = ring_reader_next(&r, 4096, &extent);
			if (got != RING_READ_MORE)
				continue;
			extents++;
			assert_true(extent.bytes <= r.data_bytes && extent.events);
			ring_reader_release(&r, &extent);
		}
		ring_reader_close(&r);
	} while (now.tv_sec - start.tv_sec < 20 && (opened < 300 || extents < 100));
	atomic_store(&is_over, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("# opened %u times, %u extents\n", (unsigned)opened, (unsigned)extents);
	assert_true(opened && extents);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_ring_is_read),
		cmocka_unit_test(impossible_headers_are_refused),
		cmocka_unit_test(a_file_that_can_be_cut_is_refused),
		cmocka_unit_test(damage_has_a_name_and_a_place),
		cmocka_unit_test(unfinished_records_are_skipped_and_counted),
		cmocka_unit_test(a_process_that_scribbles_stops_nobody),
	};

	return cmocka_run_group_tests(tests, open_image, close_image);
}
