// SPDX-License-Identifier: MIT
/*
 * The life of a traced process.
 *
 * The constructor makes the control page, a memfd, and leaves it for collectors to find; from then
 * on the process does nothing until a collector sets enable bytes. The first event makes what it
 * needs.
 *
 * fork(). The page and the rings are shared mappings, so a child inherits them, with its parent's
 * descriptors. Pointers to rings stand in pages that the kernel wipes in a child; among them is
 * `owner`, which is how a process knows whether the page is its own. A child looks at its parent's
 * enable bytes, and when one is not zero (its parent is being recorded, or the collector calls the
 * roll) it gets here, and maps a page of its own over its parent's, at the same address: sites keep
 * their pointers. vfork() and clone(CLONE_VM) share memory and page with their parent, and are not
 * told apart.
 *
 * Two libraries in one process (one linked statically) know nothing of one another and have a page
 * each; so have programs and plugins that bring different versions.
 *
 * exec() closes everything, and the new program's constructor begins anew. An arena survives it,
 * since its descriptor is inherited.
 *
 * The lock. Making a page, making rings and describing classes happen a few times in a process's
 * life, in any thread, and in signal handlers that trace. They take a lock that is the number of
 * the thread that holds it: others wait, the same thread (a handler that interrupted itself) is
 * refused, and its event is counted as lost. It lies in a page that fork() wipes, so a child finds
 * it open. Who holds it cannot be cancelled: close() and fallocate() are where that would strike,
 * and the others would wait for ever.
 */
#include "tracee.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../percpu/rseq.h"
#include "tocsin/tocsin.h"

struct ring_writer *tracee_rings;
struct tracee tracee = {.page_fd = -1, .arena = {.fd = -1}};

uint32_t tracee_gettid(void)
{
	return (uint32_t)syscall(SYS_gettid);
}

int tracee_lock(void)
{
	uint32_t me = tracee_gettid();
	int saved = errno, cancel;

	if (!tracee.wiped)
		return -ENODEV;
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* a known state: succeeds */
	for (;;) {
		uint32_t holder = 0;

		if (__atomic_compare_exchange_n(&tracee.wiped->holder, &holder, me, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			tracee.cancel = cancel;
			return 0;
		}
		if (holder == me) {
			(void)pthread_setcancelstate(cancel, NULL); /* as it was */
			return -EDEADLK;
		}
		(void)sched_yield(); /* the holder needs a few system calls */
		errno = saved;
	}
}

bool tracee_lock_is_mine(void)
{
	return tracee.wiped &&
	       __atomic_load_n(&tracee.wiped->holder, __ATOMIC_RELAXED) == tracee_gettid();
}

void tracee_unlock(void)
{
	int cancel = tracee.cancel;

	__atomic_store_n(&tracee.wiped->holder, 0, __ATOMIC_RELEASE);
	(void)pthread_setcancelstate(cancel, NULL); /* as it was */
}

void tracee_count(enum control_loss loss, uint64_t nr)
{
	if (tracee.page && tracee_own())
		__atomic_fetch_add(&tracee.page->tracee.loss[loss], nr, __ATOMIC_RELAXED);
}

void tracee_wake(void)
{
	struct control_page *page = tracee.page;
	int saved = errno;

	__atomic_fetch_add(&page->tracee.wake, 1, __ATOMIC_RELEASE);
	if (!tracee.is_frozen && __atomic_load_n(&page->session.is_waiting, __ATOMIC_RELAXED))
		(void)syscall(SYS_futex, &page->tracee.wake, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
	errno = saved; /* nobody waits: not an error */
}

int tracee_begin(void)
{
	int r = 0;

	if (!tracee.page)
		return -ENODEV;
	if (tracee_own())
		return 0;
	if (tracee.is_frozen)
		return -ENODEV;
	r = tracee_lock();
	if (r)
		return r;
	if (!tracee_own())
		r = page_make();
	tracee_unlock();
	return r;
}

/* Weak: a program that is linked statically has no dlopen(), and is not unloaded. */
extern __typeof__(dladdr) dladdr __attribute__((weak));
extern __typeof__(dlopen) dlopen __attribute__((weak));

/*
 * A plugin may have this library linked in, and be unloaded. Threads that traced there last still
 * have their restartable section armed, and the kernel kills who has one that it cannot read. So
 * the plugin stays. (The shared library is linked with -z nodelete, which says the same.)
 */
static void stay_loaded(const void *address)
{
	Dl_info self;

	if (dladdr && dlopen && dladdr(address, &self) && self.dli_fname)
		(void)dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD |
						     RTLD_NODELETE); /* the program itself: NULL */
}

static int wiped_new(void)
{
	size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	if (madvise(p, bytes, MADV_WIPEONFORK) < 0) {
		int r = -errno;

		(void)munmap(p, bytes); /* ours, whole: cannot fail */
		return r;
	}
	tracee.wiped = p;
	return 0;
}

void tracee_init(void)
{
	static uint32_t state; /* 1: begun */
	int saved = errno;

	if (__atomic_exchange_n(&state, 1, __ATOMIC_ACQ_REL))
		return;
	stay_loaded(&tracee);
	(void)rseq_init(); /* where it cannot be used everything goes to the side ring */
	ring_init(tracee_clock_choose(), &rings_hooks);
	if (wiped_new() == 0 && ring_writer_new(&tracee.rings) == 0) {
		tracee_rings = tracee.rings;
		arena_find();
		if (tracee_lock() == 0) {
			(void)page_make(); /* without it nothing here can be traced, and nothing is
					      lost */
			tracee_unlock();
		}
	}
	errno = saved;
}

__attribute__((constructor(101))) static void constructor(void)
{
	tracee_init();
}

__attribute__((destructor(101))) static void destructor(void)
{
	if (!tracee.page || !tracee_own())
		return;
	__atomic_fetch_or(&tracee.page->tracee.flags, CONTROL_TRACEE_ENDED, __ATOMIC_RELEASE);
	tracee_wake();
}

/* Its classes into the page. */
static void module_describe(struct tocsin_module *module)
{
	uint32_t first;
	bool is_lookup;

	if (tracee_begin())
		return; /* cannot be traced at all */
	if (tracee_lock())
		return; /* dlopen() in a signal handler that interrupted us: nobody may do that */
	first = tracee.nr_classes;
	/* Questions after answers: they are about the classes of the same module, too. */
	for (is_lookup = false;; is_lookup = true) {
		for (struct tocsin_site *const *s = module->begin; s != module->end; s++) {
			if (!!((*s)->cls->flags & TOCSIN_CLASS_LOOKUP) == is_lookup)
				(void)classes_add_site(*s);
		}
		if (is_lookup)
			break;
	}
	if (tracee.nr_classes > first)
		classes_apply(first);
	tracee_unlock();
	if (tracee.nr_classes > first)
		tracee_wake();
}

void tocsin_module_register(struct tocsin_module *module)
{
	tracee_init(); /* linked statically, the order of constructors is the linker's */
	if (module->abi != TOCSIN_SITE_ABI) {
		if (tracee_begin() == 0) /* else nobody could read it */
			tracee_count(TRACEE_LOSS_OTHER_ABI,
				     (uint64_t)(module->end - module->begin));
		return;
	}
	module_describe(module);
	if (module->patches != module->patches_end) {
		/* The collector writes to its code at any time: it must not go away. */
		stay_loaded(module);
		patch_add_module(module);
	}
	chains_add_module(module); /* whose sites have their ids now */
}

int tocsin_freeze(void)
{
	int r = tracee_begin();

	if (!r && tracee.page->session.session_id)
		r = rings_make_all();
	tracee.is_frozen = true;
	return r;
}

void tocsin_stop(void)
{
	tracee.is_frozen = true;
	__atomic_store_n(&tracee.is_stopped, true, __ATOMIC_RELEASE);
	/* Who is in a section now is done with the clock when the caller is past this. */
	__atomic_store_n(&ring_process.fast, 0, __ATOMIC_RELEASE);
}
