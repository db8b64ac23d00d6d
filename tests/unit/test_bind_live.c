// SPDX-License-Identifier: MIT
/*
 * The places that are given, tried on this kernel: probes on functions of this very program. They
 * must fire once a call, show in memory, and change no result. Skipped where probes may not be set.
 */
#include "sites.h"

#include <errno.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>

#define KEPT  __attribute__((noinline, used))
#define CALLS 200
#define NOP5  ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"

uint64_t live_leaf(uint64_t x, uint64_t y);
uint64_t live_switch(uint64_t x, uint64_t y);
uint64_t live_deep(uint64_t x, uint64_t y);
uint64_t live_tail(uint64_t x, uint64_t y);
uint64_t live_vector(uint64_t x, uint64_t y);

/* Eight words below the stack pointer, and a 5-byte nop between writing and reading them. */
KEPT uint64_t live_leaf(uint64_t x, uint64_t y)
{
	volatile uint64_t kept[8];
	uint64_t sum = 0;

	for (unsigned i = 0; i < 8; i++)
		kept[i] = x * i + y;
	__asm__ volatile(NOP5 ::: "memory");
	for (unsigned i = 0; i < 8; i++)
		sum = sum * 31 + kept[i];
	return sum;
}

KEPT uint64_t live_switch(uint64_t x, uint64_t y)
{
	switch (x % 9) {
	case 0: return y + 7;
	case 1: return y * 3;
	case 2: return y - 5;
	case 3: return y / 3;
	case 4: return y ^ 99;
	case 5: return y << 3;
	case 6: return y % 11;
	case 7: return -y;
	default: return live_leaf(y, x);
	}
}

KEPT uint64_t live_deep(uint64_t x, uint64_t y)
{
	uint64_t below = x ? live_deep(x - 1, y) : y;

	__asm__ volatile("" : "+r"(below));
	return below + x;
}

uint64_t (*volatile live_pointer)(uint64_t, uint64_t) = live_leaf;

KEPT uint64_t live_tail(uint64_t x, uint64_t y)
{
	return live_pointer(x + 1, y);
}

KEPT __attribute__((target("avx2"))) uint64_t live_vector(uint64_t x, uint64_t y)
{
	typedef uint64_t four __attribute__((vector_size(32)));
	four a = {x, y, x ^ y, x + y}, b = {y, y, 3, 4};
	volatile four c = (a | b) + (a ^ b);

	return c[0] + c[1] * 3 + c[2] * 5 + c[3] * 7;
}

/* The nop first, nothing below the stack pointer; and behind two pushes. */
uint64_t live_nop5(uint64_t x, uint64_t y);
uint64_t live_pushes(uint64_t x, uint64_t y);
__asm__(".text\n"
	".globl live_nop5\n.type live_nop5, @function\nlive_nop5:\n.cfi_startproc\n" NOP5
	"lea (%rdi,%rsi,2), %rax\nret\n.cfi_endproc\n.size live_nop5, . - live_nop5\n"
	".globl live_pushes\n.type live_pushes, @function\nlive_pushes:\n.cfi_startproc\n"
	"sub $24, %rsp\npush %rbx\nmov %rdi, %rbx\nlea (%rbx,%rsi,4), %rax\npop %rbx\nadd $24, %rsp\nret\n"
	".cfi_endproc\n.size live_pushes, . - live_pushes\n");

static const struct subject {
	const char *name;
	uint64_t (*fn)(uint64_t, uint64_t);
	unsigned hits; /* of its entry, a call */
} subjects[] = {
	{"live_leaf", live_leaf, 1},     {"live_switch", live_switch, 1},
	{"live_deep", live_deep, 6},     {"live_tail", live_tail, 1},
	{"live_nop5", live_nop5, 1},     {"live_pushes", live_pushes, 1},
	{"live_vector", live_vector, 1},
};

static char self[PATH_MAX];

/* A counter that grows with each hit. Return: descriptor, -EPERM not allowed here. */
static int probe_set(uint64_t offset)
{
	struct perf_event_attr attr = {.size = sizeof(attr)};
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	unsigned type;
	long fd;

	if (!f)
		return -EPERM;
	assert_int_equal(fscanf(f, "%u", &type), 1);
	assert_int_equal(fclose(f), 0);
	attr.type = type;
	attr.config1 = (uint64_t)(uintptr_t)self;
	attr.config2 = offset;
	fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0 && (errno == EACCES || errno == EPERM || errno == ENOSYS))
		return -EPERM;
	if (fd < 0)
		fail_msg("cannot probe offset 0x%lx: %s", offset, strerror(errno));
	return (int)fd;
}

static uint64_t probe_take(int fd)
{
	uint64_t hits;

	assert_int_equal(read(fd, &hits, sizeof(hits)), (ssize_t)sizeof(hits));
	assert_int_equal(close(fd), 0);
	return hits;
}

static uint64_t call_all(const struct subject *s)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < CALLS; i++)
		sum = sum * 31 + s->fn(s->hits > 1 ? s->hits - 1 : i, i * 7 + 3);
	return sum;
}

static struct elf_file *open_self(void)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct tocsin_err err = {0};
	struct elf_file *f = NULL;

	assert_true(n > 0);
	self[n] = '\0';
	assert_int_equal(elf_file_open(self, &f, &err), 0);
	return f;
}

static bool has_avx2(const struct subject *s)
{
	return s->fn != live_vector || __builtin_cpu_supports("avx2");
}

static void expect_in_memory(const struct bind_point *p)
{
	uint8_t byte;

	assert_int_equal(bind_read_back(getpid(), self, p->offset, &byte), 0);
	if (byte != 0xcc && !(byte == 0xe8 && p->cost == BIND_NOP5))
		fail_msg("the byte at 0x%lx is 0x%02x", p->offset, byte);
}

static void test_entries(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = open_self();

	(void)state;
	for (size_t i = 0; i < sizeof(subjects) / sizeof(*subjects); i++) {
		const struct subject *s = &subjects[i];
		struct elf_func func = site_func(f, s->name);
		uint64_t wanted, hits;
		struct bind_point p;
		uint8_t byte;
		int fd;

		if (!has_avx2(s))
			continue;
		wanted = call_all(s);
		assert_int_equal(bind_func_entry(f, &func, false, &p, NULL), 0);
		fd = probe_set(p.offset);
		if (fd < 0) {
			print_message("# no privilege to set probes\n");
			skip();
		}
		expect_in_memory(&p);
		assert_int_equal(call_all(s), wanted);
		expect_in_memory(&p);
		hits = probe_take(fd);
		if (hits != (uint64_t)CALLS * s->hits)
			fail_msg("%s: %lu hits at '%s'", s->name, hits, p.insn);
		assert_int_equal(bind_read_back(getpid(), self, p.offset, &byte), 0);
		assert_true(byte == p.byte || p.cost == BIND_NOP5); /* a nop may stay another nop */
		assert_int_equal(call_all(s), wanted);
	}
}

/* As if the program threw: a probe on every end, of which one is passed in each call. */
static void test_ends(void **state)
{
	static const struct elf_hazards throws = {.throws = "the test says so"};
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = open_self();

	(void)state;
	f->hazards = malloc(sizeof(*f->hazards));
	assert_non_null(f->hazards);
	*f->hazards = throws;
	for (size_t i = 0; i < sizeof(subjects) / sizeof(*subjects); i++) {
		TOCSIN_CLEANUP(bind_returns_done) struct bind_returns ends = {0};
		const struct subject *s = &subjects[i];
		struct elf_func func = site_func(f, s->name);
		uint64_t wanted, hits = 0;
		int fd[64];

		if (!has_avx2(s))
			continue;
		wanted = call_all(s);
		assert_int_equal(bind_func_returns(f, &func, NULL, false, &ends, NULL), 0);
		assert_false(ends.by_return_probe);
		assert_true(ends.nr >= 1 && ends.nr <= 64);
		for (size_t k = 0; k < ends.nr; k++) {
			fd[k] = probe_set(ends.point[k].offset);
			if (fd[k] < 0) {
				print_message("# no privilege to set probes\n");
				skip();
			}
		}
		assert_int_equal(call_all(s), wanted);
		for (size_t k = 0; k < ends.nr; k++)
			hits += probe_take(fd[k]);
		if (hits != (uint64_t)CALLS * s->hits)
			fail_msg("%s: %lu hits on %zu ends", s->name, hits, ends.nr);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
