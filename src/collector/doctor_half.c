// SPDX-License-Identifier: MIT
/*
 * The kernel half itself: loaded, attached, taken away again. The verifier takes half a second over
 * it, and the other rows spend most of their time waiting for the kernel to let go of probes; so
 * this one runs beside them, on a thread of its own, and its row collects the outcome. Probes of
 * the other rows are bound to their own thread and do not see it.
 */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/parse.h"
#include "../bpf/watch.h"
#include "doctor_probe.h"
#include "process.h"

struct doctor_half {
	pthread_t thread;
	int r; /* of pthread_create(); then the thread's, until it is joined */
	uint64_t took_ns;
	struct tocsin_err err;
};

static void *half_main(void *arg)
{
	struct doctor_half *half = arg;
	struct watch_kernel_config cfg;
	struct watch_kernel *kernel;
	uint64_t began = clock_now_ns();

	/* Small tables: whether it is accepted does not depend on their size. */
	watch_kernel_defaults(&cfg);
	cfg.max_threads = 64;
	cfg.max_spells = 64;
	cfg.max_keyed = 64;
	cfg.max_stacks = 64;
	cfg.max_deadlines = 64;
	cfg.ring_bytes = 64u << 10;
	half->r = watch_kernel_open(&cfg, &kernel, &half->err);
	if (half->r == 0) {
		(void)watch_kernel_close(kernel);
		half->r = process_check_numbers(&half->err);
	}
	half->took_ns = clock_now_ns() - began;
	return NULL;
}

void doctor_half_start(struct doctor *d)
{
	struct doctor_half *half = calloc(1, sizeof(*half));

	d->half = half;
	if (half)
		half->r = -pthread_create(&half->thread, NULL, half_main, half);
	if (half && half->r < 0) {
		d->half_err = half->r;
		free(half);
		d->half = NULL;
	}
}

void probe_kernel_half(struct doctor *d, struct doctor_row *row)
{
	struct doctor_half *half = d->half;
	char text[DOCTOR_TEXT_LEN];
	char took[24];

	if (!half) {
		doctor_no(row, d->half_err, "starting a thread to load it");
		return;
	}
	d->half = NULL;
	(void)pthread_join(half->thread, NULL); /* ours, and joined once: cannot fail */
	if (half->r < 0)
		doctor_no(row, half->r, "%s",
			  half->err.nr_causes ? tocsin_err_text(&half->err, text, sizeof(text))
					      : "loading it");
	else
		doctor_yes(row, "loaded, attached and taken away in %s",
			   tocsin_format_duration(half->took_ns, took, sizeof(took)));
	free(half);
}
