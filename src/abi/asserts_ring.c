// SPDX-License-Identifier: MIT
/* The layout of a ring's file, held still by the compiler: a change here is a change of
 * RING_VERSION. */
#include <stddef.h>

#include "control.h"
#include "ring.h"

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type " changed size")
#define AT(type, field, offset) \
	_Static_assert(offsetof(struct type, field) == (offset), #type "." #field " moved")

SIZE(ring_header, 640);
AT(ring_header, version, 4);
AT(ring_header, header_bytes, 8);
AT(ring_header, kind, 12);
AT(ring_header, mode, 14);
AT(ring_header, data_bytes, 16);
AT(ring_header, index, 24);
AT(ring_header, clock, 32);
AT(ring_header, slots, 40);
AT(ring_header, watermark, 44);
AT(ring_header, block_ns, 48);
AT(ring_header, made_clock, 56);
AT(ring_header, state, 64);
AT(ring_header, head, 128);
AT(ring_header, limit, 136);
AT(ring_header, mask, 144);
AT(ring_header, epoch, 152);
AT(ring_header, users, 156);
AT(ring_header, lost, 256);
AT(ring_header, lost_clock, 264);
AT(ring_header, entered, 272);
AT(ring_header, gave_up_at, 280);
AT(ring_header, blocked, 288);
AT(ring_header, wakes, 292);
AT(ring_header, retries, 296);
AT(ring_header, gave_up, 304);
AT(ring_header, tail, 384);
AT(ring_header, mark, 392);
AT(ring_header, first, 512);
SIZE(ring_slot, 16);
AT(ring_slot, start, 8);
AT(ring_slot, units, 12);

_Static_assert(sizeof(struct ring_header) <= RING_HEADER_BYTES, "the header has its page");
_Static_assert((int)RING_INDEXED == (int)CONTROL_RING_INDEXED &&
		       (int)RING_SIDE == (int)CONTROL_RING_SIDE,
	       "kinds are those of the control page");
_Static_assert((int)RING_DISCARD == (int)CONTROL_MODE_DISCARD &&
		       (int)RING_OVERWRITE == (int)CONTROL_MODE_OVERWRITE &&
		       (int)RING_BLOCK == (int)CONTROL_MODE_BLOCK,
	       "modes are those of the control page");
_Static_assert((RING_SIDE_PAYLOAD_MAX + RING_EXTENDED_BYTES) / 8 <= 65535, "lengths fit");
_Static_assert(RING_BYTES_MIN / RING_GROUPS_MAX * 2 >= RING_RECORD_MAX &&
		       RING_BYTES_MIN / (RING_GROUPS_MAX / 2) > RING_RECORD_MAX,
	       "a record passes at most one bound of groups: 8 groups in the smallest ring");
