// SPDX-License-Identifier: MIT
/*
 * Types nest no deeper than META_DEPTH_MAX, which is looked at where they are made; so the
 * functions that follow them may call themselves.
 */
#include "foreign_types.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef bt_field_class_type kind_t;

static bool is_kind(kind_t kind, bt_field_class_type of)
{
	return bt_field_class_type_is(kind, of);
}

/* ---- types */

static int text_copy(struct meta *meta, const char *text, const char **ret_text)
{
	*ret_text = arena_text(&meta->arena, text ?: "", text ? strlen(text) : 0);
	return *ret_text ? 0 : -ENOMEM;
}

/* The ranges of one label. @type: room for them all was made. */
static int ranges_add(struct meta *meta, struct meta_type *type, const bt_field_class *class,
		      uint64_t mapping, struct meta_range *range)
{
	const bt_field_class_enumeration_mapping *m;
	const bt_integer_range_set_unsigned *positive = NULL;
	const bt_integer_range_set_signed *both = NULL;
	const char *label;
	uint64_t nr;

	if (type->is_signed) {
		const bt_field_class_enumeration_signed_mapping *s =
			bt_field_class_enumeration_signed_borrow_mapping_by_index_const(class,
											mapping);

		both = bt_field_class_enumeration_signed_mapping_borrow_ranges_const(s);
		m = bt_field_class_enumeration_signed_mapping_as_mapping_const(s);
		nr = bt_integer_range_set_get_range_count(
			bt_integer_range_set_signed_as_range_set_const(both));
	} else {
		const bt_field_class_enumeration_unsigned_mapping *u =
			bt_field_class_enumeration_unsigned_borrow_mapping_by_index_const(class,
											  mapping);

		positive = bt_field_class_enumeration_unsigned_mapping_borrow_ranges_const(u);
		m = bt_field_class_enumeration_unsigned_mapping_as_mapping_const(u);
		nr = bt_integer_range_set_get_range_count(
			bt_integer_range_set_unsigned_as_range_set_const(positive));
	}
	if (!range) { /* only counted */
		type->nr_ranges += (unsigned)nr;
		return 0;
	}
	if (text_copy(meta, bt_field_class_enumeration_mapping_get_label(m), &label) < 0)
		return -ENOMEM;
	for (uint64_t i = 0; i < nr; i++, range++) {
		const bt_integer_range_unsigned *u;
		const bt_integer_range_signed *s;

		range->label = label;
		if (both) {
			s = bt_integer_range_set_signed_borrow_range_by_index_const(both, i);
			range->first = (uint64_t)bt_integer_range_signed_get_lower(s);
			range->last = (uint64_t)bt_integer_range_signed_get_upper(s);
		} else {
			u = bt_integer_range_set_unsigned_borrow_range_by_index_const(positive, i);
			range->first = bt_integer_range_unsigned_get_lower(u);
			range->last = bt_integer_range_unsigned_get_upper(u);
		}
	}
	return (int)nr;
}

static int enum_make(struct meta *meta, struct meta_type *type, const bt_field_class *class)
{
	uint64_t nr = bt_field_class_enumeration_get_mapping_count(class);
	struct meta_range *range;
	int r = 0;

	type->kind = META_ENUM;
	for (uint64_t i = 0; i < nr; i++)
		(void)ranges_add(meta, type, class, i, NULL); /* counts, and cannot fail */
	range = arena_array(&meta->arena, type->nr_ranges ?: 1, sizeof(*range));
	if (!range)
		return -ENOMEM;
	type->range = range;
	for (uint64_t i = 0; i < nr && r >= 0; i++) {
		r = ranges_add(meta, type, class, i, range);
		range += r > 0 ? r : 0;
	}
	return r < 0 ? r : 0;
}

static int integer_make(struct meta *meta, struct meta_type *type, const bt_field_class *class,
			kind_t kind)
{
	type->kind = META_INT;
	type->size_bits = (uint32_t)bt_field_class_integer_get_field_value_range(class);
	type->is_signed = is_kind(kind, BT_FIELD_CLASS_TYPE_SIGNED_INTEGER);
	type->base = (unsigned)bt_field_class_integer_get_preferred_display_base(class);
	return is_kind(kind, BT_FIELD_CLASS_TYPE_ENUMERATION) ? enum_make(meta, type, class) : 0;
}

/* As the own traces have it. */
static void bool_make(struct meta_type *type)
{
	static const struct meta_range ranges[] = {{"false", 0, 0}, {"true", 1, 1}};

	type->kind = META_ENUM;
	type->size_bits = 8;
	type->base = 10;
	type->range = ranges;
	type->nr_ranges = 2;
}

static int members_make(struct meta *meta, struct meta_type *type, const bt_field_class *class,
			unsigned depth)
{
	bool is_struct = type->kind == META_STRUCT;
	uint64_t nr = is_struct ? bt_field_class_structure_get_member_count(class)
				: bt_field_class_variant_get_option_count(class);
	struct meta_member *member = arena_array(&meta->arena, nr ?: 1, sizeof(*member));
	int r = 0;

	if (!member)
		return -ENOMEM;
	for (uint64_t i = 0; i < nr && r == 0; i++) {
		const bt_field_class_structure_member *m =
			is_struct ? bt_field_class_structure_borrow_member_by_index_const(class, i)
				  : NULL;
		const bt_field_class_variant_option *o =
			m ? NULL : bt_field_class_variant_borrow_option_by_index_const(class, i);

		r = text_copy(meta,
			      m ? bt_field_class_structure_member_get_name(m)
				: bt_field_class_variant_option_get_name(o),
			      &member[i].name);
		member[i].raw = member[i].name;
		if (r == 0)
			r = foreign_type_make(
				meta,
				m ? bt_field_class_structure_member_borrow_field_class_const(m)
				  : bt_field_class_variant_option_borrow_field_class_const(o),
				depth + 1, &member[i].type);
	}
	type->member = member;
	type->nr_members = (unsigned)nr;
	return r;
}

static int option_make(struct meta *meta, struct meta_type *type, const bt_field_class *class,
		       unsigned depth)
{
	struct meta_member *member = arena_alloc(&meta->arena, sizeof(*member));

	if (!member)
		return -ENOMEM;
	member->name = member->raw = "value";
	type->kind = META_VARIANT;
	type->member = member;
	type->nr_members = 1;
	return foreign_type_make(meta, bt_field_class_option_borrow_field_class_const(class),
				 depth + 1, &member->type);
}

int foreign_type_make(struct meta *meta, const bt_field_class *class, unsigned depth,
		      const struct meta_type **ret_type)
{
	kind_t kind = bt_field_class_get_type(class);
	struct meta_type *type = arena_alloc(&meta->arena, sizeof(*type));
	int r = 0;

	if (!type)
		return -ENOMEM;
	if (depth >= META_DEPTH_MAX)
		return -ENOTSUP;
	type->align_bits = 8;
	type->base = 10;
	if (is_kind(kind, BT_FIELD_CLASS_TYPE_INTEGER)) {
		r = integer_make(meta, type, class, kind);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_BOOL)) {
		bool_make(type);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_BIT_ARRAY)) {
		type->kind = META_INT;
		type->size_bits = (uint32_t)bt_field_class_bit_array_get_length(class);
		type->base = 16;
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_REAL)) {
		type->kind = META_FLOAT;
		type->size_bits =
			is_kind(kind, BT_FIELD_CLASS_TYPE_SINGLE_PRECISION_REAL) ? 32 : 64;
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_STRING)) {
		type->kind = META_STRING;
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_STRUCTURE)) {
		type->kind = META_STRUCT;
		r = members_make(meta, type, class, depth);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_VARIANT)) {
		type->kind = META_VARIANT;
		r = members_make(meta, type, class, depth);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_OPTION)) {
		r = option_make(meta, type, class, depth);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_ARRAY)) {
		type->kind = is_kind(kind, BT_FIELD_CLASS_TYPE_STATIC_ARRAY) ? META_ARRAY
									     : META_SEQUENCE;
		r = foreign_type_make(meta,
				      bt_field_class_array_borrow_element_field_class_const(class),
				      depth + 1, &type->element);
	} else {
		r = -ENOTSUP;
	}
	*ret_type = type;
	return r;
}

/* ---- values */

static struct ctf_value *value_add(struct ctf_values *values)
{
	if (values->nr == values->capacity) {
		size_t capacity = values->capacity ? 2 * values->capacity : 64;
		struct ctf_value *item =
			values->nr < PLAN_VALUES_MAX
				? reallocarray(values->item, capacity, sizeof(*item))
				: NULL;

		if (!item)
			return NULL;
		values->item = item;
		values->capacity = capacity;
	}
	return &values->item[values->nr++];
}

/* A value that has none below it. */
static void plain_set(struct ctf_value *v, const bt_field *field, kind_t kind)
{
	if (is_kind(kind, BT_FIELD_CLASS_TYPE_SIGNED_INTEGER)) {
		v->i = bt_field_integer_signed_get_value(field);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_INTEGER)) {
		v->u = bt_field_integer_unsigned_get_value(field);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_BOOL)) {
		v->u = bt_field_bool_get_value(field) ? 1 : 0;
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_BIT_ARRAY)) {
		v->u = bt_field_bit_array_get_value_as_integer(field);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_SINGLE_PRECISION_REAL)) {
		v->f = (double)bt_field_real_single_precision_get_value(field);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_REAL)) {
		v->f = bt_field_real_double_precision_get_value(field);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_STRING)) {
		v->is_text = true;
		v->text = bt_field_string_get_value(field);
		v->len = strnlen(v->text, bt_field_string_get_length(field));
	}
}

static int below_add(struct ctf_values *values, const bt_field *field, const struct meta_type *type,
		     kind_t kind, enum plan_scope scope)
{
	uint64_t nr = 0;
	int r = 0;

	if (is_kind(kind, BT_FIELD_CLASS_TYPE_STRUCTURE)) {
		for (unsigned i = 0; i < type->nr_members && r == 0; i++)
			r = foreign_values_add(
				values,
				bt_field_structure_borrow_member_field_by_index_const(field, i),
				type->member[i].type, type->member[i].name, scope);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_ARRAY)) {
		nr = bt_field_array_get_length(field);
		for (uint64_t i = 0; i < nr && r == 0; i++)
			r = foreign_values_add(
				values,
				bt_field_array_borrow_element_field_by_index_const(field, i),
				type->element, NULL, scope);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_VARIANT)) {
		const struct meta_member *m =
			&type->member[bt_field_variant_get_selected_option_index(field)];

		r = foreign_values_add(values,
				       bt_field_variant_borrow_selected_option_field_const(field),
				       m->type, m->name, scope);
	} else if (is_kind(kind, BT_FIELD_CLASS_TYPE_OPTION)) {
		const bt_field *inner = bt_field_option_borrow_field_const(field);

		if (inner)
			r = foreign_values_add(values, inner, type->member[0].type,
					       type->member[0].name, scope);
	}
	return r;
}

int foreign_values_add(struct ctf_values *values, const bt_field *field,
		       const struct meta_type *type, const char *name, enum plan_scope scope)
{
	kind_t kind = bt_field_get_class_type(field);
	struct ctf_value *v = value_add(values);
	size_t at = values->nr - 1;
	int r;

	if (!v)
		return -ENOMEM;
	*v = (struct ctf_value){.name = name,
				.type = type,
				.scope = (uint8_t)scope,
				.name_len = (uint16_t)(name ? strnlen(name, UINT16_MAX) : 0)};
	if (is_kind(kind, BT_FIELD_CLASS_TYPE_ARRAY))
		v->len = bt_field_array_get_length(field);
	plain_set(v, field, kind);
	r = below_add(values, field, type, kind, scope);
	values->item[at].nr_below = (uint32_t)(values->nr - at - 1);
	return r;
}
