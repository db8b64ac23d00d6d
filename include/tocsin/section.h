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
 * Sections of a thread nest, 16 deep; deeper ones are counted, not measured. A section with a key
 * may begin in one thread and end in another. Names are string literals.
 *
 * A section that ran over its budget emits the event `section:NAME`, if that is on, with its split
 * from the thread's CPU clock and /proc/thread-self/schedstat. While it is on, each begin reads
 * these, which takes microseconds; off, begin and end cost two reads of the clock and a few
 * stores.
 *
 * What a thread is in the middle of stands in its section slot (docs/formats/section.md) for a
 * collector that watches from the kernel.
 *
 * Thread-safe: yes. Signal-safe: yes; what a handler begins must end in it. Since: 0.1.
 */

#include "tocsin/event.h"

#define TOCSIN_US UINT64_C(1000)
#define TOCSIN_MS UINT64_C(1000000)
#define TOCSIN_S  UINT64_C(1000000000)

/* tocsin_section(name, budget_ns): from here to the end of the scope, however that is left (return,
 * break, goto, exception; not longjmp). A declaration. */
#define tocsin_section(name, budget_ns)                                   \
	struct tocsin_site *TOCSIN_UNIQUE_(tocsin_section_)               \
		__attribute__((cleanup(tocsin_section_leave_), unused)) = \
			tocsin_section_enter_(TOCSIN_SECTION_SITE_(name), (budget_ns))

/*
 * tocsin_section_begin(name, budget_ns), tocsin_section_end(name): the same in two statements, in
 * one thread; they need not nest. Of several of one name the last that began ends first.
 *
 * begin returns 0, or -ENOSPC nested too deep: counted, and to be ended all the same. end returns
 * 0, or -EOVERFLOW over budget, or -ENOENT no such section is open.
 */
#define tocsin_section_begin(name, budget_ns) \
	tocsin_section_begin_(TOCSIN_SECTION_SITE_(name), (budget_ns))
#define tocsin_section_end(name) tocsin_section_end_(TOCSIN_SECTION_SITE_(name))

/*
 * The same by key, any 64-bit number, between threads of one process. A key that begins again
 * before it ended begins anew.
 *
 * begin returns 0, or -ENOSPC too many open: counted, not measured. end as above.
 */
#define tocsin_section_begin_keyed(name, key, budget_ns) \
	tocsin_section_begin_keyed_(TOCSIN_SECTION_SITE_(name), (key), (budget_ns))
#define tocsin_section_end_keyed(name, key) \
	tocsin_section_end_keyed_(TOCSIN_SECTION_SITE_(name), (key))

/* ---- how it is done ---- */

enum tocsin_section_split {
	TOCSIN_SPLIT_NONE = 0,     /* not known: all of it is in `unknown_ns` */
	TOCSIN_SPLIT_SCHEDSTAT = 1 /* from the thread's schedstat before and after */
};

#ifdef __cplusplus
extern "C" {
#endif

TOCSIN_API int tocsin_section_begin_(struct tocsin_site *site, uint64_t budget_ns);
TOCSIN_API int tocsin_section_end_(struct tocsin_site *site);
TOCSIN_API int tocsin_section_begin_keyed_(struct tocsin_site *site, uint64_t key,
					   uint64_t budget_ns);
TOCSIN_API int tocsin_section_end_keyed_(struct tocsin_site *site, uint64_t key);

#ifdef __cplusplus
}
#endif

#ifndef TOCSIN_LIBRARY

static const struct tocsin_label tocsin_section_splits_[]
	__attribute__((unused)) = {{TOCSIN_SPLIT_NONE, TOCSIN_SPLIT_NONE, "none"},
				   {TOCSIN_SPLIT_SCHEDSTAT, TOCSIN_SPLIT_SCHEDSTAT, "schedstat"}};

/* The fields are put together by the library: struct section_record. */
#	define TOCSIN_SECTION_SITE_(name)                                                  \
		__extension__({                                                             \
			TOCSIN_SITE_(TOCSIN_LEVEL_WARNING, TOCSIN_CLASS_SECTION, "section", \
				     "" name "", "section", name, TF_U64("key", 0),         \
				     TF_U64("start_ns", 0), TF_U64("elapsed_ns", 0),        \
				     TF_U64("budget_ns", 0), TF_U64("running_ns", 0),       \
				     TF_U64("waiting_ns", 0), TF_U64("sleeping_ns", 0),     \
				     TF_U64("unknown_ns", 0), TF_BOOL("keyed", 0),          \
				     TF_ENUM("split", tocsin_section_splits_, 0))           \
			__asm__ __volatile__(                                               \
				TOCSIN_ASM_SITE_                                            \
				:                                                           \
				: [tocsin_site] TOCSIN_SYMBOL_(TOCSIN_SITE_ADDRESS_));      \
			&tocsin_s_;                                                         \
		})

#	define TOCSIN_UNIQUE_(name)     TOCSIN_UNIQUE2_(name, __LINE__)
#	define TOCSIN_UNIQUE2_(name, n) TOCSIN_UNIQUE3_(name, n)
#	define TOCSIN_UNIQUE3_(name, n) name##n##_

TOCSIN_INLINE_ struct tocsin_site *tocsin_section_enter_(struct tocsin_site *site,
							 uint64_t budget_ns)
{
	(void)tocsin_section_begin_(site, budget_ns); /* too deep is counted */
	return site;
}

TOCSIN_INLINE_ void tocsin_section_leave_(struct tocsin_site **site)
{
	(void)tocsin_section_end_(*site); /* over budget is an event */
}

#endif

#endif
