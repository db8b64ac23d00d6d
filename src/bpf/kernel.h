/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
#ifndef TOCSIN_BPF_KERNEL_H
#define TOCSIN_BPF_KERNEL_H

/*
 * The few kernel types that the kernel half reads, with just the fields it reads.
 * preserve_access_index makes every access a CO-RE relocation: offsets come from the running
 * kernel's BTF at load, so the declarations need neither all fields nor their order, and one object
 * serves all kernels. Fields that some kernels lack are asked for with bpf_core_field_exists().
 * docs/adr/0002 says why there is no generated vmlinux.h.
 */

#include <stdbool.h>

/* Newer headers declare this one; the kernel finds it in a map's value by its name, so ours must
 * bear it. */
#define bpf_task_work bpf_task_work_of_headers
#include <linux/bpf.h>
#undef bpf_task_work
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#ifndef NULL
#	define NULL ((void *)0)
#endif

/* From the kernel's headers, newer than some distributions' copies of them. */
#define TIMER_ABS       (1ull << 0) /* BPF_F_TIMER_ABS, 6.4 */
#define TIMER_CPU_PIN   (1ull << 1) /* BPF_F_TIMER_CPU_PIN, 6.7 */
#define CLOCK_MONOTONIC 1

#define STATE_STOPPED         0x0004u /* __TASK_STOPPED */
#define STATE_TRACED          0x0008u /* __TASK_TRACED */
#define STATE_FROZEN          0x8000u /* TASK_FROZEN */
#define STATE_UNINTERRUPTIBLE 0x0002u

#define PF_KTHREAD 0x00200000u

#define PRIO_FAIR 100 /* kernel priorities below are real time */

#define KERNEL_ENOSYS 38

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	long counter;
} kernel_atomic_long;

/* x86-64 */
struct pt_regs {
	unsigned long bp, r10, r8, r9, ax, dx, si, di, orig_ax, ip, cs, sp;
};

struct kernfs_node {
	__u64 id;
	const char *name;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp;
};

struct cfs_bandwidth {
	__s64 period;
	__u64 quota;
};

struct task_group {
	struct cgroup_subsys_state css;
	struct task_group *parent;
	struct cfs_bandwidth cfs_bandwidth;
};

struct cfs_rq {
	__u64 throttled_clock_self_time;
	int throttle_count; /* of this queue and those above it */
	struct task_group *tg;
};

struct sched_entity {
	struct cfs_rq *cfs_rq;
};

struct mutex {
	kernel_atomic_long owner;
};

struct rw_semaphore {
	kernel_atomic_long owner;
};

struct super_block {
	__u32 s_dev;
};

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct inode *f_inode;
	void *private_data;
	struct path f_path;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct in6_addr {
	unsigned char bytes[16];
};

struct sock_common {
	__u32 skc_daddr;
	__u16 skc_dport;
	unsigned short skc_family;
	struct in6_addr skc_v6_daddr;
};

struct sock {
	struct sock_common __sk_common;
};

struct socket {
	struct sock *sk;
};

struct kernel_atomic {
	int counter;
};

struct signal_struct {
	struct kernel_atomic live; /* threads of the process that have not exited */
};

struct block_device {
	__u32 bd_dev;
};

struct request {
	struct block_device *part;
	__u64 start_time_ns;
	__u64 io_start_time_ns;
};

struct thread_struct {
#ifdef __TARGET_ARCH_x86
	unsigned long fsbase;
#else
	struct {
		unsigned long tp_value;
	} uw;
#endif
};

/* A return address that a return probe has replaced. */
struct return_instance {
	unsigned long stack;
	unsigned long orig_ret_vaddr;
	struct return_instance *next;
};

struct uprobe_task {
	struct return_instance *return_instances;
};

struct mm_struct {
	unsigned long start_stack;
};

struct task_struct {
	unsigned int __state;
	unsigned int flags;
	int on_cpu;
	int wake_cpu;
	int prio;
	int pid;
	int tgid;
	char comm[16];
	__u64 start_time;
	bool throttled; /* 6.18 */
	unsigned in_iowait : 1;
	unsigned in_memstall : 1;
	struct sched_entity se;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct files_struct *files;
	struct mutex *blocked_on; /* 6.18 */
	unsigned long blocker;    /* CONFIG_DETECT_HUNG_TASK_BLOCKER, 6.16 */
	void *bpf_storage;
	struct uprobe_task *utask;
	struct thread_struct thread;
};

struct bpf_iter__task {
	struct task_struct *task;
};

#pragma clang attribute pop

#ifdef __TARGET_ARCH_x86
#	define THREAD_POINTER(task) ((task)->thread.fsbase)
#else
#	define THREAD_POINTER(task) ((task)->thread.uw.tp_value)
#endif

/* Work for a task's way back to user mode, Linux 6.18; lives in a map's value. */
struct bpf_task_work {
	__u64 opaque;
} __attribute__((aligned(8)));

struct bpf_map { /* only its kind counts when the kernel's prototype is compared */
	__u32 id;
};

extern struct task_struct *bpf_task_from_pid(__s32 pid) __ksym __weak;
extern void bpf_task_release(struct task_struct *task) __ksym __weak;

#endif
