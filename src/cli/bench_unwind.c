// SPDX-License-Identifier: MIT
/*
 * `tocsin bench unwind`: what a frame of a user stack costs by compiled tables, beside the walkers
 * that there are; how large the tables are; what a name costs.
 *
 * The stack is this program's own, made deeper by a recursion that starts in a callback out of the
 * C library. All walkers begin at the same depth and must come to the same outermost frame.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../elf/elf_file.h"
#include "../unwind/symbol.h"
#include "bench_percpu.h"
#include "bench_run.h"

#define DEPTH     24
#define FRAMES    128
#define ADDRESSES 65536 /* a power of two */

static struct bench_run *running;
static struct unwind_process *process;
static struct unwind_space uncached;
static struct unwind_regs regs;
static struct unwind_stack stack;
static int (*libunwind)(void **frames, int max);
static uint64_t address[ADDRESSES];
static struct unwind_module *library;
static size_t frames;
static uint64_t sink;

static void walk(const struct unwind_space *space, unsigned turns)
{
	struct unwind_frame frame[FRAMES];
	enum stack_reason why;

	for (unsigned i = 0; i < turns; i++) {
		frames = unwind_walk(space, &regs, &stack, frame, FRAMES, &why);
		sink += frame[frames - 1].pc;
	}
}

static void walk_cached(unsigned turns)
{
	walk(unwind_process_space(process), turns);
}

static void walk_cold(unsigned turns)
{
	walk(&uncached, turns);
}

static void walk_backtrace(unsigned turns)
{
	void *frame[FRAMES];

	for (unsigned i = 0; i < turns; i++)
		frames = (size_t)backtrace(frame, FRAMES);
}

static void walk_libunwind(unsigned turns)
{
	void *frame[FRAMES];

	for (unsigned i = 0; i < turns; i++)
		frames = (size_t)libunwind(frame, FRAMES);
}

static void symbolize(unsigned turns)
{
	uint64_t offset = 0;

	for (unsigned i = 0; i < turns; i++)
		if (unwind_symbol_name(library, address[i % ADDRESSES], &offset))
			sink += offset;
}

static void measure(enum bench_value value, void (*loop)(unsigned))
{
	double ns = bench_percpu_time(loop);

	bench_add(running, value, ns / (double)frames);
}

/* At the bottom of the stack. */
static void __attribute__((noinline)) round_measure(void)
{
	__asm__ volatile("lea (%%rip), %0; mov %%rsp, %1; mov %%rbp, %2"
			 : "=r"(regs.pc), "=r"(regs.sp), "=r"(regs.fp));
	stack = (struct unwind_stack){
		.base = regs.sp, .bytes = (const uint8_t *)regs.sp, .len = 16384};
	uncached = *unwind_process_space(process);
	uncached.cache = NULL;
	measure(BENCH_V_walk_ns_per_frame_cached, walk_cached);
	bench_add(running, BENCH_V_walk_frames, (double)frames);
	measure(BENCH_V_walk_ns_per_frame_cold, walk_cold);
	measure(BENCH_V_backtrace_ns_per_frame, walk_backtrace);
	if (libunwind)
		measure(BENCH_V_libunwind_ns_per_frame, walk_libunwind);
	bench_add(running, BENCH_V_symbolize_per_s, 1e9 / bench_percpu_time(symbolize));
}

static int __attribute__((noinline)) recurse(int depth)
{
	volatile char place[40];

	place[0] = (char)depth;
	if (depth)
		return recurse(depth - 1) + place[0];
	round_measure();
	return place[0];
}

static int by_value(const void *a, const void *b)
{
	return recurse(DEPTH) * 0 + *(const int *)a - *(const int *)b;
}

/* From nothing, as for a process that has just been found: mappings, tables and the first name. */
static int first_symbol(struct bench_run *run, struct tocsin_err *err)
{
	uint64_t begin = clock_now_ns(), at = (uintptr_t)&getppid;
	struct unwind_files *files = unwind_files_new(NULL);
	struct unwind_symbol sym[UNWIND_INLINED_MAX];
	struct unwind_process *p = NULL;
	const struct unwind_map *map;
	int r = files ? unwind_process_open(files, getpid(), &p, err) : -ENOMEM;

	if (!r) {
		map = unwind_map_at(unwind_process_space(p), at);
		r = map && map->module ? unwind_symbol_at(map->module, at - map->bias, sym)
				       : -ENOENT;
	}
	if (r > 0)
		bench_add(run, BENCH_V_first_symbol_ms, (double)(clock_now_ns() - begin) / 1e6);
	(void)unwind_process_free(p); /* always NULL, as the next */
	(void)unwind_files_free(files);
	return r < 0 ? r : 0;
}

/* Functions of the C library, and its table against what it was made of. */
static int library_find(struct bench_run *run)
{
	uint64_t at = (uintptr_t)&getppid;
	const struct unwind_map *map = unwind_map_at(unwind_process_space(process), at);
	const struct unwind_table *t = map && map->module ? unwind_module_table(map->module) : NULL;
	uint64_t span, seed = 88172645463325252;

	if (!t)
		return -ENOENT;
	library = map->module;
	span = map->end - map->start;
	for (unsigned i = 0; i < ADDRESSES; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		address[i] = map->start - map->bias + seed % span;
	}
	if (t->source_bytes)
		bench_add(run, BENCH_V_table_bytes_over_eh_frame,
			  (double)unwind_table_bytes(t) / (double)t->source_bytes);
	return 0;
}

int bench_unwind(struct bench_run *run, struct tocsin_err *err)
{
	struct unwind_files *files = unwind_files_new(NULL);
	void *handle = dlopen("libunwind.so.8", RTLD_NOW);
	int list[2] = {2, 1}, r = files ? 0 : -ENOMEM;

	running = run;
	if (handle)
		*(void **)&libunwind = dlsym(handle, "unw_backtrace");
	if (!libunwind)
		bench_note(run, "libunwind is not installed: not compared with");
	r = r ?: unwind_process_open(files, getpid(), &process, err);
	r = r ?: library_find(run);
	for (unsigned i = 0; i < run->rounds && !r; i++) {
		r = first_symbol(run, err);
		qsort(list, 2, sizeof(list[0]), by_value);
	}
	process = unwind_process_free(process);
	(void)unwind_files_free(files);
	if (handle)
		(void)dlclose(handle);
	return r ? tocsin_err_fail(r, err, "cannot walk the stack of this program") : 0;
}
