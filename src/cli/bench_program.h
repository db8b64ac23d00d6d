/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_BENCH_PROGRAM_H
#define TOCSIN_CLI_BENCH_PROGRAM_H

/* Programs that are measured from outside, or measure themselves and print `name value` lines. */

#include <stddef.h>
#include <sys/types.h>

/**
 * bench_program_find() - one of our own, beside this program or where it was installed.
 *
 * Return: 0, -ENOENT.
 */
int bench_program_find(const char *name, char *path, size_t size);

/**
 * bench_program_run() - run a program to its end and keep what it prints.
 * @argv: the program, a path or a name to be looked for in PATH; NULL at the end
 * @cpu:  where it runs, -1: anywhere
 * @text: what it wrote to its standard output, terminated and cut to @size; NULL: not wanted
 *
 * Its standard error goes nowhere. Return: its exit status, 128 + signal, or -errno.
 */
int bench_program_run(const char *const argv[], int cpu, char *text, size_t size);

/** bench_program_value() - the number behind a name in what a program printed; -1: it is not there.
 */
double bench_program_value(const char *text, const char *name);

#endif
