/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_MONITOR_BIND_H
#define TOCSIN_MONITOR_BIND_H

/*
 * What a model's events are made of, one text for the command line and for models:
 *
 *   [MODEL.]EVENT=POINT[,key=FIELD][,set|,clear][,INPUT=FIELD]...[,when=CONDITION]
 *
 * POINT: an event of a trace or a tracepoint, `provider:name`; or a place of a running program as
 * `tocsin watch` takes it (func:, usdt:, syscall:, PATH:OFFSET). `key` says which field tells
 * instances apart; `set` and `clear` make an atom true until it is cleared. A condition is that of
 * trace/where.h and comes last. Built in, beside the fields of an event: thread, process, cpu,
 * prio, rt, user.
 */

#include "../abi/monitor.h"
#include "../automata/model.h"
#include "../trace/where.h"

#define BIND_POINT_MAX 512
#define BIND_FIELD_MAX 64

struct bind_input {
	uint8_t input; /* of the model */
	char field[BIND_FIELD_MAX];
};

struct bind {
	int event; /* of the model; of a formula an atom */
	enum monitor_how how;
	char point[BIND_POINT_MAX];
	char key[BIND_FIELD_MAX]; /* "": what the scope says */
	struct where *when;       /* owned; NULL: always */
	struct bind_input input[MONITOR_INPUTS];
	unsigned nr_inputs;
};

struct bind_list {
	struct bind *item; /* owned */
	size_t nr;
};

/**
 * bind_model() - all bindings of a model.
 * @extra: texts of the command line, lent; those for other models are passed over
 * @used:  one each of @extra: set to true where it was for this model
 *
 * An event that @extra binds loses what the model says.
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int bind_model(const struct model *m, const char *const *extra, size_t nr, bool *used,
	       struct bind_list *ret, struct tocsin_err *err);

/** bind_params() - set parameters: `[MODEL.]NAME=NUMBER[UNIT]`, as above. */
int bind_params(struct model *m, const char *const *text, size_t nr, bool *used,
		struct tocsin_err *err);

void bind_list_done(struct bind_list *list);

/* Values of an event, by name, while rules are made. */
struct bind_values {
	/** Return: 0 and which value it is, -ENOENT, -ENOTSUP, -E2BIG. */
	int (*value)(void *context, const char *field, unsigned *ret);
	void *context;
};

/**
 * bind_rule() - a binding as a rule over the values of one class of events.
 * @ret: monitor and is_last are left to the caller
 *
 * Return: 0, -ENOENT a field is not there, -ENOTSUP a condition on texts, -E2BIG.
 */
int bind_rule(const struct model *m, const struct bind *b, const struct bind_values *values,
	      struct monitor_rule *ret, struct tocsin_err *err);

#endif
