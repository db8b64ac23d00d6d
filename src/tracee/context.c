// SPDX-License-Identifier: MIT
/* Contexts: what a session wants to know of every event besides its fields. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../percpu/rseq.h"
#include "tracee.h"

/* What costs a system call is asked for once a thread. A thread is told from that of its parent
 * before fork() by the process's page having another pid. */
struct thread_cache {
	uint32_t pid; /* 0: nothing cached */
	uint32_t tid;
	uint32_t generation; /* of the session in which comm was read */
	char comm[16];
};

static __thread struct thread_cache cache TRACEE_TLS;

static struct thread_cache *cached(void)
{
	uint32_t generation = tracee.attended;
	int saved = errno;

	if (cache.pid != tracee.pid || cache.generation != generation) {
		cache.tid = tracee_gettid();
		memset(cache.comm, 0, sizeof(cache.comm));
		(void)prctl(PR_GET_NAME, cache.comm); /* 16 bytes, always there */
		cache.generation = generation;
		cache.pid = tracee.pid;
		errno = saved;
	}
	return &cache;
}

static uint32_t cpu(void)
{
	int saved = errno, n;

	if (rseq_thread_ready())
		return rseq_area()->cpu_id;
	n = sched_getcpu();
	errno = saved;
	return n < 0 ? 0 : (uint32_t)n;
}

void context_get(enum control_context which, struct context_value *ret_value)
{
	struct context_value v = {0};

	switch (which) {
	case CONTEXT_TID: v.number = cached()->tid; break;
	case CONTEXT_PID: v.number = tracee.pid; break;
	case CONTEXT_COMM: v.text = cached()->comm; break;
	case CONTEXT_CPU: v.number = cpu(); break;
	case CONTEXT_COOKIE: /* no stacks are asked for yet: 0 says so */
	case CONTEXT_PERF0:
	case CONTEXT_PERF1:
	case CONTEXT_NR: break;
	}
	*ret_value = v;
}

size_t context_put(uint32_t mask, unsigned char *payload)
{
	static const struct {
		uint8_t type;
		uint8_t count;
	} table[CONTEXT_NR] = {
#define X(NAME, name, type, count, text) {type, count},
#include "../abi/context.def"
#undef X
	};
	uint64_t words[TOCSIN_HEADROOM / 8] = {0};
	unsigned char *out = (unsigned char *)words;
	size_t used = 0;

	for (unsigned i = 0; i < CONTEXT_NR; i++) {
		struct context_value v;
		size_t bytes = table[i].type == TOCSIN_TYPE_TEXT  ? table[i].count
			       : table[i].type == TOCSIN_TYPE_U64 ? 8
								  : 4;

		if (!(mask & 1u << i))
			continue;
		if (table[i].type != TOCSIN_TYPE_TEXT)
			used = (used + bytes - 1) & ~(bytes - 1);
		context_get((enum control_context)i, &v);
		memcpy(out + used, v.text ? (const void *)v.text : &v.number, bytes);
		used += bytes;
	}
	used = (used + 7) & ~(size_t)7;
	memcpy(payload - used, out, used);
	return used;
}

/* All contexts together, each with the most padding. */
_Static_assert(TOCSIN_HEADROOM >= 4 + 4 + 16 + 4 + 4 + 8 + 8 + 8,
	       "contexts do not fit in front of a payload");
