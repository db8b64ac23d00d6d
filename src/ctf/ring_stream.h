/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_RING_STREAM_H
#define TOCSIN_CTF_RING_STREAM_H

/* One file of a ring: records as they stand in its memory, with packet heads. */

#include "packet_file.h"

/* What does not change from packet to packet. */
struct ctf_ring_identity {
	uint8_t uuid[16];   /* of the trace */
	uint32_t stream_id; /* class */
	uint32_t ring;      /* index */
	uint32_t pid;
};

struct ctf_ring_stream {
	struct ctf_packet_file file; /* fd -1: not open */
	struct ctf_ring_identity id;
	uint64_t end;       /* tick of the last record */
	uint64_t discarded; /* that its packets say */
};

#define CTF_RING_STREAM_NONE  \
	{                     \
		.file.fd = -1 \
	}

/* Whole records, straight from a ring. */
struct ctf_ring_packet {
	const void *records;  /* lent, read once */
	size_t len_bytes;     /* up to the end of the last field of the last record */
	uint64_t first, last; /* ticks */
	uint64_t discarded;   /* lost by the ring in this file so far */
};

/**
 * ctf_ring_stream_open() - make the file.
 * @name:  made of numbers
 * @first: tick of the first record that will be in it
 *
 * Return: 0, -EEXIST, or -errno.
 * Thread-safe: per object. Signal-safe: no.
 */
int ctf_ring_stream_open(struct ctf_ring_stream *s, int dir_fd, const char *name,
			 const struct ctf_ring_identity *id, uint64_t first);

/**
 * ctf_ring_stream_put() - one packet. Times that go back become those of the packet before.
 *
 * Return: 0, -EFBIG the file is full: close it and take another, or -errno: it is not in the file.
 * Thread-safe: per object. Signal-safe: no.
 */
int ctf_ring_stream_put(struct ctf_ring_stream *s, const struct ctf_ring_packet *packet);

/** ctf_ring_stream_tell() - a packet without records, if @discarded is news. Return: as put. */
int ctf_ring_stream_tell(struct ctf_ring_stream *s, uint64_t discarded);

/** ctf_ring_stream_close() - Return: 0, or -errno: the end of the file was not cut off. */
int ctf_ring_stream_close(struct ctf_ring_stream *s);

#endif
