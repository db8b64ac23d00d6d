/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TOCSIN_H
#define TOCSIN_TOCSIN_H

/*
 * Tocsin inside a program: events (tocsin/event.h), sections (tocsin/section.h) and probes
 * (tocsin/probe.h). C11 and C++17.
 *
 *	cc server.c $(pkg-config --cflags --libs tocsin)
 *
 * The library is passive: it starts no thread, opens no socket, handles no signal and waits for
 * nothing. It makes one memfd at start-up, and rings when a collector asks for events.
 */

#include "tocsin/event.h"
#include "tocsin/probe.h"
#include "tocsin/section.h"
#include "tocsin/tracing.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * tocsin_freeze() - from here on this process makes no system call for tracing.
 *
 * For programs about to install a seccomp filter that kills. Makes the rings that may be needed, if
 * a session is on; events that then need another ring are lost and counted. Sections take no split
 * by themselves any more. Cannot be undone; children of fork() cannot be traced.
 *
 * Return: 0, or -ENODEV: this process cannot be traced, -ENOMEM, -ENOSPC: not all rings could be
 * made; frozen all the same. Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API int tocsin_freeze(void);

/**
 * tocsin_stop() - from here on nothing is recorded; events that are on are counted as lost.
 *
 * For programs about to enter seccomp's strict mode, or to call prctl(PR_SET_TSC, PR_TSC_SIGSEGV):
 * the kernel then kills who reads the CPU's clock, be it through clock_gettime(). Neither events
 * nor sections read it any more. Cannot be undone.
 *
 * Thread-safe: yes. Signal-safe: yes. Since: 0.1.
 */
TOCSIN_API void tocsin_stop(void);

#ifdef __cplusplus
}
#endif

#endif
