/* SPDX-License-Identifier: MIT */
#ifndef TESTS_TRACEE_PROBES_H
#define TESTS_TRACEE_PROBES_H

/* What the files of the program tracee_probes share. */

#include <stdatomic.h>
#include <stdbool.h>

#include "tocsin/probe.h"

extern atomic_long calls; /* of callbacks */

/* A line "NAME GOT WANTED". */
void say(const char *name, long long got, long long wanted);
/* Ends the program where registering failed. */
int must(int id);
/* Adds to `calls`. */
void count(const struct tocsin_record *record, void *data);

/* The events probes:step and probes:other. */
void step(unsigned n);
void other(unsigned n);

void mode_storm(void);
void mode_handlers(bool has_stack);
void mode_trap(bool has_stack);
void mode_tracers(void);
void mode_longjmp(void);
void mode_handler_longjmp(void);
void mode_contexts(void);

#endif
