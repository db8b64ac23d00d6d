/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_CONTROL_H
#define TOCSIN_ABI_CONTROL_H

/*
 * The control page: what a traced process and its collector share besides rings. One file of
 * CONTROL_BYTES a process, a memfd called "tocsin-control" (or an extent of an arena, below), made
 * by libtocsin's constructor, found by the collector through /proc/PID/fd.
 *
 *	0x00000 struct control_tracee           written by the process only
 *	0x01000 struct control_session          written by the collector only
 *	0x02000 struct control_ring[512]        process
 *	0x0a000 u8 enable[4096]                 collector
 *	0x0b000 u16 filter_of[4096]             collector
 *	0x0d000 u64 patch[1536]                 process
 *	0x10000 filters, CONTROL_FILTER_BYTES   collector
 *	0x20000 descriptions, appended          process
 *	0x100000
 *
 * Little endian, explicit padding, natural alignment, asserted in abi/asserts_control.c. Neither
 * side trusts what the other wrote: copy a value once, check the copy, use the copy. A size that
 * the other side could change is not trusted either: before it maps, the collector checks
 * F_GET_SEALS for F_SEAL_SHRINK | F_SEAL_GROW and the size, and reads or writes by pread() and
 * pwrite() what may be a hole. docs/formats/control.md says who does what when.
 */

#include <linux/types.h>

#include "tocsin/types.h"

#define CONTROL_NAME                                                                 \
	"tocsin-control" /* memfd_create() names: links read "/memfd:NAME (deleted)" \
			  */
#define CONTROL_MAGIC 0x6c74436e6973636fULL
/* Changes with anything in this file or in context.def and filter.h. Collector and library refuse
 * one another when theirs differ. `magic`, `abi` and `library` stay where they are for ever. */
#ifndef CONTROL_ABI /* a test builds a library of another version */
#	define CONTROL_ABI 1
#endif
#define CONTROL_BYTES 0x100000

#define CONTROL_SESSION_AT   0x1000
#define CONTROL_RINGS_AT     0x2000
#define CONTROL_ENABLE_AT    0xa000
#define CONTROL_FILTER_OF_AT 0xb000
#define CONTROL_PATCHES_AT   0xd000
#define CONTROL_FILTERS_AT   0x10000
#define CONTROL_CLASSES_AT   0x20000

#define CONTROL_RINGS        512
#define CONTROL_CLASSES      4096 /* event classes of one process */
#define CONTROL_PATCHES      1536 /* patched sites of one process */
#define CONTROL_LAYOUTS      15   /* sets of contexts in a process's life */
#define CONTROL_FILTERS      255
#define CONTROL_FILTER_BYTES 0x10000
#define CONTROL_CLASS_BYTES  (CONTROL_BYTES - CONTROL_CLASSES_AT)

enum control_context {
#define X(NAME, name, type, count, text) CONTEXT_##NAME,
#include "context.def"
#undef X
	CONTEXT_NR,
};

enum control_loss {
#define X(NAME, name, text) TRACEE_LOSS_##NAME,
#include "tracee_losses.def"
#undef X
	TRACEE_LOSS_NR,
};

enum control_clock {
	CONTROL_CLOCK_TSC = 1,       /* the CPU's invariant counter: x86-64 TSC, aarch64 CNTVCT */
	CONTROL_CLOCK_MONOTONIC = 2, /* CLOCK_MONOTONIC, ns */
};

/* control_tracee.flags */
#define CONTROL_TRACEE_MM_CID  0x01 /* ring index = concurrency id, else CPU */
#define CONTROL_TRACEE_NO_RSEQ 0x02 /* everything goes to the side ring */
#define CONTROL_TRACEE_ENDED   0x04 /* the library's destructor ran: the process is about to exit */

/* Identity first, in places that never move. Written before `magic`, which is stored last
 * (release); what changes later says so. */
struct control_tracee {
	__u64 magic;   /* CONTROL_MAGIC: the page may be read */
	__u32 abi;     /* CONTROL_ABI */
	__u32 library; /* version of libtocsin: major << 16 | minor << 8 | patch */
	__u32 pid;     /* getpid() as the process sees it; another one's page, inherited by fork,
			  when it is not the pid under which it was found */
	__u32 flags;   /* CONTROL_TRACEE_*, may gain bits */
	__u64 start_ticks; /* field 22 of /proc/self/stat: with pid, the process for good; 0: no
			      /proc */
	__u64 made_ns;     /* CLOCK_MONOTONIC when the page was made */
	__u64 made_clock;  /* the rings' clock, read at the same moment */
	__u32 clock;       /* enum control_clock */
	__u32 page_bytes;  /* of memory: ring layouts depend on it */
	char comm[16];     /* name of the process when the page was made, zero-terminated */

	/* Appended to: read with acquire, pairs with the store-release after the bytes. */
	__u32 class_bytes; /* of descriptions in use, from CONTROL_CLASSES_AT on */
	__u32 nr_classes;  /* described; ids are 0 .. nr_classes - 1 */
	__u32 nr_rings;    /* places of the ring table in use, from 0 on */
	__u32 wake; /* futex word of the collector: + 1 and FUTEX_WAKE (not private) when a ring
		       passes its watermark, a ring is made, classes are added, the process
		       ends. Only when session.is_waiting */

	/* Section slot (section.h); 0 in slot_bytes: the process has used no section yet. */
	__s64 slot_tp_offset;   /* slot's address minus the thread pointer, of every thread */
	__s64 slot_rseq_offset; /* the same minus the thread's rseq area; 0: none */
	__u32 slot_bytes;
	__u32 slot_abi;      /* SECTION_ABI */
	__u64 slot_magic;    /* the slot of a thread begins with it */
	__u64 min_budget_ns; /* smallest budget of any section so far; may fall: the poll lemma */
	__u32 attended; /* session.generation that the process has acted upon: CONTROL_ON_CALL */
	__u32 heirs; /* children that took over this page's session and have a memfd of their own.
			Atomic adds by them, once their page can be found; `wake` follows */
	__u64 page_addr;  /* of the page in the process: who writes to the process's memory looks
			     for it there first */
	__u32 nr_patches; /* of patch[] in use; stored after them (release) */
	__u32 pad;
	__u64 reserved[6]; /* zero */

	/* Atomic adds. Losses of rings are in the rings. */
	__u64 loss[TRACEE_LOSS_NR];
};

/* Bits of an enable byte. Not zero: the site leaves its fast path and looks closer. */
#define CONTROL_ON_LAYOUT 0x0f /* 0: off; n: on, with the contexts of layout n - 1 */
#define CONTROL_ON_FILTER 0x10 /* ask the program of filter_of[class] first */
/* Roll call: the process looks at the session before it goes on: renews rings that do not fit it,
 * then stores `attended`; processes that inherited this page make their own. May stand alone. */
#define CONTROL_ON_CALL 0x80

/* How a ring behaves when it is full. */
enum control_mode {
	CONTROL_MODE_DISCARD = 0, /* the new record is counted as lost */
	CONTROL_MODE_OVERWRITE = 1,
	CONTROL_MODE_BLOCK = 2, /* waits for block_ns at most, then as discard */
};

/* control_session.flags */
#define CONTROL_SESSION_INHERIT 0x01 /* children of fork() take over the session */
#define CONTROL_SESSION_AUTO    0x02 /* classes described later are enabled by `rules` */

/* What the collector wants. A collector owns the session while it holds a write lock on byte 0 of
 * the file (F_OFD_SETLK through its own descriptor; the kernel frees it when the collector dies).
 * The owner words are for people. */
struct control_session {
	__u32 abi;        /* CONTROL_ABI of the collector; 0: never had one. The library ignores the
			     session when it is neither 0 nor its own */
	__u32 generation; /* + 1 after each change of what stands below */
	__u32 owner_pid;
	__u32 flags; /* CONTROL_SESSION_* */
	__u64 owner_start_ticks;
	__u64 session_id; /* random; 0: no session */
	__u32 mode;       /* enum control_mode, of rings made from now on */
	__u32 block_ns;   /* CONTROL_MODE_BLOCK: longest wait for room */
	__u64 ring_bytes; /* data of each ring, a power of two, 64 KiB to 1 GiB; 0: the default */
	__u64 side_bytes; /* the same of the side ring */
	__u32 watermark;  /* bytes of unread data at which a ring wakes the collector; 0: never */
	__u32 is_waiting; /* the collector sleeps on control_tracee.wake */
	__u32 reserved0;
	__u32 nr_layouts;
	/* Bit n: the n-th row of context.def. Layout 0 is the empty one, always: who records
	 * without contexts pays for none. The others never change once a process may have used
	 * them, as records carry their number in their id. */
	__u32 layout[16];
	/* CONTROL_SESSION_AUTO: rules for classes that come later, tried in order, the last match
	 * wins: what dlopen() brings, and processes started under an arena. */
	__u32 nr_rules;
	__u32 reserved[5];
	struct control_rule {
		char pattern[56]; /* "provider:name" with * and ?, zero-terminated */
		__u8 level;       /* matches classes at most this loud number: level <= this */
		__u8 enable;      /* enable byte given to classes that match */
		__u16 filter; /* their filter_of; programs name fields, so one fits all classes */
		__u32 reserved;
	} rule[32];
};

/* A ring. `state` is stored last (release), and zeroed first when the ring is given up. */
enum control_ring_state {
	CONTROL_RING_NONE = 0,
	CONTROL_RING_READY = 1,
};
enum control_ring_kind {
	CONTROL_RING_INDEXED = 1, /* written in restartable sequences */
	CONTROL_RING_SIDE = 2,
};

struct control_ring {
	__u32 state;  /* enum control_ring_state */
	__u16 kind;   /* enum control_ring_kind */
	__u16 mode;   /* enum control_mode it was made with */
	__u32 index;  /* concurrency id or CPU */
	__s32 fd;     /* in the process's table, -1: in the file of this very page (an arena) */
	__u64 offset; /* where the ring begins in its file */
	__u64 bytes;  /* of the whole ring with its header, see ring.h */
	__u64 addr;  /* of the mapping in the process: /proc/PID/map_files when the fd was closed */
	__u64 inode; /* of its file: an fd number may since have gone to another file */
	__u64 reserved[2];
};

/*
 * The description of an event class. Records of it carry the id layout * CONTROL_CLASSES + class,
 * with layout 0 .. 14, so the largest id is 61439. Offsets count from the start of the description;
 * texts are zero-terminated UTF-8, inside the description. Whole descriptions are multiples of 8
 * bytes.
 */
struct control_class {
	__u32 bytes; /* of the whole description */
	__u16 id;
	__u8 level;      /* enum tocsin_level */
	__u8 nr_fields;  /* struct control_field follow this head */
	__u32 nr_labels; /* struct control_label follow the fields */
	__u32 line;      /* of the first site in `file`; 0: not known */
	__u32 provider;  /* offsets of texts */
	__u32 name;
	__u32 file;
	__u32 flags; /* CONTROL_CLASS_* */
};

#define CONTROL_CLASS_SECTION 1 /* a section that ran over its budget; its id is the section's */

struct control_field {
	__u8 type;  /* enum tocsin_type */
	__u8 flags; /* enum tocsin_field_flags */
	__u8 elem;  /* type of the elements of arrays and sequences */
	__u8 reserved;
	__u32 count; /* most bytes of a string with its zero byte, elements of arrays and sequences
		      */
	__u32 name;  /* offset of its text */
	__u16 first_label; /* TOCSIN_FIELD_ENUM: place of its labels */
	__u16 nr_labels;
};

struct control_label {
	__s64 first; /* values first .. last, as the field's type extends to 64 bits */
	__s64 last;
	__u32 text;
	__u32 reserved;
};

/* The whole file. */
struct control_page {
	union {
		struct control_tracee tracee;
		__u8 at_0[CONTROL_SESSION_AT];
	};
	union {
		struct control_session session;
		__u8 at_session[CONTROL_RINGS_AT - CONTROL_SESSION_AT];
	};
	struct control_ring ring[CONTROL_RINGS];
	__u8 enable[CONTROL_CLASSES];
	__u16 filter_of[CONTROL_CLASSES];
	__u64 patch[CONTROL_PATCHES];
	__u8 filters[CONTROL_FILTER_BYTES];
	__u8 classes[CONTROL_CLASS_BYTES];
};

/*
 * A patched site: class << 48 | address of the byte that the collector writes to the process's
 * memory, when the enable byte of the class turns to or from zero: CONTROL_PATCH_ON or _OFF, and
 * only where it finds the other of the two.
 */
#define CONTROL_PATCH_ADDRESS 0xffffffffffffull
#define CONTROL_PATCH_ON      0xe9 /* x86-64: jmp rel32, and */
#define CONTROL_PATCH_OFF     0xa9 /* test imm32, %eax, of the same four bytes */

static inline __u32 control_record_id(__u32 layout, __u32 class_id)
{
	return layout * CONTROL_CLASSES + class_id;
}

/*
 * Arena: what `tocsin record -- COMMAND` gives its children, a memfd called "tocsin-arena" that
 * survives every process that writes to it, so that the last events of a process that lived for a
 * millisecond are not lost with it. The descriptor is inherited across exec(); its number stands in
 * the environment variable TOCSIN_ARENA, which the collector sets for the command. A process claims
 * extents by adding to `next` (and takes its own memfds when that does not succeed).
 */
#define ARENA_NAME   "tocsin-arena"
#define ARENA_ENV    "TOCSIN_ARENA"
#define ARENA_MAGIC  0x616e657261636f74ULL
#define ARENA_ALIGN  0x10000 /* of extents, and of the end of `struct arena` */
#define ARENA_PLACES 32768

/* One claim: a control page, with the offset at which it stands. Rings are in its ring table. */
struct arena_place {
	__u64 offset; /* of the control page; stored last (release); 0: not yet */
	__u32 pid;    /* as the process sees it */
	__u32 reserved;
};

struct arena {
	__u64 magic; /* collector: ARENA_MAGIC */
	__u32 abi;   /* collector: CONTROL_ABI */
	__u32 reserved;
	__u64 bytes;     /* collector: of the file; an extent never passes it */
	__u64 next;      /* processes, atomic: where free space begins, multiple of ARENA_ALIGN */
	__u32 nr_places; /* processes, atomic: places taken, may run past ARENA_PLACES */
	__u32 wake;      /* processes: + 1 and FUTEX_WAKE when a page was made */
	__u64 refused;   /* processes, atomic: that found no room; they have memfds of their own */
	__u64 pad[506];
	/* At 0x1000: the session that every process begins with, copied into its control page. */
	struct control_session session;
	__u64 pad2[(0x10000 - 0x1000 - sizeof(struct control_session)) / 8];
	struct arena_place place[ARENA_PLACES];
	/* Then, at ARENA_FILTERS_AT, CONTROL_FILTER_BYTES of filters, copied like the session. */
};

#define ARENA_FILTERS_AT 0x90000
#define ARENA_HEAD_BYTES 0xa0000 /* where the first extent begins */

#endif
