// SPDX-License-Identifier: MIT
/*
 * The order of evidence.
 *
 * A spell comes with three witnesses: the system call with its arguments, taken when the thread
 * left the CPU; the kernel stack that it slept on, taken by its waker; and the waker itself with
 * its own stack. None of them suffices. A system call does not know of a lock inside the kernel, a
 * page fault or memory being freed; a stack does not tell a mutex from a condition variable, nor a
 * socket from a timeout under epoll; a waker in an interrupt is whoever was unlucky. So they are
 * heard in this order, and the first that knows is believed:
 *
 *   1 state bits        stopped, traced, frozen: whatever the thread was doing
 *   2 memory reclaim    a stack inside it; or the kernel's own mark of a memory stall
 *   3 kernel lock       the task's own note of what it waits for; or a waker that gave one up
 *   4 page fault        a stack inside the fault handler
 *   5 disk              a stack that waits for the block layer
 *   6 the program's own word that it waits for a heavy lock (notes.def), in a call that waits for
 *     others: it may also fault or write to its log in there, and then 1 to 5 have spoken
 *   7 the system call   futex by operation and owner; calls on a descriptor by what it is; calls
 *     that poll by what woke them
 *   8 the stack         functions that wait for one thing only
 *   9 else it is unknown, with system call, stack and waker
 *
 * 1 to 5 come first because they happen inside of any system call. Where the call and the stack
 * speak of different things (8 against 7) nobody is believed. A disk wait without a completion just
 * before the wake, and without in_iowait, is only likely; in_iowait alone says nothing, as io_uring
 * sets it for anything. A timer that ends a poll or a futex is the time limit that the thread asked
 * for; one that ends a wait for a socket or a pipe leaves it a wait for that.
 *
 * Time without a CPU: throttled by the cgroup's quota first, exact by the kernel's clocks; then the
 * fair server for real-time threads; then whoever had the CPU, by the CPU's own log.
 */
#include "decide.h"

#include <stdio.h>
#include <string.h>

#include "../base/banned.h"
#include "../base/text.h"
#include "notes.h"

/* prev_state of sched_switch */
#define STATE_STOPPED 0x0004u
#define STATE_TRACED  0x0008u
#define STATE_FROZEN  0x8000u

/* 1 */
static bool decide_stopped(const struct evidence *e, struct finding *f)
{
	const struct watch_spell *s = &e->spell->raw;
	const char *const *frame = e->sleep.frame;

	if (s->prev_state & STATE_STOPPED || frame[SLEEP_STOPPED])
		return finding_waker(e, f, CAUSE_STOPPED, CONFIDENCE_CERTAIN, "");
	if (s->prev_state & STATE_TRACED || frame[SLEEP_TRACED])
		return finding_waker(e, f, CAUSE_TRACED, CONFIDENCE_CERTAIN, "");
	if (s->prev_state & STATE_FROZEN || frame[SLEEP_FROZEN])
		return finding_waker(e, f, CAUSE_FROZEN, CONFIDENCE_CERTAIN, "");
	if (s->state == TS_STOPPED)
		return finding_unknown(e, f, "stopped, but its state does not say how");
	return false;
}

/* 2: the mark of a memory stall is also set while a page that was evicted is read back, which is a
 * wait for the disk or a page fault. */
static bool decide_reclaim(const struct evidence *e, struct finding *f)
{
	const char *const *frame = e->sleep.frame;

	f->frame = frame[SLEEP_RECLAIM];
	if (f->frame)
		return finding_set(f, CAUSE_RECLAIM, CONFIDENCE_CERTAIN, "");
	if (!(e->spell->raw.flags & SPELL_MEMSTALL) || !evidence_in_syscall(e))
		return false;
	if (frame[SLEEP_FAULT] || frame[SLEEP_FAULT_ENTRY] || frame[SLEEP_DISK])
		return false;
	if (!e->sleep.nr && evidence_has_io(e))
		return false;
	return finding_set(f, CAUSE_RECLAIM, CONFIDENCE_LIKELY, "");
}

/* 3 */
static bool decide_kernel_lock(const struct evidence *e, struct finding *f)
{
	uint32_t flags = e->spell->raw.flags;
	char subject[96] = "kernel lock";

	if (flags & SPELL_KLOCK && flags & SPELL_FUTEX_LOCK)
		return finding_unknown(e, f, "it cannot wait for two locks at once");
	f->frame = e->sleep.top;
	if (f->frame)
		(void)snprintf(subject, sizeof(subject), "kernel lock (%.64s)", f->frame);
	if (flags & SPELL_KLOCK) {
		finding_name_owner(e, f);
		return finding_set(f, CAUSE_KERNEL_LOCK, CONFIDENCE_CERTAIN, subject);
	}
	if (e->wake.mechanism == WAKE_KERNEL_LOCK)
		return finding_waker(e, f, CAUSE_KERNEL_LOCK, CONFIDENCE_CERTAIN, subject);
	if (e->sleep.frame[SLEEP_KERNEL_LOCK])
		return finding_waker(e, f, CAUSE_KERNEL_LOCK, CONFIDENCE_LIKELY, subject);
	return false;
}

/* 4: an exception leaves the thread outside of a system call; a fault on user memory inside one is
 * a page fault too. A deep stack may have lost the handler at its outer end. */
static bool decide_fault(const struct evidence *e, struct finding *f)
{
	const char *const *frame = e->sleep.frame;
	const char *subject = "page fault";

	f->frame = frame[SLEEP_USERFAULT];
	if (f->frame)
		return finding_waker(e, f, CAUSE_PAGE_FAULT, CONFIDENCE_CERTAIN,
				     "page fault served through userfaultfd");
	if (evidence_has_io(e) && !frame[SLEEP_REMOTE])
		subject = "page fault read from the disk";
	f->frame = frame[SLEEP_DISK] ?: frame[SLEEP_FAULT] ?: frame[SLEEP_FAULT_ENTRY];
	if (frame[SLEEP_FAULT])
		return finding_set(f, CAUSE_PAGE_FAULT, CONFIDENCE_CERTAIN, subject);
	if (frame[SLEEP_LEAVING])
		return false;
	if (frame[SLEEP_FAULT_ENTRY])
		return finding_set(f, CAUSE_PAGE_FAULT, CONFIDENCE_LIKELY, subject);
	if (!evidence_in_syscall(e) && (frame[SLEEP_DISK] || (!e->sleep.nr && evidence_has_io(e))))
		return finding_set(f, CAUSE_PAGE_FAULT, CONFIDENCE_LIKELY, subject);
	return false;
}

/* 5 */
static bool decide_disk(const struct evidence *e, struct finding *f)
{
	f->frame = e->sleep.frame[SLEEP_DISK];
	if (!f->frame)
		return false;
	if (e->sleep.frame[SLEEP_REMOTE])
		return finding_unknown(e, f, "the file system is not on a disk of this machine");
	return finding_disk(e, f);
}

/* 6 */
static bool decide_note(const struct evidence *e, const struct syscall_rule *rule,
			struct finding *f)
{
	const struct watch_spell *s = &e->spell->raw;
	enum confidence confidence = CONFIDENCE_CERTAIN;

	if (s->flags & SPELL_FUTEX_LOCK)
		return false;
	if (rule) {
		bool is_wait = rule->class == CALL_FUTEX || rule->class == CALL_FUTEX_NEW ||
			       rule->class == CALL_POLL || rule->class == CALL_SELECT ||
			       rule->class == CALL_EPOLL || rule->class == CALL_IPC;
		if (!is_wait)
			return false;
	} else if (f->syscall || e->sleep.wait) {
		return false; /* in some other call, or for something of its own */
	} else {
		confidence = CONFIDENCE_LIKELY;
	}
	if (note_subject(s->note_kind, s->note, f->subject, sizeof(f->subject)))
		return false;
	f->kind = CAUSE_HEAVY_LOCK;
	f->confidence = confidence;
	finding_name_waker(e, f);
	return true;
}

static enum cause_kind wait_kind(enum sleep_class class)
{
	static const enum cause_kind kinds[SLEEP_NR] = {
		[SLEEP_IPC] = CAUSE_IPC,       [SLEEP_NETWORK] = CAUSE_NETWORK,
		[SLEEP_SIGNAL] = CAUSE_SIGNAL, [SLEEP_SLEEP] = CAUSE_SLEEP,
		[SLEEP_CHILD] = CAUSE_CHILD,   [SLEEP_FILE_LOCK] = CAUSE_FILE_LOCK,
	};

	return kinds[class];
}

/* Does the stack belong to another kind of wait than the call's? Sockets of both kinds share
 * functions, and a time limit may end any wait. */
static bool is_contradicted(const struct evidence *e, const struct finding *f)
{
	enum cause_kind kind;

	if (!e->sleep.wait || f->kind == CAUSE_UNKNOWN)
		return false;
	kind = wait_kind(e->sleep.wait);
	if (kind == f->kind || (f->kind == CAUSE_SLEEP && evidence_timed_out(e)))
		return false;
	return !((kind == CAUSE_IPC || kind == CAUSE_NETWORK) &&
		 (f->kind == CAUSE_IPC || f->kind == CAUSE_NETWORK));
}

/* 8 */
static bool decide_stack(const struct evidence *e, struct finding *f)
{
	enum confidence confidence =
		evidence_in_syscall(e) ? CONFIDENCE_CERTAIN : CONFIDENCE_LIKELY;
	enum cause_kind kind;

	if (!e->sleep.wait)
		return false;
	kind = wait_kind(e->sleep.wait);
	f->frame = e->sleep.frame[e->sleep.wait];
	if (kind == CAUSE_SLEEP)
		return finding_set(f, kind, confidence, e->sleep.wait_subject);
	return finding_waker(e, f, kind, confidence, e->sleep.wait_subject);
}

void decide_blocked(const struct evidence *e, struct finding *ret)
{
	const struct watch_spell *s = &e->spell->raw;
	enum tocsin_state state = s->state == TS_STOPPED ? TS_STOPPED : TS_BLOCKED;
	const struct syscall_rule *rule = syscall_rule_get(e);
	struct finding f;

	finding_init(e, state, ret);
	if (s->flags & SPELL_GAP) {
		finding_unknown(e, ret, "a scheduler switch was not seen");
		return;
	}
	if (decide_stopped(e, ret) || decide_reclaim(e, ret) || decide_kernel_lock(e, ret) ||
	    decide_fault(e, ret) || decide_disk(e, ret))
		return;
	finding_init(e, state, ret);
	if (s->note_kind && decide_note(e, rule, ret))
		return;
	if (s->flags & SPELL_FUTEX_LOCK &&
	    (!rule || (rule->class != CALL_FUTEX && rule->class != CALL_FUTEX_NEW))) {
		finding_unknown(e, ret, "a lock's owner, and no call that waits for one");
		return;
	}
	finding_init(e, state, &f);
	if (rule && decide_call(e, rule, &f)) {
		if (is_contradicted(e, &f))
			finding_unknown(e, ret, "the system call and the stack disagree");
		else
			*ret = f;
		return;
	}
	if (!decide_stack(e, ret))
		finding_unknown(e, ret, e->sleep.nr ? "nothing on the stack tells" : "no stack");
}

void decide_waiting(const struct evidence *e, uint64_t waited_ns, struct finding *ret)
{
	const struct watch_spell *s = &e->spell->raw;
	bool has_slept = s->state == TS_BLOCKED || s->state == TS_STOPPED;

	finding_init(e, TS_WAITING, ret);
	ret->syscall = NULL;
	ret->frame = NULL;
	if (s->flags & SPELL_GAP) {
		ret->why = "a scheduler switch was not seen";
		return;
	}
	if (!has_slept && s->flags & SPELL_RT_FAIR) {
		finding_set(ret, CAUSE_FAIR_SERVER, CONFIDENCE_CERTAIN, "");
		return;
	}
	ret->kind = has_slept ? CAUSE_RUNQUEUE : CAUSE_PREEMPTED;
	ret->confidence =
		s->occ_ns >= waited_ns - waited_ns / 2 ? CONFIDENCE_CERTAIN : CONFIDENCE_LIKELY;
	if (s->occ_tid != e->tid)
		peer_set(&ret->peer, s->occ_tid, s->occ_tgid, s->occ_comm);
	if (!ret->peer.tid) {
		ret->confidence = CONFIDENCE_LIKELY;
		if (s->occ_ns && text_begins(s->occ_comm, "swapper/"))
			finding_set(ret, ret->kind, ret->confidence, "idle CPU");
	} else if (!has_slept && text_begins(ret->peer.comm, "ksoftirqd/")) {
		ret->kind = CAUSE_SOFTIRQ;
	}
}

void decide_throttled(const struct evidence *e, const char *path, struct finding *ret)
{
	const struct watch_spell *s = &e->spell->raw;

	finding_init(e, TS_THROTTLED, ret);
	ret->syscall = NULL;
	ret->frame = NULL;
	finding_set(ret, CAUSE_QUOTA, CONFIDENCE_CERTAIN, "");
	if (path) {
		finding_subject(ret, path, sizeof(ret->subject));
	} else if (s->cgroup[0]) {
		struct tocsin_text t;

		tocsin_text_init(&t, ret->subject, sizeof(ret->subject));
		tocsin_text_add(&t, "…/");
		tocsin_text_add_clean(&t, s->cgroup, strnlen(s->cgroup, sizeof(s->cgroup)));
	}
	if (s->quota_ns && s->period_ns && s->quota_ns != UINT64_MAX) {
		ret->quota_ns = s->quota_ns;
		ret->period_ns = s->period_ns;
	}
}
