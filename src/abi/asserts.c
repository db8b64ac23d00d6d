// SPDX-License-Identifier: MIT
/* The layouts that two programs share, held still by the compiler: a change here is a change of TOCSIN_WATCH_ABI. */
#include <stddef.h>

#include <linux/types.h>

#include "hist.h"
#include "watch.h"

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type " changed size")
#define AT(type, field, offset)                                                                    \
	_Static_assert(offsetof(struct type, field) == (offset), #type "." #field " moved")

SIZE(watch_arg, 16);
SIZE(watch_probe, 120);
AT(watch_probe, key, 8);
AT(watch_probe, arg, 24);
SIZE(watch_section_def, 16);
SIZE(watch_spell, 360);
AT(watch_spell, state, 32);
AT(watch_spell, arg, 48);
AT(watch_spell, note, 72);
AT(watch_spell, waker_tid, 120);
AT(watch_spell, owner_tid, 152);
AT(watch_spell, io_age_ns, 176);
AT(watch_spell, file_ino, 200);
AT(watch_spell, sock_addr, 244);
AT(watch_spell, occ_tid, 260);
AT(watch_spell, cgroup_id, 304);
AT(watch_spell, cgroup, 328);
SIZE(watch_event_head, 16);
SIZE(watch_event_section, 528);
AT(watch_event_section, serial, 32);
AT(watch_event_section, split_ns, 72);
AT(watch_event_section, comm, 120);
AT(watch_event_section, now, 168);
SIZE(watch_event_spell, 392);
AT(watch_event_spell, spell, 32);
SIZE(watch_event_process, 48);
SIZE(watch_stats, 96);

_Static_assert(TOCSIN_HIST_BUCKETS == 2368, "the histogram changed size");
_Static_assert(WATCH_SPELLS % WATCH_CHUNK == 0, "chunks hold whole spells");
