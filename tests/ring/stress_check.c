// SPDX-License-Identifier: MIT
/* The reading side of the stress test: what is in the rings against what the writers say. */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring/reader.h"
#include "stress.h"

#define TIMES 65536 /* of the last records of a lane, for overwriting rings */

static struct open_ring {
	struct ring_reader reader;
	int fd;
	bool is_open;
	uint64_t lost, events, skipped, gone;
	uint64_t last_seq[LANES_MAX]; /* + 1 */
	uint64_t first_time;          /* of a snapshot */
} * ring;

static uint64_t nr_read[LANES_MAX];
static unsigned char *seen[LANES_MAX]; /* a bit for each record of a lane */
static unsigned findings;
static uint64_t nr_passes;

#define SEEN_BITS (1u << 24)

static void finding(const char *what, uint32_t n, uint64_t a, uint64_t b)
{
	if (findings++ < 20)
		printf("# %s: ring or lane %u, %" PRIu64 " %" PRIu64 "\n", what, n, a, b);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void open_new_rings(void)
{
	uint32_t nr = atomic_load(&shared->nr_rings), nr_open = 0;

	for (uint32_t i = 0; i < nr && i < RINGS_MAX; i++) {
		int fd = atomic_load(&shared->ring[i].fd), r;
		char path[64];

		nr_open += ring[i].reader.ring && nr_open == i;
		if (ring[i].reader.ring || !fd)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", shared->ring[i].pid, fd - 1);
		ring[i].fd = open(path, O_RDWR | O_CLOEXEC);
		if (ring[i].fd < 0)
			continue;
		r = ring_reader_open(&ring[i].reader, ring[i].fd, 0, true);
		if (r < 0)
			finding("a ring cannot be opened", i, (uint64_t)-r, 0);
		ring[i].is_open = true;
		nr_open += nr_open == i;
	}
	atomic_store(&shared->nr_open, nr_open);
}

/* One record, which is whole as far as the reader can say. Return: its length in bytes. */
static uint64_t check_record(uint32_t n, const uint64_t *at)
{
	bool is_extended = (at[0] & 0xffff) == RING_ID_EXTENDED;
	uint64_t bytes = (at[0] >> 16 & 0xffff) * 8, head = is_extended ? 16 : 8;
	const uint64_t *payload = at + head / 8;
	uint32_t id = is_extended ? (uint32_t)(at[0] >> 32) : (uint32_t)(at[0] & 0xffff);
	uint32_t lane = (uint32_t)(payload[0] >> 48);
	uint64_t seq = payload[0] & 0xffffffffffffULL;

	if (lane >= LANES_MAX || !lane || seq >= atomic_load(&shared->lane[lane].begun)) {
		finding("a record nobody wrote", n, lane, seq);
		return bytes;
	}
	if (id != payload_id(seq) || bytes - head != payload_bytes(seq)) {
		finding("a record with another's header", n, lane, seq);
		return bytes;
	}
	for (unsigned i = 1; i < (bytes - head) / 8; i++)
		if (payload[i] != payload_word(lane, seq, i)) {
			finding("a torn record", n, lane, seq);
			break;
		}
	if (ring[n].last_seq[lane] > seq)
		finding("a lane's records out of order", n, lane, seq);
	ring[n].last_seq[lane] = seq + 1;
	if (!seen[lane])
		seen[lane] = calloc(SEEN_BITS / 8, 1);
	if (seen[lane] && seq < SEEN_BITS) {
		if (seen[lane][seq / 8] >> seq % 8 & 1)
			finding("a record twice", n, lane, seq);
		seen[lane][seq / 8] |= (unsigned char)(1u << seq % 8);
	}
	nr_read[lane]++;
	ring[n].events++;
	return bytes;
}

static void check_extent(uint32_t n, const struct ring_extent *extent)
{
	uint64_t at = 0, events = 0, last = 0;

	while (at < extent->bytes) {
		last = at;
		at += check_record(n, (const uint64_t *)extent->data + at / 8);
		events++;
	}
	if (at != extent->bytes || events != extent->events || last != extent->last_at)
		finding("an extent that does not hold its records", n, events, extent->events);
	if (extent->time_first > extent->time_last || !extent->time_first ||
	    extent->time_first < extent->last_time_before)
		finding("an extent's times", n, extent->time_first, extent->time_last);
}

/* A reader that dies before it has released anything, and its successor. */
static void restart_reader(uint32_t n)
{
	int r;

	ring_reader_close(&ring[n].reader);
	r = ring_reader_open(&ring[n].reader, ring[n].fd, 0, true);
	if (r < 0)
		finding("a ring cannot be opened again", n, (uint64_t)-r, 0);
}

/* Read what there is in a ring. */
static void drain(uint32_t n)
{
	struct ring_reader *r = &ring[n].reader;
	struct ring_extent extent;
	enum ring_read state;
	static unsigned turn;

	for (unsigned i = 0; i < 64; i++) {
		state = ring_reader_next(r, 16384 + turn % 7 * 5000, &extent);
		turn++;
		if (state == RING_READ_END)
			return;
		if (state == RING_READ_CORRUPT) {
			finding(ring_corrupt_text(r->corrupt), n, r->corrupt_at, r->cursor);
			ring[n].is_open = false;
			return;
		}
		if (options.has_restarts && turn % 11 == 0 && options.mode != RING_OVERWRITE) {
			restart_reader(n);
			continue;
		}
		if (state == RING_READ_MORE && turn % 5 == 0 && options.mode != RING_OVERWRITE) {
			/* Half of it did not get to the disk; or all, since a successor would not
			 * know of the half. */
			uint64_t done = options.has_restarts ? 0 : extent.events / 2, bytes = 0;

			for (uint64_t k = 0; k < done; k++)
				bytes += check_record(n, (const uint64_t *)extent.data + bytes / 8);
			ring_reader_back(r, &extent, done);
			continue;
		}
		if (state == RING_READ_MORE)
			check_extent(n, &extent);
		else if (state == RING_READ_SKIPPED)
			ring[n].skipped += extent.gone;
		else
			ring[n].gone += extent.gone;
		ring_reader_release(r, &extent);
	}
}

static void pass(bool is_final)
{
	nr_passes++;
	open_new_rings();
	for (uint32_t i = 0; i < atomic_load(&shared->nr_rings) && i < RINGS_MAX; i++) {
		if (!ring[i].is_open)
			continue;
		if (is_final)
			ring_reader_final(&ring[i].reader);
		for (unsigned turns = is_final ? 100000 : 1; turns && ring[i].is_open; turns--) {
			uint64_t before = ring[i].events + ring[i].skipped + ring[i].gone;

			drain(i);
			if (ring[i].events + ring[i].skipped + ring[i].gone == before &&
			    !options.has_restarts)
				break;
		}
	}
}

static uint64_t all_skipped(void)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < RINGS_MAX; i++)
		n += ring[i].skipped;
	return n;
}

static void compare(void)
{
	uint64_t begun = 0, written = 0, lost = 0, read = 0, ring_lost = 0, skipped = all_skipped(),
		 gone = 0;
	uint64_t retries = 0, gave_up = 0, open = 0;
	bool is_exact = options.mode != RING_OVERWRITE;

	for (uint32_t i = 1; i < LANES_MAX; i++) {
		uint64_t b = atomic_load(&shared->lane[i].begun);
		uint64_t w = atomic_load(&shared->lane[i].written);
		uint64_t l = atomic_load(&shared->lane[i].lost);

		begun += b;
		written += w;
		lost += l;
		read += nr_read[i];
		open += b - w - l;
		if (!options.is_killed && b != w + l)
			finding("a lane that lost count", i, b, w + l);
		/* One that was skipped may have come after all; the sum below is exact. */
		if (is_exact && (nr_read[i] + all_skipped() < w || nr_read[i] > b - l))
			finding("a lane's records: read, written", i, nr_read[i], w);
	}
	for (uint32_t i = 0; i < RINGS_MAX; i++) {
		if (!ring[i].reader.ring)
			continue;
		ring_lost += ring_reader_lost(&ring[i].reader);
		gone += ring[i].gone;
		retries += ring[i].reader.ring->retries;
		gave_up += ring[i].reader.ring->gave_up;
	}
	ring_lost += atomic_load(&shared->nowhere);
	printf("# begun %" PRIu64 " read %" PRIu64 " lost %" PRIu64 " skipped %" PRIu64
	       " gone %" PRIu64 " open %" PRIu64 " | rings %u retries %" PRIu64 " gave up %" PRIu64
	       " wakes %u\n",
	       begun, read, ring_lost, skipped, gone, open, atomic_load(&shared->nr_rings), retries,
	       gave_up, atomic_load(&shared->wakes));
	if (ring_lost < lost || ring_lost > lost + open)
		finding("losses: rings say, writers say", 0, ring_lost, lost);
	if (is_exact &&
	    (read + ring_lost + skipped < written + lost || read + ring_lost + skipped > begun))
		finding("written is not read + lost", 0, read + ring_lost, written + lost);
	if (!begun || !read)
		finding("nothing was written or read", 0, begun, read);
}

/* What a snapshot says of a lane. */
struct found {
	uint64_t seq, time;
	uint32_t lane;
};

static int by_lane(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->lane != y->lane)
		return x->lane < y->lane ? -1 : 1;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* All records of a ring, by a new reader. Return: how many. */
static size_t snapshot(uint32_t n, struct found *found, size_t max, uint64_t *ret_first)
{
	struct ring_extent extent;
	struct ring_reader r;
	enum ring_read state;
	size_t nr = 0;

	if (ring_reader_open(&r, ring[n].fd, 0, false) < 0)
		return 0;
	ring_reader_final(&r);
	while ((state = ring_reader_next(&r, 8, &extent)) != RING_READ_END) {
		const uint64_t *at = extent.data;

		if (state == RING_READ_CORRUPT) {
			finding(ring_corrupt_text(r.corrupt), n, r.corrupt_at, 0);
			break;
		}
		if (state != RING_READ_MORE || nr == max)
			continue;
		at += (at[0] & 0xffff) == RING_ID_EXTENDED ? 2
							   : 1; /* one record: 8 bytes at most */
		if (!nr)
			*ret_first = extent.time_first;
		found[nr++] = (struct found){.lane = (uint32_t)(at[0] >> 48),
					     .seq = at[0] & 0xffffffffffff,
					     .time = extent.time_first};
	}
	ring_reader_close(&r);
	return nr;
}

/* From the moment on at which all overwriting rings have everything, nothing is missing. */
static void check_snapshot(void)
{
	size_t nr = 0, max = 1 << 20;
	struct found *found = calloc(max, sizeof(*found));
	uint64_t since = 0;

	if (!found)
		abort();
	for (uint32_t i = 0; i < RINGS_MAX; i++) {
		uint64_t first = 0;

		if (ring[i].reader.ring)
			nr += snapshot(i, found + nr, max - nr, &first);
		if (first > since)
			since = first;
	}
	qsort(found, nr, sizeof(*found), by_lane);
	for (size_t i = 0; i < nr; i++) {
		struct lane *l = &shared->lane[found[i].lane % LANES_MAX];
		bool is_last = i + 1 == nr || found[i + 1].lane != found[i].lane;
		uint64_t behind =
			is_last ? atomic_load(&l->begun) - options.is_killed : found[i + 1].seq;

		if (found[i].time < since || atomic_load(&l->lost) || all_skipped())
			continue;
		if (is_last ? found[i].seq + 1 < behind : found[i].seq + 1 != behind)
			finding("a record is missing in a snapshot", found[i].lane, found[i].seq,
				behind);
	}
	printf("# snapshot of %zu records\n", nr);
	free(found);
}

unsigned checks_run(pid_t writer)
{
	uint64_t end_ms = now_ms() + options.run_ms;
	int status;

	ring = calloc(RINGS_MAX, sizeof(*ring));
	if (!ring)
		abort();
	/* On a machine that has other things to do the reader must have had its turns, too. */
	while (now_ms() < end_ms ||
	       (nr_passes < options.run_ms && now_ms() < end_ms + 8ULL * options.run_ms)) {
		struct timespec t = {.tv_nsec = (long)options.read_us * 1000};

		pass(false);
		(void)nanosleep(&t, NULL);
	}
	if (!options.is_killed) {
		atomic_store(&shared->stop, 1);
		while (atomic_load(&shared->stop) != 2 && waitpid(writer, &status, WNOHANG) == 0)
			pass(false);
		if (atomic_load(&shared->stop) != 2)
			finding("the writers died", 0, (uint64_t)status, 0);
	}
	/* Its rings are opened by now, or it never wrote to them. */
	(void)kill(writer, SIGSTOP);
	open_new_rings();
	(void)kill(writer, SIGKILL);
	(void)waitpid(writer, &status, 0);
	pass(true);
	pass(true);
	compare();
	if (options.mode == RING_OVERWRITE)
		check_snapshot();
	return findings;
}
