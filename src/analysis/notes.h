/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ANALYSIS_NOTES_H
#define TOCSIN_ANALYSIS_NOTES_H

/* Notes: what a program itself said that it is going to wait for (abi/notes.def). */

#include <stddef.h>

#include <linux/types.h>

/**
 * note_subject() - what a note's arguments name.
 * @kind: as in struct watch_spell
 * @note: its WATCH_ARGS arguments, lent
 * @buf:  storage for "row lock (transaction 742)": what it is, then in brackets which one
 * @len:  its size in bytes
 *
 * Return: 0, or -ENOENT not a kind of note.
 * Thread-safe: yes. Signal-safe: no.
 */
int note_subject(unsigned kind, const __u64 *note, char *buf, size_t len);

#endif
