// SPDX-License-Identifier: MIT
/*
 * Emits events and says which: for tests of recording.
 *
 *	record_emit all N		N events with fields of every kind, printed as JSON lines
 *	record_emit count N [NS]	N numbered events, about NS apart
 *	record_emit bursts N K		N numbered events, with a wait of 5 ms after every K
 *	record_emit large N		N events of up to 64,900 bytes
 *	record_emit run FILE		numbered events until it is killed; FILE has the next. The
 *					letter f on standard input has it write to no memory, m take
 *					more memory until there is no more
 *	record_emit storm N K		N children, at most 16 at once, each with K events
 *	record_emit late FILE N		waits for FILE, then N numbered events
 *
 * A numbered event is record:count with `n` from 0 on. The last line says how many there were.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tocsin/event.h"

static const struct tocsin_label colours[] = {
	{0, 0, "red"}, {1, 3, "green"}, {4, 4, "blue \"light\""}};

static bool is_greedy;

static void wait_ns(long ns)
{
	struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	(void)nanosleep(&t, NULL);
}

static void emit_count(uint64_t n)
{
	tocsin_event("record", "count", TF_U64("n", n), TF_U64("twice", 2 * n));
}

static void print_hex(const char *name, const unsigned char *bytes, unsigned nr)
{
	(void)printf(", \"%s\": [", name);
	for (unsigned i = 0; i < nr; i++)
		(void)printf("%s%u", i ? ", " : "", bytes[i]);
	(void)printf("]");
}

static void emit_all(uint64_t i)
{
	static const char text[] = "the quick brown fox jumps over the lazy dog";
	uint16_t array[3] = {1, (uint16_t)(i * 7), 65535};
	uint64_t seq[4] = {i, i * i, UINT64_MAX - i, 3};
	unsigned char blob[5] = {0, 255, (unsigned char)i, 1, 2};
	char string[64];
	int colour = (int)(i % 6);

	(void)snprintf(string, sizeof(string), "%.*s", (int)(i % 43) + 1, text);
	tocsin_event("record", "all", TF_U8("u8", (uint8_t)i), TF_U16("u16", (uint16_t)(i * 257)),
		     TF_U32("u32", (uint32_t)(i * 65537)), TF_U64("u64", UINT64_MAX - i),
		     TF_S8("s8", (int8_t) - (int)(i % 128)), TF_S16("s16", (int16_t) - (int)i),
		     TF_S32("s32", (int32_t)(-(int64_t)i * 1000)),
		     TF_S64("s64", INT64_MIN + (int64_t)i), TF_X64("x64", i << 32),
		     TF_F64("f64", (double)i / 4), TF_BOOL("boolean", (i & 1) != 0),
		     TF_ENUM("colour", colours, colour), TF_STR("string", string),
		     TF_ARRAY("array", U16, array, 3), TF_SEQ("seq", U64, seq, i % 5, 4),
		     TF_BLOB("blob", blob, i % 6, 5));
	(void)printf("{\"u8\": %u, \"u16\": %u, \"u32\": %u, \"u64\": %" PRIu64 ", \"s8\": %d, "
		     "\"s16\": %d, \"s32\": %d, \"s64\": %" PRId64 ", \"x64\": %" PRIu64
		     ", \"f64\": %.2f, \"boolean\": %d, \"colour\": %d, \"string\": \"%s\", "
		     "\"array\": [%u, %u, %u], \"seq\": [",
		     (uint8_t)i, (uint16_t)(i * 257), (uint32_t)(i * 65537), UINT64_MAX - i,
		     (int8_t) - (int)(i % 128), (int16_t) - (int)i, (int32_t)(-(int64_t)i * 1000),
		     INT64_MIN + (int64_t)i, i << 32, (double)i / 4, (int)(i & 1), colour, string,
		     array[0], array[1], array[2]);
	for (unsigned k = 0; k < i % 5; k++)
		(void)printf("%s%" PRIu64, k ? ", " : "", seq[k]);
	(void)printf("]");
	print_hex("blob", blob, (unsigned)(i % 6));
	(void)printf("}\n");
}

static void emit_large(uint64_t n)
{
	static unsigned char bytes[64900];
	size_t nr = (size_t)(n * 7919 % (sizeof(bytes) + 1));

	for (size_t i = 0; i < nr; i++)
		bytes[i] = (unsigned char)(n + i * 31);
	tocsin_event("record", "large", TF_U64("n", n), TF_BLOB("bytes", bytes, nr, sizeof(bytes)));
}

/* What a program does that ends badly, between two events. */
static void end_badly(void)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	static int *volatile nowhere;
	char what = 0;

	if (poll(&in, 1, 0) <= 0 || read(STDIN_FILENO, &what, 1) != 1)
		return;
	if (what == 'f')
		*nowhere = 1;
	if (what == 'm')
		is_greedy = true;
}

static void take_memory(void)
{
	void *p = mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED)
		memset(p, 1, 1 << 18);
}

static int run(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	volatile uint64_t *next;

	if (fd < 0 || ftruncate(fd, 4096) < 0)
		return 1;
	next = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (next == MAP_FAILED)
		return 1;
	for (uint64_t n = 0;; n++) {
		emit_count(n);
		*next = n + 1;
		if (n % 50 == 0) {
			wait_ns(200000);
			end_badly();
			if (is_greedy)
				take_memory();
		}
	}
}

static int storm(unsigned nr, uint64_t events)
{
	unsigned running = 0;

	for (unsigned i = 0; i < nr; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			for (uint64_t n = 0; n < events; n++)
				emit_count(i * events + n);
			_exit(0);
		}
		if (pid < 0)
			return 1;
		if (++running == 16) {
			(void)wait(NULL);
			running--;
		}
	}
	while (wait(NULL) > 0)
		;
	(void)printf("%" PRIu64 "\n", nr * events);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	uint64_t nr =
		argc > 2 ? strtoull(argv[argc > 3 && !strcmp(what, "late") ? 3 : 2], NULL, 10) : 0;
	long ns = argc > 3 ? atol(argv[3]) : 0;

	if (!strcmp(what, "run"))
		return run(argv[2]);
	if (!strcmp(what, "storm") && argc > 3)
		return storm((unsigned)nr, (uint64_t)ns);
	if (!strcmp(what, "late"))
		while (access(argv[2], F_OK))
			wait_ns(1000000);
	if (!*what)
		return 2;
	for (uint64_t n = 0; n < nr; n++) {
		if (!strcmp(what, "all"))
			emit_all(n);
		else if (!strcmp(what, "large"))
			emit_large(n);
		else
			emit_count(n);
		if (ns && !strcmp(what, "count"))
			wait_ns(ns);
		if (ns && !strcmp(what, "bursts") && n % (uint64_t)ns == 0)
			wait_ns(5000000);
	}
	(void)printf("%" PRIu64 "\n", nr);
	return 0;
}
