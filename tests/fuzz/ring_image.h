/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_FUZZ_RING_IMAGE_H
#define TOCSIN_TESTS_FUZZ_RING_IMAGE_H

/* Rings with records in them, made by hand in a memfd, for those who then spoil them. */

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/ring.h"

struct ring_image {
	int fd;
	uint64_t bytes;    /* of the file */
	unsigned char *at; /* mapped once */
	struct ring_header *ring;
	struct ring_slot *slots;
};

/* One record of 24 or 32 bytes at @position. Return: its length. */
static inline uint64_t image_record(struct ring_image *im, uint64_t position, uint64_t time,
				    int is_extended)
{
	uint64_t n = im->ring->data_bytes, bytes = is_extended ? 32 : 24;
	unsigned char *data = im->at + RING_HEADER_BYTES;
	uint64_t words[4] = {7 | bytes / 8 << 16 | time << 32, time, time, ~time};

	if (is_extended)
		words[0] = RING_ID_EXTENDED | bytes / 8 << 16 | 7ULL << 32;
	else
		words[1] = time;
	for (unsigned i = 0; i < bytes / 8; i++)
		memcpy(data + ((position + i * 8) & (n - 1)), &words[i], 8);
	return bytes;
}

static inline void image_fill_side(struct ring_image *im, unsigned records)
{
	uint32_t units = 0;

	for (uint32_t i = 0; i < records; i++) {
		struct ring_slot *slot = &im->slots[i & (im->ring->slots - 1)];

		slot->start = units;
		slot->units = (uint32_t)(image_record(im, (uint64_t)units * 8, 1000 + i, 1) / 8);
		slot->tag = ring_slot_tag(i);
		units += slot->units;
	}
	im->ring->head = (uint64_t)units << 32 | records;
}

static inline void image_fill_indexed(struct ring_image *im, unsigned records)
{
	struct ring_header *ring = im->ring;
	uint64_t group_bytes = ring->groups ? ring->data_bytes / ring->groups : ring->data_bytes;
	uint64_t head = 0;

	for (unsigned i = 0; i < records; i++) {
		int begins = ring_group_count(head + 32, group_bytes) >
			     ring_group_count(head, group_bytes);

		if (begins && ring->groups) {
			ring->entered = ring_group_count(head + 32, group_bytes);
			ring->first[(ring->entered - 1) % ring->groups] = head;
		}
		head += image_record(im, head, 1000 + i, begins || i % 50 == 0);
	}
	ring->head = head;
}

/* Return: 0, or -1. */
static inline int image_open(struct ring_image *im)
{
	*im = (struct ring_image){.fd = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
	im->bytes = ring_file_bytes(RING_HEADER_BYTES, RING_SIDE_BYTES_MIN,
				    RING_SIDE_BYTES_MIN / RING_SLOT_SHARE);
	if (im->fd < 0 || ftruncate(im->fd, (off_t)im->bytes) < 0 ||
	    fcntl(im->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -1;
	im->at = mmap(NULL, im->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, im->fd, 0);
	if ((void *)im->at == MAP_FAILED)
		return -1;
	im->ring = (struct ring_header *)(void *)im->at;
	return 0;
}

/* Make it a ring of @kind and @mode with so many records. */
static inline void image_make(struct ring_image *im, uint16_t kind, uint16_t mode, unsigned records)
{
	uint64_t n = kind == RING_SIDE ? RING_SIDE_BYTES_MIN : RING_BYTES_MIN;

	memset(im->at, 0, im->bytes);
	*im->ring = (struct ring_header){
		.magic = RING_MAGIC,
		.version = RING_VERSION,
		.header_bytes = RING_HEADER_BYTES,
		.kind = kind,
		.mode = mode,
		.data_bytes = n,
		.mask = n - 1,
		.groups = kind == RING_INDEXED && mode == RING_OVERWRITE ? RING_GROUPS_MAX / 2 : 0,
		.slots = kind == RING_SIDE ? (uint32_t)(n / RING_SLOT_SHARE) : 0,
		.epoch = RING_EPOCH_NONE,
	};
	im->slots = (struct ring_slot *)(void *)(im->at + RING_HEADER_BYTES + n);
	if (kind == RING_SIDE)
		image_fill_side(im, records);
	else
		image_fill_indexed(im, records);
}

static inline void image_close(struct ring_image *im)
{
	(void)munmap(im->at, im->bytes);
	(void)close(im->fd);
}

#endif
