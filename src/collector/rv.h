/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_RV_H
#define TOCSIN_COLLECTOR_RV_H

/* The monitors of a kernel with CONFIG_RV, through its files in tracefs (rv/). Silent. */

#include <stdbool.h>
#include <stddef.h>

#include "../base/err.h"

#define RV_NAME  64
#define RV_DESC  512
#define RV_FILES 65536 /* bytes of rv/available_monitors that are read */

struct rv_monitor {
	char name[RV_NAME];
	char container[RV_NAME]; /* that it stands in; "": in none */
	char desc[RV_DESC];
	bool is_enabled, is_container;
};

struct rv_monitors {
	struct rv_monitor *item; /* owned */
	size_t nr;
};

/** rv_is_there() - has the kernel whose tracefs is in @tracefs monitors? NULL: no tracefs. */
bool rv_is_there(const char *tracefs);

/**
 * rv_monitors_read() - all monitors, in the kernel's order.
 * @tracefs: lent
 * @ret: to be given to rv_monitors_done(), also on failure
 *
 * Return: 0, -EBADMSG a name that cannot be one, -ENOMEM, -errno; @err says of which file.
 * Thread-safe: yes. Signal-safe: no.
 */
int rv_monitors_read(const char *tracefs, struct rv_monitors *ret, struct tocsin_err *err);
void rv_monitors_done(struct rv_monitors *m);

/** rv_monitors_add() - one more, with the description and state zeroed. Return: it, lent until the
 * next; NULL: no memory. */
struct rv_monitor *rv_monitors_add(struct rv_monitors *m, const char *container,
				   size_t container_len, const char *name, size_t name_len);

/** rv_monitors_find() - by NAME, or CONTAINER:NAME. Return: it, lent; NULL: there is none. */
const struct rv_monitor *rv_monitors_find(const struct rv_monitors *m, const char *name);

#endif
