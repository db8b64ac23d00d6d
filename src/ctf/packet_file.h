/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_PACKET_FILE_H
#define TOCSIN_CTF_PACKET_FILE_H

/* A stream file that is a row of whole packets at any time: packet_file.c has the steps. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metadata.h"

#define CTF_PAGE_BYTES 4096 /* never cut by a kill: no page of any machine is smaller */
#define CTF_FILE_MAX   (1024u * 1024 * 1024) /* bytes of a file that was made with a place */

struct ctf_packet_file {
	int fd;
	size_t head_bytes;   /* CTF_HEAD_BYTES or CTF_HEAD_BYTES_CPU */
	uint64_t used_bytes; /* packets that were put; a multiple of CTF_PAGE_BYTES */
	uint64_t file_bytes; /* with the one empty packet that keeps the place of the next ones */
	bool has_place;      /* made with one: it does not grow */
	int broken; /* -errno: the file could not be cut back and takes no more packets; 0: sound */
};

/**
 * ctf_packet_file_open() - make a stream file.
 * @dir_fd:     of the trace, lent
 * @name:       made by us, never from a traced program's text
 * @head_bytes: of its packets' heads
 *
 * Return: 0, -EEXIST, or -errno.
 * Thread-safe: per object. Signal-safe: no.
 */
int ctf_packet_file_open(struct ctf_packet_file *f, int dir_fd, const char *name,
			 size_t head_bytes);

/**
 * ctf_packet_file_open_place() - make a stream file that has its place from the start: a hole of
 * CTF_FILE_MAX, or of less where that is too much, in one empty packet.
 * @head: of the empty packet, all but content_bits and packet_bits
 *
 * ctf_packet_file_put() takes fewer system calls here, and -EFBIG says that the place is used up.
 *
 * Return: 0, -EEXIST, or -errno.
 * Thread-safe: per object. Signal-safe: no.
 */
int ctf_packet_file_open_place(struct ctf_packet_file *f, int dir_fd, const char *name,
			       const struct ctf_packet_head *head);

/**
 * ctf_packet_file_put() - write one packet behind those that are there.
 * @head:    all but content_bits and packet_bits, which are set here
 * @content: records, lent; read once, straight into the file
 * @len:     bytes, up to the end of the last field of the last record; 0: a packet without records
 *
 * Return: 0, -EFBIG no place left in a file that was made with one, or -errno: the packet is not in
 * the file, which is a row of whole packets as before. Thread-safe: per object. Signal-safe: no.
 */
int ctf_packet_file_put(struct ctf_packet_file *f, const struct ctf_packet_head *head,
			const void *content, size_t len);

/**
 * ctf_packet_file_close() - cut off the place that nothing was put in, and close. Nothing for
 * fd -1.
 *
 * Return: 0, or -errno: the empty packet at the end stays, which does no harm.
 */
int ctf_packet_file_close(struct ctf_packet_file *f);

/** ctf_write_at() - all of it at that place. Return: 0, or -errno. */
int ctf_write_at(int fd, const void *bytes, size_t len, uint64_t pos);

#endif
