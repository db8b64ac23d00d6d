/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_DOCTOR_BPF_H
#define TOCSIN_COLLECTOR_DOCTOR_BPF_H

/* Loading bpf/doctor.bpf.c, for doctor_kernel.c and doctor_uprobe.c. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

/* bpftool's generated code is not ours to mend */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "doctor.skel.h"
#include "doctor_work.skel.h"
#pragma GCC diagnostic pop

#define DOCTOR_NAPS \
	100 /* how often to look for something that should have happened: 10 ms in all */

/* What a row needs of an object. */
struct doctor_part {
	const char *program;
	const char *second;   /* another program, or NULL */
	const char *map;      /* or NULL */
	unsigned attach_type; /* of the first program, 0: as its section says */
};

/**
 * doctor_part_load() - open bpf/doctor.bpf.c and have a part of it in the kernel; the rest stays
 * outside.
 * @part:       lent
 * @ret_object: to be given to doctor_bpf__destroy()
 *
 * Return: 0, or -errno of the step that failed.
 */
int doctor_part_load(const struct doctor_part *part, struct doctor_bpf **ret_object);

static inline void doctor_bpf_destroyp(struct doctor_bpf **object)
{
	doctor_bpf__destroy(*object);
}

/** doctor_program_run() - run a SEC("syscall") program once. Return: its own return value, or
 * -errno. */
int doctor_program_run(const struct bpf_program *program);

/** doctor_nap() - sleep for 0.1 ms. */
void doctor_nap(void);

/** doctor_wait() - nap until *@word is not 0, DOCTOR_NAPS times at most. Return: *@word. */
uint64_t doctor_wait(const volatile __u64 *word);

static inline void doctor_link_destroyp(struct bpf_link **link)
{
	(void)bpf_link__destroy(*link); /* closes descriptors: nothing to do about a failure */
}

#endif
