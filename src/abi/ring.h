/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_RING_H
#define TOCSIN_ABI_RING_H

/*
 * A ring: what the threads of a traced process write records to and a collector reads them from. It
 * is a file of its own, a memfd called "tocsin-ring", or an extent of an arena (control.h):
 *
 *	0                    struct ring_header, RING_HEADER_BYTES
 *	RING_HEADER_BYTES    data, a power of two, mapped twice in a row, so that no record splits
 *	... + data_bytes     side rings only: struct ring_slot[slots]
 *
 * Positions (head, tail, limit ...) count bytes since the ring was made, never wrap, and are
 * multiples of 8; the byte at position p is at p & (data_bytes - 1). Little endian, explicit
 * padding, asserted in abi/asserts.c. docs/formats/ring.md is the page for people.
 *
 * Neither side trusts the other: the process may scribble over all of it at any time. A reader
 * checks the seals and the size of the file before it maps, loads each word once, checks the copy
 * and uses the copy (ring/reader.h does).
 */

#include <linux/types.h>

#define RING_NAME    "tocsin-ring" /* memfd_create() name */
#define RING_MAGIC   0x676e6972u   /* "ring" */
#define RING_VERSION 1u            /* changes with anything in this file */

/* A multiple of every page size of the architecture, and a constant: writers add it to the
 * address of the header. The header says its own value too, which readers check. */
#if defined(__aarch64__)
#	define RING_HEADER_BYTES 65536u
#else
#	define RING_HEADER_BYTES 4096u
#endif

#define RING_BYTES_MIN      (64u << 10)
#define RING_BYTES_MAX      (1u << 30)
#define RING_SIDE_BYTES_MIN (256u << 10)
#define RING_SIDE_BYTES_MAX (64u << 20)
#define RING_SLOT_SHARE     64u /* side rings: one slot for so many bytes of data */

#define RING_PAYLOAD_MAX      4096u  /* of records of indexed rings; larger ones: side ring */
#define RING_SIDE_PAYLOAD_MAX 65536u /* longer ones are refused */

#define RING_GROUPS_MAX 16u /* groups of an overwriting ring, see below */

/*
 * Record: a header of 8 or 16 bytes and a payload, together a multiple of 8.
 *
 *	 0        2         4                8
 *	 | id u16 | words   | time, low u32  | payload ...                      compact, id 0..65534
 *	 | 65535  | words   | id u32         | time u64        | payload ...    extended
 *
 * `words` counts words of 8 bytes, header included. A compact record has the upper half of the time
 * of the record before it. The first record of a ring, the first of each group of an overwriting
 * ring, and all records of side rings are extended. Times never go back within a ring.
 *
 * A payload over RING_WORDS_MAX words cannot say its length: RING_SIDE_PAYLOAD_MAX is below.
 */
#define RING_ID_EXTENDED    65535u
#define RING_COMPACT_BYTES  8u
#define RING_EXTENDED_BYTES 16u
#define RING_RECORD_MAX     (RING_EXTENDED_BYTES + RING_PAYLOAD_MAX)
#define RING_EPOCH_NONE     0xffffffffu /* no time has this upper half */

enum ring_kind {
	RING_INDEXED =
		1,     /* = CONTROL_RING_INDEXED: in restartable sequences, one writer at a time */
	RING_SIDE = 2, /* = CONTROL_RING_SIDE: reserved and committed by any thread */
};

enum ring_mode { /* = enum control_mode; fixed for the life of a ring */
		 RING_DISCARD = 0,
		 RING_OVERWRITE = 1,
		 RING_BLOCK = 2, /* waits block_ns at most, then as discard */
};

enum ring_state {
	RING_LIVE = 0,
	RING_RETIRED = 1, /* the process writes no more here: what is below head is all there is */
};

/* A process may read by itself where its collector was, so what belongs together changes hands
 * together: the cache lines are cut by who writes them. */
struct ring_header {
	/* 0: written before the ring is published, constant from then on */
	__u32 magic;
	__u32 version;
	__u32 header_bytes; /* RING_HEADER_BYTES of the writer */
	__u16 kind;         /* enum ring_kind */
	__u16 mode;         /* enum ring_mode */
	__u64 data_bytes;   /* power of two */
	__u32 index;        /* concurrency id or CPU; side rings: 0 */
	__u32 scheme;       /* enum rseq_scheme: 0 index is a CPU, 1 a concurrency id */
	__u32 clock;        /* enum control_clock */
	__u32 groups;       /* overwriting indexed rings: a power of two, else 0 */
	__u32 slots;        /* side rings: a power of two, else 0 */
	__u32 watermark;    /* unread bytes at which the process wakes its collector; 0: never */
	__u64 block_ns;     /* RING_BLOCK: longest wait of one record */
	__u64 made_clock;   /* the ring's clock when it was made: no record is older */
	__u32 state;        /* enum ring_state, the only word here that changes: release */
	__u32 pad0[15];

	/*
	 * 128: writers. Indexed: stored inside sections, by the one thread that runs on the index.
	 * `head` is the commit: what is below is whole (store-release; pairs with the reader's load
	 * [A]). `limit` is a cache of where writers must take the slow path; a value that is too
	 * small sends one there, one that is too large cannot be. `epoch` is the upper half of the
	 * time of some record that has been committed here, or RING_EPOCH_NONE.
	 *
	 * Side rings: `head` is where free space begins, changed by compare-and-swap only: units of
	 * 8 bytes << 32 | number of the next record, both modulo 2^32.
	 */
	__u64 head;
	__u64 limit;
	__u64 mask; /* data_bytes - 1, constant */
	__u32 epoch;
	__u32 users; /* side rings: threads in the middle of a record, dead ones included. Retired
			and 0: nothing more comes */
	__u64 pad2[12];

	/*
	 * 256: the writers' slow path, atomic adds and stores.
	 */
	__u64 lost;       /* records that found no room, exactly */
	__u64 lost_clock; /* time of the last of them, about */
	__u64 entered;    /* overwriting: newest group begun, + 1. Stored before its first byte is
			     written: pairs with the check after the copy [B] */
	__u64 gave_up_at; /* RING_BLOCK: tail at which a writer waited in vain, + 1. Nobody waits
			     again before the reader has moved */
	__u32 blocked;    /* writers that wait for the tail, FUTEX_WAIT on its lower half */
	__u32 wakes;      /* times that the watermark was passed */
	__u64 retries;    /* sections that were begun again, in the slow path */
	__u64 gave_up;    /* records that went to the side ring after too many aborts */
	__u64 pad3[9];

	/*
	 * 384: the reader; `tail` in overwriting side rings by writers (compare-and-swap). Side
	 * rings: packed like head.
	 */
	__u64 tail; /* what is below may be overwritten: store-release, pairs with [C] */
	/* Where a reader takes over from one that was killed: the entry whose `pos` is the tail has
	 * the time of the last record before it. Written before the tail moves, by turns. */
	struct ring_mark {
		__u64 pos;
		__u64 time;
	} mark[2];
	__u64 pad4[11];

	/*
	 * 512: overwriting indexed rings: first[g % groups] is the position of the first record of
	 * group g, stored in the section that begins the group, before its commit.
	 */
	__u64 first[RING_GROUPS_MAX];
};

/*
 * Groups: an overwriting ring loses its oldest records a group at a time. A group is about
 * data_bytes / groups long; with G = that, group g begins with the record that would otherwise
 * pass position g * G, and so somewhere in (g * G - RING_RECORD_MAX, g * G]. The newest group is
 * (head - 1) / G. Group g may be destroyed once group g + groups - 1 has been entered.
 */
static inline __u64 ring_group_count(__u64 position, __u64 group_bytes)
{
	return (position + group_bytes - 1) / group_bytes;
}

/*
 * One record of a side ring: record n has slot n % slots. `tag` is n * 2 + 1 in its lower 33 bits
 * once the record is whole (store-release, pairs with [D]); before that it is whatever an earlier
 * record left. `start` is its position in units of 8 bytes modulo 2^32, written before `tag`; a
 * reader finds it by adding up, too. A slot whose writer was killed keeps its old tag for ever.
 */
struct ring_slot {
	__u64 tag;
	__u32 start;
	__u32 units; /* length in units of 8 bytes */
};

static inline __u64 ring_slot_tag(__u32 number)
{
	return (__u64)number << 1 | 1;
}

/** ring_file_bytes() - size of a ring with its header; all arguments as in the header. */
static inline __u64 ring_file_bytes(__u64 header_bytes, __u64 data_bytes, __u32 slots)
{
	return header_bytes + data_bytes +
	       (slots * sizeof(struct ring_slot) + header_bytes - 1) / header_bytes * header_bytes;
}

#endif
