// SPDX-License-Identifier: MIT
/*
 * As the program babeltrace2 chooses: each source is queried for "babeltrace.support-info" with the
 * input and what it is (a file, a directory, or else a text), and answers with a weight of 0 to 1.
 * A source that does not know the query, or fails, does not know the input.
 */
#include "foreign_find.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const char *foreign_cause(char *text, size_t size)
{
	const bt_error *error = bt_current_thread_take_error();

	*text = '\0';
	if (!error)
		return text;
	/* The first is the root of the others. */
	if (bt_error_get_cause_count(error))
		(void)snprintf(
			text, size, "%s",
			bt_error_cause_get_message(bt_error_borrow_cause_by_index(error, 0)));
	bt_error_release(error);
	return text;
}

static const char *type_of(const char *input)
{
	struct stat st;

	if (stat(input, &st) < 0)
		return "string";
	return S_ISDIR(st.st_mode) ? "directory" : "file";
}

static double weight_of(const bt_value *answer)
{
	const bt_value *weight = answer;

	if (bt_value_is_map(answer))
		weight = bt_value_map_borrow_entry_value_const(answer, "weight");
	return weight && bt_value_is_real(weight) ? bt_value_real_get(weight) : 0;
}

static double ask(const bt_component_class_source *source, const bt_value *params)
{
	bt_query_executor *executor =
		bt_query_executor_create(bt_component_class_source_as_component_class_const(source),
					 "babeltrace.support-info", params);
	const bt_value *answer = NULL;
	double weight = 0;

	if (executor &&
	    bt_query_executor_query(executor, &answer) == BT_QUERY_EXECUTOR_QUERY_STATUS_OK)
		weight = weight_of(answer);
	bt_current_thread_clear_error();
	if (answer)
		bt_value_put_ref(answer);
	if (executor)
		bt_query_executor_put_ref(executor);
	return weight;
}

static bt_value *params_make(const char *input)
{
	bt_value *params = bt_value_map_create();

	if (params && (bt_value_map_insert_string_entry(params, "input", input) !=
			       BT_VALUE_MAP_INSERT_ENTRY_STATUS_OK ||
		       bt_value_map_insert_string_entry(params, "type", type_of(input)) !=
			       BT_VALUE_MAP_INSERT_ENTRY_STATUS_OK)) {
		bt_value_put_ref(params);
		params = NULL;
	}
	return params;
}

static const bt_component_class_source *best_of(const bt_plugin_set *plugins,
						const bt_value *params)
{
	const bt_component_class_source *best = NULL;
	double best_weight = 0;

	for (uint64_t i = 0; i < bt_plugin_set_get_plugin_count(plugins); i++) {
		const bt_plugin *plugin = bt_plugin_set_borrow_plugin_by_index_const(plugins, i);
		uint64_t nr = bt_plugin_get_source_component_class_count(plugin);

		for (uint64_t k = 0; k < nr; k++) {
			const bt_component_class_source *source =
				bt_plugin_borrow_source_component_class_by_index_const(plugin, k);
			double weight = ask(source, params);

			if (weight > best_weight) {
				best_weight = weight;
				best = source;
			}
		}
	}
	return best;
}

static const bt_component_class_source *named(const bt_plugin_set *plugins, const char *name)
{
	size_t len = strcspn(name, ".");

	for (uint64_t i = 0; name[len] && i < bt_plugin_set_get_plugin_count(plugins); i++) {
		const bt_plugin *plugin = bt_plugin_set_borrow_plugin_by_index_const(plugins, i);
		const char *own = bt_plugin_get_name(plugin);

		if (strncmp(own, name, len) == 0 && !own[len])
			return bt_plugin_borrow_source_component_class_by_name_const(
				plugin, name + len + 1);
	}
	return NULL;
}

int foreign_find(const char *input, const char *name, struct tocsin_err *err,
		 const bt_plugin_set **ret_plugins, const bt_component_class_source **ret_source)
{
	const bt_plugin_set *plugins = NULL;
	bt_value *params = params_make(input);

	if (!params)
		return -ENOMEM;
	if (bt_plugin_find_all(BT_TRUE, BT_TRUE, BT_TRUE, BT_TRUE, BT_FALSE, &plugins) !=
	    BT_PLUGIN_FIND_ALL_STATUS_OK) {
		bt_current_thread_clear_error();
		bt_value_put_ref(params);
		return tocsin_err_fail(-ENOTSUP, err, "babeltrace2's library has no plugins");
	}
	*ret_source = name ? named(plugins, name) : best_of(plugins, params);
	bt_value_put_ref(params);
	if (!*ret_source) {
		bt_plugin_set_put_ref(plugins);
		return name ? tocsin_err_fail(-ENOTSUP, err, "babeltrace2 has no source '%s'", name)
			    : tocsin_err_fail(-ENOTSUP, err, "no plugin of babeltrace2 reads '%s'",
					      input);
	}
	*ret_plugins = plugins;
	return 0;
}
