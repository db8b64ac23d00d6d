// SPDX-License-Identifier: MIT
/* Making control pages, and finding and claiming room in arenas. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../abi/filter.h"
#include "../percpu/rseq.h"
#include "tracee.h"

#define LIBRARY_VERSION (0u << 16 | 1u << 8 | 0u)
#define FD_HIGH         900 /* below it programs that use select() live */

int page_fd_min(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > FD_HIGH + 100)
		return FD_HIGH;
	return limit.rlim_cur > 64 ? (int)limit.rlim_cur - 48 : 3;
}

int page_fd_high(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, page_fd_min());

	if (high < 0)
		return fd; /* no number free up there: where it is will do */
	(void)close(fd);   /* a memfd: nothing to flush */
	return high;
}

bool page_fd_is(int fd, uint64_t device, uint64_t inode)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == inode && st.st_dev == device;
}

/* Fields 1 to 21 of /proc/self/stat are skipped behind the last ')': a name may hold anything. */
static uint64_t start_ticks(void)
{
	char buf[1024];
	const char *p;
	uint64_t ticks = 0;
	ssize_t n;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	(void)close(fd); /* only read */
	if (n <= 0)
		return 0;
	buf[n] = 0;
	p = strrchr(buf, ')');
	for (int field = 2; p && field < 22; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	for (; p && *p >= '0' && *p <= '9'; p++)
		ticks = ticks * 10 + (uint64_t)(*p - '0');
	return ticks;
}

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- arenas ---- */

static bool arena_is_sound(int fd, struct arena **ret_head, struct stat *ret_st)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct arena *head;

	if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW) ||
	    fstat(fd, ret_st) < 0 || ret_st->st_size < ARENA_HEAD_BYTES)
		return false;
	head = mmap(NULL, ARENA_HEAD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (head == MAP_FAILED)
		return false;
	if (head->magic != ARENA_MAGIC || head->abi != CONTROL_ABI) {
		(void)munmap(head, ARENA_HEAD_BYTES); /* ours, whole: cannot fail */
		return false;
	}
	*ret_head = head;
	return true;
}

void arena_find(void)
{
	const char *p = secure_getenv(ARENA_ENV);
	struct stat st;
	int fd = 0;

	if (!p || !*p)
		return;
	for (; *p >= '0' && *p <= '9' && fd < 1 << 24; p++)
		fd = fd * 10 + (*p - '0');
	if (*p || !arena_is_sound(fd, &tracee.arena.head, &st))
		return; /* closed, or another file by now: this process has memfds of its own */
	tracee.arena.fd = fd;
	tracee.arena.inode = st.st_ino;
	tracee.arena.device = st.st_dev;
}

uint64_t arena_claim(uint64_t bytes)
{
	struct arena *arena = tracee.arena.head;
	__u64 size, at, next;

	if (!arena || !page_fd_is(tracee.arena.fd, tracee.arena.device, tracee.arena.inode))
		return 0;
	bytes = (bytes + ARENA_ALIGN - 1) & ~(uint64_t)(ARENA_ALIGN - 1);
	size = __atomic_load_n(&arena->bytes, __ATOMIC_RELAXED);
	at = __atomic_load_n(&arena->next, __ATOMIC_RELAXED);
	do {
		if (at < ARENA_HEAD_BYTES || at % ARENA_ALIGN || size > INT64_MAX || at > size ||
		    bytes > size - at) {
			__atomic_fetch_add(&arena->refused, 1, __ATOMIC_RELAXED);
			return 0;
		}
		next = at + bytes;
	} while (!__atomic_compare_exchange_n(&arena->next, &at, next, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return at;
}

/* A place in the arena's table. */
static int arena_take_place(uint32_t *ret_place)
{
	struct arena *arena = tracee.arena.head;
	uint32_t place;

	if (!arena)
		return -ENODEV;
	place = __atomic_load_n(&arena->nr_places, __ATOMIC_RELAXED);
	do {
		if (place >= ARENA_PLACES) {
			__atomic_fetch_add(&arena->refused, 1, __ATOMIC_RELAXED);
			return -ENOSPC;
		}
	} while (!__atomic_compare_exchange_n(&arena->nr_places, &place, place + 1, true,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	*ret_place = place;
	return 0;
}

/* From here on the collector finds the page. */
static void arena_announce(uint32_t place, uint64_t offset)
{
	struct arena *arena = tracee.arena.head;

	arena->place[place].pid = tracee.pid;
	__atomic_store_n(&arena->place[place].offset, offset, __ATOMIC_RELEASE);
	__atomic_fetch_add(&arena->wake, 1, __ATOMIC_RELEASE);
	(void)syscall(SYS_futex, &arena->wake, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* ---- pages ---- */

/* A new page, mapped somewhere. */
struct new_page {
	struct control_page *page;
	int fd;         /* -1: in the arena */
	uint32_t place; /* there */
	uint64_t offset;
	struct stat st;
};

/* What every process touches: its own part, the collector's, and the enable bytes. The rest is
 * allocated as it is used; nothing is left to a first touch, which would be a SIGBUS without
 * memory. */
static int allocate_first(int fd, uint64_t offset)
{
	if (fallocate(fd, 0, (off_t)offset, CONTROL_RINGS_AT) < 0 ||
	    fallocate(fd, 0, (off_t)(offset + CONTROL_ENABLE_AT), CONTROL_CLASSES) < 0)
		return -errno;
	return 0;
}

static int new_in_arena(struct new_page *n)
{
	int r;

	n->fd = -1;
	n->offset = arena_claim(CONTROL_BYTES);
	if (!n->offset)
		return -ENOSPC;
	r = arena_take_place(&n->place);
	if (!r)
		r = allocate_first(tracee.arena.fd, n->offset);
	if (r)
		return r;
	n->page = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, tracee.arena.fd,
		       (off_t)n->offset);
	return n->page == MAP_FAILED ? -errno : 0;
}

static int new_memfd(struct new_page *n)
{
	int r = 0;
	int fd = memfd_create(CONTROL_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	n->offset = 0;
	if (ftruncate(fd, CONTROL_BYTES) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ||
	    fstat(fd, &n->st) < 0)
		r = -errno;
	else
		r = allocate_first(fd, 0);
	if (!r) {
		n->page = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (n->page == MAP_FAILED)
			r = -errno;
	}
	if (r) {
		(void)close(fd); /* a memfd: nothing to flush */
		return r;
	}
	n->fd = page_fd_high(fd);
	return 0;
}

/* Only what is there: the file of a new page is sparse. Nothing in @from is believed. */
static void copy_filters(__u8 *to, const __u8 *from)
{
	for (size_t i = 1; i <= CONTROL_FILTERS; i++) {
		struct filter_ref ref;

		memcpy(&ref, from + i * sizeof(ref), sizeof(ref));
		if (ref.offset < FILTER_FIRST_AT || ref.offset > CONTROL_FILTER_BYTES ||
		    ref.bytes > CONTROL_FILTER_BYTES - ref.offset)
			continue;
		memcpy(to + ref.offset, from + ref.offset, ref.bytes);
		memcpy(to + i * sizeof(ref), &ref, sizeof(ref));
	}
}

int page_allocate(uint64_t at, uint64_t bytes)
{
	bool in_arena = tracee.page_fd < 0;
	int fd = in_arena ? tracee.arena.fd : tracee.page_fd;

	if (tracee.is_frozen || !page_fd_is(fd, in_arena ? tracee.arena.device : tracee.page_device,
					    in_arena ? tracee.arena.inode : tracee.page_inode))
		return 0;
	return fallocate(fd, 0, (off_t)(tracee.page_offset + at), (off_t)bytes) < 0 ? -errno : 0;
}

/* The session that the page begins with: the arena's, or the one that its parent is in. */
static void inherit_session(struct control_page *page, const struct control_page *old)
{
	const struct arena *arena =
		page_fd_is(tracee.arena.fd, tracee.arena.device, tracee.arena.inode)
			? tracee.arena.head
			: NULL;
	const struct control_session *from;

	if (old &&
	    __atomic_load_n(&old->session.flags, __ATOMIC_RELAXED) & CONTROL_SESSION_INHERIT) {
		from = &old->session;
		for (size_t i = 0; i < tracee.nr_classes; i++) {
			page->enable[i] = old->enable[i] & (__u8)~CONTROL_ON_CALL;
			if (page->enable[i] & CONTROL_ON_FILTER)
				page->filter_of[i] = old->filter_of[i];
		}
		copy_filters(page->filters, old->filters);
	} else if (!old && arena) {
		from = &arena->session;
		copy_filters(page->filters, (const __u8 *)arena + ARENA_FILTERS_AT);
	} else {
		return;
	}
	memcpy(&page->session, from, sizeof(page->session));
	page->session.is_waiting = 0; /* nobody has found this page yet */
	tracee.attended = page->session.generation;
}

static void fill_in(struct control_page *page)
{
	struct control_tracee *t = &page->tracee;

	t->abi = CONTROL_ABI;
	t->library = LIBRARY_VERSION;
	t->pid = tracee.pid;
	if (!rseq_thread_ready())
		t->flags |= CONTROL_TRACEE_NO_RSEQ;
	else if (rseq_scheme() == RSEQ_BY_CID)
		t->flags |= CONTROL_TRACEE_MM_CID;
	t->start_ticks = start_ticks();
	t->made_ns = monotonic_ns();
	t->made_clock = ring_clock();
	t->clock = ring_process.clock;
	t->page_bytes = (__u32)sysconf(_SC_PAGESIZE);
	(void)prctl(PR_GET_NAME, t->comm); /* 16 bytes, always there */
	t->attended = tracee.attended;
}

/* What a child keeps of its parent's page: the descriptions that it knows, in the child's numbers.
 */
static int take_over(struct control_page *page, const struct control_page *old,
		     const struct new_page *n)
{
	int fd = n->fd >= 0 ? n->fd : tracee.arena.fd;

	if (fallocate(fd, 0, (off_t)(n->offset + CONTROL_CLASSES_AT), tracee.class_bytes) < 0)
		return -errno;
	memcpy(page->classes, old->classes, tracee.class_bytes);
	page->tracee.class_bytes = tracee.class_bytes;
	page->tracee.nr_classes = tracee.nr_classes;
	if (!tracee.nr_patches)
		return 0;
	if (fallocate(fd, 0, (off_t)(n->offset + CONTROL_PATCHES_AT),
		      (off_t)(tracee.nr_patches * sizeof(page->patch[0]))) < 0)
		return -errno;
	memcpy(page->patch, old->patch, tracee.nr_patches * sizeof(page->patch[0]));
	page->tracee.nr_patches = tracee.nr_patches;
	return 0;
}

/* The child's own page takes the place, and the descriptor's number, of its parent's. */
static int replace(struct new_page *n)
{
	if (mremap(n->page, CONTROL_BYTES, CONTROL_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
		   tracee.page) == MAP_FAILED)
		return -errno;
	n->page = tracee.page;
	if (page_fd_is(tracee.page_fd, tracee.page_device, tracee.page_inode))
		(void)close(tracee.page_fd); /* a memfd: nothing to flush */
	return 0;
}

/* The head of the page of the parent whose session a child takes over, mapped once more: the
 * child's own page is about to take its place. NULL: nobody will be told, and the collector finds
 * the child when it looks. */
static struct control_page *parent_keep(struct control_page *old)
{
	void *head;

	if (!old ||
	    !(__atomic_load_n(&old->session.flags, __ATOMIC_RELAXED) & CONTROL_SESSION_INHERIT))
		return NULL;
	head = mremap(old, 0, CONTROL_RINGS_AT, MREMAP_MAYMOVE); /* of shared memory: a copy */
	return head == MAP_FAILED ? NULL : head;
}

/* The page of this child can be found: its parent's collector may want to, soon. */
static void parent_tell(struct control_page *parent)
{
	__atomic_fetch_add(&parent->tracee.heirs, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&parent->tracee.wake, 1, __ATOMIC_RELEASE);
	if (__atomic_load_n(&parent->session.is_waiting, __ATOMIC_RELAXED))
		(void)syscall(SYS_futex, &parent->tracee.wake, FUTEX_WAKE, INT32_MAX, NULL, NULL,
			      0);
}

int page_make(void)
{
	const struct control_page *old = tracee.page;
	struct control_page *parent = NULL;
	struct new_page n = {.fd = -1};
	int r = new_in_arena(&n);

	if (r)
		r = new_memfd(&n);
	if (r)
		return r;
	tracee.pid = (uint32_t)getpid();
	if (old) {
		rings_forget();
		r = take_over(n.page, old, &n);
	}
	if (!r) {
		n.page->session.nr_layouts = 1; /* the empty one */
		inherit_session(n.page, old);
		fill_in(n.page);
		if (n.fd >= 0) /* the arena tells its collector */
			parent = parent_keep(tracee.page);
		if (old)
			r = replace(&n);
	}
	if (r) {
		if (parent)
			(void)munmap(parent, CONTROL_RINGS_AT);
		(void)munmap(n.page, CONTROL_BYTES); /* ours, whole: cannot fail */
		if (n.fd >= 0)
			(void)close(n.fd); /* a memfd: nothing to flush */
		return r;
	}
	tracee.page = n.page;
	tracee.page_fd = n.fd;
	tracee.page_offset = n.offset;
	tracee.page_inode = n.st.st_ino;
	tracee.page_device = n.fd >= 0 ? n.st.st_dev : tracee.arena.device; /* of all memfds */
	section_publish();
	n.page->tracee.page_addr = (uint64_t)(uintptr_t)n.page;
	__atomic_store_n(&n.page->tracee.magic, CONTROL_MAGIC, __ATOMIC_RELEASE);
	if (n.fd < 0)
		arena_announce(n.place, n.offset);
	if (parent) {
		parent_tell(parent);
		(void)munmap(parent, CONTROL_RINGS_AT); /* ours, whole: cannot fail */
	}
	__atomic_store_n(&tracee.rings->owner, (void *)&tracee, __ATOMIC_RELEASE);
	return 0;
}
