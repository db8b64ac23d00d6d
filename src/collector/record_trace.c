// SPDX-License-Identifier: MIT
/*
 * The trace of a recording. What metadata says can only grow or become more exact: it is written
 * again, in one step, before the first packet that needs it.
 *
 * Lists of events: two processes of the same program describe the same events with the same
 * numbers, so they share a stream class. A list is extended as long as nobody contradicts; a
 * process that does gets a list of its own, beginning with what it has said so far.
 */
#include "record_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../ctf/metadata_event.h"
#include "../ctf/trace_dir.h"
#include "../ctf/writer.h"
#include "record_chunk.h"

/* clang-format off */
#define EVENT(name, id)           static const struct ctf_field fields_##name[] = {
#define FIELD(event, KIND, name)  {#name, CTF_##KIND, offsetof(struct record_event_##event, name), NULL},
#define END(event)                };
#include "record_trace.def"
#undef EVENT
#undef FIELD
#undef END

#define EVENT(name, id) {#name, fields_##name, sizeof(fields_##name) / sizeof(fields_##name[0]), id},
#define FIELD(event, KIND, name)
#define END(event)
static const struct ctf_event_class classes[] = {
#include "record_trace.def"
};
#undef EVENT
#undef FIELD
#undef END
/* clang-format on */

static const struct ctf_stream_class session_class = {
	.name = "session",
	.event = classes,
	.nr_events = sizeof(classes) / sizeof(classes[0]),
};

struct record_shape {
	struct record_shape *next;
	uint32_t nr_layouts, nr_classes;
	uint32_t layout[CONTROL_LAYOUTS];
	struct control_class *class[CONTROL_CLASSES]; /* owned copies, by id */
};

/* A list on a clock. */
struct stream_class {
	struct record_shape *shape;
	unsigned clock;
};

enum {
	ENV_DOMAIN,
	ENV_TRACER,
	ENV_VERSION,
	ENV_FORMAT,
	ENV_HOSTNAME,
	ENV_KERNEL,
	ENV_MACHINE,
	ENV_CLOCK,
	ENV_OFFSET,
	ENV_COMMAND,
	ENV_NR
};

struct record_trace {
	const struct record_trace_options *opts;
	const struct timebase *tb;
	int dir_fd; /* of the trace that is being written */
	unsigned chunk;
	uint8_t uuid[16];
	struct ctf_writer *session;
	struct ctf_stream *stream;
	struct record_shape *shapes;
	struct stream_class *class;
	unsigned nr_classes;
	bool is_stale; /* metadata */
	struct utsname host;
	struct record_chunks *chunks; /* NULL: not chunked */
	char offset_text[24];
	struct ctf_env env[ENV_NR];
	struct ctf_trace_class trace;
};

/* --- lists --- */

static void shape_free(struct record_shape *shape)
{
	for (uint32_t i = 0; i < shape->nr_classes; i++)
		free(shape->class[i]);
	free(shape);
}

static bool class_equal(const struct control_class *a, const struct control_class *b)
{
	return a->bytes == b->bytes && !memcmp(a, b, a->bytes);
}

static bool shape_agrees(const struct record_shape *shape, const uint32_t *layout,
			 uint32_t nr_layouts, const struct control_class *const *class, uint32_t nr)
{
	for (uint32_t i = 0; i < nr_layouts && i < shape->nr_layouts; i++)
		if (layout[i] != shape->layout[i])
			return false;
	for (uint32_t i = 0; i < nr && i < shape->nr_classes; i++)
		if (!class_equal(class[i], shape -> class[i]))
			return false;
	return true;
}

static int shape_extend(struct record_trace *t, struct record_shape *shape, const uint32_t *layout,
			uint32_t nr_layouts, const struct control_class *const *class, uint32_t nr)
{
	for (uint32_t i = shape->nr_layouts; i < nr_layouts; i++) {
		shape->layout[shape->nr_layouts++] = layout[i];
		t->is_stale = true;
	}
	for (uint32_t i = shape->nr_classes; i < nr; i++) {
		struct control_class *copy = malloc(class[i] -> bytes);

		if (!copy)
			return -ENOMEM;
		memcpy(copy, class[i], class[i] -> bytes);
		shape->class[shape->nr_classes++] = copy;
		t->is_stale = true;
	}
	return 0;
}

int record_trace_shape(struct record_trace *t, struct record_shape *have, const uint32_t *layout,
		       uint32_t nr_layouts, const struct control_class *const *class, uint32_t nr,
		       struct record_shape **ret_shape)
{
	struct record_shape *shape = have;
	int r;

	if (!shape || !shape_agrees(shape, layout, nr_layouts, class, nr))
		for (shape = t->shapes; shape; shape = shape->next)
			if (shape_agrees(shape, layout, nr_layouts, class, nr))
				break;
	if (!shape) {
		shape = calloc(1, sizeof(*shape));
		if (!shape)
			return -ENOMEM;
		shape->next = t->shapes;
		t->shapes = shape;
	}
	r = shape_extend(t, shape, layout, nr_layouts, class, nr);
	if (r < 0)
		return r;
	*ret_shape = shape;
	return 0;
}

const struct control_class *record_shape_class(const struct record_shape *shape, uint32_t record_id,
					       uint32_t *ret_contexts)
{
	uint32_t layout = record_id / CONTROL_CLASSES, id = record_id % CONTROL_CLASSES;

	if (layout >= shape->nr_layouts || id >= shape->nr_classes)
		return NULL;
	*ret_contexts = shape->layout[layout];
	return shape->class[id];
}

int record_trace_stream_class(struct record_trace *t, struct record_shape *shape, unsigned clock)
{
	struct stream_class *more;

	for (unsigned i = 0; i < t->nr_classes; i++)
		if (t->class[i].shape == shape && t->class[i].clock == clock)
			return (int)i + 1;
	more = reallocarray(t->class, t->nr_classes + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	t->class = more;
	more[t->nr_classes++] = (struct stream_class){shape, clock};
	t->is_stale = true;
	return (int)t->nr_classes;
}

void record_trace_redraw(struct record_trace *t)
{
	t->is_stale = true;
}

/* --- metadata --- */

static struct ctf_clock clock_of(const struct record_trace *t, unsigned i)
{
	const struct timebase_line *line = &t->tb->line[i];
	struct ctf_clock clock = {.description = "counter of the CPU", .freq_hz = line->freq_hz};

	(void)snprintf(clock.name, sizeof(clock.name), "tsc_%u", i);
	(void)snprintf(clock.suffix, sizeof(clock.suffix), "_tsc_%u", i);
	timebase_line_offset(line, t->trace.realtime_offset_ns, &clock.offset_s, &clock.offset);
	return clock;
}

/* Every class in every layout. Return: how many, or -ENOMEM. */
static int events_of(const struct record_shape *shape, struct ctf_recorded_event **ret_event)
{
	size_t nr = (size_t)shape->nr_layouts * shape->nr_classes;
	struct ctf_recorded_event *event = calloc(nr ?: 1, sizeof(*event));

	if (!event)
		return -ENOMEM;
	nr = 0;
	for (uint32_t l = 0; l < shape->nr_layouts; l++)
		for (uint32_t i = 0; i < shape->nr_classes; i++)
			event[nr++] = (struct ctf_recorded_event){
				.class = shape->class[i],
				.id = control_record_id(l, i),
				.contexts = shape->layout[l],
			};
	*ret_event = event;
	return (int)nr;
}

static int metadata_text(struct record_trace *t, struct ctf_recorded *rec,
			 struct ctf_recorded_stream *stream, char **ret_text, size_t *ret_len)
{
	int r = 0;

	for (unsigned i = 0; i < t->nr_classes && r >= 0; i++) {
		struct ctf_recorded_event *event;

		r = events_of(t->class[i].shape, &event);
		if (r < 0)
			break;
		stream[i] = (struct ctf_recorded_stream){
			.id = i + 1,
			.clock = t->class[i].clock,
			.event = event,
			.nr_events = (size_t)r,
		};
		rec->nr_streams = i + 1;
	}
	if (r >= 0)
		r = t->opts->is_ctf2 ? ctf_recorded_metadata_json(rec, ret_text, ret_len)
				     : ctf_recorded_metadata(rec, ret_text, ret_len);
	return r;
}

static int metadata_write(struct record_trace *t)
{
	struct ctf_recorded_stream *stream TOCSIN_CLEANUP(tocsin_free_voidp) =
		calloc(t->nr_classes + 1, sizeof(*stream));
	unsigned nr_clocks = t->tb ? t->tb->nr_lines : 0;
	struct ctf_clock *clock TOCSIN_CLEANUP(tocsin_free_voidp) =
		calloc(nr_clocks + 1, sizeof(*clock));
	struct ctf_recorded rec = {.trace = &t->trace, .clock = clock, .nr_clocks = nr_clocks};
	char *text TOCSIN_CLEANUP(tocsin_free_charp) = NULL;
	size_t len = 0;
	int r;

	if (!stream || !clock)
		return -ENOMEM;
	for (unsigned i = 0; i < nr_clocks; i++)
		clock[i] = clock_of(t, i);
	memcpy(rec.uuid, t->uuid, sizeof(rec.uuid));
	rec.stream = stream;
	r = metadata_text(t, &rec, stream, &text, &len);
	for (size_t i = 0; i < rec.nr_streams; i++)
		free((void *)(uintptr_t)stream[i].event); /* ours: events_of() */
	if (r >= 0)
		r = ctf_metadata_replace(t->dir_fd, text, len);
	if (r >= 0)
		t->is_stale = false;
	return r < 0 ? r : 0;
}

/* --- chunks --- */

static int session_open(struct record_trace *t)
{
	int r = ctf_writer_open_in(t->dir_fd, &t->trace, t->uuid, &t->session);

	return r ?: ctf_writer_add_stream(t->session, 0, 0, &t->stream);
}

static int chunk_begin(struct record_trace *t, struct tocsin_err *err)
{
	char path[PATH_MAX];
	int r;

	r = ctf_uuid_make(t->uuid);
	if (r < 0)
		return tocsin_err_fail(r, err, "no random numbers");
	if (t->opts->is_chunked && snprintf(path, sizeof(path), "%s/" RECORD_CHUNK_FORMAT,
					    t->opts->dir, t->chunk) >= (int)sizeof(path))
		return tocsin_err_fail(-ENAMETOOLONG, err, "the name of the directory is too long");
	r = ctf_trace_dir_open(t->opts->is_chunked ? path : t->opts->dir, err, &t->dir_fd, NULL);
	if (r < 0)
		return r;
	r = metadata_write(t);
	if (r == 0)
		r = session_open(t);
	if (r < 0)
		return tocsin_err_fail(r, err, "cannot write trace '%s': %s", t->opts->dir,
				       strerror(-r));
	return 0;
}

/* Return: 0, or the first -errno. */
static int chunk_end(struct record_trace *t)
{
	int r = 0;

	if (t->session)
		r = ctf_writer_flush(t->session);
	t->session = ctf_writer_close(t->session);
	if (t->is_stale && t->dir_fd >= 0)
		r = metadata_write(t) ?: r;
	tocsin_close_fdp(&t->dir_fd);
	t->dir_fd = -1;
	return r;
}

int record_trace_rotate(struct record_trace *t)
{
	struct record_trace old = *t;
	int flushed = ctf_writer_flush(t->session), r;

	if (t->is_stale)
		flushed = metadata_write(t) ?: flushed;
	t->session = NULL;
	t->dir_fd = -1;
	t->chunk++;
	t->class = NULL; /* begun anew with what is in use */
	t->nr_classes = 0;
	r = chunk_begin(t, NULL);
	if (r < 0) {
		t->session = ctf_writer_close(t->session);
		tocsin_close_fdp(&t->dir_fd);
		free(t->class);
		*t = old;
		return r;
	}
	(void)ctf_writer_close(old.session); /* flushed above */
	tocsin_close_fdp(&old.dir_fd);
	free(old.class);
	return flushed;
}

void record_trace_rotated(struct record_trace *t)
{
	record_chunks_finished(t->chunks, t->chunk - 1);
}

unsigned record_trace_chunk(const struct record_trace *t)
{
	return t->chunk;
}

/* --- opening and closing --- */

static void env_fill(struct record_trace *t)
{
	(void)uname(&t->host); /* fails for a bad pointer only */
	(void)snprintf(t->offset_text, sizeof(t->offset_text), "%lld",
		       (long long)t->trace.realtime_offset_ns);
	t->env[ENV_DOMAIN] = (struct ctf_env){"domain", "record"};
	t->env[ENV_TRACER] = (struct ctf_env){"tracer_name", "tocsin"};
	t->env[ENV_VERSION] = (struct ctf_env){"tracer_version", t->opts->version};
	t->env[ENV_FORMAT] = (struct ctf_env){"tocsin_format", "1"};
	t->env[ENV_HOSTNAME] = (struct ctf_env){"hostname", t->host.nodename};
	t->env[ENV_KERNEL] = (struct ctf_env){"kernel_release", t->host.release};
	t->env[ENV_MACHINE] = (struct ctf_env){"architecture", t->host.machine};
	t->env[ENV_CLOCK] = (struct ctf_env){"clock", t->tb ? "tsc" : "monotonic"};
	t->env[ENV_OFFSET] = (struct ctf_env){"realtime_offset_ns", t->offset_text};
	t->env[ENV_COMMAND] = (struct ctf_env){"command", t->opts->command};
	t->trace.stream = &session_class;
	t->trace.nr_streams = 1;
	t->trace.env = t->env;
	t->trace.nr_env = ENV_NR;
}

int record_trace_open(const struct record_trace_options *opts, const struct timebase *tb,
		      struct tocsin_err *err, struct record_trace **ret_trace)
{
	struct record_trace *t = calloc(1, sizeof(*t));
	int r = 0, ignored;

	if (!t)
		return tocsin_err_fail(-ENOMEM, err, "out of memory");
	t->opts = opts;
	t->tb = tb;
	t->dir_fd = -1;
	t->chunk = 1;
	t->trace.realtime_offset_ns = clock_realtime_offset_ns();
	env_fill(t);
	if (opts->is_chunked) {
		int fd TOCSIN_CLEANUP(tocsin_close_fdp) = -1;

		r = ctf_trace_dir_open(opts->dir, err, &fd, NULL);
		if (r == 0)
			r = record_chunks_open(opts->dir, opts->is_zstd, opts->keep, &t->chunks);
	}
	if (r == 0)
		r = chunk_begin(t, err);
	if (r < 0) {
		(void)record_trace_close(t, &ignored);
		return r;
	}
	*ret_trace = t;
	return 0;
}

struct record_trace *record_trace_close(struct record_trace *t, int *ret_r)
{
	*ret_r = 0;
	if (!t)
		return NULL;
	*ret_r = chunk_end(t);
	if (t->chunks) {
		int r;

		record_chunks_finished(t->chunks, t->chunk);
		t->chunks = record_chunks_close(t->chunks, &r);
		*ret_r = *ret_r ?: r;
	}
	while (t->shapes) {
		struct record_shape *shape = t->shapes;

		t->shapes = shape->next;
		shape_free(shape);
	}
	free(t->class);
	free(t);
	return NULL;
}

/* --- streams --- */

int record_trace_stream_open(struct record_trace *t, struct ctf_ring_stream *s, const char *name,
			     struct ctf_ring_identity *id, uint64_t first)
{
	memcpy(id->uuid, t->uuid, sizeof(id->uuid));
	return ctf_ring_stream_open(s, t->dir_fd, name, id, first);
}

int record_trace_stream_put(struct record_trace *t, struct ctf_ring_stream *s,
			    const struct ctf_ring_packet *packet)
{
	int r = t->is_stale ? metadata_write(t) : 0;

	return r ?: ctf_ring_stream_put(s, packet);
}

int record_trace_say(struct record_trace *t, enum record_event event, const void *values)
{
	return ctf_stream_append(t->stream, &classes[event], clock_now_ns(), values);
}

int record_trace_tick(struct record_trace *t)
{
	int r = t->is_stale ? metadata_write(t) : 0;

	return ctf_writer_tick(t->session, clock_now_ns()) ?: r;
}

int64_t record_trace_realtime_offset(const struct record_trace *t)
{
	return t->trace.realtime_offset_ns;
}
