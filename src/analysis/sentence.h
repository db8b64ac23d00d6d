/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ANALYSIS_SENTENCE_H
#define TOCSIN_ANALYSIS_SENTENCE_H

/* Causes in words, to be understood at three in the morning. */

#include <stdbool.h>
#include <stddef.h>

#include "model.h"

#define SPAN_TEXT_LEN 32

/** span_text() - a duration with three digits and no idle zeros: `8.1 ms`. Return: @buf. */
const char *span_text(uint64_t ns, char buf[static SPAN_TEXT_LEN]);

/**
 * subject_class() - how much of a subject names the kind of thing, before which one it is.
 *
 * "row lock (transaction 742)" is a row lock. The path of a cgroup is all class.
 *
 * Return: bytes.
 */
size_t subject_class(enum cause_kind kind, const char *subject);

/**
 * cause_sentence() - fill a cause's text from its other fields.
 * @own_tgid: process of the thread that was late, to say "its own thread"; 0: not one process
 * @is_open:  it still is so: nobody has woken it, and nothing is said of why not
 */
void cause_sentence(struct cause *c, uint32_t own_tgid, bool is_open);

#endif
