/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CTF_WRITER_H
#define TOCSIN_CTF_WRITER_H

/*
 * A trace on disk, while it is being written: a directory with `metadata` and a file a stream.
 * After each call the directory is a whole trace that any CTF 1.8 reader reads without a warning,
 * also when the process is killed in it.
 */

#include "../base/err.h"
#include "class.h"

struct ctf_writer;
struct ctf_stream;

#define CTF_PACKET_MAX (256 * 1024)  /* bytes gathered before a packet is written */
#define CTF_FLUSH_NS   1000000000ull /* and how long a record waits at most for ctf_writer_tick() */

#define CTF_TIME_MAX \
	(1ull << 62) /* ns; the sum with an offset to 1970 must fit 63 bits for readers */

struct ctf_stats {
	uint64_t packets;  /* written */
	uint64_t bytes;    /* written, with heads and padding */
	uint64_t events;   /* written */
	uint64_t lost;     /* not written: the disk was full, or the event too long; they are in
			      events_discarded too */
	uint64_t retimed;  /* written with the time of the event before: theirs was earlier, or over
			      CTF_TIME_MAX */
	uint64_t failures; /* packets that could not be written */
	int last_failure;  /* -errno of the latest, 0: none */
};

/* Records as they stand in a ring. */
struct ctf_packet {
	const void *records; /* lent, whole */
	size_t len_bytes; /* up to the end of the last field of the last record: no padding behind
			     it */
	uint64_t nr_events;
	uint64_t first_ns; /* time of the first record */
	uint64_t last_ns;  /* time of the last */
};

/**
 * ctf_writer_open() - make a trace directory and write its metadata.
 * @dir:        where; made if it does not exist (not its parents); one that exists must be empty
 * @trace:      its tables, lent until ctf_writer_close()
 * @err:        the sentence on failure, may be NULL
 * @ret_writer: the writer, to be given to ctf_writer_close()
 *
 * On failure nothing that it made is left behind.
 *
 * Return: 0, or -EEXIST not empty, -errno of the directory or file, -ENOMEM.
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
int ctf_writer_open(const char *dir, const struct ctf_trace_class *trace, struct tocsin_err *err,
		    struct ctf_writer **ret_writer);

/**
 * ctf_writer_open_in() - write streams into a trace that another part writes the metadata of.
 * @dir_fd: the trace's directory, lent
 * @trace:  tables of the streams, lent until ctf_writer_close()
 * @uuid:   identity of the trace
 *
 * Return: 0, or -ENOMEM, -errno.
 * Thread-safe: yes. Signal-safe: no. Since: 0.1.
 */
int ctf_writer_open_in(int dir_fd, const struct ctf_trace_class *trace,
		       const uint8_t uuid[static 16], struct ctf_writer **ret_writer);

/**
 * ctf_writer_add_stream() - one more stream file.
 * @writer:     the trace, lent
 * @class_id:   index of its class in the trace's table
 * @cpu:        CPU or ring it comes from, for a class per CPU
 * @ret_stream: the stream, owned by the writer
 *
 * Return: 0, or -errno of the file, -ENOMEM.
 * Thread-safe: per object. Signal-safe: no. Since: 0.1.
 */
int ctf_writer_add_stream(struct ctf_writer *writer, unsigned class_id, uint32_t cpu,
			  struct ctf_stream **ret_stream);

/**
 * ctf_stream_append() - add an event; written at the latest when CTF_PACKET_MAX bytes have come
 * together.
 * @stream: where, lent
 * @event:  its class, one of the stream's class
 * @t_ns:   its time; one earlier than the event before, or over CTF_TIME_MAX, becomes the event
 * before's, and is counted
 * @values: the struct whose members the class's fields are, lent
 *
 * Return: 0; -E2BIG it is too long and counted as lost; -errno when a packet could not be written:
 * the events in it are counted as lost, this one is kept. Thread-safe: per object. Signal-safe: no.
 * Since: 0.1.
 */
int ctf_stream_append(struct ctf_stream *stream, const struct ctf_event_class *event, uint64_t t_ns,
		      const void *values);

/**
 * ctf_stream_packet() - write records that are in the trace's form already, as a ring holds them.
 * @stream:  where, lent; what waits in it is written first
 * @packet:  the records, lent
 *
 * The upper half of the first record's time is that of the packet before, or the record is
 * extended.
 *
 * Return: 0, or -EINVAL its times lie before those of the packet before, or -errno: the packet is
 * not in the file and its events are counted as lost. Thread-safe: per object. Signal-safe: no.
 * Since: 0.1.
 */
int ctf_stream_packet(struct ctf_stream *stream, const struct ctf_packet *packet);

/** ctf_stream_discard() - events that never reached the writer: counted in the stream from its next
 * packet on. */
void ctf_stream_discard(struct ctf_stream *stream, uint64_t nr_events);

/**
 * ctf_writer_flush() - write what waits in all streams.
 *
 * Return: 0, or the first -errno; every stream was tried.
 * Thread-safe: per object. Signal-safe: no. Since: 0.1.
 */
int ctf_writer_flush(struct ctf_writer *writer);

/**
 * ctf_writer_tick() - flush when the last flush is CTF_FLUSH_NS old.
 * @now_ns: CLOCK_MONOTONIC
 *
 * Return: as ctf_writer_flush().
 * Thread-safe: per object. Signal-safe: no. Since: 0.1.
 */
int ctf_writer_tick(struct ctf_writer *writer, uint64_t now_ns);

/** ctf_writer_get_stats() - the counters so far; those of a writer that was flushed are complete.
 */
struct ctf_stats ctf_writer_get_stats(const struct ctf_writer *writer);

/**
 * ctf_writer_close() - write what waits and close the files.
 * @writer: may be NULL
 *
 * A failure is not told here: call ctf_writer_flush() first to know.
 *
 * Return: NULL.
 */
struct ctf_writer *ctf_writer_close(struct ctf_writer *writer);

#endif
