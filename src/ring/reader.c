// SPDX-License-Identifier: MIT
/*
 * Reading indexed rings that discard; opening, checking and stepping for all kinds.
 *
 * Everything below the head is whole, because the head is the writers' one commit (pairs with their
 * store [A]). So reading is stepping over headers by their lengths, to learn how many records there
 * are and the first and the last time; nothing else is decoded.
 *
 * The memory is hostile. The geometry is read once, by pread(), checked, and kept in our own
 * memory. Head, lengths and times are loaded once each and checked before use: a length is at least
 * a header and at most what is left. What the process changes behind our back spoils its own
 * records, and nobody else's. The size of the file cannot change: it has the seal, and it lies in
 * tmpfs, where a page that was punched out comes back as zeros (other file systems with seals,
 * hugetlbfs, would answer with SIGBUS).
 *
 * A reader that takes over from one that was killed needs the time of the record before the tail,
 * since the record at the tail may have only half of its own. The header has two places for it:
 * the one whose position is the tail is right. It is written before the tail moves, in turns, so
 * the other one stays right until then.
 */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "inject.h"
#include "reader_internal.h"

static const char *const corrupt_texts[] = {
	"nothing is wrong",
#define X(name, text) [RING_CORRUPT_##name] = text,
#include "corrupt.def"
#undef X
};

const char *ring_corrupt_text(enum ring_corrupt corrupt)
{
	return (unsigned)corrupt < RING_CORRUPT_NR ? corrupt_texts[corrupt] : "unknown";
}

enum ring_read ring_is_corrupt(struct ring_reader *r, enum ring_corrupt corrupt, uint64_t at)
{
	r->corrupt = corrupt;
	r->corrupt_at = at;
	return RING_READ_CORRUPT;
}

/* Could the file be cut while it is mapped? */
static int check_file(int fd, uint64_t offset, uint64_t *ret_left)
{
	struct statfs fs;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return -EPERM;
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type != TMPFS_MAGIC)
		return -EPERM;
	if (offset % RING_HEADER_BYTES || offset > (uint64_t)st.st_size)
		return -EBADMSG;
	*ret_left = (uint64_t)st.st_size - offset;
	return 0;
}

static bool is_power_of_two(uint64_t n, uint64_t min, uint64_t max)
{
	return n && !(n & (n - 1)) && n >= min && n <= max;
}

/* Take over the geometry if it is possible. @left: bytes of the file. */
static int check_header(struct ring_reader *r, const struct ring_header *h, uint64_t left)
{
	bool is_side = h->kind == RING_SIDE;
	bool has_groups = h->kind == RING_INDEXED && h->mode == RING_OVERWRITE;

	if (h->magic != RING_MAGIC)
		return -EBADMSG;
	if (h->version != RING_VERSION)
		return -EPROTO;
	if (h->header_bytes != RING_HEADER_BYTES || (!is_side && h->kind != RING_INDEXED) ||
	    h->mode > RING_BLOCK ||
	    !is_power_of_two(h->data_bytes, is_side ? RING_SIDE_BYTES_MIN : RING_BYTES_MIN,
			     is_side ? RING_SIDE_BYTES_MAX : RING_BYTES_MAX))
		return -EBADMSG;
	if (h->slots != (is_side ? h->data_bytes / RING_SLOT_SHARE : 0))
		return -EBADMSG;
	if (has_groups ? !is_power_of_two(h->groups, RING_GROUPS_MAX / 2, RING_GROUPS_MAX)
		       : h->groups != 0)
		return -EBADMSG;
	if (ring_file_bytes(RING_HEADER_BYTES, h->data_bytes, h->slots) > left)
		return -EBADMSG;
	r->kind = h->kind;
	r->mode = h->mode;
	r->index = h->index;
	r->scheme = h->scheme;
	r->clock = h->clock;
	r->groups = h->groups;
	r->nr_slots = h->slots;
	r->data_bytes = h->data_bytes;
	r->group_bytes = h->groups ? h->data_bytes / h->groups : 0;
	r->made_clock = h->made_clock;
	return 0;
}

static int map_part(unsigned char *at, uint64_t bytes, int prot, int fd, uint64_t offset)
{
	void *got;

	if (!bytes)
		return 0;
	got = mmap(at, bytes, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
	return got == MAP_FAILED ? -errno : 0;
}

/* header | data | data | slots | copy: ours, of overwriting rings */
static int map_ring(struct ring_reader *r, int fd, uint64_t offset)
{
	uint64_t data = RING_HEADER_BYTES, n = r->data_bytes;
	uint64_t slot_bytes =
		ring_file_bytes(RING_HEADER_BYTES, n, r->nr_slots) - RING_HEADER_BYTES - n;
	uint64_t copy_bytes = 0;
	unsigned char *at;
	int err;

	if (r->mode == RING_OVERWRITE)
		copy_bytes = (r->kind == RING_SIDE ? n : r->group_bytes) + RING_HEADER_BYTES * 2;
	r->map_bytes = RING_HEADER_BYTES + 2 * n + slot_bytes + copy_bytes;
	at = mmap(NULL, r->map_bytes, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if ((void *)at == MAP_FAILED)
		return -errno;
	r->ring = (struct ring_header *)(void *)at;
	r->data = at + data;
	err = map_part(at, RING_HEADER_BYTES, PROT_READ | (r->can_write ? PROT_WRITE : 0), fd,
		       offset);
	if (err == 0)
		err = map_part(at + data, n, PROT_READ, fd, offset + data);
	if (err == 0)
		err = map_part(at + data + n, n, PROT_READ, fd, offset + data);
	if (err == 0)
		err = map_part(at + data + 2 * n, slot_bytes, PROT_READ, fd, offset + data + n);
	r->slots = (const struct ring_slot *)(const void *)(at + data + 2 * n);
	r->copy = at + data + 2 * n + slot_bytes;
	r->copy_bytes = copy_bytes;
	return err;
}

/* Where the last reader stopped. */
static void take_over(struct ring_reader *r)
{
	uint64_t tail = __atomic_load_n(&r->ring->tail, __ATOMIC_ACQUIRE);

	if (r->kind == RING_SIDE) {
		r->cursor = r->freed_units = (uint32_t)(tail >> 32);
		r->number = r->freed_number = (uint32_t)tail;
		return;
	}
	if (r->mode == RING_OVERWRITE)
		return;
	r->cursor = tail;
	for (unsigned i = 0; tail && i < 2; i++)
		if (ring_peek(&r->ring->mark[i].pos) == tail) {
			r->time = ring_peek(&r->ring->mark[i].time);
			r->has_time = true;
			r->mark = !i;
		}
}

static int open_checked(struct ring_reader *r, int fd, uint64_t offset,
			const struct ring_header *header, uint64_t left)
{
	int err = check_header(r, header, left);

	if (err == 0)
		err = map_ring(r, fd, offset);
	if (err < 0) {
		ring_reader_close(r);
		return err;
	}
	take_over(r);
	return 0;
}

int ring_reader_open(struct ring_reader *r, int fd, uint64_t offset, bool can_write)
{
	struct ring_header header;
	uint64_t left = 0;
	int err;

	*r = (struct ring_reader){.can_write = can_write};
	err = check_file(fd, offset, &left);
	if (err < 0)
		return err;
	if (left < sizeof(header) ||
	    pread(fd, &header, sizeof(header), (off_t)offset) != (ssize_t)sizeof(header))
		return -EBADMSG;
	return open_checked(r, fd, offset, &header, left);
}

int ring_reader_open_map(struct ring_reader *r, int map_fd, uint64_t map_bytes, bool can_write)
{
	struct ring_header header, *at;

	*r = (struct ring_reader){.can_write = can_write, .is_kernel = true};
	if (map_bytes < RING_HEADER_BYTES)
		return -EBADMSG;
	at = mmap(NULL, RING_HEADER_BYTES, PROT_READ, MAP_SHARED, map_fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	header = *at;
	(void)munmap(at, RING_HEADER_BYTES); /* ours, whole */
	return open_checked(r, map_fd, 0, &header, map_bytes);
}

void ring_reader_close(struct ring_reader *r)
{
	if (r->ring)
		(void)munmap(r->ring, r->map_bytes); /* ours, whole */
	*r = (struct ring_reader){0};
}

enum ring_corrupt ring_step(struct ring_reader *r, const unsigned char *at, uint64_t left,
			    struct ring_step *ret_step)
{
	uint64_t word = ring_peek(at), time;
	uint64_t bytes = (word >> 16 & 0xffff) * 8;
	bool is_extended = (word & 0xffff) == RING_ID_EXTENDED;
	uint64_t max = r->kind == RING_SIDE ? RING_SIDE_PAYLOAD_MAX : RING_PAYLOAD_MAX;

	if (bytes < (is_extended ? RING_EXTENDED_BYTES : RING_COMPACT_BYTES) || bytes > left ||
	    bytes > max + RING_EXTENDED_BYTES)
		return RING_CORRUPT_LENGTH;
	if (is_extended)
		time = ring_peek(at + 8);
	else if (r->has_time)
		time = (r->time & ~0xffffffffULL) | word >> 32;
	else
		return RING_CORRUPT_EPOCH;
	if (time < r->time && !r->is_kernel)
		return RING_CORRUPT_TIME;
	r->time = time;
	r->has_time = true;
	*ret_step = (struct ring_step){.bytes = bytes, .time = time, .is_extended = is_extended};
	return RING_CORRUPT_NOT;
}

enum ring_corrupt ring_scan(struct ring_reader *r, const unsigned char *data, uint64_t bytes,
			    uint64_t max_bytes, struct ring_extent *extent)
{
	uint64_t at = 0;

	extent->data = data;
	extent->last_time_before = r->time;
	while (at < bytes) {
		uint64_t time_before = r->time;
		bool had_time = r->has_time;
		struct ring_step step = {0};
		enum ring_corrupt corrupt = ring_step(r, data + at, bytes - at, &step);

		if (corrupt) {
			extent->bytes = at;
			return corrupt;
		}
		if (at && at + step.bytes > max_bytes) {
			r->time = time_before;
			r->has_time = had_time;
			break;
		}
		if (!at)
			extent->time_first = step.time;
		extent->time_last = step.time;
		extent->last_at = at;
		extent->events++;
		at += step.bytes;
	}
	extent->bytes = at;
	return RING_CORRUPT_NOT;
}

static enum ring_read next_consumed(struct ring_reader *r, uint64_t max_bytes,
				    struct ring_extent *extent)
{
	uint64_t lost = __atomic_load_n(&r->ring->lost, __ATOMIC_RELAXED);
	uint64_t head = __atomic_load_n(&r->ring->head, __ATOMIC_ACQUIRE); /* [A] */
	enum ring_corrupt corrupt;

	if (r->is_bound)
		head = r->bound;
	if (head < r->cursor || head - r->cursor > r->data_bytes || head % 8 || r->cursor % 8)
		return ring_is_corrupt(r, RING_CORRUPT_HEAD, r->cursor);
	if (head == r->cursor)
		return RING_READ_END;
	*extent = (struct ring_extent){.position = r->cursor, .lost = lost};
	corrupt = ring_scan(r, r->data + (r->cursor & (r->data_bytes - 1)), head - r->cursor,
			    max_bytes, extent);
	r->cursor += extent->bytes;
	if (corrupt) {
		r->corrupt = corrupt; /* what is whole before it is handed out first */
		r->corrupt_at = r->cursor;
		if (!extent->events)
			return RING_READ_CORRUPT;
	}
	return RING_READ_MORE;
}

enum ring_read ring_reader_next(struct ring_reader *r, uint64_t max_bytes,
				struct ring_extent *ret_extent)
{
	r->is_stuck = false;
	if (r->corrupt)
		return RING_READ_CORRUPT;
	if (r->kind == RING_SIDE)
		return ring_next_side(r, max_bytes, ret_extent);
	if (r->mode == RING_OVERWRITE)
		return ring_next_overwrite(r, max_bytes, ret_extent);
	return next_consumed(r, max_bytes, ret_extent);
}

void ring_reader_release(struct ring_reader *r, const struct ring_extent *upto)
{
	struct ring_header *ring = r->ring;

	/* Of an overwriting ring only the end is of interest: its process frees what was read. */
	if (!r->can_write || (r->mode == RING_OVERWRITE && !ring_reader_is_final(r)))
		return;
	RING_POINT(18);
	if (r->kind == RING_SIDE && r->mode == RING_OVERWRITE) {
		__atomic_store_n(&ring->tail,
				 ((upto->position + upto->bytes) / 8) << 32 | upto->end_number,
				 __ATOMIC_RELEASE);
	} else if (r->kind == RING_SIDE) {
		ring_release_side(r, upto);
	} else {
		uint64_t tail = upto->position + upto->bytes;
		struct ring_mark *mark = &ring->mark[r->mark];

		__atomic_store_n(&mark->time, upto->time_last, __ATOMIC_RELEASE);
		__atomic_store_n(&mark->pos, tail, __ATOMIC_RELEASE);
		r->mark = !r->mark;
		__atomic_store_n(&ring->tail, tail, __ATOMIC_RELEASE); /* [C] */
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with the waiting writer's addition [E] */
	if (r->mode == RING_BLOCK && __atomic_load_n(&ring->blocked, __ATOMIC_RELAXED))
		(void)syscall(SYS_futex, &ring->tail, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void ring_reader_back(struct ring_reader *r, const struct ring_extent *extent, uint64_t done_events)
{
	const unsigned char *data = extent->data;
	struct ring_step step;
	uint64_t at = 0;

	r->corrupt = RING_CORRUPT_NOT; /* if it was behind the extent it is found again */
	r->time = extent->last_time_before;
	r->has_time = r->time != 0;
	for (uint64_t i = 0; i < done_events && !r->corrupt; i++) {
		r->corrupt = ring_step(r, data + at, extent->bytes - at, &step);
		at += r->corrupt ? 0 : step.bytes;
	}
	r->corrupt_at = extent->position + at;
	if (r->kind == RING_SIDE) {
		r->cursor = (uint32_t)((extent->position + at) / 8);
		r->number = extent->end_number - (uint32_t)(extent->events - done_events);
	} else {
		r->cursor = extent->position + at;
	}
}

void ring_reader_bound(struct ring_reader *r)
{
	r->bound = __atomic_load_n(&r->ring->head, __ATOMIC_ACQUIRE);
	r->is_bound = true;
}

void ring_reader_final(struct ring_reader *r)
{
	r->is_final = true;
	r->is_bound = false;
}

bool ring_reader_is_final(const struct ring_reader *r)
{
	return __atomic_load_n(&r->ring->state, __ATOMIC_ACQUIRE) == RING_RETIRED &&
	       !(r->kind == RING_SIDE && __atomic_load_n(&r->ring->users, __ATOMIC_SEQ_CST));
}

uint64_t ring_reader_lost(const struct ring_reader *r)
{
	return __atomic_load_n(&r->ring->lost, __ATOMIC_RELAXED);
}

uint64_t ring_reader_unread(const struct ring_reader *r)
{
	uint64_t head = __atomic_load_n(&r->ring->head, __ATOMIC_RELAXED);

	if (r->mode == RING_OVERWRITE)
		return 0;
	if (r->kind == RING_SIDE)
		return (uint64_t)((uint32_t)(head >> 32) - (uint32_t)r->cursor) * 8;
	return head > r->cursor ? head - r->cursor : 0;
}
