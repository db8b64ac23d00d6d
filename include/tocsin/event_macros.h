/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_EVENT_MACROS_H
#define TOCSIN_EVENT_MACROS_H

/*
 * How tocsin_event() is made; included by event.h, not by programs.
 *
 * A field arrives as a tuple (KIND, name, value, ...), so that one argument of the event can be
 * turned into a line of the static description, into a variable, into room in a buffer, into code
 * that puts it there, and into an operand of the USDT note. TOCSIN_MAP_() does that for each field
 * of an event.
 *
 * The statement is one branch over a cold block. In the block, in this order: fields are evaluated;
 * a nop with the note; the payload is put together on the stack (so that a bad pointer faults here,
 * in plain code); the library copies it into the ring within one restartable sequence.
 *
 * The site is a static variable, and a pointer to it stands in the ELF section `tocsin_sites`,
 * written by asm and not by a section attribute: gcc refuses to mix variables of inline functions,
 * which are in a section group, with others in one named section. For the same reason in C++ the
 * variable is a static member of a template in an unnamed namespace, over a type local to the
 * block: it is then internal to the object file, whatever function it stands in, and
 * position-independent asm can name it.
 */

static const volatile uint8_t tocsin_off_ __attribute__((unused)) = 0;

/* Hidden: one for each program or library, not one for the process. */
extern struct tocsin_site *const tocsin_sites_begin_ __asm__("__start_tocsin_sites")
	__attribute__((weak, visibility("hidden")));
extern struct tocsin_site *const tocsin_sites_end_ __asm__("__stop_tocsin_sites")
	__attribute__((weak, visibility("hidden")));
extern const struct tocsin_patch tocsin_patches_begin_ __asm__("__start_tocsin_patches")
	__attribute__((weak, visibility("hidden")));
extern const struct tocsin_patch tocsin_patches_end_ __asm__("__stop_tocsin_patches")
	__attribute__((weak, visibility("hidden")));
__attribute__((weak, visibility("hidden"))) struct tocsin_module tocsin_module_ = {
	NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, 0};

/* Before the constructors of the program, which may emit; each object file calls it, one does it.
 */
__attribute__((constructor(101), unused)) static void tocsin_module_init_(void)
{
	if (tocsin_module_.is_registered || &tocsin_sites_begin_ == &tocsin_sites_end_)
		return;
	tocsin_module_.begin = &tocsin_sites_begin_;
	tocsin_module_.end = &tocsin_sites_end_;
	tocsin_module_.patches = &tocsin_patches_begin_;
	tocsin_module_.patches_end = &tocsin_patches_end_;
	tocsin_module_.abi = TOCSIN_SITE_ABI;
	tocsin_module_.is_registered = 1;
	tocsin_module_register(&tocsin_module_);
}

/* After the destructors of the program; likewise. */
__attribute__((destructor(101), unused)) static void tocsin_module_done_(void)
{
	if (!tocsin_module_.is_registered && !tocsin_module_.has_probes)
		return;
	tocsin_module_.is_registered = tocsin_module_.has_probes = 0;
	tocsin_module_unregister(&tocsin_module_);
}

/* Offsets are constants for the compiler as long as fields have fixed sizes, so most of this
 * vanishes. */
#define TOCSIN_INLINE_ static inline __attribute__((always_inline, unused))

TOCSIN_INLINE_ size_t tocsin_align_(unsigned char *b, size_t o, size_t align)
{
	size_t pad = (align - (o & (align - 1))) & (align - 1);

	if (pad)
		__builtin_memset(b + o, 0, pad);
	return o + pad;
}

TOCSIN_INLINE_ size_t tocsin_put_(unsigned char *b, size_t o, const void *value, size_t bytes)
{
	o = tocsin_align_(b, o, bytes);
	__builtin_memcpy(b + o, value, bytes);
	return o + bytes;
}

TOCSIN_INLINE_ size_t tocsin_put_text_(unsigned char *b, size_t o, const char *text, size_t max)
{
	const char *from = text ? text : "(null)";
	const char *nul;
	size_t bytes;

	/* memchr() stops at the zero byte, but the compiler, if it knew the array, would warn of
	 * `max`. */
	__asm__("" : "+r"(from));
	nul = (const char *)__builtin_memchr(from, 0, max - 1);
	bytes = nul ? (size_t)(nul - from) : max - 1;

	__builtin_memcpy(b + o, from, bytes);
	b[o + bytes] = 0;
	return o + bytes + 1;
}

TOCSIN_INLINE_ size_t tocsin_put_elems_(unsigned char *b, size_t o, const void *from, size_t nr,
					size_t elem_bytes)
{
	o = tocsin_align_(b, o, elem_bytes);
	if (nr)
		__builtin_memcpy(b + o, from, nr * elem_bytes);
	return o + nr * elem_bytes;
}

TOCSIN_INLINE_ size_t tocsin_put_seq_(unsigned char *b, size_t o, const void *from, size_t nr,
				      size_t elem_bytes, size_t max)
{
	uint32_t count = from ? (uint32_t)(nr < max ? nr : max) : 0;

	o = tocsin_put_(b, o, &count, sizeof(count));
	return tocsin_put_elems_(b, o, from, count, elem_bytes);
}

TOCSIN_INLINE_ void tocsin_emit_(const struct tocsin_site *site, unsigned char *b, size_t o,
				 unsigned on)
{
	if (__builtin_constant_p(o) && o > 0 && o <= 32) {
		if (o <= 8)
			tocsin_site_emit8(site, b, on);
		else if (o <= 16)
			tocsin_site_emit16(site, b, on);
		else if (o <= 24)
			tocsin_site_emit24(site, b, on);
		else
			tocsin_site_emit32(site, b, on);
		return;
	}
	tocsin_site_emit(site, b, o, on);
}

/* Only for the compiler's opinion: texts, and elements of the type that was said. */
TOCSIN_INLINE_ const char *tocsin_is_text_(const char *text)
{
	return text;
}

#define TOCSIN_ELEM_(TYPE, c_type)                                      \
	TOCSIN_INLINE_ const void *tocsin_is_##TYPE##_(const c_type *p) \
	{                                                               \
		return p;                                               \
	}                                                               \
	typedef c_type tocsin_elem_##TYPE##_;
TOCSIN_ELEM_(U8, uint8_t)
TOCSIN_ELEM_(U16, uint16_t)
TOCSIN_ELEM_(U32, uint32_t)
TOCSIN_ELEM_(U64, uint64_t)
TOCSIN_ELEM_(S8, int8_t)
TOCSIN_ELEM_(S16, int16_t)
TOCSIN_ELEM_(S32, int32_t)
TOCSIN_ELEM_(S64, int64_t)
TOCSIN_ELEM_(F32, float)
TOCSIN_ELEM_(F64, double)
#undef TOCSIN_ELEM_

/* A wrong pointer is a warning by default in C; here it is a mistake. */
#ifdef __cplusplus
#	define TOCSIN_TEXT_(v)        tocsin_is_text_(v)
#	define TOCSIN_ELEMS_(TYPE, v) tocsin_is_##TYPE##_(v)
#else
#	define TOCSIN_TEXT_(v) \
		_Generic((v), char * : tocsin_is_text_, const char * : tocsin_is_text_)(v)
#	define TOCSIN_ELEMS_(TYPE, v) \
		_Generic((v), tocsin_elem_##TYPE##_ *: tocsin_is_##TYPE##_,              \
			 const tocsin_elem_##TYPE##_ *: tocsin_is_##TYPE##_)(v)
#endif

#define TOCSIN_INT_(name, v, TYPE, c_type, limit, flags, note) \
	(INT, name, v, TYPE, c_type, limit, flags, note)

/*
 * Each KIND has:
 *	TOCSIN_F_  its description
 *	TOCSIN_V_  its value, evaluated once, into a variable of the record's type
 *	TOCSIN_S_  room for it in the buffer
 *	TOCSIN_P_  putting it there
 *	TOCSIN_N_  type of its argument in the USDT note
 *	TOCSIN_O_  the argument
 */
#define TOCSIN_F_INT(i, name, v, TYPE, c_type, limit, flags, note) \
	{"" name "", NULL, 0, 0, TOCSIN_TYPE_##TYPE, 0, flags, {0}},
#define TOCSIN_V_INT(i, name, v, TYPE, c_type, limit, flags, note)                                 \
	TOCSIN_AUTO_ tocsin_w##i##_ = v + 0;                                                       \
	TOCSIN_ASSERT_(                                                                            \
		sizeof(tocsin_w##i##_ % 1) <= limit,                                               \
		"tocsin_event(): the value does not fit the field: cast it, or take a wider one"); \
	const c_type tocsin_v##i##_ = (c_type)tocsin_w##i##_;
#define TOCSIN_S_INT(i, ...)                                       TOCSIN_S_FIXED_(i)
#define TOCSIN_P_INT(i, ...)                                       TOCSIN_P_FIXED_(i)
#define TOCSIN_N_INT(i, name, v, TYPE, c_type, limit, flags, note) TOCSIN_NOTE_##i##_(note)
#define TOCSIN_O_INT(i, ...)                                       TOCSIN_OPERAND_##i##_(tocsin_v##i##_)

#define TOCSIN_S_FIXED_(i) +2 * sizeof(tocsin_v##i##_)
#define TOCSIN_P_FIXED_(i) \
	tocsin_o_ = tocsin_put_(tocsin_b_, tocsin_o_, &tocsin_v##i##_, sizeof(tocsin_v##i##_));

#define TOCSIN_F_FLOAT(i, name, v, TYPE, c_type, bits, note) \
	{"" name "", NULL, 0, 0, TOCSIN_TYPE_##TYPE, 0, 0, {0}},
#define TOCSIN_V_FLOAT(i, name, v, TYPE, c_type, bits, note) \
	const c_type tocsin_v##i##_ = (c_type)v;             \
	bits tocsin_u##i##_;                                 \
	__builtin_memcpy(&tocsin_u##i##_, &tocsin_v##i##_, sizeof(tocsin_u##i##_));
#define TOCSIN_S_FLOAT(i, ...)                               TOCSIN_S_FIXED_(i)
#define TOCSIN_P_FLOAT(i, ...)                               TOCSIN_P_FIXED_(i)
#define TOCSIN_N_FLOAT(i, name, v, TYPE, c_type, bits, note) TOCSIN_NOTE_##i##_(note)
#define TOCSIN_O_FLOAT(i, ...)                               TOCSIN_OPERAND_##i##_(tocsin_u##i##_)

#define TOCSIN_F_BOOL(i, name, v, note) {"" name "", NULL, 0, 0, TOCSIN_TYPE_BOOL, 0, 0, {0}},
#define TOCSIN_V_BOOL(i, name, v, note) const uint8_t tocsin_v##i##_ = v ? 1 : 0;
#define TOCSIN_S_BOOL(i, ...)           TOCSIN_S_FIXED_(i)
#define TOCSIN_P_BOOL(i, ...)           TOCSIN_P_FIXED_(i)
#define TOCSIN_N_BOOL(i, name, v, note) TOCSIN_NOTE_##i##_(note)
#define TOCSIN_O_BOOL(i, ...)           TOCSIN_OPERAND_##i##_(tocsin_v##i##_)

#define TOCSIN_F_PTR(i, name, v, note) {"" name "", NULL, 0, 0, TOCSIN_TYPE_POINTER, 0, 0, {0}},
#define TOCSIN_V_PTR(i, name, v, note)                 \
	const volatile void *const tocsin_w##i##_ = v; \
	const uint64_t tocsin_v##i##_ = (uint64_t)(uintptr_t)tocsin_w##i##_;
#define TOCSIN_S_PTR(i, ...)           TOCSIN_S_FIXED_(i)
#define TOCSIN_P_PTR(i, ...)           TOCSIN_P_FIXED_(i)
#define TOCSIN_N_PTR(i, name, v, note) TOCSIN_NOTE_##i##_(note)
#define TOCSIN_O_PTR(i, ...)           TOCSIN_OPERAND_##i##_(tocsin_v##i##_)

#define TOCSIN_F_ENUM(i, name, v, labels, note)            \
	{"" name "",                                       \
	 labels,                                           \
	 0,                                                \
	 (uint16_t)(sizeof(labels) / sizeof((labels)[0])), \
	 TOCSIN_TYPE_S32,                                  \
	 0,                                                \
	 TOCSIN_FIELD_ENUM,                                \
	 {0}},
#define TOCSIN_V_ENUM(i, name, v, labels, note) TOCSIN_V_INT(i, name, v, S32, int32_t, 4, 0, note)
#define TOCSIN_S_ENUM(i, ...)                   TOCSIN_S_FIXED_(i)
#define TOCSIN_P_ENUM(i, ...)                   TOCSIN_P_FIXED_(i)
#define TOCSIN_N_ENUM(i, name, v, labels, note) TOCSIN_NOTE_##i##_(note)
#define TOCSIN_O_ENUM(i, ...)                   TOCSIN_OPERAND_##i##_(tocsin_v##i##_)

#define TOCSIN_F_STR(i, name, v, max, note) \
	{"" name "", NULL, max, 0, TOCSIN_TYPE_STRING, 0, 0, {0}},
#define TOCSIN_V_STR(i, name, v, max, note)                                          \
	TOCSIN_ASSERT_((max) >= 8, "tocsin_event(): a text needs room for 8 bytes"); \
	const char *const tocsin_v##i##_ = TOCSIN_TEXT_(v);
#define TOCSIN_S_STR(i, name, v, max, note) +(max)
#define TOCSIN_P_STR(i, name, v, max, note) \
	tocsin_o_ = tocsin_put_text_(tocsin_b_, tocsin_o_, tocsin_v##i##_, max);
#define TOCSIN_N_STR(i, name, v, max, note) TOCSIN_NOTE_##i##_(note)
#define TOCSIN_O_STR(i, ...)                TOCSIN_OPERAND_##i##_(tocsin_v##i##_)

#define TOCSIN_F_ARRAY(i, name, v, TYPE, nr, note) \
	{"" name "", NULL, nr, 0, TOCSIN_TYPE_ARRAY, TOCSIN_TYPE_##TYPE, 0, {0}},
#define TOCSIN_V_ARRAY(i, name, v, TYPE, nr, note)                             \
	TOCSIN_ASSERT_((nr) > 0, "tocsin_event(): an array needs an element"); \
	const void *const tocsin_v##i##_ = TOCSIN_ELEMS_(TYPE, v);
#define TOCSIN_S_ARRAY(i, name, v, TYPE, nr, note) +7 + (nr) * sizeof(tocsin_elem_##TYPE##_)
#define TOCSIN_P_ARRAY(i, name, v, TYPE, nr, note)                              \
	tocsin_o_ = tocsin_put_elems_(tocsin_b_, tocsin_o_, tocsin_v##i##_, nr, \
				      sizeof(tocsin_elem_##TYPE##_));
#define TOCSIN_N_ARRAY(i, name, v, TYPE, nr, note) TOCSIN_NOTE_##i##_(note)
#define TOCSIN_O_ARRAY(i, ...)                     TOCSIN_OPERAND_##i##_(tocsin_v##i##_)

#define TOCSIN_F_SEQ(i, name, v, TYPE, nr, max, note) \
	{"" name "", NULL, max, 0, TOCSIN_TYPE_SEQUENCE, TOCSIN_TYPE_##TYPE, 0, {0}},
#define TOCSIN_V_SEQ(i, name, v, TYPE, nr, max, note)              \
	const void *const tocsin_v##i##_ = TOCSIN_ELEMS_(TYPE, v); \
	const size_t tocsin_n##i##_ = (size_t)nr;
#define TOCSIN_S_SEQ(i, name, v, TYPE, nr, max, note) +14 + (max) * sizeof(tocsin_elem_##TYPE##_)
#define TOCSIN_P_SEQ(i, name, v, TYPE, nr, max, note)                                     \
	tocsin_o_ = tocsin_put_seq_(tocsin_b_, tocsin_o_, tocsin_v##i##_, tocsin_n##i##_, \
				    sizeof(tocsin_elem_##TYPE##_), max);
#define TOCSIN_N_SEQ(i, name, v, TYPE, nr, max, note) TOCSIN_NOTE_##i##_(note)
#define TOCSIN_O_SEQ(i, ...)                          TOCSIN_OPERAND_##i##_(tocsin_v##i##_)

#define TOCSIN_F_BLOB(i, name, v, bytes, max, note) \
	{"" name "", NULL, max, 0, TOCSIN_TYPE_BLOB, TOCSIN_TYPE_U8, 0, {0}},
#define TOCSIN_V_BLOB(i, name, v, bytes, max, note) \
	const void *const tocsin_v##i##_ = v;       \
	const size_t tocsin_n##i##_ = (size_t)bytes;
#define TOCSIN_S_BLOB(i, name, v, bytes, max, note) +7 + (max)
#define TOCSIN_P_BLOB(i, name, v, bytes, max, note) \
	tocsin_o_ = tocsin_put_seq_(tocsin_b_, tocsin_o_, tocsin_v##i##_, tocsin_n##i##_, 1, max);
#define TOCSIN_N_BLOB(i, name, v, bytes, max, note) TOCSIN_NOTE_##i##_(note)
#define TOCSIN_O_BLOB(i, ...)                       TOCSIN_OPERAND_##i##_(tocsin_v##i##_)

/* From (KIND, ...) to the macro of that kind; each has its own steps, as a macro does not expand
 * inside itself. */
#define TOCSIN_UNPACK_(...)      __VA_ARGS__
#define TOCSIN_F_(i, field)      TOCSIN_F2_(i, TOCSIN_UNPACK_ field)
#define TOCSIN_F2_(...)          TOCSIN_F3_(__VA_ARGS__)
#define TOCSIN_F3_(i, KIND, ...) TOCSIN_F_##KIND(i, __VA_ARGS__)
#define TOCSIN_V_(i, field)      TOCSIN_V2_(i, TOCSIN_UNPACK_ field)
#define TOCSIN_V2_(...)          TOCSIN_V3_(__VA_ARGS__)
#define TOCSIN_V3_(i, KIND, ...) TOCSIN_V_##KIND(i, __VA_ARGS__)
#define TOCSIN_S_(i, field)      TOCSIN_S2_(i, TOCSIN_UNPACK_ field)
#define TOCSIN_S2_(...)          TOCSIN_S3_(__VA_ARGS__)
#define TOCSIN_S3_(i, KIND, ...) TOCSIN_S_##KIND(i, __VA_ARGS__)
#define TOCSIN_P_(i, field)      TOCSIN_P2_(i, TOCSIN_UNPACK_ field)
#define TOCSIN_P2_(...)          TOCSIN_P3_(__VA_ARGS__)
#define TOCSIN_P3_(i, KIND, ...) TOCSIN_P_##KIND(i, __VA_ARGS__)
#define TOCSIN_N_(i, field)      TOCSIN_N2_(i, TOCSIN_UNPACK_ field)
#define TOCSIN_N2_(...)          TOCSIN_N3_(__VA_ARGS__)
#define TOCSIN_N3_(i, KIND, ...) TOCSIN_N_##KIND(i, __VA_ARGS__)
#define TOCSIN_O_(i, field)      TOCSIN_O2_(i, TOCSIN_UNPACK_ field)
#define TOCSIN_O2_(...)          TOCSIN_O3_(__VA_ARGS__)
#define TOCSIN_O3_(i, KIND, ...) TOCSIN_O_##KIND(i, __VA_ARGS__)
#define TOCSIN_NR_(i, field)     +1

/* M(1, first field) M(2, second field) ... of (provider, name, fields...), by the number of
 * arguments. */
/* clang-format off */
#define TOCSIN_MAP_2_(M, p, e)
#define TOCSIN_MAP_3_(M, p, e, a1) M(1, a1)
#define TOCSIN_MAP_4_(M, p, e, a1, a2) M(1, a1) M(2, a2)
#define TOCSIN_MAP_5_(M, p, e, a1, a2, a3) M(1, a1) M(2, a2) M(3, a3)
#define TOCSIN_MAP_6_(M, p, e, a1, a2, a3, a4) M(1, a1) M(2, a2) M(3, a3) M(4, a4)
#define TOCSIN_MAP_7_(M, p, e, a1, a2, a3, a4, a5) M(1, a1) M(2, a2) M(3, a3) M(4, a4) M(5, a5)
#define TOCSIN_MAP_8_(M, p, e, a1, a2, a3, a4, a5, a6) \
	M(1, a1) M(2, a2) M(3, a3) M(4, a4) M(5, a5) M(6, a6)
#define TOCSIN_MAP_9_(M, p, e, a1, a2, a3, a4, a5, a6, a7) \
	M(1, a1) M(2, a2) M(3, a3) M(4, a4) M(5, a5) M(6, a6) M(7, a7)
#define TOCSIN_MAP_10_(M, p, e, a1, a2, a3, a4, a5, a6, a7, a8) \
	M(1, a1) M(2, a2) M(3, a3) M(4, a4) M(5, a5) M(6, a6) M(7, a7) M(8, a8)
#define TOCSIN_MAP_11_(M, p, e, a1, a2, a3, a4, a5, a6, a7, a8, a9) \
	M(1, a1) M(2, a2) M(3, a3) M(4, a4) M(5, a5) M(6, a6) M(7, a7) M(8, a8) \
	M(9, a9)
#define TOCSIN_MAP_12_(M, p, e, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10) \
	M(1, a1) M(2, a2) M(3, a3) M(4, a4) M(5, a5) M(6, a6) M(7, a7) M(8, a8) \
	M(9, a9) M(10, a10)
#define TOCSIN_MAP_13_(M, p, e, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11) \
	M(1, a1) M(2, a2) M(3, a3) M(4, a4) M(5, a5) M(6, a6) M(7, a7) M(8, a8) \
	M(9, a9) M(10, a10) M(11, a11)
#define TOCSIN_MAP_14_(M, p, e, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12) \
	M(1, a1) M(2, a2) M(3, a3) M(4, a4) M(5, a5) M(6, a6) M(7, a7) M(8, a8) \
	M(9, a9) M(10, a10) M(11, a11) M(12, a12)
#define TOCSIN_MAP_15_(M, p, e, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13) \
	M(1, a1) M(2, a2) M(3, a3) M(4, a4) M(5, a5) M(6, a6) M(7, a7) M(8, a8) \
	M(9, a9) M(10, a10) M(11, a11) M(12, a12) M(13, a13)
#define TOCSIN_MAP_16_(M, p, e, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14) \
	M(1, a1) M(2, a2) M(3, a3) M(4, a4) M(5, a5) M(6, a6) M(7, a7) M(8, a8) \
	M(9, a9) M(10, a10) M(11, a11) M(12, a12) M(13, a13) M(14, a14)
#define TOCSIN_MAP_17_(M, p, e, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15) \
	M(1, a1) M(2, a2) M(3, a3) M(4, a4) M(5, a5) M(6, a6) M(7, a7) M(8, a8) \
	M(9, a9) M(10, a10) M(11, a11) M(12, a12) M(13, a13) M(14, a14) M(15, a15)
#define TOCSIN_MAP_18_(M, p, e, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16) \
	M(1, a1) M(2, a2) M(3, a3) M(4, a4) M(5, a5) M(6, a6) M(7, a7) M(8, a8) \
	M(9, a9) M(10, a10) M(11, a11) M(12, a12) M(13, a13) M(14, a14) M(15, a15) M(16, a16)
/* clang-format on */
#define TOCSIN_MAP_MANY_FIELDS_(M, ...) TOCSIN_EVENT_HAS_MORE_THAN_16_FIELDS
#define TOCSIN_MAP_NO_NAME_(M, ...)     TOCSIN_EVENT_NEEDS_PROVIDER_AND_NAME
#define TOCSIN_COUNT_(...)                                                                      \
	TOCSIN_COUNT2_(__VA_ARGS__, MANY_FIELDS, MANY_FIELDS, MANY_FIELDS, MANY_FIELDS, 18, 17, \
		       16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, NO_NAME, 0)
#define TOCSIN_COUNT2_(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, \
		       a18, a19, a20, a21, a22, n, ...)                                            \
	n
#define TOCSIN_MAP4_(M, n, ...) TOCSIN_MAP_##n##_(M, __VA_ARGS__)
#define TOCSIN_MAP3_(M, n, ...) TOCSIN_MAP4_(M, n, __VA_ARGS__)
#define TOCSIN_MAP_(M, ...)     TOCSIN_MAP3_(M, TOCSIN_COUNT_(__VA_ARGS__), __VA_ARGS__)

#define TOCSIN_FIRST_(a, ...)     a
#define TOCSIN_SECOND_(a, b, ...) b
#define TOCSIN_PROVIDER_(...)     TOCSIN_FIRST_(__VA_ARGS__, 0)
#define TOCSIN_NAME_(...)         TOCSIN_SECOND_(__VA_ARGS__, 0, 0)

/* USDT arguments: consumers take 12. Memory, register or constant, wherever the value is. */
#if defined(__x86_64__)
#	define TOCSIN_CONSTRAINT_  "nor"
#	define TOCSIN_SYMBOL_      "i"
#	define TOCSIN_ARGUMENT_(v) v
#else
#	define TOCSIN_CONSTRAINT_ "r"
#	if defined(__aarch64__)
#		define TOCSIN_SYMBOL_ "S" /* position-independent code too */
#	else
#		define TOCSIN_SYMBOL_ "i"
#	endif
#	define TOCSIN_ARGUMENT_(v) (uint64_t)(v) /* registers have one name for all of them */
#endif
#define TOCSIN_NOTE_1_(note)  note "%[tocsin_a1]"
#define TOCSIN_OPERAND_1_(v)  , [tocsin_a1] TOCSIN_CONSTRAINT_(TOCSIN_ARGUMENT_(v))
#define TOCSIN_NOTE_2_(note)  " " note "%[tocsin_a2]"
#define TOCSIN_OPERAND_2_(v)  , [tocsin_a2] TOCSIN_CONSTRAINT_(TOCSIN_ARGUMENT_(v))
#define TOCSIN_NOTE_3_(note)  " " note "%[tocsin_a3]"
#define TOCSIN_OPERAND_3_(v)  , [tocsin_a3] TOCSIN_CONSTRAINT_(TOCSIN_ARGUMENT_(v))
#define TOCSIN_NOTE_4_(note)  " " note "%[tocsin_a4]"
#define TOCSIN_OPERAND_4_(v)  , [tocsin_a4] TOCSIN_CONSTRAINT_(TOCSIN_ARGUMENT_(v))
#define TOCSIN_NOTE_5_(note)  " " note "%[tocsin_a5]"
#define TOCSIN_OPERAND_5_(v)  , [tocsin_a5] TOCSIN_CONSTRAINT_(TOCSIN_ARGUMENT_(v))
#define TOCSIN_NOTE_6_(note)  " " note "%[tocsin_a6]"
#define TOCSIN_OPERAND_6_(v)  , [tocsin_a6] TOCSIN_CONSTRAINT_(TOCSIN_ARGUMENT_(v))
#define TOCSIN_NOTE_7_(note)  " " note "%[tocsin_a7]"
#define TOCSIN_OPERAND_7_(v)  , [tocsin_a7] TOCSIN_CONSTRAINT_(TOCSIN_ARGUMENT_(v))
#define TOCSIN_NOTE_8_(note)  " " note "%[tocsin_a8]"
#define TOCSIN_OPERAND_8_(v)  , [tocsin_a8] TOCSIN_CONSTRAINT_(TOCSIN_ARGUMENT_(v))
#define TOCSIN_NOTE_9_(note)  " " note "%[tocsin_a9]"
#define TOCSIN_OPERAND_9_(v)  , [tocsin_a9] TOCSIN_CONSTRAINT_(TOCSIN_ARGUMENT_(v))
#define TOCSIN_NOTE_10_(note) " " note "%[tocsin_a10]"
#define TOCSIN_OPERAND_10_(v) , [tocsin_a10] TOCSIN_CONSTRAINT_(TOCSIN_ARGUMENT_(v))
#define TOCSIN_NOTE_11_(note) " " note "%[tocsin_a11]"
#define TOCSIN_OPERAND_11_(v) , [tocsin_a11] TOCSIN_CONSTRAINT_(TOCSIN_ARGUMENT_(v))
#define TOCSIN_NOTE_12_(note) " " note "%[tocsin_a12]"
#define TOCSIN_OPERAND_12_(v) , [tocsin_a12] TOCSIN_CONSTRAINT_(TOCSIN_ARGUMENT_(v))
#define TOCSIN_NOTE_13_(note)
#define TOCSIN_OPERAND_13_(v)
#define TOCSIN_NOTE_14_(note)
#define TOCSIN_OPERAND_14_(v)
#define TOCSIN_NOTE_15_(note)
#define TOCSIN_OPERAND_15_(v)
#define TOCSIN_NOTE_16_(note)
#define TOCSIN_OPERAND_16_(v)

/*
 * The semaphore: the kernel counts in it who attached to the USDT probe. It stands in the section
 * .probes, where all consumers look for it (some would write elsewhere if it stood elsewhere),
 * under the name of the site with .usdt behind it: so the test and the note, two statements of asm,
 * agree on it.
 */
#define TOCSIN_ASM_SEMAPHORE_              \
	".ifndef %c[tocsin_site].usdt\n"   \
	".pushsection .probes,\"aw\"\n"    \
	".balign 2\n"                      \
	"%c[tocsin_site].usdt: .2byte 0\n" \
	".popsection\n"                    \
	".endif\n"

/* Does anybody want this event: the byte in the control page, or the semaphore? Four instructions.
 */
#if defined(__x86_64__)
#	define TOCSIN_LOOK_(wanted)                                                       \
		unsigned wanted;                                                           \
		__asm__ __volatile__(TOCSIN_ASM_SEMAPHORE_                                 \
				     "movzbl %c[tocsin_site].usdt(%%rip), %k[wanted_]\n"   \
				     "orb %[on], %b[wanted_]"                              \
				     : [wanted_] "=&q"(wanted)                             \
				     : [tocsin_site] TOCSIN_SYMBOL_(TOCSIN_SITE_ADDRESS_), \
				       [on] "m"(*tocsin_s_.on)                             \
				     : "cc");
#elif defined(__aarch64__)
#	define TOCSIN_LOOK_(wanted)                                                              \
		unsigned long wanted;                                                             \
		__asm__ __volatile__(TOCSIN_ASM_SEMAPHORE_                                        \
				     "adrp %[wanted_], %c[tocsin_site].usdt\n"                    \
				     "ldrh %w[wanted_], [%[wanted_], :lo12:%c[tocsin_site].usdt]" \
				     : [wanted_] "=&r"(wanted)                                    \
				     : [tocsin_site] TOCSIN_SYMBOL_(TOCSIN_SITE_ADDRESS_));       \
		wanted |= *tocsin_s_.on;
#endif

/* The nop (one byte on x86: a probe on a longer one may write over the caller's red zone), its
 * note, and the pointer to the site. */
#define TOCSIN_ASM_SITE_                      \
	".pushsection tocsin_sites,\"aw?\"\n" \
	".balign 8\n"                         \
	".8byte %c[tocsin_site]\n"            \
	".popsection\n"
#define TOCSIN_ASM_NOTE_(provider, name, args) \
	TOCSIN_ASM_NOTE2_(provider, name, args, "%c[tocsin_site].usdt")
#define TOCSIN_ASM_NOTE2_(provider, name, args, semaphore)                      \
	"990: nop\n"                                                            \
	".pushsection .note.stapsdt,\"?\",\"note\"\n"                           \
	".balign 4\n"                                                           \
	".4byte 992f-991f,994f-993f,3\n"                                        \
	"991: .asciz \"stapsdt\"\n"                                             \
	"992: .balign 4\n"                                                      \
	"993: .8byte 990b\n"                                                    \
	".8byte _.stapsdt.base\n"                                               \
	".8byte " semaphore "\n"                                                \
	".asciz \"" provider "\"\n"                                             \
	".asciz \"" name "\"\n"                                                 \
	".asciz \"" args "\"\n"                                                 \
	"994: .balign 4\n"                                                      \
	".popsection\n"                                                         \
	".ifndef _.stapsdt.base\n"                                              \
	".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
	".weak _.stapsdt.base\n"                                                \
	".hidden _.stapsdt.base\n"                                              \
	"_.stapsdt.base: .space 1\n"                                            \
	".size _.stapsdt.base, 1\n"                                             \
	".popsection\n"                                                         \
	".endif\n"

/* TOCSIN_SITE_(site, class's words, fields...): a static site with its class, as `site`. */
#ifdef __cplusplus
namespace tocsin_detail
{
namespace
{
template <size_t N> struct fields_ {
	tocsin_field field[N + 1];
};
template <class T> struct site_ {
	static constexpr auto fields = T::fields();
	static constexpr auto cls = T::cls(fields.field);
	static tocsin_site site;
};
template <class T>
tocsin_site site_<T>::site = {&tocsin_off_, &site_<T>::cls, 0xffff, 0, TOCSIN_SITE_ABI, NULL};
} // namespace
} // namespace tocsin_detail
#	define TOCSIN_SITE_(level, flags, provider, name, ...)                                     \
		struct tocsin_tag_ {                                                                \
			static constexpr auto fields()                                              \
			{                                                                           \
				return tocsin_detail::fields_<0 TOCSIN_MAP_(                        \
					TOCSIN_NR_, __VA_ARGS__)>{{TOCSIN_MAP_(                     \
					TOCSIN_F_, __VA_ARGS__){NULL, NULL, 0, 0, 0, 0, 0, {0}}}};  \
			}                                                                           \
			static constexpr tocsin_class cls(const tocsin_field *fields_)              \
			{                                                                           \
				return {provider, name,     __FILE__,                               \
					fields_,  __LINE__, 0 TOCSIN_MAP_(TOCSIN_NR_, __VA_ARGS__), \
					level,    flags};                                           \
			}                                                                           \
		};                                                                                  \
		tocsin_site &tocsin_s_ = tocsin_detail::site_<tocsin_tag_>::site;
#	define TOCSIN_SITE_ADDRESS_ (&tocsin_detail::site_<tocsin_tag_>::site)
#else
#	define TOCSIN_SITE_(level, flags, provider, name, ...)                                \
		static const struct tocsin_field tocsin_f_[] = {                               \
			TOCSIN_MAP_(TOCSIN_F_, __VA_ARGS__){NULL, NULL, 0, 0, 0, 0, 0, {0}}};  \
		static const struct tocsin_class tocsin_c_ = {                                 \
			provider,  name,     __FILE__,                                         \
			tocsin_f_, __LINE__, 0 TOCSIN_MAP_(TOCSIN_NR_, __VA_ARGS__),           \
			level,     flags};                                                     \
		static struct tocsin_site tocsin_s_ = {&tocsin_off_,    &tocsin_c_, 0xffff, 0, \
						       TOCSIN_SITE_ABI, NULL};
#	define TOCSIN_SITE_ADDRESS_ (&tocsin_s_)
#endif

#define TOCSIN_EVENT_(level, ...)                                                                 \
	do {                                                                                      \
		TOCSIN_SITE_(level, 0, "" TOCSIN_PROVIDER_(__VA_ARGS__) "",                       \
			     "" TOCSIN_NAME_(__VA_ARGS__) "", __VA_ARGS__)                        \
		TOCSIN_LOOK_(tocsin_wanted_)                                                      \
		if (__builtin_expect(tocsin_wanted_ != 0, 0)) {                                   \
			const unsigned tocsin_on_ = *tocsin_s_.on;                                \
			TOCSIN_MAP_(TOCSIN_V_, __VA_ARGS__)                                       \
			TOCSIN_ALIGNAS_(8)                                                        \
			unsigned char tocsin_h_[TOCSIN_HEADROOM +                                 \
						8 TOCSIN_MAP_(TOCSIN_S_, __VA_ARGS__)];           \
			unsigned char *const tocsin_b_ = tocsin_h_ + TOCSIN_HEADROOM;             \
			TOCSIN_ASSERT_(sizeof(tocsin_h_) <= TOCSIN_PAYLOAD_MAX,                   \
				       "tocsin_event(): the fields are too large together");      \
			size_t tocsin_o_ = 0;                                                     \
			__asm__ __volatile__(TOCSIN_ASM_SITE_ TOCSIN_ASM_NOTE_(                   \
						     TOCSIN_PROVIDER_(__VA_ARGS__),               \
						     TOCSIN_NAME_(__VA_ARGS__),                   \
						     TOCSIN_MAP_(TOCSIN_N_, __VA_ARGS__))         \
					     :                                                    \
					     : [tocsin_site] TOCSIN_SYMBOL_(TOCSIN_SITE_ADDRESS_) \
						     TOCSIN_MAP_(TOCSIN_O_, __VA_ARGS__)          \
					     : "memory");                                         \
			TOCSIN_MAP_(TOCSIN_P_, __VA_ARGS__)                                       \
			(void)tocsin_align_(tocsin_b_, tocsin_o_, 8);                             \
			tocsin_emit_(&tocsin_s_, tocsin_b_, tocsin_o_, tocsin_on_);               \
		}                                                                                 \
	} while (0)

/*
 * A patched site: the nop of the note, then `test $imm, %eax` when off, or, with another first
 * byte, a jump to the block that looks at the enable byte. It begins as the jump, so that a process
 * in which nobody can change it works.
 */
#if defined(__x86_64__)
#	define TOCSIN_ASM_PATCH_                       \
		"995: .byte 0xe9\n"                     \
		".long %l[tocsin_slow_]-(.+4)\n"        \
		".pushsection tocsin_patches,\"aw?\"\n" \
		".balign 8\n"                           \
		".8byte 995b\n"                         \
		".8byte %c[tocsin_site]\n"              \
		".popsection\n"
#elif defined(__aarch64__)
#	define TOCSIN_ASM_PATCH_ "b %l[tocsin_slow_]\n"
#endif

#define TOCSIN_EVENT_PATCHED_(level, ...)                                                        \
	do {                                                                                     \
		__label__ tocsin_slow_, tocsin_end_;                                             \
		TOCSIN_SITE_(level, 0, "" TOCSIN_PROVIDER_(__VA_ARGS__) "",                      \
			     "" TOCSIN_NAME_(__VA_ARGS__) "", __VA_ARGS__)                       \
		TOCSIN_MAP_(TOCSIN_V_, __VA_ARGS__)                                              \
		__asm__ goto(TOCSIN_ASM_SITE_ TOCSIN_ASM_NOTE2_(                                 \
				     TOCSIN_PROVIDER_(__VA_ARGS__), TOCSIN_NAME_(__VA_ARGS__),   \
				     TOCSIN_MAP_(TOCSIN_N_, __VA_ARGS__), "0") TOCSIN_ASM_PATCH_ \
			     :                                                                   \
			     : [tocsin_site] TOCSIN_SYMBOL_(TOCSIN_SITE_ADDRESS_)                \
				     TOCSIN_MAP_(TOCSIN_O_, __VA_ARGS__)                         \
			     : "cc", "memory"                                                    \
			     : tocsin_slow_);                                                    \
		goto tocsin_end_;                                                                \
	tocsin_slow_:                                                                            \
		TOCSIN_COLD_LABEL_ if (__builtin_expect(*tocsin_s_.on != 0, 0))                  \
		{                                                                                \
			const unsigned tocsin_on_ = *tocsin_s_.on;                               \
			TOCSIN_ALIGNAS_(8)                                                       \
			unsigned char tocsin_h_[TOCSIN_HEADROOM +                                \
						8 TOCSIN_MAP_(TOCSIN_S_, __VA_ARGS__)];          \
			unsigned char *const tocsin_b_ = tocsin_h_ + TOCSIN_HEADROOM;            \
			TOCSIN_ASSERT_(sizeof(tocsin_h_) <= TOCSIN_PAYLOAD_MAX,                  \
				       "tocsin_event(): the fields are too large together");     \
			size_t tocsin_o_ = 0;                                                    \
			TOCSIN_MAP_(TOCSIN_P_, __VA_ARGS__)                                      \
			(void)tocsin_align_(tocsin_b_, tocsin_o_, 8);                            \
			tocsin_emit_(&tocsin_s_, tocsin_b_, tocsin_o_, tocsin_on_);              \
		}                                                                                \
	tocsin_end_:;                                                                            \
	} while (0)

/* Only gcc's C has attributes of labels. */
#if defined(__cplusplus) || defined(__clang__)
#	define TOCSIN_COLD_LABEL_
#else
#	define TOCSIN_COLD_LABEL_ __attribute__((cold));
#endif

#define TOCSIN_ENABLED_(provider, name)                                                          \
	__extension__({                                                                          \
		TOCSIN_SITE_(0, TOCSIN_CLASS_LOOKUP, "" provider "", "" name "", provider, name) \
		__asm__ __volatile__(TOCSIN_ASM_SITE_                                            \
				     :                                                           \
				     : [tocsin_site] TOCSIN_SYMBOL_(TOCSIN_SITE_ADDRESS_));      \
		__builtin_expect(*tocsin_s_.on != 0, 0);                                         \
	})

#endif
