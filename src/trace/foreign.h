/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TRACE_FOREIGN_H
#define TOCSIN_TRACE_FOREIGN_H

/*
 * Traces that libbabeltrace2 reads, as one stream of events in the order of time: whatever it has a
 * plugin for. foreign_none.c stands in where it was built without.
 *
 * Its events look like those of the own reader: the input's members (time, class, loss, what is
 * wrong) are filled in, and types and values are translated. Only what steps over bytes knows which
 * of the two it has.
 */

#include "../ctf/read.h"

struct foreign;

/**
 * foreign_open() - a graph from a source of babeltrace2.
 * @input: a file, a directory, or a URL; lent
 * @plugin: its source, as `PLUGIN.CLASS`, lent; NULL: the one that knows the input best
 * @range: what is wanted of it
 *
 * Return: 0, or -ENOTSUP none knows it, or built without libbabeltrace2; -EBADMSG the source
 * refused it, -ENOMEM; @err says what. Thread-safe: no. Signal-safe: no.
 */
int foreign_open(const char *input, const char *plugin, struct ctf_range range,
		 struct tocsin_err *err, struct foreign **ret_foreign);

/** foreign_close() - @f may be NULL. Return: NULL. */
struct foreign *foreign_close(struct foreign *f);

/**
 * foreign_step() - to the next event, loss or end.
 *
 * Return: an enum ctf_step (CTF_WAIT: a live source has nothing now), or -ENOMEM. CTF_BAD: input's
 * `wrong` says what, and nothing follows.
 */
int foreign_step(struct foreign *f);

/** foreign_input() - what the step came to; lives as long as @f. */
struct ctf_input *foreign_input(struct foreign *f);

/** foreign_values() - as ctf_input_values(). Return: 0, -ENOMEM. */
int foreign_values(struct foreign *f, struct ctf_values *values);

/** foreign_packet_values() - the context of the packet that the event is in. Return: as above. */
int foreign_packet_values(struct foreign *f, struct ctf_values *values);

/** foreign_each_class() - as trace_each_class(), of the classes known so far. */
typedef int foreign_class_fn(const struct plan_event *class, const struct plan_stream *stream,
			     void *context);
int foreign_each_class(const struct foreign *f, foreign_class_fn *fn, void *context);

/** foreign_dir() - the input, as it was opened. */
const char *foreign_dir(const struct foreign *f);

/** foreign_meta() - the environment of the trace that the event at hand is of. */
const struct meta *foreign_meta(const struct foreign *f);

#endif
