// SPDX-License-Identifier: MIT
/*
 * From a site to a ring.
 *
 * The site has put its fields together on its own stack. What remains in the common case is to look
 * at the enable byte (whole: layout, filter and roll call come from one load, so they belong
 * together), and to let the ring copy the record in one section. Everything else is the slow half
 * below.
 *
 * The id of a record says its layout of contexts, and layouts do not change their meaning: a thread
 * that is held up here while a session ends and another begins writes a record that is still read
 * rightly.
 */
#include <errno.h>

#include "tracee.h"

static inline __attribute__((always_inline)) int write_record(uint32_t id, const void *payload,
							      size_t bytes)
{
	/* Sizes that the ring copies without a loop. */
	switch (bytes) {
	case 8: return ring_write(tracee.rings, id, payload, 8);
	case 16: return ring_write(tracee.rings, id, payload, 16);
	default: return ring_write(tracee.rings, id, payload, bytes);
	}
}

/* Make the page if this process has none, answer a roll call, ask the filter, add contexts. */
static __attribute__((noinline, cold)) void emit_slow(const struct tocsin_site *site,
						      unsigned char *payload, size_t bytes)
{
	const struct control_page *page = tracee.page;
	uint32_t layout, mask;
	size_t before;
	uint8_t on = *site->on;

	if (!on)
		return; /* only the USDT probe is */
	if (tracee_begin() < 0) {
		tracee_count(TRACEE_LOSS_NESTED, 1);
		return;
	}
	on = *site->on; /* another page's, perhaps */
	if (on & CONTROL_ON_CALL &&
	    tracee.attended != __atomic_load_n(&page->session.generation, __ATOMIC_ACQUIRE))
		rings_attend();
	if (!(on & CONTROL_ON_LAYOUT) || page->session.abi != CONTROL_ABI)
		return;
	if (on & CONTROL_ON_FILTER && site->id < CONTROL_CLASSES &&
	    !filter_passes(page->filters, page->filter_of[site->id], site->cls, payload, bytes))
		return;
	layout = (on & CONTROL_ON_LAYOUT) - 1u;
	mask = page->session.layout[layout];
	if (mask >> CONTEXT_NR) {
		tracee_count(TRACEE_LOSS_BAD_LAYOUT, 1);
		return;
	}
	before = mask ? context_put(mask, payload) : 0;
	bytes = (bytes + 7) & ~(size_t)7;
	(void)ring_write(tracee.rings, control_record_id(layout, site->id), payload - before,
			 bytes + before); /* a loss is counted there */
}

void tocsin_site_emit(const struct tocsin_site *site, void *payload, size_t bytes)
{
	uint32_t layout = *site->on - 1u;

	/* With a filter or a roll call the byte is larger than any layout, and off it is 0 - 1. */
	if (__builtin_expect(layout < CONTROL_LAYOUTS && tracee_own() &&
				     !tracee.page->session.layout[layout],
			     1))
		(void)write_record(control_record_id(layout, site->id), payload,
				   (bytes + 7) & ~(size_t)7); /* a loss is counted there */
	else
		emit_slow(site, payload, bytes);
}
