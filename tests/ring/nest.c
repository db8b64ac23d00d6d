// SPDX-License-Identifier: MIT
/*
 * Runs nest.bpf.c while another thread reads: every record whole, in order, once, or counted as
 * lost; and nothing unpublished at the end.
 *
 *	nest OBJECT PLACE overwrite|discard RUNS
 *
 * Status 0: so it was, 1: not, 77: the kernel does not let us.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/control.h"
#include "abi/record_kernel.h"
#include "ring/reader.h"

#define DATA_BYTES  (64u << 10)
#define VALUE_BYTES (RING_HEADER_BYTES + DATA_BYTES + KERNEL_RING_SLACK)

static struct {
	struct ring_reader reader;
	uint64_t next[3]; /* number of the next record, by id */
	uint64_t nr[3], gaps[3];
	uint64_t last_time, bad, back_ns, lapped;
	volatile int is_over;
	char why[160];
} seen;

/* What libbpf has to say is about protocols that are broken on purpose. */
static __attribute__((format(printf, 2, 0))) int quiet(enum libbpf_print_level level,
						       const char *fmt, va_list ap)
{
	(void)level;
	return getenv("NEST_VERBOSE") ? vfprintf(stderr, fmt, ap) : 0;
}

static void bad(const char *what, unsigned long long a, unsigned long long b)
{
	if (!seen.bad++)
		(void)snprintf(seen.why, sizeof(seen.why), "%s: %llu, %llu", what, a, b);
}

static void check_record(const unsigned char *at, uint64_t *base)
{
	uint64_t word, time, n, w;
	uint32_t id, head = 8, words;

	memcpy(&word, at, 8);
	words = (uint32_t)(word >> 16 & 0xffff);
	if ((word & 0xffff) == RING_ID_EXTENDED) {
		id = (uint32_t)(word >> 32);
		memcpy(&time, at + 8, 8);
		head = 16;
	} else {
		id = (uint32_t)(word & 0xffff);
		time = (*base & ~0xffffffffull) | word >> 32;
	}
	*base = time;
	if (id != 1 && id != 2) {
		bad("an id that nobody wrote", id, words);
		return;
	}
	memcpy(&n, at + head, 8);
	if (words - head / 8 != 1 + n % 31)
		bad("a length that is not its number's", words, n);
	for (uint32_t i = 0; i < words - head / 8; i++) {
		memcpy(&w, at + head + i * 8, 8);
		if (w != n + i * 0x100000001ull)
			bad("a word of a record is not its own", w, n);
	}
	if (n < seen.next[id])
		bad("a number that goes back", n, seen.next[id]);
	seen.gaps[id] += n - seen.next[id];
	seen.next[id] = n + 1;
	seen.nr[id]++;
	/* The kernel's clock itself may go back by some ns. */
	if (time + 1000 < seen.last_time)
		bad("a time that goes back", time, seen.last_time);
	seen.last_time = time;
}

static void read_some(void)
{
	struct ring_extent e;
	enum ring_read r;

	while ((r = ring_reader_next(&seen.reader, 1 << 16, &e)) != RING_READ_END) {
		uint64_t at = 0, base = e.last_time_before, words;

		if (r == RING_READ_CORRUPT) {
			bad(ring_corrupt_text(seen.reader.corrupt), seen.reader.corrupt_at, 0);
			return;
		}
		seen.lapped += r == RING_READ_LAPPED;
		if (r != RING_READ_MORE)
			continue;
		for (; at < e.bytes; at += words * 8) {
			memcpy(&words, (const char *)e.data + at, 8);
			words = words >> 16 & 0xffff;
			check_record((const unsigned char *)e.data + at, &base);
		}
		ring_reader_release(&seen.reader, &e);
	}
}

static void *reading(void *unused)
{
	while (!seen.is_over && !seen.bad)
		read_some();
	return unused;
}

static int ring_fill(int fd, bool is_overwriting, unsigned cpu)
{
	struct ring_header *h =
		mmap(NULL, RING_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (h == MAP_FAILED)
		return -1;
	*h = (struct ring_header){
		.magic = RING_MAGIC,
		.version = RING_VERSION,
		.header_bytes = RING_HEADER_BYTES,
		.kind = RING_INDEXED,
		.mode = is_overwriting ? RING_OVERWRITE : RING_DISCARD,
		.data_bytes = DATA_BYTES,
		.index = cpu,
		.clock = CONTROL_CLOCK_MONOTONIC,
		.groups = is_overwriting ? RING_GROUPS_MAX : 0,
		.mask = DATA_BYTES - 1,
		.epoch = RING_EPOCH_NONE,
	};
	return munmap(h, RING_HEADER_BYTES);
}

/* Where a variable of a section stands in it. Return: -ENOENT there is none. */
static long place_of(struct bpf_object *obj, const char *section, const char *name)
{
	const struct btf *btf = bpf_object__btf(obj);
	int id = btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (unsigned)id) : NULL;

	for (unsigned i = 0; t && i < btf_vlen(t); i++) {
		const struct btf_var_secinfo *v = btf_var_secinfos(t) + i;

		if (!strcmp(btf__name_by_offset(btf, btf__type_by_id(btf, v->type)->name_off),
			    name))
			return v->offset;
	}
	return -ENOENT;
}

static int constant_set(struct bpf_object *obj, const char *name, uint64_t value, size_t bytes)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj, ".rodata");
	long place = place_of(obj, ".rodata", name);
	char whole[4096];
	size_t len = 0;
	const void *now = map ? bpf_map__initial_value(map, &len) : NULL;

	if (!now || place < 0 || len > sizeof(whole))
		return -ENOENT;
	memcpy(whole, now, len);
	memcpy(whole + place, &value, bytes);
	return bpf_map__set_initial_value(map, whole, len);
}

static int object_open(const char *path, unsigned place, bool is_overwriting, unsigned cpu,
		       struct bpf_object **ret)
{
	struct bpf_object *obj = bpf_object__open_file(path, NULL);
	struct bpf_map *rings;
	int r;

	if (!obj)
		return -errno;
	rings = bpf_object__find_map_by_name(obj, "rings");
	r = constant_set(obj, "where", place, 4);
	r = r ?: constant_set(obj, "on_cpu", cpu, 4);
	r = r ?: constant_set(obj, "per_run", 10, 4);
	r = r ?: constant_set(obj, "data_mask", DATA_BYTES - 1, 8);
	r = r ?: constant_set(obj, "nr_groups", is_overwriting ? RING_GROUPS_MAX : 1, 4);
	r = r ?: constant_set(obj, "group_shift", is_overwriting ? 12 : 0, 4);
	r = r ?: bpf_map__set_max_entries(rings, (unsigned)libbpf_num_possible_cpus());
	r = r ?: bpf_map__set_value_size(bpf_map__inner_map(rings), VALUE_BYTES);
	r = r ?: bpf_object__load(obj);
	*ret = obj;
	return r;
}

static int run(struct bpf_object *obj, unsigned cpu, unsigned runs)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .flags = BPF_F_TEST_RUN_ON_CPU, .cpu = cpu);
	int fd = bpf_program__fd(bpf_object__find_program_by_name(obj, "outer"));

	for (unsigned i = 0; i < runs && !seen.bad; i++)
		if (bpf_prog_test_run_opts(fd, &opts))
			return -errno;
	return 0;
}

static uint64_t written_of(struct bpf_object *obj, unsigned id)
{
	struct bpf_map *bss = bpf_object__find_map_by_name(obj, ".bss");
	static const char *const name[] = {"nr_early", "nr_outer", "nr_inner"};
	long place = place_of(obj, ".bss", name[id]);
	static char value[4096];
	uint32_t zero = 0;
	uint64_t n = 0;

	if (place < 0 || bpf_map_lookup_elem(bpf_map__fd(bss), &zero, value))
		return UINT64_MAX;
	memcpy(&n, value + place, 8);
	return n;
}

static void check_end(struct bpf_object *obj, bool is_overwriting, unsigned place)
{
	const struct ring_header *h = seen.reader.ring;
	struct kernel_ring_state st;

	memcpy(&st, (const char *)h + KERNEL_RING_STATE_AT, sizeof(st));
	if (written_of(obj, 0))
		bad("published on top of another", written_of(obj, 0), 0);
	if (st.reserved != h->head)
		bad("claimed, and not published", st.reserved, h->head);
	for (unsigned id = 1; id <= 2; id++) {
		uint64_t written = written_of(obj, id);

		seen.gaps[id] += written - seen.next[id]; /* the last ones may be lost */
		if (seen.nr[id] + seen.gaps[id] != written)
			bad("read + missing is not written", seen.nr[id] + seen.gaps[id], written);
	}
	if (!is_overwriting && seen.gaps[1] + seen.gaps[2] != h->lost)
		bad("missing is not lost", seen.gaps[1] + seen.gaps[2], h->lost);
	if (is_overwriting && !seen.lapped && seen.gaps[1] + seen.gaps[2])
		bad("missing, though never lapped", seen.gaps[1], seen.gaps[2]);
	if (place && !written_of(obj, 2))
		bad("nothing came in between", 0, 0);
	if (place > 1 && !st.nested)
		bad("nothing was nested", 0, 0);
}

int main(int argc, char **argv)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	bool is_overwriting = argc > 4 && !strcmp(argv[3], "overwrite");
	unsigned place = argc > 4 ? (unsigned)atoi(argv[2]) : 0, cpu = 0;
	struct bpf_object *obj = NULL;
	pthread_t thread;
	int fd, r;

	if (argc < 5)
		return 2;
	(void)libbpf_set_print(quiet);
	r = object_open(argv[1], place, is_overwriting, cpu, &obj);
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ring", 4, VALUE_BYTES, 1, &opts);
	if (r || fd < 0 || ring_fill(fd, is_overwriting, cpu) ||
	    bpf_map_update_elem(bpf_map__fd(bpf_object__find_map_by_name(obj, "rings")), &cpu, &fd,
				0) ||
	    !bpf_program__attach(bpf_object__find_program_by_name(obj, "inner"))) {
		(void)fprintf(stderr, "cannot load: %s\n", strerror(r ? -r : errno));
		return 77;
	}
	r = ring_reader_open_map(&seen.reader, fd, VALUE_BYTES, true);
	if (r || pthread_create(&thread, NULL, reading, NULL))
		return 77;
	r = run(obj, cpu, (unsigned)atoi(argv[4]));
	seen.is_over = 1;
	(void)pthread_join(thread, NULL);
	if (r) {
		(void)fprintf(stderr, "cannot run: %s\n", strerror(-r));
		return 77;
	}
	if (!seen.bad)
		read_some();
	if (!seen.bad)
		check_end(obj, is_overwriting, place);
	(void)printf("outer %llu of %llu, inner %llu of %llu, lapped %llu%s%s\n",
		     (unsigned long long)seen.nr[1], (unsigned long long)written_of(obj, 1),
		     (unsigned long long)seen.nr[2], (unsigned long long)written_of(obj, 2),
		     (unsigned long long)seen.lapped, seen.bad ? ": " : "", seen.why);
	return seen.bad ? 1 : 0;
}
