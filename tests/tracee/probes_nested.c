// SPDX-License-Identifier: MIT
/* Callbacks inside callbacks, in handlers, in handlers of traps; callbacks that are left; other
 * stacks: see probes.c. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "probes.h"
#include "tocsin/rcu.h"
#include "tocsin/tracing.h"

static void emit_other(const struct tocsin_record *record, void *data)
{
	(void)data;
	calls++;
	step(1000);
	other(record->bytes);
}

void mode_storm(void)
{
	int id = must(tocsin_probe_register("probes:*", emit_other, NULL, 0));

	/* Each step calls back once, and the two events that the callback emits are recorded. */
	for (unsigned i = 0; i < 1000; i++)
		step(i);
	say("calls", calls, 1000);
	say("unregister", tocsin_probe_unregister(id), 0);
}

static int depth;
static long nested[4];

static void raise_next(const struct tocsin_record *record, void *data)
{
	static const int sigs[] = {SIGUSR1, SIGUSR2, SIGALRM};

	(void)record;
	(void)data;
	nested[depth]++;
	if (depth < 3 && raise(sigs[depth]))
		exit(9);
}

static void trace_in_handler(int sig)
{
	(void)sig;
	depth++;
	step(100); /* inside the callback of the one before, yet on a stack of its own */
	depth--;
}

/* A handler that traces in a handler in a handler, each in the middle of a callback. */
void mode_handlers(bool has_stack)
{
	struct sigaction sa = {.sa_handler = trace_in_handler,
			       .sa_flags = has_stack ? SA_ONSTACK : 0};
	stack_t stack = {.ss_size = 256 * 1024};
	int id = must(tocsin_probe_register("probes:step", raise_next, NULL, 0));

	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	if (has_stack && (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL)))
		exit(9);
	if (sigaction(SIGUSR1, &sa, NULL) || sigaction(SIGUSR2, &sa, NULL) ||
	    sigaction(SIGALRM, &sa, NULL))
		exit(9);
	for (int i = 0; i < 10; i++)
		step(0);
	for (int i = 0; i < 4; i++)
		say("nested", nested[i], 10);
	say("unregister", tocsin_probe_unregister(id), 0);
}

static sigjmp_buf escape;
static volatile int *nowhere;
static void *fault_page;

static void fault(const struct tocsin_record *record, void *data)
{
	(void)record;
	(void)data;
	calls++;
	*nowhere = 1;
}

static void on_fault(int sig)
{
	(void)sig;
	step(7); /* the callback's own doing: no callback for it, or this would not end */
	if (mprotect(fault_page, 4096, PROT_READ | PROT_WRITE))
		_exit(9);
}

/* A trap inside a callback, mended by a handler that traces. */
void mode_trap(bool has_stack)
{
	struct sigaction sa = {.sa_handler = on_fault,
			       .sa_flags = SA_NODEFER | (has_stack ? SA_ONSTACK : 0)};
	stack_t stack = {.ss_size = 256 * 1024};
	int id = must(tocsin_probe_register("probes:step", fault, NULL, 0));

	fault_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	nowhere = fault_page;
	if (fault_page == MAP_FAILED || sigaction(SIGSEGV, &sa, NULL) ||
	    (has_stack && sigaltstack(&stack, NULL)))
		exit(9);
	for (int i = 0; i < 10; i++) {
		step(0);
		if (mprotect(fault_page, 4096, PROT_NONE))
			exit(9);
	}
	say("calls", calls, 10);
	say("unregister", tocsin_probe_unregister(id), 0);
}

/* ---- tracers with flags of their own */

static long nr_outer, nr_refused, nr_other;
static int other_sees;

/* As a wrapper of malloc() that is called by what it does itself. */
static void traced_alloc(int further)
{
	int place = tocsin_tracing_begin(TOCSIN_TRACER_MALLOC, TOCSIN_TRACER_ALL);

	if (place < 0) {
		nr_refused++;
		return;
	}
	nr_outer++;
	other(0); /* its probes are another tracer, which may run */
	if (further)
		traced_alloc(further - 1);
	tocsin_tracing_end(place);
}

/* A tracer that is to see what the other does. */
static void alloc_in_other(const struct tocsin_record *record, void *data)
{
	int place = tocsin_tracing_begin(TOCSIN_TRACER_USER, TOCSIN_TRACER_USER);

	(void)record;
	(void)data;
	calls++;
	if (place >= 0) {
		nr_other++;
		if (other_sees)
			traced_alloc(0);
		tocsin_tracing_end(place);
	}
}

static void alloc_in_handler(int sig)
{
	(void)sig;
	traced_alloc(1);
}

static void raise_in_callback(const struct tocsin_record *record, void *data)
{
	(void)record;
	(void)data;
	if (raise(SIGUSR1))
		exit(9);
}

void mode_tracers(void)
{
	struct sigaction sa = {.sa_handler = alloc_in_handler};
	int id = must(tocsin_probe_register("probes:other", alloc_in_other, NULL, 0));

	for (int i = 0; i < 100; i++)
		traced_alloc(3);
	say("traced", nr_outer, 100);
	say("refused inside itself", nr_refused, 100);
	say("callbacks of what it emits", calls, 100);
	say("another tracer inside it", nr_other, 100);
	other_sees = 1;
	traced_alloc(0);
	say("refused through the other", nr_refused, 101);
	other_sees = 0;
	if (sigaction(SIGUSR1, &sa, NULL) || tocsin_probe_unregister(id))
		exit(9);
	id = must(tocsin_probe_register("probes:step", raise_in_callback, NULL, 0));
	step(0);
	say("traced in a handler in a callback", nr_outer, 102);
	say("refused inside itself there", nr_refused, 102);
	say("unregister", tocsin_probe_unregister(id), 0);
}

/* ---- left */

static void leave(const struct tocsin_record *record, void *data)
{
	(void)record;
	(void)data;
	calls++;
	siglongjmp(escape, 1);
}

static __attribute__((noinline)) void deeper(unsigned n)
{
	volatile char room[512];

	room[0] = (char)n;
	if (n)
		deeper(n - 1);
	else
		step(0);
	(void)room[0];
}

void mode_longjmp(void)
{
	int id = must(tocsin_probe_register("probes:step", leave, NULL, 0));
	int counter = must(tocsin_probe_register("probes:other", count, NULL, 0));
	uint64_t token;

	for (volatile int i = 0; i < 100; i++)
		if (!sigsetjmp(escape, 1))
			step(0);
	say("calls", calls, 100);
	/* Further in than the frame that was left, which may still be there for all we know. */
	deeper(5);
	say("calls further in", calls, 100);
	if (!sigsetjmp(escape, 1))
		step(0);
	/* A section of the program's that begins while the one that was left stands stays its own.
	 */
	token = tocsin_rcu_read_lock();
	other(1);
	say("still inside", tocsin_rcu_is_watching(), 1);
	say("cannot wait", tocsin_rcu_synchronize(), -EDEADLK);
	tocsin_rcu_read_unlock(token);
	other(2);
	say("calls after", calls, 103);
	say("outside", tocsin_rcu_is_watching(), 0);
	say("unregister", tocsin_probe_unregister(id), 0);
	say("unregister", tocsin_probe_unregister(counter), 0);
}

static void trace_and_leave(int sig)
{
	(void)sig;
	step(1);
	siglongjmp(escape, 1);
}

static void raise_usr1(const struct tocsin_record *record, void *data)
{
	(void)record;
	(void)data;
	calls++;
	if (depth++ == 0 && raise(SIGUSR1))
		exit(9);
}

/* Out of a traced handler, and out of the callback that it interrupted with it. */
void mode_handler_longjmp(void)
{
	struct sigaction sa = {.sa_handler = trace_and_leave};
	int id = must(tocsin_probe_register("probes:step", raise_usr1, NULL, 0));

	if (sigaction(SIGUSR1, &sa, NULL))
		exit(9);
	for (volatile int i = 0; i < 100; i++) {
		depth = 0;
		if (!sigsetjmp(escape, 1))
			step(0);
	}
	say("calls", calls, 200);
	depth = 1;
	step(0);
	say("calls after", calls, 201);
	say("unregister", tocsin_probe_unregister(id), 0);
}

/* ---- stacks of the program's own */

static ucontext_t main_context, co[2];
static char co_stack[2][128 * 1024];

static void co_run(int which)
{
	for (unsigned i = 0; i < 100; i++) {
		step((unsigned)which);
		if (swapcontext(&co[which], which ? &co[0] : &co[1]))
			exit(9);
	}
}

void mode_contexts(void)
{
	int id = must(tocsin_probe_register("probes:step", emit_other, NULL, 0));

	for (int i = 0; i < 2; i++) {
		if (getcontext(&co[i]))
			exit(9);
		co[i].uc_stack.ss_sp = co_stack[i];
		co[i].uc_stack.ss_size = sizeof(co_stack[i]);
		co[i].uc_link = &main_context;
		makecontext(&co[i], (void (*)(void))(uintptr_t)co_run, 1, i);
	}
	if (swapcontext(&main_context, &co[0]))
		exit(9);
	say("calls", calls, 200);
	say("unregister", tocsin_probe_unregister(id), 0);
}
