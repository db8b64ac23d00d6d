/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_QUERY_SQLITE_H
#define TOCSIN_QUERY_SQLITE_H

/* SQLite: linked into tocsin, or, in an extension, that of whoever loads it. */

#ifdef TOCSIN_SQLITE_EXTENSION
#	include <sqlite3ext.h>
extern const sqlite3_api_routines *sqlite3_api;
#else
#	include <sqlite3.h>
#endif

#endif
