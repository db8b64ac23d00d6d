/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_WATCH_EVIDENCE_H
#define TOCSIN_BPF_WATCH_EVIDENCE_H

/*
 * Why a thread was off CPU. What is cheap and is gone later is noted at each switch-out (registers,
 * task flags, lock words); what is dear is looked at once the spell has proved long: the sleeper's
 * stack by its waker, the CPU's log when it comes back. Only for threads with a section open.
 */

#include "watch_state.h"

#define RWSEM_READER_OWNED 1ul

#define NR_FUTEX          202
#define FUTEX_CMD         0x7f
#define FUTEX_PRIVATE     128
#define FUTEX_WAIT        0
#define FUTEX_LOCK_PI     6
#define FUTEX_WAIT_BITSET 9
#define FUTEX_LOCK_PI2    13
#define FUTEX_TID_MASK    0x3fffffffu

/* The owner of a glibc lock, from the words at the futex: 0 when they do not say. Current is still
 * the sleeper. */
INLINE __u32 futex_owner(__u64 uaddr, __u32 op, __u32 val)
{
	__u32 word[6] = {};

	op &= FUTEX_CMD;
	if (op != FUTEX_WAIT && op != FUTEX_WAIT_BITSET && op != FUTEX_LOCK_PI &&
	    op != FUTEX_LOCK_PI2)
		return 0;
	if (bpf_probe_read_user(word, sizeof(word), (void *)uaddr))
		return 0;
	if (op == FUTEX_LOCK_PI || op == FUTEX_LOCK_PI2)
		return word[0] & FUTEX_TID_MASK;
	/* low-level lock: 0 free, 1 held, 2 held and waited for; the owner is pthread_mutex_t's
	 * third word */
	if (val == 2 && word[0] == 2)
		return word[2];
	return 0;
}

INLINE void owner_from_task(struct watch_spell *s, struct task_struct *owner, __u32 flag)
{
	s->owner_tid = (__u32)BPF_CORE_READ(owner, pid);
	s->owner_tgid = (__u32)BPF_CORE_READ(owner, tgid);
	bpf_probe_read_kernel(s->owner_comm, sizeof(s->owner_comm), &owner->comm);
	s->flags |= flag;
}

/* A sleeping kernel lock: blocked_on (mutexes) or blocker (all, by type) lead to the owner. */
INLINE void kernel_owner(struct watch_spell *s, struct task_struct *task)
{
	struct task_struct *owner;
	unsigned long word = 0;

	if (bpf_core_field_exists(task->blocked_on)) {
		struct mutex *m = task->blocked_on;

		if (m)
			word = (unsigned long)BPF_CORE_READ(m, owner.counter);
	}
	if (!word && bpf_core_field_exists(task->blocker)) {
		unsigned long blocker = task->blocker, type = blocker & 3;

		if (blocker && type == 0)
			word = (unsigned long)BPF_CORE_READ((struct mutex *)(blocker & ~3ul),
							    owner.counter);
		else if (blocker && type >= 2) {
			word = (unsigned long)BPF_CORE_READ((struct rw_semaphore *)(blocker & ~3ul),
							    owner.counter);
			if (word & RWSEM_READER_OWNED)
				word = 0; /* one of the readers, perhaps long gone */
		}
	}
	owner = (struct task_struct *)(word & ~7ul);
	if (owner)
		owner_from_task(s, owner, SPELL_KLOCK);
}

/* At the switch-out, current and its memory are still the leaving task's. */
INLINE void evidence_out(struct thread *t, struct task_struct *task, __u64 now, __u32 prev_state,
			 __u32 state)
{
	struct watch_spell *s = &t->cur;
	struct pt_regs *regs;

	s->t_out = now;
	s->t_wake = state == TS_WAITING || state == TS_THROTTLED ? now : 0;
	s->t_in = 0;
	s->throttled_ns = 0;
	s->state = (__u8)state;
	s->prev_state = prev_state;
	s->flags = 0;
	s->waker_tid = 0;
	s->stack_id = 0;
	s->user_stack = STACK_NOT_ASKED;
	s->waker_stack_id = 0;
	s->owner_tid = 0;
	s->occ_tid = 0;
	s->cgroup_id = 0;
	s->io_age_ns = ~0ull;
	s->nr = -1;
	s->note_kind = (__u16)t->note_kind;
	s->cpu = bpf_get_smp_processor_id();
	if (t->note_kind)
		__builtin_memcpy(s->note, t->note, sizeof(s->note));
	if (state == TS_WAITING || state == TS_THROTTLED)
		return;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	s->nr = (__s32)regs->orig_ax;
	s->arg[0] = regs->di;
	s->arg[1] = regs->si;
	s->arg[2] = regs->dx;
	if ((long)regs->ax == -KERNEL_ENOSYS && s->nr >= 0)
		s->flags |= SPELL_IN_SYSCALL;
	if (BPF_CORE_READ_BITFIELD(task, in_iowait))
		s->flags |= SPELL_IOWAIT;
	if (bpf_core_field_exists(task->in_memstall) && BPF_CORE_READ_BITFIELD(task, in_memstall))
		s->flags |= SPELL_MEMSTALL;
	if (prev_state & STATE_UNINTERRUPTIBLE)
		kernel_owner(s, task);
	t->futex_word = 0;
	if (s->nr == NR_FUTEX)
		t->futex_word = futex_owner(s->arg[0], (__u32)s->arg[1], (__u32)s->arg[2]);
}

/* Frames to an id: the same stack has the same id for as long as the table lives. */
GLOBAL __u32 stack_intern(struct kernel_stack *stack, __s64 bytes)
{
	struct kernel_stack *known;
	__u32 hash = 2166136261u, n;

	if (!stack || bytes <= 0)
		return 0;
	n = (__u32)bytes / 8;
	for (__u32 i = 0; i < WATCH_STACK; i++) {
		if (i >= n)
			stack->addr[i] = 0;
		hash = (hash ^ (__u32)stack->addr[i]) * 16777619u;
		hash = (hash ^ (__u32)(stack->addr[i] >> 32)) * 16777619u;
	}
	for (int try = 0; try < 4; try++, hash++) {
		int differs = 0;

		if (!hash)
			hash = 1;
		known = bpf_map_lookup_elem(&stacks, &hash);
		if (!known) {
			if (!bpf_map_update_elem(&stacks, &hash, stack, BPF_NOEXIST))
				return hash;
			known = bpf_map_lookup_elem(&stacks, &hash);
			if (!known)
				break;
		}
		for (int i = 0; i < WATCH_STACK; i++)
			differs |= known->addr[i] != stack->addr[i];
		if (!differs)
			return hash;
	}
	lose(LOSS_STACKS_FULL);
	return 0;
}

/* System calls whose first argument is a descriptor that they wait on. */
INLINE bool waits_on_descriptor(__s32 nr)
{
	switch (nr) {
	case 0:   /* read */
	case 1:   /* write */
	case 17:  /* pread64 */
	case 18:  /* pwrite64 */
	case 19:  /* readv */
	case 20:  /* writev */
	case 42:  /* connect */
	case 43:  /* accept */
	case 44:  /* sendto */
	case 45:  /* recvfrom */
	case 46:  /* sendmsg */
	case 47:  /* recvmsg */
	case 72:  /* fcntl */
	case 73:  /* flock */
	case 74:  /* fsync */
	case 75:  /* fdatasync */
	case 77:  /* ftruncate */
	case 232: /* epoll_wait */
	case 277: /* sync_file_range */
	case 281: /* epoll_pwait */
	case 285: /* fallocate */
	case 288: /* accept4 */
	case 295: /* preadv */
	case 296: /* pwritev */
	case 299: /* recvmmsg */
	case 307: /* sendmmsg */
	case 441: /* epoll_pwait2 */ return true;
	default: return false;
	}
}

#define S_IFMT_MASK   0170000
#define S_IFSOCK_BITS 0140000
#define AF_INET_NR    2
#define AF_INET6_NR   10

INLINE void evidence_file(struct watch_spell *s, struct task_struct *task)
{
	struct files_struct *files = task->files;
	struct fdtable *table;
	struct file **array, *file = NULL;
	struct inode *inode;
	__u32 fd = (__u32)s->arg[0];

	if (!files)
		return;
	table = BPF_CORE_READ(files, fdt);
	if (fd >= BPF_CORE_READ(table, max_fds))
		return;
	array = BPF_CORE_READ(table, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), &array[fd]) || !file)
		return;
	inode = BPF_CORE_READ(file, f_inode);
	s->file_mode = BPF_CORE_READ(inode, i_mode);
	s->file_dev = BPF_CORE_READ(inode, i_sb, s_dev);
	s->file_ino = BPF_CORE_READ(inode, i_ino);
	s->file_name[0] = 0;
	bpf_probe_read_kernel_str(s->file_name, sizeof(s->file_name),
				  BPF_CORE_READ(file, f_path.dentry, d_name.name));
	s->flags |= SPELL_FILE;
	if ((s->file_mode & S_IFMT_MASK) == S_IFSOCK_BITS) {
		struct socket *socket = BPF_CORE_READ(file, private_data);
		struct sock *sk = BPF_CORE_READ(socket, sk);

		if (!sk)
			return;
		s->sock_family = BPF_CORE_READ(sk, __sk_common.skc_family);
		s->sock_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
		__builtin_memset(s->sock_addr, 0, sizeof(s->sock_addr));
		if (s->sock_family == AF_INET_NR)
			bpf_probe_read_kernel(s->sock_addr, 4, &sk->__sk_common.skc_daddr);
		else if (s->sock_family == AF_INET6_NR &&
			 bpf_core_field_exists(sk->__sk_common.skc_v6_daddr))
			bpf_probe_read_kernel(s->sock_addr, 16, &sk->__sk_common.skc_v6_daddr);
		s->flags |= SPELL_SOCKET;
	}
}

/* The owner that the lock's word named, if it still is a thread of the same process (or of any, for
 * a shared lock). Thread ids in the word are those of the process's own pid namespace: inside one
 * they do not match, and no owner is named. */
INLINE void evidence_owner(struct thread *t, struct task_struct *task)
{
	struct watch_spell *s = &t->cur;
	struct task_struct *owner;

	if (!t->futex_word || !bpf_task_from_pid)
		return;
	owner = bpf_task_from_pid((__s32)t->futex_word);
	if (!owner)
		return;
	if (owner->tgid == task->tgid || !(s->arg[1] & FUTEX_PRIVATE)) {
		s->owner_tid = (__u32)owner->pid;
		s->owner_tgid = (__u32)owner->tgid;
		__builtin_memcpy(s->owner_comm, owner->comm, WATCH_COMM_LEN);
		s->flags |= SPELL_FUTEX_LOCK;
	}
	bpf_task_release(owner);
}

/* In the waker, for a sleep that has been long. Interrupts are off (the sleeper's pi_lock is held),
 * so the CPU's scratch stack is ours from the walk to the interning. */
static __noinline int evidence_waking(void *ctx, struct thread *t, struct task_struct *task,
				      __u64 now)
{
	struct task_struct *waker = bpf_get_current_task_btf();
	struct cpu_state *c = this_cpu();
	struct watch_spell *s;

	if (!t || !c)
		return 0;
	s = &t->cur;
	s->waker_tid = (__u32)waker->pid;
	s->waker_tgid = (__u32)waker->tgid;
	__builtin_memcpy(s->waker_comm, waker->comm, WATCH_COMM_LEN);
	s->waker_nr = -1;
	if (!(waker->flags & PF_KTHREAD)) {
		struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(waker);

		s->waker_nr = (__s32)regs->orig_ax;
	}
	if (c->io_t) {
		s->io_age_ns = now - c->io_t;
		s->io_latency_ns = c->io_latency_ns;
		s->io_dev = c->io_dev;
		s->io_bytes = c->io_bytes;
	}
	evidence_owner(t, task);
	if ((s->flags & SPELL_IN_SYSCALL) && waits_on_descriptor(s->nr))
		evidence_file(s, task);
	s->stack_id = stack_intern(&c->scratch,
				   bpf_get_task_stack(task, &c->scratch, sizeof(c->scratch), 0));
	s->waker_stack_id =
		stack_intern(&c->scratch, bpf_get_stack(ctx, &c->scratch, sizeof(c->scratch), 0));
	return 0;
}

struct occupant {
	struct cpu_state *c;
	__u64 from;
	__u64 best;    /* the longest stint */
	__u64 sum;     /* of the chosen task */
	__u64 covered; /* the log reaches back to here */
	__u32 last;
	__u32 who; /* place of the longest stint */
	__u32 tid;
	__u32 tasks;
};

/* The part of the stint `back` places ago that lies behind `from`; 0: none, and none before it. */
INLINE __u64 stint_part(struct occupant *o, __u32 back, __u64 *begin)
{
	__u64 a = o->c->stint[(o->last - back - 2) % STINTS].t;
	__u64 b = o->c->stint[(o->last - back - 1) % STINTS].t;

	if (!a || b <= o->from)
		return 0;
	*begin = a < o->from ? o->from : a;
	return b > *begin ? b - *begin : 0;
}

static long occupant_find(__u32 back, struct occupant *o)
{
	__u64 begin = 0, part = stint_part(o, back, &begin);

	if (!part)
		return 1;
	o->covered = begin;
	o->tasks++;
	if (part > o->best) {
		o->best = part;
		o->who = o->last - back - 1;
	}
	return 0;
}

static long occupant_sum(__u32 back, struct occupant *o)
{
	__u64 begin = 0, part = stint_part(o, back, &begin);

	if (!part)
		return 1;
	if (o->c->stint[(o->last - back - 1) % STINTS].tid == o->tid)
		o->sum += part;
	return 0;
}

/* Who had this CPU from a time until now: of the last stints, the task of the longest one, and what
 * it had in all. */
GLOBAL int evidence_occupant(struct cpu_state *c, struct watch_spell *s, __u64 from)
{
	struct occupant o = {.c = c, .from = from, .covered = ~0ull};
	struct stint *w;

	if (!c || !s)
		return 0;
	o.last = c->next_stint;
	bpf_loop(STINTS - 2, occupant_find, &o, 0);
	if (!o.best)
		return 0;
	w = &c->stint[o.who % STINTS];
	o.tid = w->tid;
	bpf_loop(STINTS - 2, occupant_sum, &o, 0);
	s->occ_tid = o.tid;
	s->occ_tgid = w->tgid;
	s->occ_prio = w->prio;
	__builtin_memcpy(s->occ_comm, w->comm, WATCH_COMM_LEN);
	s->occ_ns = o.sum;
	s->occ_tasks = o.tasks;
	if (o.covered > from)
		s->flags |= SPELL_OCC_PARTIAL;
	return 0;
}

/* The cgroup whose quota throttles a run queue: the nearest one upwards that has one. */
GLOBAL int evidence_cgroup(struct watch_spell *s, __u64 cfs)
{
	struct task_group *tg = BPF_CORE_READ((struct cfs_rq *)cfs, tg);
	struct kernfs_node *kn;

	if (!s || !bpf_core_field_exists(tg->cfs_bandwidth))
		return 0;
	for (int i = 0; i < 16 && tg; i++) {
		__u64 quota = BPF_CORE_READ(tg, cfs_bandwidth.quota);

		if (quota != ~0ull) {
			s->quota_ns = quota;
			s->period_ns = (__u64)BPF_CORE_READ(tg, cfs_bandwidth.period);
			kn = BPF_CORE_READ(tg, css.cgroup, kn);
			s->cgroup_id = BPF_CORE_READ(kn, id);
			s->cgroup[0] = 0;
			bpf_probe_read_kernel_str(s->cgroup, sizeof(s->cgroup),
						  BPF_CORE_READ(kn, name));
			break;
		}
		tg = BPF_CORE_READ(tg, parent);
	}
	return 0;
}

#endif
