/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BASE_CLEANUP_H
#define TOCSIN_BASE_CLEANUP_H

/* Ownership of locals: declare with TOCSIN_CLEANUP(fn), initialise in the declaration, give away
 * with tocsin_take_ptr() or tocsin_take_fd(). */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TOCSIN_CLEANUP(fn) __attribute__((cleanup(fn)))

/* Give an owned pointer away: the local becomes NULL and its cleanup does nothing. */
#define tocsin_take_ptr(pp)                 \
	({                                  \
		__auto_type taken_ = *(pp); \
		*(pp) = NULL;               \
		taken_;                     \
	})

static inline int tocsin_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline void tocsin_free_charp(char **p)
{
	free(*p);
}

static inline void tocsin_free_voidp(void *pp)
{
	free(*(void **)pp);
}

static inline void tocsin_close_fdp(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* nothing can be done about a failing close of a descriptor we
				     only read */
}

static inline void tocsin_fclosep(FILE **f)
{
	if (*f)
		(void)fclose(*f); /* writers check ferror() and fclose() themselves before this */
}

#endif
