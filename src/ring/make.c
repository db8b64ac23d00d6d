// SPDX-License-Identifier: MIT
/*
 * Making rings: memory that is certainly there, under a seal, mapped twice in a row.
 *
 * Only system calls that a signal handler may make, and none of libc's wrappers that are places of
 * cancellation: the first event of a thread must not be where pthread_cancel() strikes.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../percpu/rseq.h"
#include "side.h"

#ifndef MFD_NOEXEC_SEAL
#	define MFD_NOEXEC_SEAL 0x0008U /* Linux >= 6.3 */
#endif

#define WRITER_BYTES 65536u /* a whole page of any size: what fork() wipes is nothing else */
#define WRAP_BYTES   65536u /* of the second mapping: more than the longest record needs */

_Static_assert(sizeof(struct ring_writer) <= WRITER_BYTES, "pages of its own");
_Static_assert(WRAP_BYTES >= RING_RECORD_MAX && WRAP_BYTES <= RING_BYTES_MIN, "room to run over");

static void close_fd(int fd)
{
	(void)syscall(SYS_close, fd); /* ours, and nothing can be done about a failure */
}

int ring_writer_new(struct ring_writer **ret_writer)
{
	void *page = mmap(NULL, WRITER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	int r;

	if (page == MAP_FAILED)
		return -errno;
	if (madvise(page, WRITER_BYTES, MADV_WIPEONFORK) < 0) {
		r = -errno;
		(void)munmap(page, WRITER_BYTES); /* ours, whole */
		return r;
	}
	((struct ring_writer *)page)->made = 1;
	*ret_writer = page;
	return 0;
}

static uint32_t nr_slots(const struct ring_params *p)
{
	return p->kind == RING_SIDE ? (uint32_t)(p->data_bytes / RING_SLOT_SHARE) : 0;
}

uint64_t ring_bytes(const struct ring_params *p)
{
	uint64_t bytes = p->data_bytes;
	bool is_side = p->kind == RING_SIDE;

	if (p->kind != RING_SIDE && p->kind != RING_INDEXED)
		return 0;
	if (bytes & (bytes - 1) || bytes < (is_side ? RING_SIDE_BYTES_MIN : RING_BYTES_MIN) ||
	    bytes > (is_side ? RING_SIDE_BYTES_MAX : RING_BYTES_MAX))
		return 0;
	return ring_file_bytes(RING_HEADER_BYTES, bytes, nr_slots(p));
}

static uint64_t slot_bytes(const struct ring_params *p)
{
	return ring_bytes(p) - RING_HEADER_BYTES - p->data_bytes;
}

static uint64_t wrap_bytes(const struct ring_params *p)
{
	return p->kind == RING_SIDE ? p->data_bytes : WRAP_BYTES;
}

/* A sealed memfd of @bytes, with a number of at least @fd_min. Return: it, or -errno. */
static int make_file(uint64_t bytes, int fd_min)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	struct rlimit limit;
	int fd, high, r;

	/* The kernel would refuse it with SIGXFSZ, which ends programs. */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && bytes > limit.rlim_cur)
		return -EFBIG;
	fd = (int)syscall(SYS_memfd_create, RING_NAME, flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = (int)syscall(SYS_memfd_create, RING_NAME, flags);
	if (fd < 0)
		return -errno;
	if (fd < fd_min) {
		high = fcntl(fd, F_DUPFD_CLOEXEC, fd_min);
		if (high >= 0) {
			close_fd(fd);
			fd = high;
		} /* else the number is over the process's limit, and the low one serves */
	}
	/* Room before seals, and before anyone can meet a hole. */
	if (ftruncate(fd, (off_t)bytes) < 0 || syscall(SYS_fallocate, fd, 0, 0L, (long)bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
		r = -errno;
		close_fd(fd);
		return r;
	}
	return fd;
}

static int map_part(char *at, uint64_t bytes, int fd, uint64_t offset)
{
	void *got;

	if (!bytes)
		return 0;
	got = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
	return got == MAP_FAILED ? -errno : 0;
}

static uint64_t mapping_bytes(const struct ring_params *p)
{
	return RING_HEADER_BYTES + p->data_bytes + wrap_bytes(p) + slot_bytes(p);
}

/* header | data | the beginning of data again | slots */
static int map_ring(const struct ring_params *p, int fd, uint64_t offset, void **ret_at)
{
	uint64_t data = offset + RING_HEADER_BYTES;
	char *at;
	int r;

	at = mmap(NULL, mapping_bytes(p), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		  -1, 0);
	if ((void *)at == MAP_FAILED)
		return -errno;
	r = map_part(at, RING_HEADER_BYTES + p->data_bytes, fd, offset);
	if (r == 0)
		r = map_part(at + RING_HEADER_BYTES + p->data_bytes, wrap_bytes(p), fd, data);
	if (r == 0)
		r = map_part(at + RING_HEADER_BYTES + p->data_bytes + wrap_bytes(p), slot_bytes(p),
			     fd, data + p->data_bytes);
	if (r < 0) {
		(void)munmap(at, mapping_bytes(p)); /* ours, whole */
		return r;
	}
	*ret_at = at;
	return 0;
}

static void fill_ring(const struct ring_params *p, struct ring_header *ring)
{
	/* Groups long enough that no record passes two bounds. */
	uint32_t groups = p->data_bytes / RING_GROUPS_MAX >= 2 * RING_RECORD_MAX
				  ? RING_GROUPS_MAX
				  : RING_GROUPS_MAX / 2;

	ring->version = RING_VERSION;
	ring->header_bytes = RING_HEADER_BYTES;
	ring->kind = (uint16_t)p->kind;
	ring->mode = (uint16_t)p->mode;
	ring->data_bytes = p->data_bytes;
	ring->index = p->index;
	ring->scheme = (uint32_t)rseq_scheme();
	ring->clock = ring_process.clock;
	ring->groups = p->kind == RING_INDEXED && p->mode == RING_OVERWRITE ? groups : 0;
	ring->slots = nr_slots(p);
	ring->watermark = p->watermark;
	ring->block_ns = p->block_ns;
	ring->made_clock = ring_clock();
	ring->mask = p->data_bytes - 1;
	ring->epoch = RING_EPOCH_NONE;
	/* The first record takes the slow path, which sets the limit. Slots: no tag is 0. */
	__atomic_store_n(&ring->magic, RING_MAGIC, __ATOMIC_RELEASE);
}

int ring_make(const struct ring_params *p, struct ring_made *ret_made)
{
	uint64_t bytes = ring_bytes(p), offset = p->fd >= 0 ? p->offset : 0;
	struct stat st;
	void *at = NULL;
	int fd, r;

	if (!bytes || p->mode > RING_BLOCK || p->watermark > p->data_bytes || offset % 4096 ||
	    offset % RING_HEADER_BYTES)
		return -EINVAL;
	fd = p->fd >= 0 ? p->fd : make_file(bytes, p->fd_min);
	if (fd < 0)
		return fd;
	if (p->fd >= 0 && syscall(SYS_fallocate, fd, 0, (long)offset, (long)bytes) < 0)
		return -errno;
	r = fstat(fd, &st) < 0 ? -errno : map_ring(p, fd, offset, &at);
	if (r < 0) {
		if (p->fd < 0)
			close_fd(fd);
		return r;
	}
	fill_ring(p, at);
	*ret_made = (struct ring_made){.ring = at, .fd = fd, .inode = st.st_ino};
	return 0;
}

void ring_unmake(const struct ring_params *p, struct ring_made *made)
{
	(void)munmap(made->ring, mapping_bytes(p)); /* ours, whole */
	if (p->fd < 0)
		close_fd(made->fd);
	*made = (struct ring_made){.fd = -1};
}

int ring_publish(struct ring_writer *w, int index, struct ring_header *ring)
{
	struct ring_header **place = index == RING_INDEX_SIDE ? &w->side : &w->ring[index];
	struct ring_header *none = NULL;

	return __atomic_compare_exchange_n(place, &none, ring, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED)
		       ? 0
		       : -EEXIST;
}

struct ring_header *ring_retire(struct ring_writer *w, int index)
{
	struct ring_header **place = index == RING_INDEX_SIDE ? &w->side : &w->ring[index];
	struct ring_header *ring = __atomic_exchange_n(place, NULL, __ATOMIC_SEQ_CST);

	if (!ring)
		return NULL;
	/* After the fence no section goes on that saw the pointer. Without one (Linux < 5.10)
	 * sections of other CPUs may end within a microsecond after the word below. */
	if (index != RING_INDEX_SIDE)
		(void)rseq_fence(-1);
	__atomic_store_n(&ring->state, RING_RETIRED, __ATOMIC_SEQ_CST);
	return ring;
}

int ring_give_back(struct ring_header *ring, int fd)
{
	int saved = errno, r = 0;

	/* The header stays: it says that the ring is retired. */
	if (syscall(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		    (long)RING_HEADER_BYTES, (long)ring->data_bytes) < 0)
		r = -errno;
	errno = saved;
	return r;
}
