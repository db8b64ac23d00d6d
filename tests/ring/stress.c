// SPDX-License-Identifier: MIT
/*
 * tests/ring/ring.py runs this with every kind of trouble; by hand:
 *
 *	stress threads=8 ms=2000 mode=discard ring=65536 signals=1 delay=all:300
 *
 * Exit status 0: what was read and what was counted as lost is what was written, whole and in
 *order.
 */
#include "stress.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/parse.h"

struct options options = {
	.threads = 8,
	.ring_bytes = RING_BYTES_MIN,
	.side_bytes = RING_SIDE_BYTES_MIN,
	.block_ns = 2000000,
	.run_ms = 1000,
	.read_us = 200,
};
struct shared *shared;
static bool without_rseq;

static uint64_t number(const char *text)
{
	uint64_t n;

	if (tocsin_parse_u64(text, &n) < 0) {
		(void)fprintf(stderr, "not a number: '%s'\n", text);
		exit(2);
	}
	return n;
}

/* POINT:TURNS, or all:TURNS. */
static void set_delay(const char *text)
{
	const char *colon = strchr(text, ':');
	uint64_t turns = colon ? number(colon + 1) : 0;

	for (unsigned i = 0; i < TOCSIN_RSEQ_POINTS; i++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "%u:", i);
		if (!strncmp(text, "all:", 4) || !strncmp(text, name, strlen(name)))
			tocsin_rseq_delay[i] = (int32_t)turns;
	}
}

static void set_mode(const char *text)
{
	options.mode = !strcmp(text, "overwrite") ? RING_OVERWRITE
		       : !strcmp(text, "block")   ? RING_BLOCK
						  : RING_DISCARD;
}

static bool set_flag(const char *name, size_t len, const char *value)
{
	static const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{"signals", &options.has_signals},    {"migrate", &options.has_migration},
		{"forks", &options.has_forks},        {"large", &options.has_large},
		{"restarts", &options.has_restarts},  {"kill", &options.is_killed},
		{"monotonic", &options.is_monotonic}, {"retire", &options.retires},
	};

	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strlen(flags[i].name) == len && !strncmp(flags[i].name, name, len)) {
			*flags[i].flag = number(value) != 0;
			return true;
		}
	return false;
}

static void set_option(const char *word)
{
	const char *equals = strchr(word, '=');
	const char *value = equals ? equals + 1 : "";
	size_t len = equals ? (size_t)(equals - word) : 0;

	if (equals && set_flag(word, len, value))
		return;
	if (!strncmp(word, "threads=", 8))
		options.threads = (unsigned)number(value);
	else if (!strncmp(word, "mode=", 5))
		set_mode(value);
	else if (!strncmp(word, "ring=", 5))
		options.ring_bytes = number(value);
	else if (!strncmp(word, "side=", 5))
		options.side_bytes = number(value);
	else if (!strncmp(word, "block=", 6))
		options.block_ns = number(value);
	else if (!strncmp(word, "ms=", 3))
		options.run_ms = (unsigned)number(value);
	else if (!strncmp(word, "read=", 5))
		options.read_us = (unsigned)number(value);
	else if (!strncmp(word, "pause=", 6))
		options.pause_us = (unsigned)number(value);
	else if (!strncmp(word, "rseq=", 5))
		without_rseq = number(value) == 0;
	else if (!strncmp(word, "delay=", 6))
		set_delay(value);
	else
		exit(2);
}

int main(int argc, char **argv)
{
	unsigned findings;
	pid_t pid;

	for (int i = 1; i < argc; i++)
		set_option(argv[i]);
	if (without_rseq && !getenv("TOCSIN_RSEQ")) {
		(void)setenv("TOCSIN_RSEQ", "0", 1); /* for the constructor */
		(void)execv("/proc/self/exe", argv);
		return 2;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if ((void *)shared == MAP_FAILED || options.threads > 64)
		return 2;
	pid = fork();
	if (pid < 0)
		return 2;
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		writers_run();
	}
	findings = checks_run(pid);
	printf("# findings %u\n", findings);
	return findings ? 1 : 0;
}
