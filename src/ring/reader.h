/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_RING_READER_H
#define TOCSIN_RING_READER_H

/*
 * Reading rings, in the collector. The memory belongs to a process that may be hostile, buggy or
 * dead: whatever it holds, a reader neither crashes nor hangs nor reads outside its mapping. What a
 * reader hands out are extents: runs of whole records, the bytes of a packet.
 *
 *	discard, block    extents lie in the ring itself; ring_reader_release() gives the space back
 *	overwrite         extents are copies, checked after copying; nothing is given back
 *
 * Several readers may look at one ring at the same time, but only one may release.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../abi/ring.h"

enum ring_read {
	RING_READ_MORE,    /* an extent */
	RING_READ_END,     /* nothing more for now */
	RING_READ_LAPPED,  /* overwritten before it was read: see `gone`; go on */
	RING_READ_SKIPPED, /* side ring: records that nobody will finish: see `gone`; go on */
	RING_READ_CORRUPT, /* see corrupt, corrupt_at; for good */
};

enum ring_corrupt {
	RING_CORRUPT_NOT,
#define X(name, text) RING_CORRUPT_##name,
#include "corrupt.def"
#undef X
	RING_CORRUPT_NR,
};

struct ring_extent {
	const void *data;  /* aligned to 8; until release, or until the next call (copies) */
	uint64_t bytes;    /* whole records */
	uint64_t position; /* of the first, see abi/ring.h; side rings: bytes modulo 2^35 */
	uint64_t last_at;  /* where in `data` the last record begins */
	uint64_t events;   /* records, at least one */
	uint64_t time_first, time_last;
	uint64_t lost; /* records that the ring lost before its head was read, in its life */
	uint64_t last_time_before; /* of the record before, 0: none read */
	/* RING_READ_LAPPED: bytes; side rings: records. RING_READ_SKIPPED: records. */
	uint64_t gone;
	uint32_t end_number; /* side rings: number of the record behind */
};

/* Storage of the caller's; fields are the reader's but for those marked. */
struct ring_reader {
	struct ring_header *ring;  /* mapped, hostile */
	const unsigned char *data; /* mapped twice in a row, hostile */
	const struct ring_slot *slots;
	unsigned char *copy; /* overwriting rings */
	size_t map_bytes, copy_bytes;
	bool can_write;
	bool is_kernel; /* written by the kernel half: times may go back by some ns */

	/* Of the header, as checked when it was opened; constant, readable by the caller. */
	uint32_t kind, mode, index, scheme, clock, groups, nr_slots;
	uint64_t data_bytes, group_bytes, made_clock;

	uint64_t cursor; /* next byte to be read; side rings: in units, modulo 2^32 */
	uint32_t number; /* side rings: next record */
	uint64_t group;  /* overwriting: that of the cursor */
	uint64_t time;   /* of the last record read */
	bool has_time;   /* its upper half holds for the record at the cursor */
	bool is_placed;  /* overwriting: cursor and group are valid */
	unsigned laps;   /* in a row, without progress */
	bool is_bound;
	uint64_t bound; /* a head: no further; side rings: packed */
	unsigned mark;  /* entry of mark[] to be written next */

	/* Side rings. */
	uint32_t freed_units, freed_number; /* what the tail was last set to */
	uint64_t stuck_since_ns; /* since when `number` is not whole; 0: it is not stuck */
	uint32_t stuck_number;
	bool is_final;

	/* Readable by the caller. */
	enum ring_corrupt corrupt;
	uint64_t corrupt_at; /* position */
	uint64_t skipped;    /* records that were stepped over, in all */
	bool is_stuck;       /* the last call ended at a record that is not whole yet */
};

/**
 * ring_reader_open() - map a ring of another process.
 * @fd:     its file: a memfd, or an arena; may be closed afterwards
 * @offset: where in the file the ring begins
 * @can_write: map the header for writing, so that ring_reader_release() works; @fd is O_RDWR then
 *
 * Reading goes on where the last reader released, or at the oldest record of overwriting rings.
 *
 * Return: 0, or -EPROTO another version of the layout, -EBADMSG no ring or an impossible one,
 * -EPERM the file could be cut under us (no seal, or not plain shared memory), -errno of mmap() and
 * the like. Thread-safe: per object. Signal-safe: no.
 */
int ring_reader_open(struct ring_reader *r, int fd, uint64_t offset, bool can_write);

/**
 * ring_reader_open_map() - map a ring of the kernel half.
 * @map_fd:    its BPF map, an mmapable array with one value; may be closed afterwards
 * @map_bytes: of the value
 *
 * Times of its records may go back a little: they are those of bpf_ktime_get_ns().
 *
 * Return: 0, or as ring_reader_open(). Thread-safe: per object. Signal-safe: no.
 */
int ring_reader_open_map(struct ring_reader *r, int map_fd, uint64_t map_bytes, bool can_write);

/** ring_reader_close() - unmap; what was not released stays unread. A zeroed @r is allowed. */
void ring_reader_close(struct ring_reader *r);

/**
 * ring_reader_next() - the next run of records.
 * @max_bytes:  longest extent; a single record may be longer
 * @ret_extent: written for MORE, LAPPED and SKIPPED
 *
 * An extent of a side ring ends at records that are not whole. Those whose writer seems to have
 * died in the middle (for 200 ms, or at once after ring_reader_final()) are skipped.
 *
 * Return: a state, see above. Thread-safe: per object. Signal-safe: no.
 */
enum ring_read ring_reader_next(struct ring_reader *r, uint64_t max_bytes,
				struct ring_extent *ret_extent);

/**
 * ring_reader_release() - everything up to the end of @upto has been dealt with.
 *
 * Wakes writers that wait for room. Does nothing in overwriting rings, unless they are retired:
 * then the process learns that it may have the memory back.
 */
void ring_reader_release(struct ring_reader *r, const struct ring_extent *upto);

/**
 * ring_reader_back() - the last extent was not dealt with, or not all of it: hand it out again.
 * @extent:      what the last ring_reader_next() gave, not released
 * @done_events: of its records, those that need not come again
 */
void ring_reader_back(struct ring_reader *r, const struct ring_extent *extent,
		      uint64_t done_events);

/** ring_reader_bound() - read no further than what is there now: a snapshot, or a pass. */
void ring_reader_bound(struct ring_reader *r);

/** ring_reader_final() - no writer is left: the process has ended, or the ring is retired and has
 * no users. Records that are not whole are skipped without waiting, and no bound holds any more. */
void ring_reader_final(struct ring_reader *r);

/** ring_reader_is_final() - has the process given this ring up, so that what is there is all?
 * Ask before the last ring_reader_next(). */
bool ring_reader_is_final(const struct ring_reader *r);

/** ring_reader_lost() - records that the ring has lost in its life, as it says. */
uint64_t ring_reader_lost(const struct ring_reader *r);

/** ring_reader_unread() - bytes that wait to be read; a guess, 0 for overwriting rings. */
uint64_t ring_reader_unread(const struct ring_reader *r);

/** ring_corrupt_text() - the sentence, a constant. */
const char *ring_corrupt_text(enum ring_corrupt corrupt);

#endif
