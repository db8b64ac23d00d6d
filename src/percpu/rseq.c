// SPDX-License-Identifier: MIT
/*
 * Is rseq there, and whose is it?
 *
 * Since 2.35 glibc registers an area for each thread, at a constant distance from the thread
 * pointer, and publishes it as __rseq_offset and __rseq_size. We copy them once into our own
 * variable, and only if the size is not 0: an IFUNC resolver of a preloaded library may run before
 * the executable's copy of these two is filled, and offset 0 is the thread control block. What
 * nobody has initialised is 0 here too, and 0 means "no sections".
 *
 * How much of the area the kernel fills in: glibc 2.35 to 2.39 say 32 (Debian's 2.36 says 20)
 * whatever the kernel does, 2.40 says 20, and all of them give the kernel 32 bytes; there
 * AT_RSEQ_FEATURE_SIZE decides. Since 2.41 __rseq_size is the truth.
 *
 * Where libc does not register (older, or switched off by its tunable), Tocsin has an area of its
 * own in initial-exec TLS, which is at a constant distance too, and registers thread by thread: at
 * the first slow path that a thread takes. A new thread's area says "not registered" by its initial
 * value. Another library may have been first; then the kernel refuses, and this thread uses atomics
 * for ever.
 *
 * What the kernel writes is only read, but for rseq_cs. cpu_id_start is not used at all: some
 * allocators lay a pointer of their own over it.
 */
#include "rseq.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define AREA_BYTES 32 /* of linux/rseq.h's first version; all that we use lies in it */
#define CPUS_MAX   8192

#ifndef AT_RSEQ_FEATURE_SIZE
#	define AT_RSEQ_FEATURE_SIZE 27
#endif

_Static_assert(sizeof(struct tocsin_rseq_area) == AREA_BYTES, "the kernel's layout");
_Static_assert(offsetof(struct tocsin_rseq_area, cpu_id) == 4, "the kernel's layout");
_Static_assert(offsetof(struct tocsin_rseq_area, rseq_cs) == 8, "the kernel's layout");
_Static_assert(offsetof(struct tocsin_rseq_area, node_id) == 20, "the kernel's layout");
_Static_assert(offsetof(struct tocsin_rseq_area, mm_cid) == 24, "the kernel's layout");
_Static_assert(sizeof(struct tocsin_rseq_state) == 64, "exported data: part of the ABI");

struct tocsin_rseq_state tocsin_rseq;

#ifdef TOCSIN_RSEQ_WITH_INJECT
volatile int32_t tocsin_rseq_delay[TOCSIN_RSEQ_POINTS];
volatile int32_t tocsin_rseq_unmet[TOCSIN_RSEQ_POINTS] = {
	[0 ... TOCSIN_RSEQ_POINTS - 1] = 1,
};
#endif

static enum rseq_reason reason = RSEQ_EARLY; /* written once, before the constructor ends */
static pthread_once_t init_once = PTHREAD_ONCE_INIT;

static const char *const reason_texts[] = {
#define X(name, text) [RSEQ_##name] = text,
#include "reasons.def"
#undef X
};

const char *rseq_reason_text(enum rseq_reason r)
{
	return (unsigned)r < RSEQ_REASONS_NR ? reason_texts[r] : "unknown";
}

bool percpu_usable(const char **ret_why)
{
	enum rseq_reason r = __atomic_load_n(&reason, __ATOMIC_ACQUIRE);

	if (ret_why)
		*ret_why = rseq_reason_text(r);
	return r == RSEQ_OK;
}

/* The largest number in a list as 0-3,8; -1: none. */
static int list_last(const char *s, const char *end)
{
	int last = -1, number = -1;

	for (; s < end; s++) {
		if (*s >= '0' && *s <= '9') {
			number = (number < 0 ? 0 : number) * 10 + (*s - '0');
			if (number > CPUS_MAX)
				return -1;
		} else {
			number = -1;
		}
		if (number > last)
			last = number;
	}
	return last;
}

/* Return: how many CPUs this machine can ever have, 0: not known. */
static unsigned possible_cpus(void)
{
	int fd = open("/sys/devices/system/cpu/possible", O_RDONLY | O_CLOEXEC);
	char text[4096];
	long configured;
	ssize_t len = -1;
	int last = -1;

	if (fd >= 0) {
		len = read(fd, text, sizeof(text));
		(void)close(fd); /* read only */
	}
	if (len > 0 && (size_t)len < sizeof(text))
		last = list_last(text, text + len);
	if (last >= 0 && last < CPUS_MAX)
		return (unsigned)last + 1;
	configured = sysconf(_SC_NPROCESSORS_CONF);
	return configured > 0 && configured <= CPUS_MAX ? (unsigned)configured : 0;
}

static int membarrier(int command, unsigned flags, int cpu)
{
	int saved = errno, r;

	r = (int)syscall(SYS_membarrier, command, flags, cpu);
	if (r < 0)
		r = -errno;
	errno = saved;
	return r;
}

#ifndef MEMBARRIER_CMD_FLAG_CPU
#	define MEMBARRIER_CMD_FLAG_CPU 1
#endif

/* Registering is a few us for a process with one thread and 5 to 24 ms with more: now is the time.
 */
static uint32_t fence_prepare(void)
{
	uint32_t flags = 0;

	if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0))
		return 0;
	if (!membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0))
		flags |= TOCSIN_RSEQ_F_FENCE;
	if (!membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, 0))
		flags |= TOCSIN_RSEQ_F_FENCE1;
	return flags;
}

int rseq_fence(int cpu)
{
	uint32_t flags = tocsin_rseq.flags;
	int r;

	if (cpu < -1 || cpu >= (int)tocsin_rseq.nr_indexes)
		return -EINVAL;
	if (cpu >= 0 && flags & TOCSIN_RSEQ_F_FENCE1)
		r = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, cpu);
	else if (flags & TOCSIN_RSEQ_F_FENCE)
		r = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0);
	else
		r = -EOPNOTSUPP;
	return r ? -EOPNOTSUPP : 0; /* it worked at start-up: a sandbox has closed since */
}

#if TOCSIN_RSEQ_ARCH

/* glibc >= 2.35; NULL where libc does not know rseq. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

static __thread struct tocsin_rseq_area own_area
	__attribute__((tls_model("initial-exec"), aligned(AREA_BYTES))) = {.cpu_id = (uint32_t)-1};

/* Return: the bytes of libc's area that the kernel fills in, 0: libc does not register. */
static uint32_t libc_feature_bytes(void)
{
	unsigned long kernel = getauxval(AT_RSEQ_FEATURE_SIZE);
	uint32_t bytes = &__rseq_size ? __rseq_size : 0;

	if (bytes != 20 && bytes != AREA_BYTES)
		return bytes;
	if (!kernel)
		return 20; /* Linux < 6.3 */
	return kernel < AREA_BYTES ? (uint32_t)kernel : AREA_BYTES;
}

static intptr_t own_offset(void)
{
	return (intptr_t)((uintptr_t)&own_area - (uintptr_t)__builtin_thread_pointer());
}

static int own_register(void)
{
	int saved = errno, r = 0;

	if (syscall(SYS_rseq, &own_area, AREA_BYTES, 0, TOCSIN_RSEQ_SIG))
		r = -errno;
	/* A handler may have been here between our caller's look and the call: same address, EBUSY.
	 */
	if (r == -EBUSY && (int32_t)__atomic_load_n(&own_area.cpu_id, __ATOMIC_RELAXED) >= 0)
		r = 0;
	if (r)
		__atomic_store_n(&own_area.cpu_id, (uint32_t)-2, __ATOMIC_RELAXED);
	errno = saved;
	return r;
}

int rseq_thread_register(void)
{
	int32_t cpu;

	if (!tocsin_rseq.area)
		return -ENOSYS;
	cpu = (int32_t)rseq_area()->cpu_id;
	if (cpu >= 0)
		return 0;
	if (!(tocsin_rseq.flags & TOCSIN_RSEQ_F_OWN) || cpu == -2)
		return -EBUSY; /* libc's to do, or tried before */
	return own_register();
}

/* Finds the area. Return: RSEQ_OK with @ret filled in, or why not. */
static enum rseq_reason area_find(struct tocsin_rseq_state *ret)
{
	unsigned long kernel = getauxval(AT_RSEQ_FEATURE_SIZE);

	ret->feature_bytes = libc_feature_bytes();
	if (ret->feature_bytes) {
		ret->area = __rseq_offset;
		return RSEQ_OK;
	}
	switch (own_register()) {
	case 0:
		ret->area = own_offset();
		ret->flags |= TOCSIN_RSEQ_F_OWN;
		ret->feature_bytes = !kernel               ? 20
				     : kernel < AREA_BYTES ? (uint32_t)kernel
							   : AREA_BYTES;
		return RSEQ_OK;
	case -ENOSYS: return RSEQ_ENOSYS;
	case -EPERM:
	case -EACCES: return RSEQ_DENIED;
	case -EBUSY:
	case -EINVAL: return RSEQ_FOREIGN;
	default: return RSEQ_FAILED;
	}
}

/* Kernels are out that resume a preempted section as if nothing had happened: 6.19 and some later
 * ones, on aarch64. Return: false where this is one of them. */
static bool kernel_aborts(void)
{
#	if defined(__aarch64__)
	struct utsname host;
	unsigned major = 0, minor = 0;

	if (uname(&host))
		return true;
	for (const char *s = host.release, *part = s; *s; s++) {
		if (*s == '.' && part == host.release)
			part = s + 1;
		else if (*s < '0' || *s > '9')
			break;
		else if (part == host.release)
			major = major * 10 + (unsigned)(*s - '0');
		else
			minor = minor * 10 + (unsigned)(*s - '0');
	}
	if (major < 6 || (major == 6 && minor < 19))
		return true;
	return rseq_selftest(50) != -EPROTO;
#	else
	return true;
#	endif
}

static enum rseq_reason probe(struct tocsin_rseq_state *ret)
{
	const char *wish = secure_getenv("TOCSIN_RSEQ");
	enum rseq_reason r;

	ret->index_offset = offsetof(struct tocsin_rseq_area, cpu_id);
	ret->nr_indexes = possible_cpus();
	if (!ret->nr_indexes) {
		ret->nr_indexes = 1; /* of the path with atomics */
		return RSEQ_CPUS;
	}
	ret->flags = fence_prepare();
	if (wish && wish[0] == '0' && !wish[1])
		return RSEQ_OFF;
	r = area_find(ret);
	if (r != RSEQ_OK)
		return r;
	if (ret->feature_bytes >= offsetof(struct tocsin_rseq_area, mm_cid) + sizeof(uint32_t) &&
	    !(wish && wish[0] == 'c'))
		ret->index_offset = offsetof(struct tocsin_rseq_area, mm_cid);
	return RSEQ_OK;
}

#else /* !TOCSIN_RSEQ_ARCH */

int rseq_thread_register(void)
{
	return -ENOSYS;
}

static bool kernel_aborts(void)
{
	return true;
}

static enum rseq_reason probe(struct tocsin_rseq_state *ret)
{
	ret->nr_indexes = possible_cpus();
	if (!ret->nr_indexes)
		ret->nr_indexes = 1;
	ret->flags = fence_prepare();
	return RSEQ_ARCH;
}

#endif

static void init(void)
{
	struct tocsin_rseq_state state = {0};
	enum rseq_reason r = probe(&state);
	intptr_t area = state.area;

	state.area = 0;
	tocsin_rseq = state; /* nobody uses sections while area is 0 */
	if (r == RSEQ_OK) {
		/* Threads that exist already see the rest before the area. */
		__atomic_store_n(&tocsin_rseq.area, area, __ATOMIC_RELEASE);
		if (!kernel_aborts()) {
			__atomic_store_n(&tocsin_rseq.area, 0, __ATOMIC_RELAXED);
			r = RSEQ_BROKEN;
		}
	}
	__atomic_store_n(&reason, r, __ATOMIC_RELEASE);
}

enum rseq_reason rseq_init(void)
{
	(void)pthread_once(&init_once, init); /* cannot fail */
	return __atomic_load_n(&reason, __ATOMIC_ACQUIRE);
}

/* Before the constructors of programs and of most libraries. Who was even earlier (an IFUNC
 * resolver that makes a counter) found neither the environment nor, maybe, libc's variables filled
 * in: look again. */
__attribute__((constructor(101), used)) static void rseq_constructor(void)
{
	enum rseq_reason early = __atomic_load_n(&reason, __ATOMIC_ACQUIRE);

	(void)rseq_init(); /* the reason is kept */
	if (early != RSEQ_EARLY)
		init();
}
