// SPDX-License-Identifier: MIT
/* The layouts that two programs share, held still by the compiler: a change here is a change of
 * TOCSIN_WATCH_ABI. */
#include <stddef.h>

#include <linux/types.h>

#include "hist.h"
#include "section.h"
#include "watch.h"

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type " changed size")
#define AT(type, field, offset) \
	_Static_assert(offsetof(struct type, field) == (offset), #type "." #field " moved")

SIZE(watch_arg, 16);
SIZE(watch_probe, 128);
AT(watch_probe, budget_ns, 8);
AT(watch_probe, key, 16);
AT(watch_probe, arg, 32);
SIZE(watch_spell, 376);
AT(watch_spell, state, 32);
AT(watch_spell, arg, 48);
AT(watch_spell, note, 72);
AT(watch_spell, waker_tid, 120);
AT(watch_spell, waker_stack_id, 152);
AT(watch_spell, owner_tid, 160);
AT(watch_spell, io_age_ns, 184);
AT(watch_spell, file_ino, 208);
AT(watch_spell, sock_addr, 252);
AT(watch_spell, occ_tid, 268);
AT(watch_spell, cgroup_id, 312);
AT(watch_spell, cgroup, 336);
AT(watch_spell, user_stack, 368);
SIZE(watch_event_head, 16);
SIZE(watch_event_section, 568);
AT(watch_event_section, serial, 32);
AT(watch_event_section, split_ns, 80);
AT(watch_event_section, comm, 128);
AT(watch_event_section, now, 176);
SIZE(watch_event_spell, 408);
AT(watch_event_spell, spell, 32);
AT(watch_event_section, user_stack, 552);
SIZE(watch_event_process, 48);
SIZE(stack_event, 208);
AT(stack_event, real, 80);
SIZE(watch_stats, 19024);
SIZE(section_open, 24);
SIZE(section_late, 32);
SIZE(section_slot, 704);
AT(section_slot, min_budget_ns, 32);
AT(section_slot, open, 64);
AT(section_slot, late, 448);

_Static_assert(TOCSIN_HIST_BUCKETS == 2368, "the histogram changed size");
_Static_assert(WATCH_SPELLS % WATCH_CHUNK == 0, "chunks hold whole spells");
