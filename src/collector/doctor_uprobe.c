// SPDX-License-Identifier: MIT
/*
 * Rows that put a probe on code: on three functions of our own, whose first instructions stand for
 * the three ways in which the kernel gets past a probe:
 *
 *   nop5      0f 1f 44 00 00   overwritten with a call to a trampoline by kernels that can (the
 * first hit traps, then the first byte becomes e8), a trap and nothing to do otherwise emulated  55
 * (push %rbp)   a trap, and the kernel does the instruction itself stepped   89 f8 (mov)      a
 * trap, the instruction executed out of line, another trap
 *
 * Probes go through perf_event_open(2) with the thread as target, so that no other process that
 * maps this file is touched; closing the descriptor puts the bytes back. The functions keep nothing
 * below the stack pointer, so the nop5 form cannot hurt them. They are only written for x86-64, as
 * is the place finder of `watch`.
 */

#include <errno.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/perf_event.h>
#include <sys/syscall.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/parse.h"
#include "../bpf/multi.h"
#include "doctor_bpf.h"
#include "doctor_probe.h"
#include "sysfile.h"
#include "tracefs.h"

#define COST_BLOCKS 10
#define COST_PASSES 2000 /* in a block; the cheapest block counts */
#define TRY_PASSES  10
#define COOKIE      UINT64_C(0x746f6373696e0001)
#define OPCODE_CALL 0xe8u

typedef void (*site_fn)(void);

#ifdef __x86_64__
__asm__(".pushsection .text.doctor_sites, \"ax\", @progbits\n"
	".balign 64\n"
	".globl doctor_site_nop5, doctor_site_emulated, doctor_site_stepped\n"
	".hidden doctor_site_nop5, doctor_site_emulated, doctor_site_stepped\n"
	".type doctor_site_nop5, @function\n"
	".type doctor_site_emulated, @function\n"
	".type doctor_site_stepped, @function\n"
	"doctor_site_nop5: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
	"ret\n"
	".size doctor_site_nop5, . - doctor_site_nop5\n"
	".balign 64\n"
	"doctor_site_emulated: push %rbp\n"
	"pop %rbp\n"
	"ret\n"
	".size doctor_site_emulated, . - doctor_site_emulated\n"
	".balign 64\n"
	"doctor_site_stepped: mov %edi, %eax\n"
	"ret\n"
	".size doctor_site_stepped, . - doctor_site_stepped\n"
	".popsection\n");
extern void doctor_site_nop5(void) __attribute__((visibility("hidden")));
extern void doctor_site_emulated(void) __attribute__((visibility("hidden")));
extern void doctor_site_stepped(void) __attribute__((visibility("hidden")));
#	define SITES_OF_OTHER_MACHINE false
#else
#	define SITES_OF_OTHER_MACHINE true
static __attribute__((noinline)) void doctor_site_nop5(void)
{
	__asm__ volatile("");
}
#	define doctor_site_emulated   doctor_site_nop5
#	define doctor_site_stepped    doctor_site_nop5
#endif

/* Where a function of ours lies in its file. */
struct site {
	uintptr_t address;
	uint64_t offset; /* in the file, bytes */
	const char *path;
	bool is_found;
};

static int site_in_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct site *site = arg;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t begin = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type != PT_LOAD || site->address < begin ||
		    site->address - begin >= ph->p_filesz)
			continue;
		site->offset = site->address - begin + ph->p_offset;
		/* The program itself has no name here. */
		site->path =
			info->dlpi_name && info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe";
		site->is_found = true;
		return 1;
	}
	return 0;
}

static struct site site_find(site_fn fn)
{
	struct site site = {.address = (uintptr_t)fn};

	(void)dl_iterate_phdr(site_in_object, &site); /* returns what the callback did */
	return site;
}

static int perf_open(struct perf_event_attr *attr)
{
	int fd = (int)syscall(SYS_perf_event_open, attr, /* pid= */ 0, /* cpu= */ -1,
			      /* group= */ -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int uprobe_type(void)
{
	uint64_t type;
	int r = sysfile_read_u64("/sys/bus/event_source/devices/uprobe/type", &type);

	if (r < 0)
		return r;
	return type <= INT32_MAX ? (int)type : -ERANGE;
}

static const site_fn sites[] = {
	[DOCTOR_SITE_NOP5] = doctor_site_nop5,
	[DOCTOR_SITE_EMULATED] = doctor_site_emulated,
	[DOCTOR_SITE_STEPPED] = doctor_site_stepped,
};

/*
 * The probe of this thread on one of the sites; the run keeps it, since taking one away makes the
 * kernel wait for all its CPUs, up to 0.1 s. Return: its descriptor, lent, or -errno.
 */
static int site_event(struct doctor *d, enum doctor_site which)
{
	struct site site = site_find(sites[which]);
	struct perf_event_attr attr = {.size = sizeof(attr)};
	int r = uprobe_type();

	if (d->event_tried[which])
		return d->event[which];
	d->event_tried[which] = true;
	attr.type = r < 0 ? 0 : (uint32_t)r;
	attr.uprobe_path = (uintptr_t)site.path;
	attr.probe_offset = site.offset;
	if (r >= 0)
		r = site.is_found ? perf_open(&attr) : -ENOENT;
	d->event[which] = r;
	return r;
}

void doctor_events_done(struct doctor *d)
{
	for (size_t i = 0; i < DOCTOR_SITE_NR; i++) {
		if (d->event_tried[i])
			tocsin_close_fdp(&d->event[i]);
		d->event_tried[i] = false;
	}
}

/* Bind a program to a perf event. Return: link, to be closed, or -errno. */
static int event_bind(int event, const struct bpf_program *program, uint64_t cookie)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .perf_event.bpf_cookie = cookie);

	return bpf_link_create(bpf_program__fd(program), event, BPF_PERF_EVENT, &opts);
}

/* A program on a site; ends with site_done(). */
struct site_probe {
	struct doctor_bpf *object;
	int link;
};

static void site_done(struct site_probe *p)
{
	tocsin_close_fdp(&p->link);
	doctor_bpf__destroy(p->object);
}

/* Load a program, bind it to a site and pass the site TRY_PASSES times. Return: 0, or -errno with
 * the row filled. */
static int site_try(struct doctor *d, struct doctor_row *row, const char *program,
		    enum doctor_site which, struct site_probe *p)
{
	const struct doctor_part part = {.program = program};
	int event, r;

	r = doctor_part_load(&part, &p->object);
	if (r < 0) {
		doctor_no(row, r, "loading the probe's program");
		return r;
	}
	event = site_event(d, which);
	if (event < 0) {
		doctor_no(row, event, "setting a probe with perf_event_open()");
		return event;
	}
	p->link = event_bind(event, bpf_object__find_program_by_name(p->object->obj, program),
			     COOKIE);
	if (p->link < 0) {
		doctor_no(row, p->link, "binding a program to a probe");
		return p->link;
	}
	for (unsigned i = 0; i < TRY_PASSES; i++)
		sites[which]();
	return 0;
}

/* Without a program: the event counts for itself. */
void probe_uprobe(struct doctor *d, struct doctor_row *row)
{
	int event = site_event(d, DOCTOR_SITE_EMULATED);
	uint64_t before = 0, after = 0;

	if (event < 0) {
		doctor_no(row, event, "setting a probe with perf_event_open()");
		return;
	}
	if (read(event, &before, sizeof(before)) != sizeof(before)) {
		doctor_no(row, errno, "reading its count");
		return;
	}
	for (unsigned i = 0; i < TRY_PASSES; i++)
		sites[DOCTOR_SITE_EMULATED]();
	if (read(event, &after, sizeof(after)) == sizeof(after) && after - before == TRY_PASSES)
		doctor_yes(row, "%d passes of a function of ours, %d hits", TRY_PASSES, TRY_PASSES);
	else
		doctor_no(row, 0, "%d passes of a function of ours, %" PRIu64 " hits", TRY_PASSES,
			  after - before);
}

void probe_cookie(struct doctor *d, struct doctor_row *row)
{
	TOCSIN_CLEANUP(site_done) struct site_probe probe = {.link = -1};

	if (site_try(d, row, "hit_cookie", DOCTOR_SITE_EMULATED, &probe) < 0)
		return;
	if (probe.object->bss->hits == TRY_PASSES && probe.object->bss->cookie == COOKIE)
		doctor_yes(row, "64 bits came back whole, %d times", TRY_PASSES);
	else
		doctor_no(row, 0, "gave %#" PRIx64 ", got %#" PRIx64 " in %u of %d hits", COOKIE,
			  (uint64_t)probe.object->bss->cookie, probe.object->bss->hits, TRY_PASSES);
}

void probe_sleepable(struct doctor *d, struct doctor_row *row)
{
	TOCSIN_CLEANUP(site_done) struct site_probe probe = {.link = -1};
	const struct doctor_bpf__bss *seen;

	if (site_try(d, row, "hit_sleepable", DOCTOR_SITE_EMULATED, &probe) < 0)
		return;
	seen = probe.object->bss;
	if (seen->hits != TRY_PASSES || seen->sleeper_errors)
		doctor_no(row, 0, "%u of %d hits, %u failed reads", seen->hits, TRY_PASSES,
			  seen->sleeper_errors);
	else
		doctor_yes(row, "read its stack in %u hits", seen->hits);
}

/* Attach one program to two sites in one link, and pass both once. Return: hits, or -errno. */
static int multi_try(void)
{
	const struct doctor_part part = {.program = "hit", .attach_type = MULTI_UPROBE};
	struct site one = site_find(doctor_site_emulated), two = site_find(doctor_site_stepped);
	uint64_t offsets[] = {one.offset, two.offset};
	uint64_t cookies[] = {COOKIE, COOKIE + 1};
	TOCSIN_CLEANUP(doctor_bpf_destroyp) struct doctor_bpf *object = NULL;
	TOCSIN_CLEANUP(tocsin_close_fdp) int link = -1;
	struct multi m = {.type = MULTI_UPROBE,
			  .path = one.path,
			  .offset = offsets,
			  .cookie = cookies,
			  .nr = sizeof(offsets) / sizeof(offsets[0]),
			  .pid = getpid()};
	int r = doctor_part_load(&part, &object);

	if (r < 0)
		return r;
	if (!one.is_found || !two.is_found)
		return -ENOENT;
	m.program = bpf_program__fd(object->progs.hit);
	link = multi_attach(&m);
	if (link < 0)
		return link;
	doctor_site_emulated();
	doctor_site_stepped();
	return (int)object->bss->hits;
}

void probe_uprobe_multi(struct doctor *d, struct doctor_row *row)
{
	int multi = multi_try();

	(void)d;
	if (SITES_OF_OTHER_MACHINE)
		doctor_no(row, 0, "tried on x86-64 only");
	else if (multi < 0)
		doctor_no(row, multi, "one link on two functions");
	else if (multi != 2)
		doctor_no(row, 0, "one link on two functions, each passed once: %d hits", multi);
	else if (!multi_is_known())
		doctor_no(row, 0, "a link for one process fires in its first thread only");
	else
		doctor_yes(row, "two functions in one link");
}

void probe_nop5(struct doctor *d, struct doctor_row *row)
{
	TOCSIN_CLEANUP(site_done) struct site_probe probe = {.link = -1};
	const volatile uint8_t *code = (const volatile uint8_t *)(uintptr_t)doctor_site_nop5;
	uint8_t first;

	if (SITES_OF_OTHER_MACHINE) {
		doctor_no(row, 0, "x86-64 only");
		return;
	}
	if (site_try(d, row, "hit", DOCTOR_SITE_NOP5, &probe) < 0)
		return;
	first = *code;
	if (probe.object->bss->hits != TRY_PASSES)
		doctor_no(row, 0, "passed %d times, %u hits", TRY_PASSES, probe.object->bss->hits);
	else if (first != OPCODE_CALL)
		doctor_no(row, 0, "after %d hits its first byte is %02x, not the call's %02x",
			  TRY_PASSES, first, OPCODE_CALL);
	else
		doctor_yes(row, "first byte became %02x, a call", first);
}

/* The cheapest of several blocks of passes, in ns for the block. */
static uint64_t block_ns(site_fn fn)
{
	uint64_t best = UINT64_MAX;

	for (unsigned block = 0; block < COST_BLOCKS; block++) {
		uint64_t began = clock_now_ns();
		uint64_t took;

		for (unsigned i = 0; i < COST_PASSES; i++)
			fn();
		took = clock_now_ns() - began;
		best = took < best ? took : best;
	}
	return best;
}

void probe_probe_cost(struct doctor *d, struct doctor_row *row)
{
	uint64_t floor_ns =
		block_ns(sites[DOCTOR_SITE_STEPPED]); /* no probe is on it before the loop */
	char cost[DOCTOR_SITE_NR][24];

	if (SITES_OF_OTHER_MACHINE) {
		doctor_no(row, 0, "x86-64 only");
		return;
	}
	for (enum doctor_site i = 0; i < DOCTOR_SITE_NR; i++) {
		TOCSIN_CLEANUP(site_done) struct site_probe probe = {.link = -1};
		uint64_t took_ns;

		if (site_try(d, row, "hit", i, &probe) < 0)
			return;
		took_ns = block_ns(sites[i]);
		took_ns = took_ns > floor_ns ? took_ns - floor_ns : 0;
		(void)tocsin_format_duration(took_ns / COST_PASSES, cost[i], sizeof(cost[i]));
	}
	doctor_yes(row, "%s nop5, %s push, %s single-stepped", cost[DOCTOR_SITE_NOP5],
		   cost[DOCTOR_SITE_EMULATED], cost[DOCTOR_SITE_STEPPED]);
}

void probe_syscalls(struct doctor *d, struct doctor_row *row)
{
	static const struct doctor_part part = {.program = "hit_tracepoint"};
	TOCSIN_CLEANUP(doctor_bpf_destroyp) struct doctor_bpf *object = NULL;
	TOCSIN_CLEANUP(tocsin_close_fdp) int event = -1;
	TOCSIN_CLEANUP(tocsin_close_fdp) int link = -1;
	struct perf_event_attr attr = {.size = sizeof(attr), .type = PERF_TYPE_TRACEPOINT};
	const char *dir = tracefs_dir();
	char path[256];
	uint64_t id;
	int r;

	if (!dir && d->report->facts.tracefs[0] == '/') {
		doctor_no(row, EACCES, "%s", d->report->facts.tracefs);
		return;
	}
	if (!dir) {
		doctor_no(row, 0, "tracefs is not mounted");
		doctor_remedy(row, "mount -t tracefs nodev /sys/kernel/tracing");
		return;
	}
	(void)snprintf(path, sizeof(path), "%s/events/syscalls/sys_enter_getppid/id", dir);
	r = sysfile_read_u64(path, &id);
	if (r < 0) {
		doctor_no(row, r, "%s", path);
		return;
	}
	r = doctor_part_load(&part, &object);
	if (r < 0) {
		doctor_no(row, r, "loading a program for it");
		return;
	}
	attr.config = id;
	event = perf_open(&attr);
	link = event < 0 ? event : event_bind(event, object->progs.hit_tracepoint, COOKIE);
	if (link < 0) {
		doctor_no(row, link, "sys_enter_getppid, event %" PRIu64, id);
		return;
	}
	for (unsigned i = 0; i < TRY_PASSES; i++)
		(void)syscall(SYS_getppid); /* only its being called counts */
	if (object->bss->hits == TRY_PASSES)
		doctor_yes(row, "%d getppid() calls, %u hits", TRY_PASSES, object->bss->hits);
	else
		doctor_no(row, 0, "%d getppid() calls, %u hits", TRY_PASSES, object->bss->hits);
}

/* A probe asks for an interrupt, and a program on the interrupt's tracepoint sees it. */
static void kick_try(struct doctor *d, struct doctor_row *row, const struct doctor_part *part)
{
	TOCSIN_CLEANUP(doctor_bpf_destroyp) struct doctor_bpf *object = NULL;
	TOCSIN_CLEANUP(doctor_link_destroyp) struct bpf_link *seer = NULL;
	TOCSIN_CLEANUP(tocsin_close_fdp) int link = -1;
	int event, r = doctor_part_load(part, &object);
	uint64_t seen_ns;
	char after[24];

	if (r < 0) {
		doctor_no(row, r, "loading a pair of programs for it");
		return;
	}
	seer = bpf_program__attach_trace(object->progs.kick_seen);
	if (!seer) {
		doctor_no(row, errno, "attaching to irq_work_entry");
		return;
	}
	event = site_event(d, DOCTOR_SITE_EMULATED);
	link = event < 0 ? event
			 : event_bind(event,
				      bpf_object__find_program_by_name(object->obj, part->program),
				      COOKIE);
	if (link < 0) {
		doctor_no(row, link, "setting a probe");
		return;
	}
	sites[DOCTOR_SITE_EMULATED]();
	if (object->bss->hits != 1) {
		doctor_no(row, 0, "passed once, %u hits", object->bss->hits);
		return;
	}
	seen_ns = doctor_wait(&object->bss->kick_seen_ns);
	if (seen_ns)
		doctor_yes(row, "irq_work_entry %s after the probe",
			   tocsin_format_duration(seen_ns - object->bss->kick_ns, after,
						  sizeof(after)));
	else
		doctor_no(row, 0, "no irq_work_entry within 10 ms");
}

void probe_kick(struct doctor *d, struct doctor_row *row)
{
	static const struct doctor_part part = {
		.program = "kick_ring", .second = "kick_seen", .map = "ring"};

	kick_try(d, row, &part);
}

void probe_kick_drain(struct doctor *d, struct doctor_row *row)
{
	static const struct doctor_part part = {
		.program = "kick_drain", .second = "kick_seen", .map = "user_ring"};

	kick_try(d, row, &part);
}
