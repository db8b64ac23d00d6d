/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ABI_NOINSTR_H
#define TOCSIN_ABI_NOINSTR_H

/*
 * Code that must not be traced: what runs when something is traced. It stands in an ELF section of
 * its own, is built without whatever compilers add to functions, and calls nothing but its own slow
 * paths; tests/truth/noinstr.py looks at what was linked. All restartable sequences stand there: a
 * breakpoint in one makes it begin anew for ever, or runs its commit outside of it. `tocsin watch`
 * binds no probe there.
 */

#define TOCSIN_NOINSTR_SECTION "tocsin_noinstr"

#if defined(__clang__)
#	define TOCSIN_NOINSTR_STACK_ __attribute__((no_stack_protector, no_sanitize("all")))
#else
#	define TOCSIN_NOINSTR_STACK_                                                       \
		__attribute__((no_stack_protector, no_sanitize_address, no_sanitize_thread, \
			       no_sanitize_undefined))
#endif
#define TOCSIN_NOINSTR                                                                  \
	__attribute__((section(TOCSIN_NOINSTR_SECTION), no_instrument_function,         \
		       no_profile_instrument_function, patchable_function_entry(0, 0))) \
	TOCSIN_NOINSTR_STACK_

#endif
