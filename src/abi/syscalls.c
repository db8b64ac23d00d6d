// SPDX-License-Identifier: MIT
/* Names and numbers of system calls. */
#include "syscalls.h"

#include <errno.h>
#include <string.h>

/* Made by gen_syscalls.py: by number, NULL where there is none. */
extern const char *const syscall_names[];
extern const long syscall_names_nr;

const char *syscall_name(long nr)
{
	return nr >= 0 && nr < syscall_names_nr ? syscall_names[nr] : NULL;
}

int syscall_number(const char *name)
{
	for (long nr = 0; nr < syscall_names_nr; nr++)
		if (syscall_names[nr] && !strcmp(syscall_names[nr], name))
			return (int)nr;
	return -ENOENT;
}

long syscall_limit(void)
{
	return syscall_names_nr;
}
