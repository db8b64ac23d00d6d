// SPDX-License-Identifier: MIT
/* Runs a fuzz target over stored inputs: replay FOLDER... prints TAP. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

#define INPUT_MAX (1 << 20)

static int replay_file(int folder, const char *name)
{
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	TOCSIN_CLEANUP(tocsin_free_voidp) void *input = malloc(INPUT_MAX);
	ssize_t bytes;

	if (fd < 0 || !input)
		return -1;
	bytes = read(fd, input, INPUT_MAX);
	if (bytes < 0)
		return -1;
	(void)LLVMFuzzerTestOneInput(input, (size_t)bytes); /* says nothing, or aborts */
	return 0;
}

static int replay_folder(const char *path, unsigned *nr)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)) != NULL) {
		int r;

		if (entry->d_name[0] == '.')
			continue;
		r = replay_file(dirfd(dir), entry->d_name);
		printf("%s %u - %s\n", r < 0 ? "not ok" : "ok", ++*nr, entry->d_name);
		(void)fflush(stdout);
	}
	return closedir(dir);
}

int main(int argc, char **argv)
{
	unsigned nr = 0;

	for (int i = 1; i < argc; i++)
		if (replay_folder(argv[i], &nr) < 0) {
			printf("Bail out! cannot read '%s'\n", argv[i]);
			return 1;
		}
	printf("1..%u\n", nr);
	return nr ? 0 : 1;
}
