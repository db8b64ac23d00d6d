// SPDX-License-Identifier: MIT
/*
 * A linked program without the library: it writes the control page and the section slots itself, as
 *abi/control.h and abi/section.h say, and prints what it did. So the kernel half is tested against
 *the documented layout, and against a program that does not keep to it.
 *
 *	slots work THREADS SECTIONS BUDGET_US SEED    sections of all kinds, nested at times
 *	slots hostile SECONDS                         writes anything into page and slot
 *	slots held MS                                 one section, begun before the watch, and one
 *after
 */
#include "target.h"

#include <stddef.h>
#include <sys/mman.h>

#include "../../src/abi/control.h"
#include "../../src/abi/section.h"

#define BARRIER() __asm__ volatile("" ::: "memory")

static __thread struct section_slot slot __attribute__((tls_model("initial-exec"), aligned(64))) = {
	.magic = SECTION_MAGIC, .abi = SECTION_ABI};

static uint8_t *page;
static const char *const names[] = {"outer", "inner"};

static void section_begin(uint32_t id, uint64_t budget_ns)
{
	uint32_t n = SECTION_COUNT(slot.state);
	uint64_t start;

	slot.state = SECTION_OPENING | n << 8 | n;
	BARRIER();
	if (!slot.min_budget_ns || budget_ns < slot.min_budget_ns)
		slot.min_budget_ns = budget_ns;
	start = now_ns();
	slot.open[n] = (struct section_open){start, start + budget_ns, id, ++slot.begun};
	BARRIER();
	slot.state = n + 1;
	BARRIER();
}

/* Returns when it ended, and in @ret its entry. */
static uint64_t section_end(struct section_open *ret)
{
	uint32_t n = SECTION_COUNT(slot.state) - 1;
	struct section_open *o = &slot.open[n];
	uint64_t end;

	BARRIER();
	slot.state = SECTION_CLOSING | n << 8 | (n + 1);
	BARRIER();
	end = now_ns();
	if (end > o->deadline_ns) {
		slot.late[slot.nr_late % SECTION_LATE] =
			(struct section_late){o->start_ns, o->deadline_ns, end, o->id, o->begun};
		BARRIER();
		slot.nr_late++;
	}
	*ret = *o;
	BARRIER();
	slot.state = n;
	BARRIER();
	return end;
}

/* @asked_ns: how long it meant to sleep; @off_ns: how long that took. */
static void say(const char *name, const struct section_open *o, uint64_t end, uint64_t asked_ns,
		uint64_t off_ns, bool is_off_exact)
{
	char line[256];
	int n = snprintf(
		line, sizeof(line),
		"{\"s\":\"%s\",\"pid\":%d,\"tid\":%d,\"start\":%ju,\"end\":%ju,\"over\":%s,\"asked\":%ju,\"off\":%ju,\"exact\":%s}\n",
		name, getpid(), thread_id(), (uintmax_t)o->start_ns, (uintmax_t)end,
		end > o->deadline_ns ? "true" : "false", (uintmax_t)asked_ns, (uintmax_t)off_ns,
		is_off_exact ? "true" : "false");

	if (write(1, line, (size_t)n) != n)
		err(3, "cannot write");
}

/* --- page --- */

static uint32_t class_put(uint8_t *at, uint16_t id, const char *name)
{
	static const char provider[] = "section", file[] = "slots.c";
	struct control_class c = {.id = id, .level = 6};
	uint32_t to = sizeof(c);

	c.provider = to;
	memcpy(at + to, provider, sizeof(provider));
	to += sizeof(provider);
	c.name = to;
	memcpy(at + to, name, strlen(name) + 1);
	to += (uint32_t)strlen(name) + 1;
	c.file = to;
	memcpy(at + to, file, sizeof(file));
	to += sizeof(file);
	c.bytes = (to + 7) / 8 * 8;
	memcpy(at, &c, sizeof(c));
	return c.bytes;
}

static uint64_t start_ticks(void)
{
	char text[1024], *at;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	uint64_t ticks = 0;

	if (n <= 0)
		err(3, "cannot read /proc/self/stat");
	text[n] = 0;
	(void)close(fd);
	at = strrchr(text, ')') + 2;
	for (int field = 3; field < 22; field++)
		at = strchr(at, ' ') + 1;
	ticks = strtoull(at, NULL, 10);
	return ticks;
}

static void page_make(uint64_t min_budget_ns)
{
	struct control_tracee t = {
		.abi = CONTROL_ABI, .clock = CONTROL_CLOCK_MONOTONIC, .page_bytes = 4096};
	int fd = memfd_create(CONTROL_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, CONTROL_BYTES) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		err(3, "cannot make the control page");
	page = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		err(3, "cannot map the control page");
	t.pid = (uint32_t)getpid();
	t.start_ticks = start_ticks();
	t.made_ns = t.made_clock = now_ns();
	memcpy(t.comm, "slots", 6);
	for (uint16_t i = 0; i < 2; i++)
		t.class_bytes += class_put(page + CONTROL_CLASSES_AT + t.class_bytes, i, names[i]);
	t.nr_classes = 2;
	t.slot_tp_offset = (int64_t)((uintptr_t)&slot - (uintptr_t)__builtin_thread_pointer());
	t.slot_bytes = sizeof(slot);
	t.slot_abi = SECTION_ABI;
	t.slot_magic = SECTION_MAGIC;
	t.min_budget_ns = min_budget_ns;
	memcpy(page, &t, sizeof(t));
	__atomic_store_n((uint64_t *)(void *)page, CONTROL_MAGIC, __ATOMIC_RELEASE);
}

/* --- modes --- */

struct worker {
	unsigned nr, sections;
	uint64_t budget_ns;
	unsigned seed;
};

static uint64_t busy_for(unsigned kind, uint64_t ns)
{
	uint64_t before = now_ns();

	if (kind == 0) {
		spin_ns(ns);
		return 0;
	}
	sleep_ns(ns);
	return now_ns() - before;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < w->sections; i++) {
		unsigned kind = (unsigned)rand_r(&w->seed) % 3;
		uint64_t ns = w->budget_ns * ((unsigned)rand_r(&w->seed) % 30) / 10, off = 0;
		struct section_open o;
		uint64_t end;

		section_begin(1, w->budget_ns);
		if (kind == 2) { /* half of it in a nested one */
			off = busy_for(0, ns / 2);
			section_begin(2, w->budget_ns / 2);
			off += busy_for(1, ns / 2);
			end = section_end(&o);
			if (end > o.deadline_ns)
				say("inner", &o, end, ns / 2, off, true);
		} else {
			off = busy_for(kind, ns);
		}
		end = section_end(&o);
		if (end > o.deadline_ns)
			say("outer", &o, end,
			    kind == 1   ? ns
			    : kind == 2 ? ns / 2
					: 0,
			    off, kind == 1);
		if (rand_r(&w->seed) % 8 == 0)
			sleep_ns(100000);
	}
	return NULL;
}

static void mode_work(char **argv)
{
	unsigned nr = (unsigned)target_u64(argv[2]);
	struct worker w[64];
	pthread_t thread[64];

	for (unsigned i = 0; i < nr && i < 64; i++) {
		w[i] = (struct worker){.nr = i,
				       .sections = (unsigned)target_u64(argv[3]),
				       .budget_ns = target_u64(argv[4]) * 1000,
				       .seed = (unsigned)target_u64(argv[5]) + i};
		if (pthread_create(&thread[i], NULL, work, &w[i]))
			errx(3, "cannot start a thread");
	}
	for (unsigned i = 0; i < nr && i < 64; i++)
		(void)pthread_join(thread[i], NULL);
}

static void mode_hostile(char **argv)
{
	uint64_t end = now_ns() + target_u64(argv[2]) * NS_PER_S;
	unsigned seed = 7;
	uint64_t *word = (uint64_t *)(void *)&slot;

	while (now_ns() < end) {
		for (int i = 0; i < 1000; i++) {
			uint64_t v = (uint64_t)rand_r(&seed) << 32 ^ (uint64_t)rand_r(&seed);
			unsigned at = (unsigned)rand_r(&seed) % (sizeof(slot) / 8);

			word[at] = at == 0 && i % 4 ? SECTION_MAGIC
				   : i % 3          ? v % 64
				   : i % 2          ? now_ns() - v % 1000000
						    : v;
			if (i % 100 == 0)
				((volatile uint8_t *)page)[8 + v % 1000] = (uint8_t)(v >> 40);
		}
		slot.magic = SECTION_MAGIC;
		slot.abi = SECTION_ABI;
		(void)sched_yield();
	}
}

static void mode_held(char **argv)
{
	uint64_t ns = target_u64(argv[2]) * NS_PER_MS;
	struct section_open o;

	sleep_ns(ns);
	say("outer", &o, section_end(&o), ns, ns, false);
	section_begin(1, NS_PER_MS);
	sleep_ns(ns);
	say("outer", &o, section_end(&o), ns, ns, false);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		errx(2,
		     "usage: slots work THREADS SECTIONS BUDGET_US SEED | hostile SECONDS | held MS");
	page_make(argc > 4 ? target_u64(argv[4]) * 500 : NS_PER_MS);
	if (!strcmp(argv[1], "held"))
		section_begin(1, NS_PER_MS);
	target_ready();
	if (!strcmp(argv[1], "work") && argc == 6)
		mode_work(argv);
	else if (!strcmp(argv[1], "hostile"))
		mode_hostile(argv);
	else if (!strcmp(argv[1], "held"))
		mode_held(argv);
	else
		errx(2, "unknown mode");
	return 0;
}
