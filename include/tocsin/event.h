/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_EVENT_H
#define TOCSIN_EVENT_H

/*
 * Events: what a program can say of itself while it runs. C11 and C++17, gcc and clang.
 *
 *	tocsin_event("server", "accept", TF_U32("fd", fd), TF_STR("peer", name));
 *
 * defines the event and emits it, in any .c or .cpp file, with up to 16 fields. Off, it costs one
 * branch that is never taken, and no field is evaluated. On, each field is evaluated once, in
 * order, and the record is in the ring when the statement ends.
 *
 * Provider, name and names of fields are string literals. Two statements with the same provider,
 * name, level and fields are the same event. A field that does not fit its type is refused by the
 * compiler: text where a number is wanted, a fraction in an integer, 64 bits in 32.
 *
 * Each statement is also a USDT probe `provider:name` with its first 12 fields as arguments
 * (arrays, sequences and blobs: their address; fractions: their bits), for bpftrace, perf and gdb.
 *
 * Thread-safe: yes. Signal-safe: yes. No lock, no allocation, no system call but for the first
 * event of a process and of each ring. Since: 0.1.
 *
 * The upper part of this file is for people, the lower is how it is done: names that end in _ may
 * change with any version, layouts of structs only with TOCSIN_SITE_ABI.
 */

#include <stddef.h>
#include <stdint.h>

#include "tocsin/types.h"

#ifndef TOCSIN_API
#	define TOCSIN_API __attribute__((visibility("default")))
#endif

/* Fields: name, a string literal, and value. TF_X: unsigned, shown to base 16. */
#define TF_U8(name, ...)   TOCSIN_INT_(name, (__VA_ARGS__), U8, uint8_t, 4, 0, "1@")
#define TF_U16(name, ...)  TOCSIN_INT_(name, (__VA_ARGS__), U16, uint16_t, 4, 0, "2@")
#define TF_U32(name, ...)  TOCSIN_INT_(name, (__VA_ARGS__), U32, uint32_t, 4, 0, "4@")
#define TF_U64(name, ...)  TOCSIN_INT_(name, (__VA_ARGS__), U64, uint64_t, 8, 0, "8@")
#define TF_S8(name, ...)   TOCSIN_INT_(name, (__VA_ARGS__), S8, int8_t, 4, 0, "-1@")
#define TF_S16(name, ...)  TOCSIN_INT_(name, (__VA_ARGS__), S16, int16_t, 4, 0, "-2@")
#define TF_S32(name, ...)  TOCSIN_INT_(name, (__VA_ARGS__), S32, int32_t, 4, 0, "-4@")
#define TF_S64(name, ...)  TOCSIN_INT_(name, (__VA_ARGS__), S64, int64_t, 8, 0, "-8@")
#define TF_X8(name, ...)   TOCSIN_INT_(name, (__VA_ARGS__), U8, uint8_t, 4, TOCSIN_FIELD_HEX, "1@")
#define TF_X16(name, ...)  TOCSIN_INT_(name, (__VA_ARGS__), U16, uint16_t, 4, TOCSIN_FIELD_HEX, "2@")
#define TF_X32(name, ...)  TOCSIN_INT_(name, (__VA_ARGS__), U32, uint32_t, 4, TOCSIN_FIELD_HEX, "4@")
#define TF_X64(name, ...)  TOCSIN_INT_(name, (__VA_ARGS__), U64, uint64_t, 8, TOCSIN_FIELD_HEX, "8@")
#define TF_F32(name, ...)  (FLOAT, name, (__VA_ARGS__), F32, float, uint32_t, "4@")
#define TF_F64(name, ...)  (FLOAT, name, (__VA_ARGS__), F64, double, uint64_t, "8@")
#define TF_BOOL(name, ...) (BOOL, name, (__VA_ARGS__), "1@")
#define TF_PTR(name, ...)  (PTR, name, (__VA_ARGS__), "8@") /* the address, not what is there */

/* Zero-terminated text, cut to 255 bytes, or to max - 1; NULL is written as "(null)". */
#define TF_STR(name, ...)        (STR, name, (__VA_ARGS__), 256, "8@")
#define TF_STRN(name, text, max) (STR, name, (text), max, "8@")

/* An int (or less) whose values have labels: an array of struct tocsin_label with static storage.
 */
#define TF_ENUM(name, labels, ...) (ENUM, name, (__VA_ARGS__), labels, "-4@")

/* `nr` elements, a constant, from `address` on; TYPE is U8, U16, U32, U64, S8, S16, S32, S64, F32
 * or F64, and must be the type of the elements. */
#define TF_ARRAY(name, TYPE, address, nr) (ARRAY, name, (address), TYPE, nr, "8@")

/* `nr` elements from `address` on, of which the first `max`, a constant, are recorded. */
#define TF_SEQ(name, TYPE, address, nr, max) (SEQ, name, (address), TYPE, (nr), max, "8@")

/* `bytes` bytes from `address` on, of which the first `max`, a constant, are recorded. */
#define TF_BLOB(name, address, bytes, max) (BLOB, name, (address), (bytes), max, "8@")

struct tocsin_label {
	int64_t first; /* values first .. last have this label */
	int64_t last;
	const char *text;
};

/* tocsin_event(provider, name, fields...), of level TOCSIN_LEVEL_INFO. */
#define tocsin_event(...) TOCSIN_EVENT_(TOCSIN_LEVEL_INFO, __VA_ARGS__)

/* tocsin_event_level(level, provider, name, fields...): the same with another level, a constant. */
#define tocsin_event_level(level, ...) TOCSIN_EVENT_(level, __VA_ARGS__)

/*
 * tocsin_event_patched(provider, name, fields...): the same, for places where even a load is too
 * much. Off, it is a nop, which carries the USDT note, and one instruction that does nothing; it is
 * switched by changing one byte of the code, through /proc/PID/mem. Where this cannot be done (the
 * process is not dumpable, another machine than x86-64) it stays a jump to code that looks whether
 * it is on.
 *
 * Its fields are evaluated always, so give it values that are at hand. A library with patched sites
 * stays in memory when it is closed. docs/adr/0016 says why.
 */
#define tocsin_event_patched(...) TOCSIN_EVENT_PATCHED_(TOCSIN_LEVEL_INFO, __VA_ARGS__)

/*
 * Is somebody recording that event? For work that only its fields need:
 *
 *	if (tocsin_event_enabled("server", "state"))
 *		tocsin_event("server", "state", TF_U64("bytes", count_all(server)));
 *
 * Asks for the first event of that provider and name that the same program or library has, or one
 * that was loaded before it; false if there is none. Costs as much as an event that is off.
 */
#define tocsin_event_enabled(provider, name) TOCSIN_ENABLED_(provider, name)

/* ---- how it is done ---- */

#define TOCSIN_SITE_ABI 2

/* Called through the GOT at once, a jump less. clang does not know it. */
#if defined(__GNUC__) && !defined(__clang__)
#	define TOCSIN_NOPLT_ __attribute__((noplt))
#else
#	define TOCSIN_NOPLT_
#endif

/* Most bytes of all fields of an event together. */
#define TOCSIN_PAYLOAD_MAX 65000
/* Bytes in front of the payload that the library fills with contexts. */
#define TOCSIN_HEADROOM 64

struct chain;

struct tocsin_field {
	const char *name;
	const struct tocsin_label *labels;
	uint32_t count; /* as in the control page */
	uint16_t nr_labels;
	uint8_t type; /* enum tocsin_type */
	uint8_t elem;
	uint8_t flags; /* enum tocsin_field_flags */
	uint8_t reserved[7];
};

#define TOCSIN_CLASS_LOOKUP  1 /* no event: asks for one of this provider and name */
#define TOCSIN_CLASS_SECTION 2 /* a section: its fields are the library's */

struct tocsin_class {
	const char *provider;
	const char *name;
	const char *file;
	const struct tocsin_field *fields;
	uint32_t line;
	uint8_t nr_fields;
	uint8_t level;
	uint16_t flags; /* TOCSIN_CLASS_* */
};

/* One a statement, in the program's data. */
struct tocsin_site {
	/* Its byte in the control page; with probes one that always sends it to the library; before
	 * both one that is 0. */
	const volatile uint8_t *on;
	const struct tocsin_class *cls;
	uint16_t id; /* class id, once registered */
	uint16_t can_patch;
	uint32_t abi;         /* TOCSIN_SITE_ABI */
	struct chain *probes; /* the library's; NULL: none */
};

/* The byte that switches a patched site, in its code. */
struct tocsin_patch {
	void *at;
	struct tocsin_site *site;
};

/* A program or library: its sites, the bounds of its ELF section `tocsin_sites`. */
struct tocsin_module {
	struct tocsin_site *const *begin;
	struct tocsin_site *const *end;
	uint32_t abi;
	uint32_t is_registered;
	uint32_t has_probes;
	uint32_t reserved0;
	struct tocsin_module *next;         /* the library's */
	const struct tocsin_patch *patches; /* the section `tocsin_patches` */
	const struct tocsin_patch *patches_end;
	uint64_t reserved;
};

#ifdef __cplusplus
#	define TOCSIN_ASSERT_(...) static_assert(__VA_ARGS__)
#	define TOCSIN_AUTO_        const auto
#	define TOCSIN_ALIGNAS_(n)  alignas(n)
extern "C" {
#else
#	define TOCSIN_ASSERT_(...) _Static_assert(__VA_ARGS__)
#	define TOCSIN_AUTO_        __extension__ const __auto_type
#	define TOCSIN_ALIGNAS_(n)  _Alignas(n)
#endif

/**
 * tocsin_site_emit() - write a record, if the site's event is on.
 * @site:    lent
 * @payload: the fields as they are to be in the record; aligned to 8, zeros up to a multiple of 8.
 *           TOCSIN_HEADROOM bytes before it are the library's to write to
 * @bytes:   of the fields, at most TOCSIN_PAYLOAD_MAX
 * @on:      *site->on, as the site has just seen it
 *
 * What cannot be written is counted. errno is kept. Thread-safe: yes. Signal-safe: yes.
 */
TOCSIN_API TOCSIN_NOPLT_ void tocsin_site_emit(const struct tocsin_site *site, void *payload,
					       size_t bytes, unsigned on);

/* The same for payloads of so many bytes, which the compiler knows. */
TOCSIN_API TOCSIN_NOPLT_ void tocsin_site_emit8(const struct tocsin_site *site, void *payload,
						unsigned on);
TOCSIN_API TOCSIN_NOPLT_ void tocsin_site_emit16(const struct tocsin_site *site, void *payload,
						 unsigned on);
TOCSIN_API TOCSIN_NOPLT_ void tocsin_site_emit24(const struct tocsin_site *site, void *payload,
						 unsigned on);
TOCSIN_API TOCSIN_NOPLT_ void tocsin_site_emit32(const struct tocsin_site *site, void *payload,
						 unsigned on);

/**
 * tocsin_module_register() - make the sites of a program or library known; its constructor does.
 *
 * Thread-safe: yes. Signal-safe: no.
 */
TOCSIN_API void tocsin_module_register(struct tocsin_module *module);

/**
 * tocsin_module_unregister() - forget it: its destructor does, before it is unloaded.
 *
 * Unregisters the probes that it registered, and waits for calls of them. Its sites can emit until
 * it is gone. Thread-safe: yes. Signal-safe: no.
 */
TOCSIN_API void tocsin_module_unregister(struct tocsin_module *module);

/* Arm, or disarm, all patched sites of a module once, whatever is wanted of them: for measuring.
 * Return: 0, -errno. */
TOCSIN_API int tocsin_patched_switch_(const struct tocsin_module *module, int is_armed);

#ifdef __cplusplus
}
#endif

#ifndef TOCSIN_LIBRARY /* which has no sites */
#	include "tocsin/event_macros.h"
#endif

#endif
