/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TRACE_FOREIGN_TYPES_H
#define TOCSIN_TRACE_FOREIGN_TYPES_H

/* Types and values of libbabeltrace2 as those of the own reader. */

#include <babeltrace2/babeltrace.h>

#include "../ctf/read_plan.h"

/**
 * foreign_type_make() - the type of a field class, in the arena of @meta.
 *
 * Return: 0, or -ENOTSUP nested too deep or of a kind that is not known, -ENOMEM.
 */
int foreign_type_make(struct meta *meta, const bt_field_class *class, unsigned depth,
		      const struct meta_type **ret_type);

/**
 * foreign_values_add() - a field and all below it, behind what @values holds.
 * @type: made of the field's class
 * @name: NULL: an element of an array, or a scope
 *
 * Texts are lent from the field. Return: 0, or -ENOMEM.
 */
int foreign_values_add(struct ctf_values *values, const bt_field *field,
		       const struct meta_type *type, const char *name, enum plan_scope scope);

#endif
