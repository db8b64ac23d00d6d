// SPDX-License-Identifier: MIT
/*
 * Fuzzes the reader of rings. Input: a byte that chooses kind, mode and fill, then steps of 11
 * bytes {what, where u16, value u64}: spoil a word of the header, of the data, of the slots, a
 * byte; read; release; bound; say that no writer is left; open again. Whatever happens, what is
 * handed out lies in the ring, and reading comes to an end.
 */
#include <stdlib.h>

#include "ring/reader.h"
#include "ring_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

static struct ring_image im;

static void check_extent(const struct ring_reader *r, const struct ring_extent *extent)
{
	const unsigned char *data = extent->data;
	uint64_t sum = 0;

	CHECK(extent->events && extent->bytes && extent->bytes % 8 == 0);
	CHECK(extent->bytes <= r->data_bytes);
	CHECK(extent->last_at < extent->bytes && extent->time_first <= extent->time_last);
	if (r->mode == RING_OVERWRITE)
		CHECK(data == r->copy && extent->bytes <= r->copy_bytes);
	else
		CHECK(data >= r->data && data + extent->bytes <= r->data + 2 * r->data_bytes);
	for (uint64_t i = 0; i < extent->bytes; i++) /* touches every byte: AddressSanitizer */
		sum += data[i];
	__asm__ volatile("" : : "r"(sum));
}

/* Everything there is. */
static void read_all(struct ring_reader *r, bool releases, uint64_t max_bytes)
{
	struct ring_extent extent;
	enum ring_read state;
	unsigned turns = 0;

	while ((state = ring_reader_next(r, max_bytes, &extent)) != RING_READ_END &&
	       state != RING_READ_CORRUPT) {
		CHECK(++turns < 20000);
		if (state == RING_READ_MORE)
			check_extent(r, &extent);
		if (releases)
			ring_reader_release(r, &extent);
	}
	CHECK(state != RING_READ_CORRUPT || *ring_corrupt_text(r->corrupt));
}

static void spoil(unsigned char what, uint64_t where, uint64_t value)
{
	uint64_t at = where * 8;

	if (what % 3 == 0)
		at %= sizeof(struct ring_header);
	else if (what % 3 == 1)
		at = RING_HEADER_BYTES + at % im.ring->data_bytes;
	else
		at = (uint64_t)((unsigned char *)im.slots - im.at) + at % 65536;
	if (at + 8 > im.bytes)
		return;
	if (value >> 56 == 0xff) /* only a byte of it */
		im.at[at + (value >> 8) % 8] = (unsigned char)value;
	else
		memcpy(im.at + at, &value, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
	struct ring_reader r = {0};
	uint16_t where;
	uint64_t value;

	if (bytes < 1 || (im.fd <= 0 && image_open(&im) < 0))
		return 0;
	image_make(&im, input[0] & 1 ? RING_SIDE : RING_INDEXED, (input[0] >> 1 & 3) % 3,
		   input[0] & 8 ? 4000 : 40);
	for (size_t i = 1; i + 11 <= bytes && i < 11 * 400; i += 11) {
		memcpy(&where, input + i + 1, 2);
		memcpy(&value, input + i + 3, 8);
		if (input[i] < 192) {
			spoil(input[i], where, value);
			continue;
		}
		if (!r.ring && ring_reader_open(&r, im.fd, 0, true) < 0)
			continue;
		switch (input[i] & 3) {
		case 0: read_all(&r, where & 1, value % 8192); break;
		case 1: ring_reader_bound(&r); break;
		case 2: ring_reader_final(&r); break;
		default: ring_reader_close(&r); break;
		}
	}
	if (r.ring || ring_reader_open(&r, im.fd, 0, true) == 0)
		read_all(&r, true, 4096);
	ring_reader_close(&r);
	return 0;
}
