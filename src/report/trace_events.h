/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_REPORT_TRACE_EVENTS_H
#define TOCSIN_REPORT_TRACE_EVENTS_H

/* The events of a watch's trace: of each, a struct of its values and its class. trace.c fills the
 * structs and writes them, load.c reads them back. */

#include "../ctf/class.h"

/* clang-format does not know a brace that a macro closes. */
/* clang-format off */
#define EVENT(name, id)           struct trace_##name {
#define FIELD(event, KIND, name)  ctf_type_##KIND name;
#define ENUM(event, name, labels) uint8_t name;
#define END(event)                };
#include "trace.def"
#undef EVENT
#undef FIELD
#undef ENUM
#undef END

enum trace_class {
#define EVENT(name, id) TRACE_CLASS_##name,
#define FIELD(event, KIND, name)
#define ENUM(event, name, labels)
#define END(event)
#include "trace.def"
#undef EVENT
#undef FIELD
#undef ENUM
#undef END
	TRACE_CLASS_NR,
};
/* clang-format on */

/* One that is large enough for each. */
union trace_any {
#define EVENT(name, id) struct trace_##name name;
#define FIELD(event, KIND, name)
#define ENUM(event, name, labels)
#define END(event)
#include "trace.def"
#undef EVENT
#undef FIELD
#undef ENUM
#undef END
};

extern const struct ctf_event_class trace_classes[TRACE_CLASS_NR];

#endif
