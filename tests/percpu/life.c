// SPDX-License-Identifier: MIT
/*
 * The toolkit, used at every moment of a process's life, the earliest and the latest too.
 *
 * Each use adds one; the last destructor compares. Exit status 0: nothing was lost, 1: something
 * was.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/wait.h>

#include "life.h"

/* --- before main --- */

static int resolved(void)
{
	return 1;
}

static unsigned ifunc_cpu = ~0u;

/* In a static program there is no thread-local storage yet: only the question that needs none. */
__attribute__((used)) static int (*resolve(void))(void)
{
#ifdef LIFE_STATIC
	ifunc_cpu = tocsin_cpu();
#else
	life_use(LIFE_ifunc);
	ifunc_cpu = 0;
#endif
	return resolved;
}

int by_ifunc(void) __attribute__((ifunc("resolve")));

static void preinit(void)
{
	life_use(LIFE_preinit);
}

__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(void) = preinit;

__attribute__((constructor(101))) static void construct_early(void)
{
	life_use(LIFE_constructor);
}

__attribute__((constructor)) static void construct(void)
{
	life_use(LIFE_constructor);
}

/* --- threads and handlers --- */

static pthread_key_t key;

/* Comes back until the last round: glibc's PTHREAD_DESTRUCTOR_ITERATIONS is 4. */
static void key_destroy(void *value)
{
	uintptr_t round = (uintptr_t)value;

	life_use(LIFE_key_destructor);
	if (round < 4)
		(void)pthread_setspecific(key, (void *)(round + 1));
}

static void cleanup(void *arg)
{
	life_use(arg ? LIFE_pthread_exit : LIFE_thread);
}

static void *leave(void *arg)
{
	if (pthread_setspecific(key, (void *)1))
		_exit(3);
	pthread_cleanup_push(cleanup, arg);
	life_use(LIFE_thread);
	if (arg)
		pthread_exit(NULL);
	pthread_cleanup_pop(1);
	return NULL;
}

static void on_signal(int number)
{
	life_use(number == SIGUSR1 ? LIFE_handler : LIFE_nested_handler);
	if (number == SIGUSR1)
		(void)raise(SIGUSR2); /* one handler inside another */
}

/* Handlers on a stack of their own, while the thread itself works. In the middle of much room: what
 * is less than 2 MB away valgrind takes for the same stack, and a move there for the end of the
 * frames in between. */
static void *on_other_stack(void *arg)
{
	enum { BYTES = 65536, ROOM = 16 << 20 };
	char *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	stack_t alternate = {.ss_sp = room + ROOM / 2, .ss_size = BYTES};
	stack_t none = {.ss_flags = SS_DISABLE};

	(void)arg;
	if (room == MAP_FAILED || sigaltstack(&alternate, NULL))
		_exit(3);
	for (unsigned i = 0; i < 1000; i++) {
		life_use(LIFE_thread);
		if (i % 10 == 0)
			(void)raise(SIGUSR1);
	}
	if (sigaltstack(&none, NULL))
		_exit(3);
	(void)munmap(room, ROOM); /* ours, whole */
	return NULL;
}

static void in_thread(void *(*start)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, start, arg) || pthread_join(thread, NULL))
		_exit(3);
}

static void in_child(void)
{
	int status;
	pid_t child = fork();

	if (!child) {
		life_use(LIFE_fork_child);
		life_check("child", 2);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		_exit(6);
}

/* --- after main --- */

static void at_exit(void)
{
	life_use(LIFE_atexit);
}

__attribute__((destructor)) static void destruct(void)
{
	life_use(LIFE_destructor);
}

__attribute__((destructor(101))) static void destruct_late(void)
{
	life_use(LIFE_destructor);
	life_check("life", 1200);
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER};

	/* Named here, libc's variable is copied into this program after its IFUNC resolvers have
	 * run. */
	if (__rseq_size > 4096)
		return 8;
	if (!by_ifunc() || ifunc_cpu >= tocsin_nr_cpus())
		return 7;
	if (sigaction(SIGUSR1, &action, NULL) || sigaction(SIGUSR2, &action, NULL))
		return 3;
	if (pthread_key_create(&key, key_destroy) || atexit(at_exit))
		return 3;
	life_use(LIFE_main);
	in_thread(leave, NULL);
	in_thread(leave, &key);
	in_thread(on_other_stack, NULL);
	in_child();
	return 0;
}
