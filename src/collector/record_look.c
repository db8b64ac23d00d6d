// SPDX-License-Identifier: MIT
/* What `tocsin ps` tells: read from control pages and rings, nothing written. */
#include "record_look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../ctf/described.h"
#include "record_internal.h"

struct look {
	struct recorder rec;
	record_look_fn fn;
	void *arg;
};

/* Locked by somebody: recorded. Not locked, but a session: a flight recorder, or what a killed
 * recording left. */
static const char *state_of(struct record_process *p, uint32_t *ret_owner)
{
	struct control_session s;
	int r = control_file_lock(&p->page);

	*ret_owner = 0;
	if (r == 0)
		control_file_unlock(&p->page);
	if (control_file_read(&p->page, CONTROL_SESSION_AT, &s, sizeof(s)))
		return "unknown";
	if (r) {
		*ret_owner = s.owner_pid;
		return "recorded";
	}
	if (!s.session_id)
		return "idle";
	return s.mode == CONTROL_MODE_OVERWRITE && !s.owner_pid ? "flight" : "left";
}

static int tell(struct look *look, struct record_process *p)
{
	struct record_seen_event *event TOCSIN_CLEANUP(tocsin_free_voidp) =
		calloc(p->nr_classes + 1, sizeof(*event));
	uint8_t enable[CONTROL_CLASSES] = {0};
	struct record_seen seen = {.pid = p->pid,
				   .comm = p->comm,
				   .library = p->library,
				   .event = event,
				   .nr_events = p->nr_classes,
				   .nr_rings = p->nr_rings};

	if (!event)
		return -ENOMEM;
	seen.state = state_of(p, &seen.owner);
	(void)control_file_read(&p->page, CONTROL_ENABLE_AT, enable, sizeof(enable)); /* off */
	for (uint32_t i = 0; i < p->nr_classes; i++) {
		const struct control_class *class = p->class[i];

		event[i] = (struct record_seen_event){
			.provider = ctf_described_text(class, class->provider),
			.name = ctf_described_text(class, class->name),
			.level = class->level,
			.is_on = enable[i] & CONTROL_ON_LAYOUT,
		};
		seen.nr_on += event[i].is_on;
	}
	record_process_losses(p);
	for (unsigned i = 0; i < TRACEE_LOSS_NR; i++)
		seen.lost += p->library_lost[i];
	seen.library_lost = p->library_lost;
	for (uint32_t i = 0; i < p->nr_rings; i++) {
		if (!p->ring[i]->is_open)
			continue;
		seen.lost += ring_reader_lost(&p->ring[i]->reader);
		seen.ring_bytes += p->ring[i]->reader.data_bytes;
	}
	return look->fn(look->arg, &seen);
}

static int look_found(void *arg, struct discovered *found)
{
	struct look *look = arg;
	struct record_process *p = NULL;
	int r = record_process_new(&look->rec, found, &p);

	if (r < 0)
		return r;
	r = record_process_refresh(&look->rec, p);
	if (r == 0)
		r = tell(look, p);
	record_process_free(p);
	return r;
}

int record_look(pid_t pid, record_look_fn fn, void *arg, struct discover_blind *ret_blind,
		struct tocsin_err *err)
{
	struct record_options opts = {0};
	struct look look = {.rec = {.opts = &opts}, .fn = fn, .arg = arg};

	*ret_blind = (struct discover_blind){0};
	if (pid)
		return discover_process(pid, look_found, &look, err);
	return discover_all(NULL, look_found, &look, ret_blind);
}
