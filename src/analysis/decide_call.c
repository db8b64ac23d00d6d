// SPDX-License-Identifier: MIT
/* Step 7 of the decision table (decide.c): what a thread waits for by its system call. */
#include "decide.h"

#include <arpa/inet.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "../base/banned.h"

#define FCNTL_SETLKW     7 /* F_SETLKW of 64-bit machines */
#define FCNTL_OFD_SETLKW 38

/* A futex lock of glibc, and of others after its model: held, and waited for. */
#define LOCK_CONTENDED 2

static const struct syscall_rule syscall_rules[] = {
#define X(name, class, subject) {#name, CALL_##class, subject},
#include "syscall_classes.def"
#undef X
};

const struct syscall_rule *syscall_rule_get(const struct evidence *e)
{
	if (!evidence_in_syscall(e) || !e->spell->syscall)
		return NULL;
	for (size_t i = 0; i < sizeof(syscall_rules) / sizeof(syscall_rules[0]); i++)
		if (!strcmp(syscall_rules[i].name, e->spell->syscall))
			return &syscall_rules[i];
	return NULL;
}

/* 7: what a futex is used for is the program's affair; glibc's locks are told by the word that they
 * wait on, and their owner was read from the word behind it. */
static bool decide_futex(const struct evidence *e, bool has_operation, struct finding *f)
{
	const struct watch_spell *s = &e->spell->raw;
	unsigned op = has_operation ? (unsigned)s->arg[1] & (unsigned)FUTEX_CMD_MASK : FUTEX_WAIT;
	bool is_pi = op == FUTEX_LOCK_PI || op == FUTEX_LOCK_PI2;
	char subject[64];

	if (!is_pi && op != FUTEX_WAIT && op != FUTEX_WAIT_BITSET && op != FUTEX_WAIT_REQUEUE_PI)
		return finding_unknown(e, f, "this futex operation does not sleep");
	(void)snprintf(subject, sizeof(subject), "lock (0x%llx)", s->arg[0]);
	if (is_pi || s->flags & SPELL_FUTEX_LOCK) {
		finding_name_owner(e, f);
		return finding_set(f, CAUSE_LOCK, CONFIDENCE_CERTAIN, subject);
	}
	if (has_operation && op != FUTEX_WAIT_REQUEUE_PI && (uint32_t)s->arg[2] == LOCK_CONTENDED)
		return finding_waker(e, f, CAUSE_LOCK, CONFIDENCE_LIKELY, subject);
	if (evidence_timed_out(e))
		return finding_set(f, CAUSE_SLEEP, CONFIDENCE_CERTAIN, "time limit");
	if (e->wake.mechanism == WAKE_EXIT)
		return finding_waker(e, f, CAUSE_EVENT, CONFIDENCE_CERTAIN, "thread exit");
	(void)snprintf(subject, sizeof(subject), "condition or semaphore (0x%llx)", s->arg[0]);
	return finding_waker(e, f, CAUSE_EVENT, CONFIDENCE_LIKELY, subject);
}

static bool finding_socket(const struct evidence *e, struct finding *f)
{
	const struct watch_spell *s = &e->spell->raw;
	char address[INET6_ADDRSTRLEN], subject[64] = "";

	if (!(s->flags & SPELL_SOCKET))
		return false;
	if (s->sock_family == AF_UNIX)
		return finding_waker(e, f, CAUSE_IPC, CONFIDENCE_CERTAIN, "local socket");
	if (s->sock_family == AF_VSOCK)
		return finding_waker(e, f, CAUSE_NETWORK, CONFIDENCE_CERTAIN, "");
	if (s->sock_family != AF_INET && s->sock_family != AF_INET6)
		return false;
	/* no port: it listens, or the other side is not fixed */
	if (s->sock_port && inet_ntop(s->sock_family, s->sock_addr, address, sizeof(address)))
		(void)snprintf(subject, sizeof(subject), "%s (port %u)", address,
			       ntohs(s->sock_port));
	return finding_waker(e, f, CAUSE_NETWORK, CONFIDENCE_CERTAIN, subject);
}

static bool name_begins(const struct watch_spell *s, const char *beginning)
{
	return !strncmp(s->file_name, beginning, strlen(beginning));
}

/* By what the descriptor is. Files without a type are the kernel's own kinds and have its names. */
static bool decide_descriptor(const struct evidence *e, struct finding *f)
{
	const struct watch_spell *s = &e->spell->raw;

	if (!(s->flags & SPELL_FILE))
		return false;
	switch (s->file_mode & S_IFMT) {
	case S_IFSOCK: return finding_socket(e, f);
	case S_IFIFO:
		return finding_waker(e, f, CAUSE_IPC, CONFIDENCE_CERTAIN,
				     s->file_name[0] ? "named pipe" : "pipe");
	case S_IFREG:
	case S_IFDIR:
	case S_IFBLK:
		/* it may as well wait for a lock that nobody told of */
		return evidence_has_io(e) && !e->sleep.frame[SLEEP_REMOTE] && finding_disk(e, f);
	case 0:
		if (name_begins(s, "[eventfd"))
			return finding_waker(e, f, CAUSE_IPC, CONFIDENCE_CERTAIN, "eventfd");
		if (name_begins(s, "[timerfd"))
			return finding_set(f, CAUSE_SLEEP, CONFIDENCE_CERTAIN, "timerfd");
		if (name_begins(s, "[signalfd"))
			return finding_waker(e, f, CAUSE_SIGNAL, CONFIDENCE_CERTAIN, "signalfd");
		if (name_begins(s, "inotify"))
			return finding_waker(e, f, CAUSE_IPC, CONFIDENCE_CERTAIN, "file change");
		return false;
	default: return false;
	}
}

/* What woke a thread that waits for any of several things. */
static bool decide_mechanism(const struct evidence *e, struct finding *f)
{
	f->frame = e->wake.frame ?: f->frame;
	switch (e->wake.mechanism) {
	case WAKE_IPC: return finding_waker(e, f, CAUSE_IPC, CONFIDENCE_CERTAIN, e->wake.subject);
	case WAKE_NETWORK: return finding_waker(e, f, CAUSE_NETWORK, CONFIDENCE_CERTAIN, "");
	case WAKE_SIGNAL:
		if (e->wake.is_polled)
			return finding_waker(e, f, CAUSE_SIGNAL, CONFIDENCE_CERTAIN, "signalfd");
		return finding_unknown(e, f, "a signal ended the wait");
	case WAKE_DISK: return finding_disk(e, f);
	case WAKE_NONE:
	case WAKE_INTERRUPT:
	case WAKE_TIMER_INTERRUPT:
	case WAKE_POLLED:
	case WAKE_TASK:
	case WAKE_RECEIVE:
	case WAKE_TIMEOUT:
	case WAKE_KERNEL_LOCK:
	case WAKE_EXIT: break;
	}
	if (!e->spell->raw.t_wake)
		return finding_unknown(e, f, "it has not been woken yet");
	if (e->wake.is_interrupt)
		return finding_unknown(e, f, "woken from an interrupt");
	finding_name_waker(e, f);
	if (!f->peer.tid)
		return finding_unknown(e, f, "who woke it is not known");
	return finding_set(f, CAUSE_IPC, CONFIDENCE_LIKELY, "");
}

static bool decide_poll(const struct evidence *e, enum syscall_class class, struct finding *f)
{
	const struct watch_spell *s = &e->spell->raw;

	if (class == CALL_POLL && !s->arg[1]) /* no descriptors at all */
		return finding_set(f, CAUSE_SLEEP, CONFIDENCE_CERTAIN, "time limit");
	if (evidence_timed_out(e))
		return finding_set(f, CAUSE_SLEEP, CONFIDENCE_CERTAIN,
				   e->wake.subject[0] ? e->wake.subject : "time limit");
	/* of epoll the record may describe the descriptor that was ready */
	if (class == CALL_EPOLL && !name_begins(s, "[eventpoll") && decide_descriptor(e, f))
		return true;
	return decide_mechanism(e, f);
}

/* io_uring and its like: with a fresh completion the disk is likely, as nothing else is known. */
static bool decide_completion(const struct evidence *e, struct finding *f)
{
	if (evidence_timed_out(e))
		return finding_set(f, CAUSE_SLEEP, CONFIDENCE_CERTAIN, "time limit");
	if (!e->wake.mechanism && e->wake.is_interrupt && e->spell->raw.t_wake &&
	    e->spell->raw.io_age_ns < DISK_FRESH_NS)
		return finding_set(f, CAUSE_DISK, CONFIDENCE_LIKELY, f->syscall ?: "");
	return decide_mechanism(e, f);
}

static bool decide_sync(const struct evidence *e, struct finding *f)
{
	return !e->sleep.frame[SLEEP_REMOTE] && finding_disk(e, f);
}

static bool decide_clone(const struct evidence *e, enum syscall_class class, struct finding *f)
{
	bool is_vfork = class == CALL_CLONE && e->spell->raw.arg[0] & CLONE_VFORK;

	if (!is_vfork && e->wake.mechanism != WAKE_EXIT)
		return false;
	return finding_waker(e, f, CAUSE_CHILD, CONFIDENCE_CERTAIN, "");
}

static bool decide_file_lock(const struct evidence *e, struct finding *f)
{
	finding_waker(e, f, CAUSE_FILE_LOCK, CONFIDENCE_CERTAIN, "");
	if (e->spell->raw.flags & SPELL_FILE)
		finding_subject(f, e->spell->raw.file_name, sizeof(e->spell->raw.file_name));
	return true;
}

/* 7 */
bool decide_call(const struct evidence *e, const struct syscall_rule *rule, struct finding *f)
{
	uint32_t command = (uint32_t)e->spell->raw.arg[1];

	switch (rule->class) {
	case CALL_NONE: return false;
	case CALL_FUTEX: return decide_futex(e, true, f);
	case CALL_FUTEX_NEW: return decide_futex(e, false, f);
	case CALL_SLEEP: return finding_set(f, CAUSE_SLEEP, CONFIDENCE_CERTAIN, "");
	case CALL_CHILD: return finding_waker(e, f, CAUSE_CHILD, CONFIDENCE_CERTAIN, "");
	case CALL_CLONE:
	case CALL_CLONE3: return decide_clone(e, rule->class, f);
	case CALL_SIGNAL:
		if (e->wake.mechanism == WAKE_TIMEOUT)
			return finding_set(f, CAUSE_SLEEP, CONFIDENCE_CERTAIN, "time limit");
		return finding_waker(e, f, CAUSE_SIGNAL, CONFIDENCE_CERTAIN, "");
	case CALL_FILE_LOCK: return decide_file_lock(e, f);
	case CALL_FCNTL:
		if (command != FCNTL_SETLKW && command != FCNTL_OFD_SETLKW)
			return false;
		return decide_file_lock(e, f);
	case CALL_POLL:
	case CALL_SELECT:
	case CALL_EPOLL: return decide_poll(e, rule->class, f);
	case CALL_IPC: return finding_waker(e, f, CAUSE_IPC, CONFIDENCE_CERTAIN, rule->subject);
	case CALL_COMPLETION: return decide_completion(e, f);
	case CALL_DESCRIPTOR: return decide_descriptor(e, f);
	case CALL_SYNC: return decide_sync(e, f);
	}
	return false;
}
