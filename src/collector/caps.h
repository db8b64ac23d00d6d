/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_COLLECTOR_CAPS_H
#define TOCSIN_COLLECTOR_CAPS_H

/*
 * Which privileges this process has, which ones a job takes, and how to get those that are missing.
 * Only reads: nothing is raised or dropped here.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/capability.h>
#include <sys/types.h>

#define CAPS_BIT(cap) (UINT64_C(1) << (cap))

/* What setcap must give the program so that all of `watch` works without root. CAP_SYS_ADMIN stands
 * in for CAP_BPF and CAP_PERFMON. */
#define CAPS_WATCH                                                                            \
	(CAPS_BIT(CAP_SYS_ADMIN) | CAPS_BIT(CAP_SYS_PTRACE) | CAPS_BIT(CAP_DAC_READ_SEARCH) | \
	 CAPS_BIT(CAP_SYSLOG))

enum caps_job {
#define JOB(NAME, caps, text) CAPS_JOB_##NAME,
#include "caps.def"
	CAPS_JOB_NR,
};

struct caps {
	uint64_t effective; /* one bit a capability, CAPS_BIT() */
	uint64_t permitted;
	uint64_t bounding; /* what a program with file capabilities could still gain */
	uid_t uid;         /* effective user */
	unsigned last_cap; /* the highest capability that this kernel knows */
	bool is_user_ns; /* in a user namespace of its own: capabilities do not reach the kernel */
	bool has_no_new_privs; /* programs started from here gain nothing by set-uid bits or file
				  capabilities */
	int seccomp;           /* 0 none, 1 strict, 2 a filter; -1 not known */
};

/**
 * caps_read() - the privileges of the calling thread.
 * @ret_caps: filled on success
 *
 * Return: 0, or -errno of capget(2).
 * Thread-safe: yes. Signal-safe: no.
 */
int caps_read(struct caps *ret_caps);

/** caps_needed() - the capabilities that @job takes on a kernel that knows those up to @last_cap.
 */
uint64_t caps_needed(enum caps_job job, unsigned last_cap);

/**
 * caps_missing() - the capabilities that @job takes and the process lacks.
 * @caps: from caps_read(), lent
 *
 * CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON, as it does in the kernel; before Linux 5.8,
 * which split these off, it is the one that is named. In a user namespace all that the kernel asks
 * for of its initial namespace is missing.
 *
 * Return: a set of CAPS_BIT(), 0: the job can be done.
 * Thread-safe: yes. Signal-safe: yes.
 */
uint64_t caps_missing(const struct caps *caps, enum caps_job job);

/** caps_job_text() - what the job is, to follow "needed to". Return: a constant. */
const char *caps_job_text(enum caps_job job);

/**
 * caps_text() - the set as setcap writes it: `cap_bpf,cap_perfmon`; "none" for the empty set.
 * @buf: storage, always terminated
 * @len: its size in bytes; 128 holds every set of caps.def
 *
 * Return: @buf.
 */
const char *caps_text(uint64_t set, char *buf, size_t len);

/** caps_list() - the same for reading: `cap_bpf, cap_perfmon`. */
const char *caps_list(uint64_t set, char *buf, size_t len);

/**
 * caps_remedy() - how to get the capabilities that are missing, as one line that can be followed.
 * @caps:    from caps_read(), lent
 * @missing: from caps_missing(), not 0
 * @program: path of this program for the setcap line, lent
 * @buf:     storage, always terminated
 * @len:     its size in bytes
 *
 * Names the nearest obstacle: a user namespace, a bounding set without them, no_new_privs;
 * otherwise root or setcap.
 *
 * Return: @buf.
 */
const char *caps_remedy(const struct caps *caps, uint64_t missing, const char *program, char *buf,
			size_t len);

#endif
