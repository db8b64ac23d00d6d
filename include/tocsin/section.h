/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_SECTION_H
#define TOCSIN_SECTION_H

/*
 * Sections: stretches of work with a budget, from a start to a stop, by one thread or by a key.
 *
 *	void handle(struct request *req)
 *	{
 *		tocsin_section("handle", 5 * TOCSIN_MS);        ends with the scope
 *
 * Sections of a thread nest, eight deep. A section with a key may begin in one thread and end in another.
 *
 * While `tocsin watch` or `tocsin record` looks on with the privilege for it, the kernel half reads the
 * thread's slot (docs/formats/section.md): the deadline is noticed when it passes, and the split is exact.
 * Where nobody does, the library measures by itself: a section that ran over its budget emits the event
 * `section:NAME`, if that is on, with its split from /proc/thread-self/schedstat, and says so.
 *
 * Begin and end cost two reads of the clock and a few stores. Thread-safe: yes. Signal-safe: begin and end
 * are; a handler's sections must end in the handler. Since: 0.1.
 */

#include "tocsin/event.h"

#define TOCSIN_US UINT64_C(1000)
#define TOCSIN_MS UINT64_C(1000000)
#define TOCSIN_S  UINT64_C(1000000000)

#endif
