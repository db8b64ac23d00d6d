// SPDX-License-Identifier: MIT
/*
 * PostgreSQL's lock tags. locktag_type is enum LockTagType of its storage/lock.h in the order of
 * version 15 (the names in LockTagTypeNames; 16 added the last); which of the four fields mean what
 * is as DescribeLockTag() prints them. A row is locked by waiting for the transaction that changed
 * it, and by a tuple lock for those who queue behind the first; so both are a row lock to people.
 */
#include "notes.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../base/banned.h"
#include "../base/text.h"

#define NOTE_TEXT_BYTES 24 /* of an ARG_STRING: the place of three arguments */

#define LOCKTAG_RELATION           0
#define LOCKTAG_EXTEND             1
#define LOCKTAG_FROZEN_IDS         2
#define LOCKTAG_PAGE               3
#define LOCKTAG_TUPLE              4
#define LOCKTAG_TRANSACTION        5
#define LOCKTAG_VIRTUALTRANSACTION 6
#define LOCKTAG_SPECULATIVE_TOKEN  7
#define LOCKTAG_OBJECT             8
#define LOCKTAG_USERLOCK           9
#define LOCKTAG_ADVISORY           10
#define LOCKTAG_APPLY_TRANSACTION  11

static void note_pg_lock(const __u64 *note, struct tocsin_text *t)
{
	/* 32-bit fields, whatever the probe's argument was extended to */
	uint32_t f1 = (uint32_t)note[0], f2 = (uint32_t)note[1], f3 = (uint32_t)note[2];
	uint16_t f4 = (uint16_t)note[3];

	switch ((uint8_t)note[4]) {
	case LOCKTAG_RELATION: tocsin_text_add(t, "lock on relation %u", f2); break;
	case LOCKTAG_EXTEND: tocsin_text_add(t, "lock to extend relation %u", f2); break;
	case LOCKTAG_FROZEN_IDS:
		tocsin_text_add(t, "lock on the frozen ids of database %u", f1);
		break;
	case LOCKTAG_PAGE: tocsin_text_add(t, "page lock on relation %u (page %u)", f2, f3); break;
	case LOCKTAG_TUPLE:
		tocsin_text_add(t, "row lock (relation %u, page %u, row %u)", f2, f3, f4);
		break;
	case LOCKTAG_TRANSACTION: tocsin_text_add(t, "row lock (transaction %u)", f1); break;
	case LOCKTAG_VIRTUALTRANSACTION:
		tocsin_text_add(t, "lock on a virtual transaction (%u/%u)", f1, f2);
		break;
	case LOCKTAG_SPECULATIVE_TOKEN:
		tocsin_text_add(t, "lock on an insertion (transaction %u)", f1);
		break;
	case LOCKTAG_OBJECT:
		tocsin_text_add(t, "lock on a database object (class %u, object %u)", f2, f3);
		break;
	case LOCKTAG_USERLOCK: tocsin_text_add(t, "user lock"); break;
	case LOCKTAG_ADVISORY:
		/* field 4 says which of the two forms of key was used */
		if (f4 == 1)
			tocsin_text_add(t, "advisory lock (%" PRId64 ")",
					(int64_t)((uint64_t)f2 << 32 | f3));
		else
			tocsin_text_add(t, "advisory lock (%" PRId32 ", %" PRId32 ")", (int32_t)f2,
					(int32_t)f3);
		break;
	case LOCKTAG_APPLY_TRANSACTION:
		tocsin_text_add(t, "lock on a replicated transaction (transaction %u)", f3);
		break;
	default: tocsin_text_add(t, "database lock of a kind not known"); break;
	}
}

static void note_pg_lwlock(const __u64 *note, struct tocsin_text *t)
{
	char name[NOTE_TEXT_BYTES];
	size_t len;

	memcpy(name, note, sizeof(name));
	len = strnlen(name, sizeof(name));
	if (len)
		tocsin_text_add_clean(t, name, len);
	else
		tocsin_text_add(t, "shared memory");
	tocsin_text_add(t, " lock");
}

#define X(NAME, provider, begin, end, decoder, first) note_##decoder,
static void (*const decoders[])(const __u64 *note, struct tocsin_text *t) = {
#include "../abi/notes.def"
};
#undef X

int note_subject(unsigned kind, const __u64 *note, char *buf, size_t len)
{
	struct tocsin_text t;

	if (!kind || kind > sizeof(decoders) / sizeof(decoders[0]))
		return -ENOENT;
	tocsin_text_init(&t, buf, len);
	decoders[kind - 1](note, &t);
	return 0;
}
