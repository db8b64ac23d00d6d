// SPDX-License-Identifier: MIT
/*
 * The kernel half from its loader's side. On kernels that this machine does not have: what they
 * answer differently is put between the loader and the kernel by the linker (--wrap). And while a
 * probe fires. Prints TAP; skipped where this user may not load programs.
 */
#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "bpf/watch_kernel.h"

#define UNKNOWN_FLAG (1ull << 40) /* refused by bpf_timer_start() as a pin is before 6.7 */

static bool without_pin;
static bool without_disk;
static unsigned nr_tests, nr_failed;

int __real_bpf_object__load_skeleton(struct bpf_object_skeleton *s);
int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *s);
__s32 __real_btf__find_by_name_kind(const struct btf *btf, const char *name, __u32 kind);
__s32 __wrap_btf__find_by_name_kind(const struct btf *btf, const char *name, __u32 kind);

int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *s)
{
	for (int i = 0; i < s->map_cnt; i++) {
		struct watch_bpf__rodata *rodata;

		if (!strstr(s->maps[i].name, ".rodata") || !without_pin)
			continue;
		rodata = *s->maps[i].mmaped;
		rodata->timer_flags |= UNKNOWN_FLAG;
	}
	return __real_bpf_object__load_skeleton(s);
}

__s32 __wrap_btf__find_by_name_kind(const struct btf *btf, const char *name, __u32 kind)
{
	if (without_disk && !strcmp(name, "btf_trace_block_rq_complete"))
		return -ENOENT;
	return __real_btf__find_by_name_kind(btf, name, kind);
}

static void judge(bool good, const char *name, struct tocsin_err *err)
{
	printf("%s %u - %s\n", good ? "ok" : "not ok", ++nr_tests, name);
	nr_failed += !good;
	for (unsigned i = 0; !good && i < err->nr_causes; i++)
		printf("# %s\n", err->cause[i]);
}

static int opened(struct watch_kernel **ret, struct tocsin_err *err)
{
	struct watch_kernel_config cfg;

	*ret = NULL;
	*err = (struct tocsin_err){0};
	watch_kernel_defaults(&cfg);
	return watch_kernel_open(&cfg, ret, err);
}

static bool says(const struct tocsin_err *err, const char *text)
{
	return err->nr_causes && strstr(err->cause[0], text);
}

/* A probe is silenced and set again as fast as can be, while a process passes it without a pause:
 * this one is never watched by its own kernel half, so it is a child. */
#define TORN_SECTION 3 /* of the probe; 0 is what a place that was wiped says */
#define TORN_ROUNDS  200000
#define PROBE_SELF   "/proc/self/exe"

static unsigned nr_events; /* of sections: none may be late within an hour */

static __attribute__((noinline)) void torn_start(void)
{
	asm volatile("" ::: "memory");
}

static pid_t passer_start(struct watch_kernel *k)
{
	pid_t pid = fork();

	while (!pid)
		torn_start();
	if (pid < 0)
		return -errno;
	return watch_kernel_add_process(k, (uint32_t)pid) ?: pid;
}

static int segment_find(struct dl_phdr_info *info, size_t size, void *arg)
{
	uint64_t *place = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && *place - info->dlpi_addr - p->p_vaddr < p->p_filesz) {
			*place -= info->dlpi_addr + p->p_vaddr - p->p_offset;
			return 1;
		}
	}
	return -1; /* the program itself comes first */
}

static int event_count(void *arg, const void *data, size_t size)
{
	const struct watch_event_head *head = data;

	(void)arg;
	(void)size;
	nr_events += head->type != EV_PROCESS;
	return 0;
}

static int torn_stress(struct watch_kernel *k, struct watch_stats st[2], struct tocsin_err *err)
{
	struct watch_probe probe = {
		.action = ACT_START, .section = TORN_SECTION, .budget_ns = 3600000000000};
	struct watch_place place = {.offset = (uint64_t)(uintptr_t)torn_start, .cookie = 1};
	struct watch_uprobes u = {
		.program = WATCH_PROBE_START, .path = PROBE_SELF, .place = &place, .nr = 1};
	struct watch_link *link = NULL;
	pid_t pid = passer_start(k);
	int r = dl_iterate_phdr(segment_find, &place.offset) == 1 ? 0 : -ENOENT;

	r = r ?: watch_kernel_set_probe(k, 1, &probe);
	r = r ?: watch_kernel_attach_uprobes(k, &u, &link, err);
	r = pid < 0 ? pid : r;
	for (unsigned i = 0; i < TORN_ROUNDS && !r; i++) {
		r = watch_kernel_silence_probe(k, 1);
		r = r ?: watch_kernel_set_probe(k, 1, &probe);
	}
	if (pid > 0) { /* its open sections are given up with it */
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	if (!r && watch_kernel_consume(k, event_count, NULL) < 0)
		r = -EIO;
	r = r ?: watch_kernel_stats(k, 0, &st[0]);
	r = r ?: watch_kernel_stats(k, TORN_SECTION, &st[1]);
	watch_links_close(&link, 1);
	return r;
}

static void torn_judge(void)
{
	static struct watch_stats st[2];
	struct watch_kernel *k;
	struct tocsin_err err;
	int r = opened(&k, &err);

	r = r ?: torn_stress(k, st, &err);
	judge(!r && st[1].abandoned && !st[0].abandoned && !nr_events,
	      "a probe that is silenced while it fires opens no other section", &err);
	printf("# %d: %llu sections, %llu of another, %u records\n", r,
	       (unsigned long long)st[1].abandoned, (unsigned long long)st[0].abandoned, nr_events);
	watch_kernel_close(k);
}

int main(void)
{
	struct watch_kernel *k;
	struct tocsin_err err;
	int r = opened(&k, &err);

	if (r == -EPERM || r == -EACCES || r == -ENOTSUP) {
		printf("1..0 # SKIP the kernel half does not load here: %s\n", strerror(-r));
		return 0;
	}
	judge(!r && k->skel->links.on_io, "as the kernel is, with the disk's hook", &err);
	watch_kernel_close(k);

	without_pin = true;
	r = opened(&k, &err);
	judge(r == -ENOTSUP && says(&err, "cannot pin timers"),
	      "a kernel that cannot pin timers is refused", &err);
	watch_kernel_close(k);
	without_pin = false;

	without_disk = true;
	r = opened(&k, &err);
	judge(!r && !k->skel->links.on_io && k->skel->links.on_switch,
	      "a kernel without completions of disk requests is taken as it is", &err);
	watch_kernel_close(k);

	torn_judge();
	printf("1..%u\n", nr_tests);
	return nr_failed != 0;
}
