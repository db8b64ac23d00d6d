// SPDX-License-Identifier: MIT
/*
 * Emits events while it scribbles over everything that it shares with its collector: its control
 * page and its rings, at random places with random and with nasty values.
 *
 *	record_hostile SECONDS SEED [control|rings|both]
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tocsin/event.h"

#define AREAS_MAX 64

static struct area {
	unsigned char *start;
	size_t len;
} area[AREAS_MAX];
static unsigned nr_areas;
static uint64_t seed;

static uint64_t random_next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void areas_find(const char *which)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];

	nr_areas = 0;
	while (f && fgets(line, sizeof(line), f) && nr_areas < AREAS_MAX) {
		uintptr_t start, end;
		int is_control = strstr(line, "/memfd:tocsin-control") != NULL;
		int is_ring = strstr(line, "/memfd:tocsin-ring") != NULL ||
			      strstr(line, "/memfd:tocsin-arena") != NULL;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &start, &end) != 2 ||
		    !strstr(line, "rw-s") ||
		    !((is_control && strcmp(which, "rings") != 0) ||
		      (is_ring && strcmp(which, "control") != 0)))
			continue;
		area[nr_areas++] = (struct area){(unsigned char *)start, end - start};
	}
	if (f)
		(void)fclose(f);
}

static void scribble(void)
{
	static const uint64_t nasty[] = {
		0,          1,          8,    0xffff,     0xffffffff,
		UINT64_MAX, 1ull << 63, 4096, 0x7fffffff, 0xffffffff00000000};
	const struct area *a = &area[random_next() % nr_areas];
	/* Half of it where the heads are. */
	size_t len = random_next() & 1 && a->len > 8192 ? 8192 : a->len;
	size_t at = random_next() % (len / 8) * 8;
	uint64_t value = random_next() & 1 ? random_next() : nasty[random_next() % 10];

	memcpy(a->start + at, &value, sizeof(value));
}

static void *emitter(void *arg)
{
	(void)arg;
	for (uint64_t n = 0;; n++) {
		tocsin_event("hostile", "tick", TF_U64("n", n), TF_STR("s", "text"));
		if (n % 64 == 0) {
			struct timespec t = {.tv_nsec = 20000};

			(void)nanosleep(&t, NULL);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + (argc > 1 ? atol(argv[1]) : 1);
	const char *which = argc > 3 ? argv[3] : "both";
	struct timespec peace = {.tv_nsec = 400000000};
	pthread_t thread;

	seed = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1) * 2654435761u + 1;
	if (pthread_create(&thread, NULL, emitter, NULL))
		return 1;
	(void)nanosleep(&peace, NULL); /* so that a recording begins */
	while (time(NULL) < end) {
		struct timespec t = {.tv_nsec = 200000};

		areas_find(which);
		for (int i = 0; i < 300 && nr_areas; i++)
			scribble();
		(void)nanosleep(&t, NULL);
	}
	_Exit(0);
}
