// SPDX-License-Identifier: MIT
/* What the libraries for LD_PRELOAD share. */
#include "preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

void *preload_next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

const char *preload_sanitizer(void)
{
	static const struct {
		const char *symbol, *name;
	} known[] = {
		{"__asan_init", "AddressSanitizer"}, {"__tsan_init", "ThreadSanitizer"},
		{"__msan_init", "MemorySanitizer"},  {"__hwasan_init", "HWAddressSanitizer"},
		{"__lsan_enable", "LeakSanitizer"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (dlsym(RTLD_DEFAULT, known[i].symbol))
			return known[i].name;
	}
	return NULL;
}

static struct iovec text_iov(const char *text)
{
	union {
		const char *in;
		void *out; /* only written from */
	} base = {.in = text};

	return (struct iovec){.iov_base = base.out, .iov_len = strlen(text)};
}

void preload_say(const char *what, const char *why)
{
	const struct iovec line[] = {text_iov("tocsin: "), text_iov(what), text_iov(": "),
				     text_iov(why), text_iov("\n")};
	int saved = errno;

	if (writev(STDERR_FILENO, line, 5) < 0)
		errno = saved; /* closed: nobody listens */
	errno = saved;
}

/*
 * AddressSanitizer ends a program in which its runtime is not the first library. It asks the
 * program for options by these names; with ours in front of it that check would be about us, who
 * only pass on. A program that has such a function itself is asked instead.
 */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "verify_asan_link_order=0";
}
