// SPDX-License-Identifier: MIT
/*
 * Privileges, by capget(2) and prctl(2): two system calls do not justify a library.
 *
 * Three things beside the effective set decide what a capability is worth. In a user namespace of
 * its own (a rootless container, unshare -U) root has every capability and none of those that bpf()
 * and perf_event_open() ask for, because they ask the initial namespace. The bounding set says
 * whether a program with file capabilities would get them, and thus whether setcap is a remedy at
 * all. And under no_new_privs it is not.
 */

#include "caps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/syscall.h>

#include "../base/text.h"
#include "sysfile.h"

/* The kernel gives the initial user namespace a fixed inode (PROC_USER_INIT_INO) so that it can be
 * told. */
#define USER_NS_INITIAL "user:[4026531837]"

static const struct {
	unsigned number;
	const char *name;
} cap_names[] = {
#define CAP(NUMBER, name) {NUMBER, name},
#include "caps.def"
};

static const struct {
	uint64_t needed;
	const char *text;
} jobs[] = {
#define JOB(NAME, caps, text) {caps, text},
#include "caps.def"
};

static bool user_ns_is_own(void)
{
	char target[64];
	ssize_t n = readlink("/proc/self/ns/user", target, sizeof(target) - 1);

	if (n < 0)
		return false; /* no user namespaces in this kernel, or no /proc: then nothing else
				 works either */
	target[n] = '\0';
	return strcmp(target, USER_NS_INITIAL) != 0;
}

static unsigned last_cap_read(void)
{
	uint64_t last;

	if (sysfile_read_u64("/proc/sys/kernel/cap_last_cap", &last) < 0 || last > 63)
		return CAP_LAST_CAP;
	return (unsigned)last;
}

/* PR_GET_SECCOMP would kill a process in strict mode; the file does not. */
static int seccomp_read(void)
{
	char status[4096];
	char mode[8];

	if (sysfile_read("/proc/self/status", status, sizeof(status)) < 0 ||
	    sysfile_field(status, "Seccomp:", mode, sizeof(mode)) < 0)
		return -1;
	return mode[0] - '0';
}

int caps_read(struct caps *ret_caps)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	struct caps c = {0};

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	c.effective = data[0].effective | (uint64_t)data[1].effective << 32;
	c.permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	c.last_cap = last_cap_read();
	for (unsigned i = 0; i <= c.last_cap && i < 64; i++)
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			c.bounding |= CAPS_BIT(i);
	c.uid = geteuid();
	c.is_user_ns = user_ns_is_own();
	c.has_no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	c.seccomp = seccomp_read();
	*ret_caps = c;
	return 0;
}

uint64_t caps_needed(enum caps_job job, unsigned last_cap)
{
	uint64_t split_off = CAPS_BIT(CAP_BPF) | CAPS_BIT(CAP_PERFMON);
	uint64_t needed = jobs[job].needed;

	if ((needed & split_off) && last_cap < CAP_BPF)
		needed = (needed & ~split_off) | CAPS_BIT(CAP_SYS_ADMIN);
	return needed;
}

uint64_t caps_missing(const struct caps *caps, enum caps_job job)
{
	uint64_t has = caps->effective;

	if (caps->is_user_ns)
		has = 0;
	if (has & CAPS_BIT(CAP_SYS_ADMIN))
		has |= CAPS_BIT(CAP_BPF) | CAPS_BIT(CAP_PERFMON);
	return caps_needed(job, caps->last_cap) & ~has;
}

const char *caps_job_text(enum caps_job job)
{
	return jobs[job].text;
}

static const char *names_join(uint64_t set, const char *between, char *buf, size_t len)
{
	struct tocsin_text t;

	tocsin_text_init(&t, buf, len);
	for (size_t i = 0; i < sizeof(cap_names) / sizeof(cap_names[0]); i++)
		if (set & CAPS_BIT(cap_names[i].number))
			tocsin_text_add(&t, "%s%s", t.used ? between : "", cap_names[i].name);
	if (!t.used)
		tocsin_text_add(&t, "none");
	return buf;
}

const char *caps_text(uint64_t set, char *buf, size_t len)
{
	return names_join(set, ",", buf, len);
}

const char *caps_list(uint64_t set, char *buf, size_t len)
{
	return names_join(set, ", ", buf, len);
}

const char *caps_remedy(const struct caps *caps, uint64_t missing, const char *program, char *buf,
			size_t len)
{
	uint64_t stood_in_for = CAPS_BIT(CAP_BPF) | CAPS_BIT(CAP_PERFMON);
	uint64_t wanted = CAPS_WATCH | (missing & ~stood_in_for);
	char names[160];

	(void)caps_text(wanted, names, sizeof(names));
	if (caps->is_user_ns)
		(void)snprintf(
			buf, len,
			"run outside this user namespace (rootless container, unshare -U), as root there");
	else if (wanted & ~caps->bounding)
		(void)snprintf(buf, len,
			       "the bounding set forbids it: start it where %s are allowed "
			       "(docker: --cap-add, systemd: CapabilityBoundingSet=)",
			       caps_list(wanted, names, sizeof(names)));
	else if (caps->has_no_new_privs && caps->uid != 0)
		(void)snprintf(buf, len, "run as root from a session without no_new_privs");
	else
		(void)snprintf(buf, len, "run as root, or: setcap %s=ep %s", names, program);
	return buf;
}
