// SPDX-License-Identifier: MIT
/* The fields of a watch's events, from the table that writes them, and of the counters that a
 * recording ends with (docs/formats/trace.md). */
#include "known.h"

#include <string.h>
#include <strings.h>

/* clang-format does not know a brace that a macro closes. */
/* clang-format off */
#define EVENT(name, id)           static const char *const columns_##name[] = {
#define FIELD(event, KIND, name)  #name,
#define ENUM(event, name, labels) #name,
#define END(event)                NULL};
#include "../report/trace.def"
#undef EVENT
#undef FIELD
#undef ENUM
#undef END

static const char *const columns_lost[] = {"pid", "name", "count", "sentence", NULL};

struct known {
	const char *name;
	const char *const *columns;
};

static const struct known known[] = {
#define EVENT(name, id) {#name, columns_##name},
#define FIELD(event, KIND, name)
#define ENUM(event, name, labels)
#define END(event)
#include "../report/trace.def"
#undef EVENT
#undef FIELD
#undef ENUM
#undef END
	{"lost", columns_lost},
};
/* clang-format on */

size_t known_nr(void)
{
	return sizeof(known) / sizeof(known[0]);
}

const char *known_name(size_t i)
{
	return known[i].name;
}

const char *const *known_columns(const char *event)
{
	static const char *const none[] = {NULL};

	for (size_t i = 0; i < known_nr(); i++)
		if (strcasecmp(known[i].name, event) == 0)
			return known[i].columns;
	return none;
}
