// SPDX-License-Identifier: MIT
/* The layouts that a traced process and its collector share, held still by the compiler: a change
 * here is a change of CONTROL_ABI. */
#include <stddef.h>

#include "control.h"
#include "filter.h"

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type " changed size")
#define AT(type, field, offset) \
	_Static_assert(offsetof(struct type, field) == (offset), #type "." #field " moved")

SIZE(control_tracee, 304);
AT(control_tracee, abi, 8);
AT(control_tracee, library, 12);
AT(control_tracee, pid, 16);
AT(control_tracee, clock, 48);
AT(control_tracee, comm, 56);
AT(control_tracee, class_bytes, 72);
AT(control_tracee, slot_tp_offset, 88);
AT(control_tracee, min_budget_ns, 120);
AT(control_tracee, page_addr, 136);
AT(control_tracee, nr_patches, 144);
AT(control_tracee, loss, 200);
SIZE(control_session, 2208);
AT(control_session, session_id, 24);
AT(control_session, ring_bytes, 40);
AT(control_session, layout, 72);
AT(control_session, rule, 160);
SIZE(control_rule, 64);
SIZE(control_ring, 64);
AT(control_ring, fd, 12);
AT(control_ring, inode, 40);
SIZE(control_class, 32);
SIZE(control_field, 16);
SIZE(control_label, 24);
SIZE(control_page, CONTROL_BYTES);
AT(control_page, session, CONTROL_SESSION_AT);
AT(control_page, ring, CONTROL_RINGS_AT);
AT(control_page, enable, CONTROL_ENABLE_AT);
AT(control_page, filter_of, CONTROL_FILTER_OF_AT);
AT(control_page, patch, CONTROL_PATCHES_AT);
AT(control_page, filters, CONTROL_FILTERS_AT);
AT(control_page, classes, CONTROL_CLASSES_AT);
AT(control_tracee, attended, 128);
AT(arena, session, 0x1000);
AT(arena, place, 0x10000);
SIZE(arena_place, 16);
SIZE(filter_test, 16);
SIZE(filter_program, 8);
SIZE(filter_ref, 8);

_Static_assert(sizeof(struct control_tracee) <= CONTROL_SESSION_AT, "the process's part overflows");
_Static_assert(CONTROL_SESSION_AT + sizeof(struct control_session) <= CONTROL_RINGS_AT,
	       "the collector's part overflows");
_Static_assert(CONTROL_RINGS_AT + CONTROL_RINGS * sizeof(struct control_ring) == CONTROL_ENABLE_AT,
	       "the ring table overflows");
_Static_assert(CONTROL_ENABLE_AT + CONTROL_CLASSES == CONTROL_FILTER_OF_AT, "enable overflows");
_Static_assert(CONTROL_FILTER_OF_AT + 2 * CONTROL_CLASSES <= CONTROL_FILTERS_AT,
	       "filter_of overflows");
_Static_assert(CONTROL_FILTERS_AT + CONTROL_FILTER_BYTES == CONTROL_CLASSES_AT, "filters overflow");
_Static_assert(CONTROL_LAYOUTS *CONTROL_CLASSES < 65535, "ids meet that of extended headers");
_Static_assert(sizeof(struct arena) <= ARENA_FILTERS_AT, "the arena's head overflows");
_Static_assert(CONTEXT_NR <= 32, "contexts are bits of a __u32");
