// SPDX-License-Identifier: MIT
/*
 * One trace, one order. The records of programs have the CPU's counter, and a line of the trace's
 * clock is within TIMEBASE_TOLERANCE_NS of CLOCK_MONOTONIC: so kernel events on CLOCK_MONOTONIC
 * itself could stand up to 300 ns before or behind the program's event that they followed, which is
 * more than lies between an event and the system call after it. So they are put on the counter
 * before anything else is done with them: then the lines hold for both alike, and cannot change
 * their order.
 *
 * The kernel makes CLOCK_MONOTONIC from the counter by a rate that it turns at its ticks, slowly.
 * The collector measures both at each drain, to some tens of ns, and between two measurements,
 * 10 ms apart, takes the straight line. The error is that of the measurements, and r * d / 4 where
 * the rate turns by r within d: 2.5 ns for one part per million.
 *
 * bpf_ktime_get_ns() reads the clock without a lock and may go back by some ns at a tick. In a
 * stream of a trace time does not, so such a record gets the time of the one before it.
 *
 * The upper half of a counter changes at other records than that of a time in ns: the records'
 * heads are made anew, which makes some of them longer or shorter by 8 bytes.
 */
#include "kernel_clock.h"

#include <string.h>

void kernel_clock_point(struct kernel_clock *c, const struct timebase_point *p)
{
	if (c->nr_points &&
	    (p->tick <= c->point[c->nr_points - 1].tick || p->ns <= c->point[c->nr_points - 1].ns))
		return;
	if (c->nr_points == KERNEL_CLOCK_POINTS) {
		/* Every second one of the older half: what waits so long is old by seconds. */
		unsigned half = KERNEL_CLOCK_POINTS / 2, quarter = half / 2;

		for (unsigned i = 0; i < quarter; i++)
			c->point[i] = c->point[2 * i];
		memmove(&c->point[quarter], &c->point[half], half * sizeof(c->point[0]));
		c->nr_points = quarter + half;
		c->at = 0;
	}
	c->point[c->nr_points].tick = p->tick;
	c->point[c->nr_points].ns = p->ns;
	c->nr_points++;
}

uint64_t kernel_clock_tick(struct kernel_clock *c, uint64_t ns)
{
	double slope;
	unsigned i = c->at;

	if (c->nr_points < 2)
		return ns;
	while (i + 2 < c->nr_points && c->point[i + 1].ns <= ns)
		i++;
	while (i && c->point[i].ns > ns)
		i--;
	c->at = i;
	slope = (double)(c->point[i + 1].tick - c->point[i].tick) /
		(double)(c->point[i + 1].ns - c->point[i].ns);
	/* Before the first point: the same line. */
	return c->point[i].tick +
	       (uint64_t)(int64_t)((double)(int64_t)(ns - c->point[i].ns) * slope);
}

/* A record's head. Return: its bytes, 0: it makes no sense. */
static uint64_t head_take(const unsigned char *at, uint64_t left, uint64_t *raw, uint32_t *ret_id,
			  uint64_t *ret_head_bytes)
{
	uint64_t word, bytes;

	if (left < RING_COMPACT_BYTES)
		return 0;
	memcpy(&word, at, sizeof(word));
	bytes = (word >> 16 & 0xffff) * 8;
	*ret_head_bytes =
		(word & 0xffff) == RING_ID_EXTENDED ? RING_EXTENDED_BYTES : RING_COMPACT_BYTES;
	if (bytes < *ret_head_bytes || bytes > left)
		return 0;
	if (*ret_head_bytes == RING_EXTENDED_BYTES) {
		*ret_id = (uint32_t)(word >> 32);
		memcpy(raw, at + 8, sizeof(*raw));
	} else {
		*ret_id = (uint32_t)(word & 0xffff);
		*raw = (*raw & ~0xffffffffull) | word >> 32;
	}
	return bytes;
}

/* Return: bytes of the new head. */
static uint64_t head_make(unsigned char *to, uint32_t id, uint64_t payload, uint64_t tick,
			  bool is_extended)
{
	uint64_t bytes = payload + (is_extended ? RING_EXTENDED_BYTES : RING_COMPACT_BYTES);
	uint64_t word = bytes / 8 << 16;

	word |= is_extended ? RING_ID_EXTENDED | (uint64_t)id << 32 : id | tick << 32;
	memcpy(to, &word, sizeof(word));
	if (!is_extended)
		return RING_COMPACT_BYTES;
	memcpy(to + 8, &tick, sizeof(tick));
	return RING_EXTENDED_BYTES;
}

bool kernel_clock_convert(struct kernel_clock *c, struct kernel_clock_stream *s,
			  const struct ring_extent *ext, void *buf, struct ring_extent *ret)
{
	const unsigned char *from = ext->data;
	unsigned char *to = buf;
	uint64_t at = 0, used = 0;

	*ret = *ext;
	ret->data = buf;
	s->raw = ext->last_time_before;
	for (uint64_t n = 0; at < ext->bytes; n++) {
		uint64_t head_bytes, tick, bytes;
		uint32_t id;

		bytes = head_take(from + at, ext->bytes - at, &s->raw, &id, &head_bytes);
		if (!bytes || id >= RING_ID_EXTENDED)
			return false;
		tick = kernel_clock_tick(c, s->raw);
		if (tick < s->tick)
			tick = s->tick;
		if (n == 0)
			ret->time_first = tick;
		ret->last_at = used;
		used += head_make(to + used, id, bytes - head_bytes, tick,
				  !s->tick || tick >> 32 != s->tick >> 32);
		memcpy(to + used, from + at + head_bytes, bytes - head_bytes);
		used += bytes - head_bytes;
		at += bytes;
		s->tick = tick;
	}
	ret->time_last = s->tick;
	ret->bytes = used;
	return true;
}
