/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TRACE_FOREIGN_FIND_H
#define TOCSIN_TRACE_FOREIGN_FIND_H

/* Which source of babeltrace2's plugins reads an input. */

#include <babeltrace2/babeltrace.h>

#include "../base/err.h"

/**
 * foreign_find() - the source of a name, or else every one is asked how well it knows the input.
 * @input: a path or a URL
 * @name:  `PLUGIN.CLASS`, or NULL
 * @ret_plugins: what lends @ret_source, to be given to bt_plugin_set_put_ref()
 *
 * Return: 0, or -ENOTSUP none knows it, -ENOMEM; @err says what. Thread-safe: no.
 */
int foreign_find(const char *input, const char *name, struct tocsin_err *err,
		 const bt_plugin_set **ret_plugins, const bt_component_class_source **ret_source);

/** foreign_cause() - what the library says about its last failure, which is forgotten. Return:
 * @text, empty when it says nothing. */
const char *foreign_cause(char *text, size_t size);

#endif
