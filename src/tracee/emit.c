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

#include "../abi/noinstr.h"
#include "tracee.h"

/* Make the page if this process has none, answer a roll call, ask the filter, add contexts. */
static __attribute__((noinline, cold)) void emit_ring(const struct tocsin_site *site, uint8_t on,
						      unsigned char *payload, size_t bytes)
{
	const struct control_page *page = tracee.page;
	uint32_t layout, mask;
	size_t before;

	if (__atomic_load_n(&tracee.is_stopped, __ATOMIC_RELAXED)) {
		if (on & CONTROL_ON_LAYOUT)
			tracee_count(TRACEE_LOSS_STOPPED, 1);
		return;
	}
	if (tracee_begin() < 0) {
		tracee_count(TRACEE_LOSS_NESTED, 1);
		return;
	}
	on = chains_ring_on(site); /* another page's, perhaps */
	if (on & CONTROL_ON_CALL &&
	    tracee.attended != __atomic_load_n(&page->session.generation, __ATOMIC_ACQUIRE))
		rings_attend();
	if (!(on & CONTROL_ON_LAYOUT) || page->session.abi != CONTROL_ABI)
		return;
	if (on & CONTROL_ON_FILTER && site->id < CONTROL_CLASSES &&
	    !filter_passes(page->filters, page->filter_of[site->id], site->cls, payload, bytes))
		return;
	layout = (on & CONTROL_ON_LAYOUT) - 1u;
	mask = layout ? page->session.layout[layout] : 0;
	if (mask >> CONTEXT_NR) {
		tracee_count(TRACEE_LOSS_BAD_LAYOUT, 1);
		return;
	}
	before = mask ? context_put(mask, payload) : 0;
	bytes = (bytes + 7) & ~(size_t)7;
	(void)ring_write_slow(tracee.rings, control_record_id(layout, site->id), payload - before,
			      bytes + before); /* a loss is counted there */
}

/* Records that the fast path could not take: first ones, full rings, threads without rseq. */
static __attribute__((noinline, cold)) void write_slow(uint32_t id, const void *payload,
						       size_t bytes)
{
	if (__atomic_load_n(&tracee.is_stopped, __ATOMIC_RELAXED))
		tracee_count(TRACEE_LOSS_STOPPED, 1);
	else
		(void)ring_write_slow(tracee_rings, id, payload,
				      bytes); /* a loss is counted there */
}

static inline __attribute__((always_inline)) bool write_fast(uint32_t id, const void *payload,
							     size_t bytes)
{
#if TOCSIN_RSEQ_ARCH
	intptr_t fast = ring_process.fast;

	return __builtin_expect(fast != 0, 1) &&
	       __builtin_expect(ring_write_fast(fast, tracee_rings, id, payload, bytes), 1);
#else
	(void)id;
	(void)payload;
	(void)bytes;
	return false;
#endif
}

/* Not plainly on: somebody looks at the USDT probe, the page asks for more, or there are probes. */
TOCSIN_NOINSTR static __attribute__((noinline)) void emit_slow(const struct tocsin_site *site,
							       unsigned char *payload, size_t bytes)
{
	uint8_t on = *site->on;
	bool has_probes = on & TRACEE_ON_PROBES;

	if (has_probes)
		on = chains_ring_on(site);
	if (on == 1 && bytes <= RING_PAYLOAD_MAX) {
		size_t padded = (bytes + 7) & ~(size_t)7;

		if (__builtin_expect(!write_fast(site->id, payload, padded), 0))
			write_slow(site->id, payload, padded);
	} else if (on) {
		emit_ring(site, on, payload, bytes);
	}
	if (has_probes)
		chains_run(site, payload, bytes);
}

/*
 * The plain case is layout 0, no filter, no roll call: one value of the byte. Whether the page is
 * this process's own need not be asked here: in a child of fork() there are no rings, and making
 * one asks.
 *
 * One function a size, and what is called seldom apart, so that none saves registers for another.
 */
static inline __attribute__((always_inline)) void emit(const struct tocsin_site *site,
						       void *payload, size_t bytes, unsigned on)
{
	uint32_t id = site->id; /* of layout 0 */

	if (__builtin_expect(on != 1, 0))
		emit_slow(site, payload, bytes);
	else if (__builtin_expect(!write_fast(id, payload, (bytes + 7) & ~(size_t)7), 0))
		write_slow(id, payload, (bytes + 7) & ~(size_t)7);
}

TOCSIN_NOINSTR void tocsin_site_emit8(const struct tocsin_site *site, void *payload, unsigned on)
{
	emit(site, payload, 8, on);
}

TOCSIN_NOINSTR void tocsin_site_emit16(const struct tocsin_site *site, void *payload, unsigned on)
{
	emit(site, payload, 16, on);
}

TOCSIN_NOINSTR void tocsin_site_emit24(const struct tocsin_site *site, void *payload, unsigned on)
{
	emit(site, payload, 24, on);
}

TOCSIN_NOINSTR void tocsin_site_emit32(const struct tocsin_site *site, void *payload, unsigned on)
{
	emit(site, payload, 32, on);
}

TOCSIN_NOINSTR void tocsin_site_emit(const struct tocsin_site *site, void *payload, size_t bytes,
				     unsigned on)
{
	if (__builtin_expect(bytes > RING_PAYLOAD_MAX, 0)) {
		emit_slow(site, payload, bytes);
		return;
	}
	emit(site, payload, bytes, on);
}
