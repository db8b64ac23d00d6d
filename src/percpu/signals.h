/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_PERCPU_SIGNALS_H
#define TOCSIN_PERCPU_SIGNALS_H

/* No handler in this thread for a while: whoever has closed what a handler would wait for. */

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Blocks every signal, SIGCANCEL of pthread_cancel() too; restored by signals_restore(). */
static inline uint64_t signals_block(void)
{
	uint64_t all = ~UINT64_C(0), before = 0;
	int saved = errno;

	/* glibc's own function leaves its cancellation signal open. The kernel keeps SIGKILL and
	 * SIGSTOP. */
	(void)syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &before, sizeof(all)); /* cannot fail */
	errno = saved;
	return before;
}

static inline void signals_restore(uint64_t before)
{
	int saved = errno;

	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	errno = saved;
}

#endif
