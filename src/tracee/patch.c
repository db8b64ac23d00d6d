// SPDX-License-Identifier: MIT
/*
 * Patched sites: switching them from inside.
 *
 * A patched site is armed (a jump to code that looks at the enable byte) or not (an instruction
 * that does nothing): one byte of the code. Armed is always right, only dearer, and so it is how
 * sites begin, and how they stay wherever anything here does not succeed. The library disarms those
 * that nobody wants, once the page says where they are; from then on the collector arms them when
 * it sets an enable byte, through /proc/PID/mem, which it may as it may open the page. Where the
 * process itself wants one (probes, rules of a session that was there before the library) the
 * library arms it.
 *
 * The order that makes it safe: the library disarms, then looks at the enable byte again, and arms
 * where that is set by now; the collector sets the byte, then arms. Whichever comes last, a site
 * whose byte is set is armed.
 *
 * The byte is written by pwrite() to /proc/self/mem: the page of code becomes the process's own
 * copy and stays what it is to everybody else, never writable and executable; a uprobe on another
 * byte of it stays. One byte is always written whole, and both values make an instruction of five
 * bytes, so a CPU runs either. membarrier(SYNC_CORE) makes all threads see the new one.
 *
 * The descriptor is opened anew each time: held open it would be a key to this process's code for
 * whoever gets hold of it, and in a child of fork() one to its parent's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tracee.h"

#ifndef PATCH_FENCE
#	define PATCH_FENCE() \
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0)
#endif

int patch_open(void)
{
	int fd;

	if (tracee.is_frozen)
		return -EPERM;
	fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int patch_write(int fd, const struct tocsin_patch *patch, bool is_armed)
{
	uint8_t want = is_armed ? CONTROL_PATCH_ON : CONTROL_PATCH_OFF;
	uint8_t now = *(const volatile uint8_t *)patch->at;

	if (now == want)
		return 0;
	if (now != CONTROL_PATCH_ON && now != CONTROL_PATCH_OFF)
		return -EBUSY; /* a debugger's breakpoint */
	return pwrite(fd, &want, 1, (off_t)(uintptr_t)patch->at) == 1 ? 1 : -EIO;
}

bool patch_fence(void)
{
	return PATCH_FENCE() == 0;
}

static bool is_wanted(const struct tocsin_patch *patch)
{
	return *__atomic_load_n(&patch->site->on, __ATOMIC_SEQ_CST) != 0;
}

int patch_update(const struct tocsin_module *module)
{
	int fd = -1, r = 0, nr = 0;

	for (const struct tocsin_patch *p = module->patches; p != module->patches_end; p++) {
		bool wanted = is_wanted(p);

		if (*(const volatile uint8_t *)p->at ==
			    (wanted ? CONTROL_PATCH_ON : CONTROL_PATCH_OFF) ||
		    (!wanted && !p->site->can_patch))
			continue;
		if (fd < 0)
			fd = patch_open();
		if (fd < 0) {
			r = wanted ? fd : r;
			continue; /* one that is armed stays so */
		}
		for (bool is = wanted;; is = true) {
			int done = patch_write(fd, p, is);

			nr += done > 0;
			if (done < 0 && is)
				r = done;
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
			if (is || !is_wanted(p))
				break;
		}
	}
	if (fd >= 0)
		(void)close(fd); /* nothing is buffered */
	if (nr)
		(void)patch_fence(); /* without it a CPU may run the old byte for some time more */
	return r;
}

/* Say where the site is, so that a collector can arm it. */
static bool publish(const struct tocsin_patch *patch)
{
	struct control_page *page = tracee.page;
	uint64_t at = (uint64_t)(uintptr_t)patch->at;
	uint32_t nr = tracee.nr_patches;

	if (nr >= CONTROL_PATCHES || at & ~CONTROL_PATCH_ADDRESS ||
	    patch->site->id >= CONTROL_CLASSES ||
	    page_allocate(CONTROL_PATCHES_AT + nr * sizeof(page->patch[0]), sizeof(page->patch[0])))
		return false;
	page->patch[nr] = (uint64_t)patch->site->id << 48 | at;
	tracee.nr_patches = nr + 1;
	/* pairs with the collector's load of nr_patches */
	__atomic_store_n(&page->tracee.nr_patches, nr + 1, __ATOMIC_RELEASE);
	return true;
}

void patch_add_module(const struct tocsin_module *module)
{
	if (module->patches == module->patches_end || !tracee_own() || tracee_lock())
		return; /* they stay armed */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0)
		for (const struct tocsin_patch *p = module->patches; p != module->patches_end; p++)
			p->site->can_patch = publish(p);
	tracee_unlock();
}

int tocsin_patched_switch_(const struct tocsin_module *module, int is_armed)
{
	int fd = patch_open(), r = fd < 0 ? fd : 0;

	for (const struct tocsin_patch *p = module->patches; p != module->patches_end && !r; p++) {
		int done = p->site->can_patch ? patch_write(fd, p, is_armed) : -ENOTSUP;

		r = done < 0 ? done : 0;
	}
	if (fd >= 0)
		(void)close(fd); /* nothing is buffered */
	return !r && !patch_fence() ? -ENOSYS : r;
}
