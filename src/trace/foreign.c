// SPDX-License-Identifier: MIT
/*
 * A graph of babeltrace2: the source of the input, the muxer that puts its streams in the order of
 * time, and a sink of our own that keeps each batch of messages. A step takes the next message, and
 * runs the graph once when there is none.
 *
 * Classes of events are translated when the stream that has them begins, or when they are first
 * met; they live as long as this. The message of the event at hand is kept until the next step, as
 * its values are lent from it.
 */
#include "foreign.h"

#include <babeltrace2/babeltrace.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../ctf/read_plan_ops.h"
#include "foreign_find.h"
#include "foreign_types.h"

#define BUCKETS 1024

struct class
{
	const bt_event_class *of; /* a reference */
	struct plan_event event;
	const struct meta_type *packet; /* context of its stream's packets; NULL: none */
	const struct meta_type *common; /* context of its stream's events; NULL: none */
	struct class *next;
};

struct foreign {
	const bt_plugin_set *plugins;
	bt_graph *graph;
	bt_message_array_const messages; /* of the last run; what was taken is NULL */
	uint64_t nr_messages, at;
	const bt_message *message; /* of the event at hand, a reference; or NULL */
	const struct class *class; /* of it */
	struct meta meta;
	struct meta_stream stream_meta;
	struct plan_stream stream; /* without its events, which are in the buckets */
	struct class *bucket[BUCKETS];
	const bt_packet *packet; /* of the event before, only compared */
	struct ctf_input input;
	char *name; /* owned: of the input, for messages */
};

/* ---- what the own reader would have made of the metadata */

/* Steps that nobody runs: to look for fields there is refused, so values are asked for. */
static struct plan_op no_steps[] = {{.code = PLAN_VARIANT, .align_bits = 1}, {.code = PLAN_END}};

static int type_of(struct foreign *f, const bt_field_class *class, const struct meta_type **ret)
{
	return class ? foreign_type_make(&f->meta, class, 0, ret) : 0;
}

static struct class **bucket_of(struct foreign *f, const bt_event_class *class)
{
	return &f->bucket[((uintptr_t) class >> 4) % BUCKETS];
}

static int class_make(struct foreign *f, const bt_event_class *of, struct class *c)
{
	const bt_stream_class *stream = bt_event_class_borrow_stream_class_const(of);
	struct meta_event *meta = arena_alloc(&f->meta.arena, sizeof(*meta));
	const char *name = bt_event_class_get_name(of);
	const struct meta_type *common = NULL;
	bt_event_class_log_level level;
	int r;

	if (!meta)
		return -ENOMEM;
	meta->name = arena_text(&f->meta.arena, name ?: "", name ? strlen(name) : 0);
	if (!meta->name)
		return -ENOMEM;
	meta->id = bt_event_class_get_id(of);
	meta->has_id = true;
	meta->stream_id = bt_stream_class_get_id(stream);
	meta->has_level =
		bt_event_class_get_log_level(of, &level) == BT_PROPERTY_AVAILABILITY_AVAILABLE;
	meta->level = meta->has_level ? (int64_t)level : 0;
	meta->index = f->meta.nr_events++;
	r = type_of(f, bt_event_class_borrow_payload_field_class_const(of), &meta->payload);
	if (r == 0)
		r = type_of(f, bt_event_class_borrow_specific_context_field_class_const(of),
			    &meta->context);
	if (r == 0)
		r = type_of(f,
			    bt_stream_class_borrow_event_common_context_field_class_const(stream),
			    &common);
	if (r == 0 && bt_stream_class_supports_packets(stream))
		r = type_of(f, bt_stream_class_borrow_packet_context_field_class_const(stream),
			    &c->packet);
	if (common)
		f->stream_meta.event_context = common;
	c->event = (struct plan_event){.meta = meta, .name = meta->name};
	c->event.body.op = no_steps;
	c->event.body.nr_ops = 2;
	c->common = common;
	return r;
}

static int class_of(struct foreign *f, const bt_event_class *of, const struct class **ret_class)
{
	struct class **bucket = bucket_of(f, of), *c = *bucket;
	int r;

	while (c && c->of != of)
		c = c->next;
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return -ENOMEM;
		r = class_make(f, of, c);
		if (r < 0) {
			free(c);
			return r;
		}
		bt_event_class_get_ref(of);
		c->of = of;
		c->next = *bucket;
		*bucket = c;
	}
	*ret_class = c;
	return 0;
}

static int env_add(struct foreign *f, const bt_trace *trace)
{
	struct meta_env **end = &f->meta.env;

	if (*end)
		return 0; /* that of the first trace of the input */
	for (uint64_t i = 0; i < bt_trace_get_environment_entry_count(trace); i++) {
		struct meta_env *env = arena_alloc(&f->meta.arena, sizeof(*env));
		const bt_value *value;
		const char *name, *text;

		if (!env)
			return -ENOMEM;
		bt_trace_borrow_environment_entry_by_index_const(trace, i, &name, &value);
		env->name = arena_text(&f->meta.arena, name, strlen(name));
		if (bt_value_is_string(value)) {
			text = bt_value_string_get(value);
			env->text = arena_text(&f->meta.arena, text, strlen(text));
		} else if (bt_value_is_signed_integer(value)) {
			env->number = bt_value_integer_signed_get(value);
		}
		if (!env->name || (bt_value_is_string(value) && !env->text))
			return -ENOMEM;
		*end = env;
		end = &env->next;
	}
	return 0;
}

static int stream_begin(struct foreign *f, const bt_stream *stream)
{
	const bt_stream_class *class = bt_stream_borrow_class_const(stream);
	const struct class *c;
	int r = env_add(f, bt_stream_borrow_trace_const(stream));

	for (uint64_t i = 0; r == 0 && i < bt_stream_class_get_event_class_count(class); i++)
		r = class_of(f, bt_stream_class_borrow_event_class_by_index_const(class, i), &c);
	return r;
}

/* ---- messages */

static int wrong(struct foreign *f, const char *what)
{
	char cause[256];

	(void)snprintf(f->input.wrong, sizeof(f->input.wrong),
		       "'%.100s', read by babeltrace2: %.250s", f->name,
		       *foreign_cause(cause, sizeof(cause)) ? cause : what);
	f->input.is_over = true;
	return CTF_BAD;
}

static int64_t ns_of(const bt_clock_snapshot *snapshot)
{
	int64_t ns = 0;

	/* Beyond 64 bits of nanoseconds there is no time to tell. */
	if (snapshot && bt_clock_snapshot_get_ns_from_origin(snapshot, &ns) !=
				BT_CLOCK_SNAPSHOT_GET_NS_FROM_ORIGIN_STATUS_OK)
		bt_current_thread_clear_error();
	return ns;
}

static void stream_name(struct foreign *f, const bt_stream *stream)
{
	const char *name = bt_stream_get_name(stream), *base;

	base = name ? strrchr(name, '/') : NULL;
	f->input.name = (char *)(uintptr_t)(base ? base + 1 : name ?: "stream"); /* only read */
}

static int event_take(struct foreign *f, const bt_message *message)
{
	const bt_event *event = bt_message_event_borrow_event_const(message);
	const bt_stream *stream = bt_event_borrow_stream_const(event);
	const bt_stream_class *class = bt_stream_borrow_class_const(stream);
	const bt_packet *packet = bt_stream_class_supports_packets(class)
					  ? bt_event_borrow_packet_const(event)
					  : NULL;
	int r = class_of(f, bt_event_borrow_class_const(event), &f->class);

	if (r == -ENOTSUP)
		return wrong(f, "types that are nested too deep");
	if (r < 0)
		return r;
	stream_name(f, stream);
	f->input.event = &f->class->event;
	if (bt_stream_class_borrow_default_clock_class_const(class))
		f->input.t_ns =
			ns_of(bt_message_event_borrow_default_clock_snapshot_const(message));
	if (packet != f->packet)
		f->input.offset++;
	f->packet = packet;
	return f->input.t_ns >= f->input.range.from_ns && f->input.t_ns <= f->input.range.to_ns
		       ? CTF_EVENT
		       : CTF_WAIT; /* not wanted: the next one */
}

static int loss_take(struct foreign *f, const bt_message *message, bool is_packets)
{
	struct ctf_loss *loss = &f->input.loss;
	const bt_stream *stream =
		is_packets ? bt_message_discarded_packets_borrow_stream_const(message)
			   : bt_message_discarded_events_borrow_stream_const(message);
	const bt_stream_class *class = bt_stream_borrow_class_const(stream);
	uint64_t nr = 0;

	*loss = (struct ctf_loss){.begin_ns = f->input.t_ns, .end_ns = f->input.t_ns};
	stream_name(f, stream);
	if (is_packets) {
		if (bt_message_discarded_packets_get_count(message, &nr) !=
		    BT_PROPERTY_AVAILABILITY_AVAILABLE)
			nr = 1;
		loss->nr_packets = nr;
		if (bt_stream_class_discarded_packets_have_default_clock_snapshots(class)) {
			loss->begin_ns = ns_of(
				bt_message_discarded_packets_borrow_beginning_default_clock_snapshot_const(
					message));
			loss->end_ns = ns_of(
				bt_message_discarded_packets_borrow_end_default_clock_snapshot_const(
					message));
		}
	} else {
		if (bt_message_discarded_events_get_count(message, &nr) !=
		    BT_PROPERTY_AVAILABILITY_AVAILABLE)
			nr = 1; /* some, at least */
		loss->nr_events = nr;
		if (bt_stream_class_discarded_events_have_default_clock_snapshots(class)) {
			loss->begin_ns = ns_of(
				bt_message_discarded_events_borrow_beginning_default_clock_snapshot_const(
					message));
			loss->end_ns = ns_of(
				bt_message_discarded_events_borrow_end_default_clock_snapshot_const(
					message));
		}
	}
	f->input.t_ns = loss->begin_ns;
	return loss->end_ns >= f->input.range.from_ns && loss->begin_ns <= f->input.range.to_ns
		       ? CTF_LOSS
		       : CTF_WAIT;
}

/* Return: CTF_WAIT: nothing to tell, else an enum ctf_step, or -errno. */
static int message_take(struct foreign *f, const bt_message *message)
{
	int r;

	switch (bt_message_get_type(message)) {
	case BT_MESSAGE_TYPE_EVENT: return event_take(f, message);
	case BT_MESSAGE_TYPE_DISCARDED_EVENTS: return loss_take(f, message, false);
	case BT_MESSAGE_TYPE_DISCARDED_PACKETS: return loss_take(f, message, true);
	case BT_MESSAGE_TYPE_STREAM_BEGINNING:
		r = stream_begin(f, bt_message_stream_beginning_borrow_stream_const(message));
		return r == -ENOTSUP ? wrong(f, "types that are nested too deep")
		       : r < 0       ? r
				     : CTF_WAIT;
	case BT_MESSAGE_TYPE_STREAM_END:
	case BT_MESSAGE_TYPE_PACKET_BEGINNING:
	case BT_MESSAGE_TYPE_PACKET_END:
	case BT_MESSAGE_TYPE_MESSAGE_ITERATOR_INACTIVITY: break;
	}
	return CTF_WAIT;
}

static void message_drop(struct foreign *f)
{
	if (f->message)
		bt_message_put_ref(f->message);
	f->message = NULL;
}

int foreign_step(struct foreign *f)
{
	int step = CTF_WAIT;

	message_drop(f);
	while (step == CTF_WAIT && !f->input.is_over) {
		if (f->at < f->nr_messages) {
			f->message = f->messages[f->at++];
			step = message_take(f, f->message);
			if (step != CTF_EVENT)
				message_drop(f);
			continue;
		}
		f->at = f->nr_messages = 0;
		switch (bt_graph_run_once(f->graph)) {
		case BT_GRAPH_RUN_ONCE_STATUS_OK: break;
		case BT_GRAPH_RUN_ONCE_STATUS_END: f->input.is_over = true; return CTF_END;
		case BT_GRAPH_RUN_ONCE_STATUS_AGAIN: return CTF_WAIT;
		case BT_GRAPH_RUN_ONCE_STATUS_MEMORY_ERROR:
			bt_current_thread_clear_error();
			return -ENOMEM;
		case BT_GRAPH_RUN_ONCE_STATUS_ERROR: return wrong(f, "it failed");
		}
	}
	return step == CTF_WAIT ? CTF_END : step;
}

/* ---- the graph */

static bt_graph_simple_sink_component_initialize_func_status sink_begin(
	bt_message_iterator *iterator, void *data)
{
	(void)iterator;
	(void)data;
	return BT_GRAPH_SIMPLE_SINK_COMPONENT_INITIALIZE_FUNC_STATUS_OK;
}

static bt_graph_simple_sink_component_consume_func_status sink_consume(
	bt_message_iterator *iterator, void *data)
{
	struct foreign *f = data;

	switch (bt_message_iterator_next(iterator, &f->messages, &f->nr_messages)) {
	case BT_MESSAGE_ITERATOR_NEXT_STATUS_OK:
		return BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_OK;
	case BT_MESSAGE_ITERATOR_NEXT_STATUS_END:
		return BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_END;
	case BT_MESSAGE_ITERATOR_NEXT_STATUS_AGAIN:
		return BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_AGAIN;
	case BT_MESSAGE_ITERATOR_NEXT_STATUS_MEMORY_ERROR:
		return BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_MEMORY_ERROR;
	case BT_MESSAGE_ITERATOR_NEXT_STATUS_ERROR: break;
	}
	return BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_ERROR;
}

/* Where to read. Sources call it `inputs`, a list; those that read one file may call it `path`, and
 * each refuses what it does not know. */
static bt_value *params_make(const char *input, bool is_path)
{
	bt_value *params = bt_value_map_create(), *inputs = NULL;
	bool is_good = params;

	if (is_good && is_path)
		is_good = bt_value_map_insert_string_entry(params, "path", input) ==
			  BT_VALUE_MAP_INSERT_ENTRY_STATUS_OK;
	else if (is_good)
		is_good = bt_value_map_insert_empty_array_entry(params, "inputs", &inputs) ==
				  BT_VALUE_MAP_INSERT_ENTRY_STATUS_OK &&
			  bt_value_array_append_string_element(inputs, input) ==
				  BT_VALUE_ARRAY_APPEND_ELEMENT_STATUS_OK;
	if (is_good)
		return params;
	if (params)
		bt_value_put_ref(params);
	return NULL;
}

static const bt_component_class_filter *muxer_find(const bt_plugin_set *plugins)
{
	for (uint64_t i = 0; i < bt_plugin_set_get_plugin_count(plugins); i++) {
		const bt_plugin *plugin = bt_plugin_set_borrow_plugin_by_index_const(plugins, i);

		if (strcmp(bt_plugin_get_name(plugin), "utils") == 0)
			return bt_plugin_borrow_filter_component_class_by_name_const(plugin,
										     "muxer");
	}
	return NULL;
}

/* The muxer grows a port as soon as its last one is taken. */
static bool source_connect(struct foreign *f, const bt_component_source *source,
			   const bt_component_filter *muxer)
{
	uint64_t nr = bt_component_source_get_output_port_count(source);
	bool is_good = true;

	for (uint64_t i = 0; i < nr && is_good; i++)
		is_good =
			bt_graph_connect_ports(
				f->graph,
				bt_component_source_borrow_output_port_by_index_const(source, i),
				bt_component_filter_borrow_input_port_by_index_const(
					muxer, bt_component_filter_get_input_port_count(muxer) - 1),
				NULL) == BT_GRAPH_CONNECT_PORTS_STATUS_OK;
	return is_good;
}

static int graph_make(struct foreign *f, const bt_component_class_source *class, bool is_path)
{
	const bt_component_class_filter *muxer_class = muxer_find(f->plugins);
	const bt_component_source *source = NULL;
	const bt_component_filter *muxer = NULL;
	const bt_component_sink *sink = NULL;
	bt_value *params = params_make(f->name, is_path);
	bool is_good;

	f->graph = bt_graph_create(0);
	if (!params || !f->graph || !muxer_class) {
		if (params)
			bt_value_put_ref(params);
		return muxer_class ? -ENOMEM : -ENOTSUP;
	}
	is_good =
		bt_graph_add_source_component(f->graph, class, "source", params,
					      BT_LOGGING_LEVEL_NONE,
					      &source) == BT_GRAPH_ADD_COMPONENT_STATUS_OK &&
		bt_graph_add_filter_component(f->graph, muxer_class, "muxer", NULL,
					      BT_LOGGING_LEVEL_NONE,
					      &muxer) == BT_GRAPH_ADD_COMPONENT_STATUS_OK &&
		bt_graph_add_simple_sink_component(f->graph, "sink", sink_begin, sink_consume, NULL,
						   f, &sink) == BT_GRAPH_ADD_COMPONENT_STATUS_OK &&
		source_connect(f, source, muxer) &&
		bt_graph_connect_ports(
			f->graph, bt_component_filter_borrow_output_port_by_index_const(muxer, 0),
			bt_component_sink_borrow_input_port_by_index_const(sink, 0),
			NULL) == BT_GRAPH_CONNECT_PORTS_STATUS_OK;
	bt_value_put_ref(params);
	return is_good ? 0 : -EBADMSG;
}

static void foreign_closep(struct foreign **f)
{
	*f = foreign_close(*f);
}

int foreign_open(const char *input, const char *plugin, struct ctf_range range,
		 struct tocsin_err *err, struct foreign **ret_foreign)
{
	struct foreign *f TOCSIN_CLEANUP(foreign_closep) = calloc(1, sizeof(*f));
	const bt_component_class_source *class;
	char cause[256];
	int r;

	if (!f)
		return -ENOMEM;
	f->name = strdup(input);
	f->meta.version = 1;
	f->meta.stream = &f->stream_meta;
	f->stream.meta = &f->stream_meta;
	f->input.name = f->name;
	f->input.range = range;
	f->input.map.fd = -1;
	r = f->name ? foreign_find(input, plugin, err, &f->plugins, &class) : -ENOMEM;
	if (r < 0)
		return r;
	r = graph_make(f, class, false);
	if (r < 0)
		(void)foreign_cause(cause, sizeof(cause)); /* of the first try */
	if (r == -EBADMSG) {
		bt_graph_put_ref(f->graph);
		f->graph = NULL;
		r = graph_make(f, class, true);
		bt_current_thread_clear_error();
	}
	if (r < 0)
		return tocsin_err_fail(r, err, "babeltrace2 cannot read '%s'%s%s", input,
				       *cause ? ": " : "", cause);
	*ret_foreign = tocsin_take_ptr(&f);
	return 0;
}

struct foreign *foreign_close(struct foreign *f)
{
	if (!f)
		return NULL;
	message_drop(f);
	while (f->at < f->nr_messages)
		bt_message_put_ref(f->messages[f->at++]);
	if (f->graph)
		bt_graph_put_ref(f->graph);
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (f->bucket[i]) {
			struct class *c = f->bucket[i];

			f->bucket[i] = c->next;
			bt_event_class_put_ref(c->of);
			free(c);
		}
	}
	if (f->plugins)
		bt_plugin_set_put_ref(f->plugins);
	arena_done(&f->meta.arena);
	free(f->name);
	free(f);
	return NULL;
}

/* ---- the event at hand */

struct ctf_input *foreign_input(struct foreign *f)
{
	return &f->input;
}

static int scope_add(struct ctf_values *values, const bt_field *field, const struct meta_type *type,
		     enum plan_scope scope)
{
	return field && type ? foreign_values_add(values, field, type, NULL, scope) : 0;
}

int foreign_values(struct foreign *f, struct ctf_values *values)
{
	const bt_event *event;
	int r;

	values->nr = 0;
	if (!f->message)
		return 0;
	event = bt_message_event_borrow_event_const(f->message);
	r = scope_add(values, bt_event_borrow_common_context_field_const(event), f->class->common,
		      SCOPE_STREAM_CONTEXT);
	if (r == 0)
		r = scope_add(values, bt_event_borrow_specific_context_field_const(event),
			      f->class->event.meta->context, SCOPE_EVENT_CONTEXT);
	return r
		       ?: scope_add(values, bt_event_borrow_payload_field_const(event),
				    f->class->event.meta->payload, SCOPE_PAYLOAD);
}

int foreign_packet_values(struct foreign *f, struct ctf_values *values)
{
	values->nr = 0;
	if (!f->message || !f->packet)
		return 0;
	return scope_add(values, bt_packet_borrow_context_field_const(f->packet), f->class->packet,
			 SCOPE_PACKET_CONTEXT);
}

int foreign_each_class(const struct foreign *f, foreign_class_fn *fn, void *context)
{
	int r = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		for (const struct class *c = f->bucket[i]; c && r == 0; c = c->next)
			r = fn(&c->event, &f->stream, context);
	return r;
}

const struct meta *foreign_meta(const struct foreign *f)
{
	return &f->meta;
}

const char *foreign_dir(const struct foreign *f)
{
	return f->name;
}
