/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_METADATA_H
#define TOCSIN_CTF_METADATA_H

#include <stdio.h>

#include "class.h"

/* The head of every packet, little endian, no holes. */
struct ctf_packet_head {
	uint32_t magic; /* CTF_MAGIC */
	uint8_t uuid[16];
	uint32_t stream_id;
	uint64_t begin_ns; /* end of the packet before */
	uint64_t end_ns;   /* time of its last record */
	uint64_t content_bits;
	uint64_t packet_bits;
	uint64_t discarded; /* events lost in this stream so far */
	uint32_t cpu_id; /* from here on in streams per CPU only; of a recorded ring, its index */
	uint32_t pid;    /* of a recorded ring; 0 elsewhere */
};

#define CTF_MAGIC          0xc1fc1fc1u
#define CTF_HEAD_BYTES     64 /* of a packet's head */
#define CTF_HEAD_BYTES_CPU 72 /* the same, in streams per CPU */

_Static_assert(offsetof(struct ctf_packet_head, begin_ns) == 24,
	       "metadata.c describes this layout");
_Static_assert(offsetof(struct ctf_packet_head, cpu_id) == CTF_HEAD_BYTES,
	       "metadata.c describes this layout");
_Static_assert(sizeof(struct ctf_packet_head) == CTF_HEAD_BYTES_CPU,
	       "metadata.c describes this layout");

/* Counter values become ns since 1970: offset_s * 10^9 + (offset + value) * 10^9 / freq_hz. */
struct ctf_clock {
	char name[24];
	const char *description; /* plain text of ours */
	char suffix[24];         /* of the names of types that are made for it */
	uint64_t freq_hz;
	int64_t offset_s;
	uint64_t offset; /* in counts */
};

/** ctf_clock_monotonic() - CLOCK_MONOTONIC in ns. */
struct ctf_clock ctf_clock_monotonic(int64_t realtime_offset_ns);

/* Parts of a metadata text, for metadata_event.c. A failure shows in ferror(). */
void ctf_put_quoted(FILE *f, const char *text);             /* other than plain ASCII becomes '?' */
void ctf_put_clock(FILE *f, const struct ctf_clock *clock); /* and its types */
void ctf_put_stream(FILE *f, unsigned id, const struct ctf_clock *clock,
		    const char *more); /* the head of a stream class; more packet context */
void ctf_put_trace(FILE *f, const struct ctf_trace_class *trace,
		   const uint8_t uuid[static 16]); /* all of a text */

/**
 * ctf_text_take() - close a stream that open_memstream() opened, and take what was written.
 * @f:    closed in any case
 * @text: where open_memstream() puts the text; NULL afterwards
 * @len:  where it puts the length
 *
 * Return: 0, -ENOMEM something was not written.
 */
int ctf_text_take(FILE *f, char **text, const size_t *len, char **ret_text, size_t *ret_len);

/**
 * ctf_metadata_text() - the metadata of a trace in CTF 1.8's language.
 * @trace:    its tables, lent
 * @uuid:     its 16 bytes of identity, as in every packet's head
 * @ret_text: the text, terminated; free() it
 * @ret_len:  its length in bytes
 *
 * Return: 0, or -ENOMEM.
 * Thread-safe: yes. Signal-safe: no.
 */
int ctf_metadata_text(const struct ctf_trace_class *trace, const uint8_t uuid[static 16],
		      char **ret_text, size_t *ret_len);

#endif
