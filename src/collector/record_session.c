// SPDX-License-Identifier: MIT
/*
 * What a recording writes into control pages: docs/formats/control.md, "Sessions". The order
 * matters to the library: the session before its generation, filters before the enable bytes that
 * ask them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../abi/glob.h"
#include "../base/parse.h"
#include "../ctf/described.h"
#include "memory_room.h"
#include "record_internal.h"
#include "sysfile.h"

int record_wish_rule(struct record_wish *wish, const char *glob, unsigned level, bool is_on)
{
	struct control_rule *rule;
	int len;

	if (wish->nr_rules == RECORD_RULES_MAX)
		return -E2BIG;
	rule = &wish->rule[wish->nr_rules];
	len = snprintf(rule->pattern, sizeof(rule->pattern), "%s%s", glob,
		       strchr(glob, ':') || !strcmp(glob, "*") ? "" : ":*");
	if (len < 0 || (size_t)len >= sizeof(rule->pattern))
		return -ENAMETOOLONG;
	rule->level = (uint8_t)level;
	rule->enable = is_on;
	wish->nr_rules++;
	return 0;
}

/* What threads without restartable sequences share is no smaller than what the others have each. */
static uint64_t side_bytes_for(uint64_t ring_bytes)
{
	uint64_t bytes = ring_bytes < RING_SIDE_BYTES_MAX ? ring_bytes : RING_SIDE_BYTES_MAX;

	return bytes && bytes < RING_SIDE_BYTES_MIN ? RING_SIDE_BYTES_MIN : bytes;
}

static void session_fill(struct control_session *s, const struct record_wish *wish, uint64_t id)
{
	s->abi = CONTROL_ABI;
	s->owner_pid = (uint32_t)getpid();
	s->owner_start_ticks = discover_start_ticks(getpid());
	s->flags = CONTROL_SESSION_AUTO | (wish->is_inherited ? CONTROL_SESSION_INHERIT : 0);
	s->session_id = id;
	s->mode = wish->mode;
	s->block_ns = wish->block_ns;
	s->ring_bytes = wish->ring_bytes;
	s->side_bytes = wish->side_bytes ?: side_bytes_for(wish->ring_bytes);
	s->watermark = (uint32_t)(wish->ring_bytes / 8);
	s->is_waiting = 1; /* we sleep most of the time, and a wake too many costs little */
}

/* The number of the layout with these contexts; a new one if there is none. Layout 0 is the empty
 * one in every session. */
static int layout_choose(struct control_session *s, uint32_t contexts, uint8_t *ret_number)
{
	if (!s->nr_layouts)
		s->nr_layouts = 1;
	s->layout[0] = 0;
	for (uint32_t i = 0; i < s->nr_layouts; i++)
		if (s->layout[i] == contexts) {
			*ret_number = (uint8_t)i;
			return 0;
		}
	if (s->nr_layouts >= CONTROL_LAYOUTS)
		return -ENOSPC;
	*ret_number = (uint8_t)s->nr_layouts;
	s->layout[s->nr_layouts++] = contexts;
	return 0;
}

static uint8_t enable_byte(const struct control_rule *rule, uint8_t layout)
{
	if (!rule->enable)
		return 0;
	return (uint8_t)((layout + 1) | (rule->filter ? CONTROL_ON_FILTER : 0));
}

static void rules_fill(struct control_session *s, const struct record_wish *wish, uint8_t layout)
{
	memset(s->rule, 0, sizeof(s->rule));
	s->nr_rules = wish->nr_rules;
	for (uint32_t i = 0; i < wish->nr_rules; i++) {
		s->rule[i] = wish->rule[i];
		s->rule[i].enable = enable_byte(&wish->rule[i], layout);
	}
}

void session_make(struct control_session *s, const struct record_wish *wish, uint64_t id)
{
	uint8_t layout = 0;

	*s = (struct control_session){.generation = 1};
	(void)layout_choose(s, wish->contexts, &layout); /* the first two always have room */
	session_fill(s, wish, id);
	rules_fill(s, wish, layout);
}

static int session_write(struct record_process *p)
{
	uint32_t generation = p->session.generation;
	int r = control_file_write(&p->page, CONTROL_SESSION_AT, &p->session, sizeof(p->session));

	if (r == 0) {
		p->session.generation = ++generation;
		r = control_file_write(
			&p->page, CONTROL_SESSION_AT + offsetof(struct control_session, generation),
			&generation, sizeof(generation));
	}
	return r;
}

/* What the last owner left, made sound: it is not trusted more than anything else in the page. */
static int session_read(struct record_process *p)
{
	struct control_session *s = &p->session;
	int r = control_file_read(&p->page, CONTROL_SESSION_AT, s, sizeof(*s));

	if (r)
		return r;
	if (s->abi != CONTROL_ABI) {
		uint32_t generation = s->generation;

		*s = (struct control_session){.generation = generation};
	}
	if (s->nr_layouts > CONTROL_LAYOUTS)
		s->nr_layouts = 0;
	return 0;
}

static int busy(struct record_process *p, struct tocsin_err *err)
{
	uint32_t owner = 0;

	(void)control_file_read(&p->page,
				CONTROL_SESSION_AT + offsetof(struct control_session, owner_pid),
				&owner, sizeof(owner)); /* 0 will do */
	return tocsin_err_fail(-EBUSY, err, "process %d '%s' is being recorded by process %u",
			       (int)p->pid, p->comm, owner);
}

/* Threads that may run at once have a ring each; with no concurrency ids it may be any CPU's. */
static unsigned rings_expected(const struct record_process *p)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t threads = 0;
	uint32_t flags = 0;
	char path[64], text[4096], value[16];

	(void)control_file_read(&p->page, offsetof(struct control_tracee, flags), &flags,
				sizeof(flags)); /* else as if it had none */
	if (flags & CONTROL_TRACEE_NO_RSEQ)
		return 1;
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)p->pid);
	if (flags & CONTROL_TRACEE_MM_CID && sysfile_read(path, text, sizeof(text)) > 0 &&
	    !sysfile_field(text, "Threads:", value, sizeof(value)) &&
	    !tocsin_parse_u64(value, &threads) && (long)threads < cpus)
		return threads ? (unsigned)threads : 1;
	return cpus > 0 ? (unsigned)cpus : 1;
}

/* Where rings do not fit into a memory cgroup the kernel would kill somebody in it. */
static int room_check(const struct record_process *p, const struct record_wish *wish,
		      struct tocsin_err *err)
{
	unsigned nr = rings_expected(p);
	uint64_t need = nr * (wish->ring_bytes + RING_HEADER_BYTES);
	struct memory_room room;

	if (memory_room_of(p->pid, &room) || need <= room.bytes / 2)
		return 0; /* gone, or all is well */
	return tocsin_err_fail(
		-EBUSY, err,
		"process %d '%s' needs %" PRIu64
		" KiB for %u ring%s, its memory cgroup %s has only %" PRIu64
		" KiB left, of which half is the program's: take a smaller --ring-size, or raise the limit",
		(int)p->pid, p->comm, need >> 10, nr, nr == 1 ? "" : "s", room.group,
		room.bytes >> 10);
}

int session_take(struct recorder *rec, struct record_process *p, bool *ret_continued,
		 struct tocsin_err *err)
{
	const struct record_wish *wish = &rec->opts->wish;
	int r = control_file_lock(&p->page);

	if (r == -EBUSY)
		return busy(p, err);
	if (!r)
		r = session_read(p);
	if (!r) {
		*ret_continued = p->session.session_id != 0;
		p->is_inherited = p->session.session_id && p->session.session_id == rec->session_id;
		if (!*ret_continued || p->session.ring_bytes != wish->ring_bytes) {
			r = room_check(p, wish, err);
			if (r) {
				control_file_unlock(&p->page);
				return r;
			}
		}
		r = layout_choose(&p->session, wish->contexts, &p->layout_number);
	}
	if (r == -ENOSPC)
		return tocsin_err_fail(
			r, err,
			"process %d '%s' has had %d different sets of contexts; it must be restarted for another",
			(int)p->pid, p->comm, CONTROL_LAYOUTS);
	if (!r) {
		session_fill(&p->session, wish, rec->session_id);
		rules_fill(&p->session, wish, p->layout_number);
		r = session_write(p);
	}
	if (!r && wish->filters)
		r = control_file_write(&p->page, CONTROL_FILTERS_AT, wish->filters,
				       CONTROL_FILTER_BYTES);
	if (r)
		return tocsin_err_fail(r, err, "cannot take the session of process %d '%s': %s",
				       (int)p->pid, p->comm, strerror(-r));
	p->is_owner = true;
	return 0;
}

/* The last rule that matches decides. */
static uint8_t class_enable(const struct record_process *p, const struct control_class *class,
			    uint16_t *ret_filter)
{
	char name[2 * CTF_NAME_MAX];
	uint8_t enable = 0;

	*ret_filter = 0;
	(void)snprintf(name, sizeof(name), "%s:%s", ctf_described_text(class, class->provider),
		       ctf_described_text(class, class->name));
	for (uint32_t i = 0; i < p->session.nr_rules; i++) {
		const struct control_rule *rule = &p->session.rule[i];

		if (class->level > rule->level ||
		    !glob_match(rule->pattern, strlen(rule->pattern), name, strlen(name)))
			continue;
		enable = rule->enable;
		*ret_filter = rule->filter;
	}
	return enable;
}

void session_count_on(struct recorder *rec, const struct record_process *p, uint32_t first)
{
	for (uint32_t i = first; i < p->nr_classes; i++) {
		uint16_t filter;

		rec->stats.classes++;
		rec->stats.classes_on += class_enable(p, p->class[i], &filter) != 0;
	}
}

int session_enable(struct recorder *rec, struct record_process *p, uint32_t first)
{
	uint16_t filter[CONTROL_CLASSES];
	uint8_t enable[CONTROL_CLASSES];
	uint32_t nr = p->nr_classes - first;
	int r;

	(void)rec;
	for (uint32_t i = 0; i < nr; i++) {
		enable[i] = class_enable(p, p->class[first + i], &filter[i]);
		if (p->is_calling)
			enable[i] |= CONTROL_ON_CALL;
	}
	r = control_file_write(&p->page, CONTROL_FILTER_OF_AT + first * sizeof(filter[0]), filter,
			       nr * sizeof(filter[0]));
	r = r ?: control_file_write(&p->page, CONTROL_ENABLE_AT + first, enable, nr);
	record_patch(p);
	return r;
}

/* Do the rings that there are behave as the session wants it? */
static bool rings_fit(const struct record_process *p)
{
	for (uint32_t i = 0; i < p->nr_rings; i++) {
		const struct record_ring *ring = p->ring[i];
		uint64_t want = ring->reader.kind == RING_SIDE ? p->session.side_bytes
							       : p->session.ring_bytes;

		if (ring->is_open && !ring_reader_is_final(&ring->reader) &&
		    (ring->reader.mode != p->session.mode ||
		     (want && ring->reader.data_bytes != want)))
			return false;
	}
	return true;
}

int session_call(struct recorder *rec, struct record_process *p)
{
	uint8_t all[CONTROL_CLASSES];

	if (rings_fit(p))
		return 0;
	memset(all, CONTROL_ON_CALL, sizeof(all));
	p->is_calling = true;
	return control_file_write(&p->page, CONTROL_ENABLE_AT + p->nr_classes, all,
				  sizeof(all) - p->nr_classes)
		       ?: session_enable(rec, p, 0);
}

bool session_answered(struct recorder *rec, struct record_process *p)
{
	static const uint8_t off[CONTROL_CLASSES];
	uint32_t attended;

	if (!p->is_calling)
		return true;
	if (control_file_read(&p->page, offsetof(struct control_tracee, attended), &attended,
			      sizeof(attended)) ||
	    attended != p->session.generation)
		return false;
	p->is_calling = false;
	(void)control_file_write(&p->page, CONTROL_ENABLE_AT + p->nr_classes, off,
				 sizeof(off) - p->nr_classes); /* of a page that is gone: as good */
	(void)session_enable(rec, p, 0);
	return true;
}

int session_silence(struct record_process *p)
{
	static const uint8_t off[CONTROL_CLASSES];
	int r;

	if (!p->is_owner)
		return 0;
	/* First the rules: what is described from now on stays off. */
	p->session.flags = 0;
	p->session.nr_rules = 0;
	r = session_write(p);
	r = control_file_write(&p->page, CONTROL_ENABLE_AT, off, sizeof(off)) ?: r;
	record_patch(p);
	return r;
}

int session_release(struct record_process *p)
{
	int r;

	if (!p->is_owner)
		return 0;
	p->session.session_id = 0;
	p->session.owner_pid = 0;
	p->session.owner_start_ticks = 0;
	p->session.is_waiting = 0;
	r = session_write(p);
	control_file_unlock(&p->page);
	p->is_owner = false;
	return r;
}
