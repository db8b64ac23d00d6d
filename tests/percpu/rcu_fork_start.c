// SPDX-License-Identifier: MIT
/* A fork() while another thread is in the middle of starting the worker: the child, where that
 * thread does not exist, can start its own. */
#include "../../src/percpu/rcu.c"
#include "../../src/percpu/rcu_call.c"
#include "../../src/percpu/rcu_sync.c"

#include <sys/wait.h>

#include "stress.h"

#define LIMIT_S 5

int main(void)
{
	int status = 1;
	pid_t child;

	rcu_init();
	(void)rcu_lock_take(&rcu_shared()->worker_lock,
			    UINT64_MAX); /* as the other thread has it; 0: no deadline */
	child = fork();
	if (child == 0) {
		(void)alarm(LIMIT_S);
		_exit(tocsin_rcu_worker_start() == 0 && tocsin_rcu_worker_stop() == 0 ? 0 : 1);
	}
	rcu_lock_drop(&rcu_shared()->worker_lock);
	if (child < 0 || waitpid(child, &status, 0) != child)
		stress_bail("fork");
	return stress_done(status == 0, "the child of a fork starts a worker of its own");
}
