// SPDX-License-Identifier: MIT
/* Names and presence of the result model's fields, once for all sinks. */
#include "fields.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "../base/err.h"
#include "../base/text.h"

#define X(NAME, name, strict, sentence) [LOSS_##NAME] = {#name, sentence, strict},
const struct loss_text loss_text[LOSS_NR] = {
#include "../abi/losses.def"
};
#undef X

#define X(NAME, name, strict, sentence) [SINK_##NAME] = {#name, sentence, strict},
const struct loss_text sink_text[SINK_NR] = {
#include "sinks.def"
};
#undef X

#define X(NAME, name, sentence) [TS_##NAME] = #name,
const char *const state_names[TS_NR] = {
#include "../abi/states.def"
};
#undef X

#define X(NAME, name, sentence) [CAUSE_##NAME] = #name,
const char *const cause_names[CAUSE_NR] = {
#include "../analysis/causes.def"
};
#undef X

#define X(NAME, name, sentence) [CAUSE_##NAME] = (sentence),
const char *const cause_sentences[CAUSE_NR] = {
#include "../analysis/causes.def"
};
#undef X

const char *const confidence_names[] = {
	[CONFIDENCE_CERTAIN] = "certain",
	[CONFIDENCE_LIKELY] = "likely",
	[CONFIDENCE_NONE] = "none",
};

const char *const process_names[] = {
	[0] = "unknown",
	[PROCESS_FORKED] = "forked",
	[PROCESS_EXECED] = "execed",
	[PROCESS_EXITED] = "exited",
};

const char *table_name(const char *const *table, unsigned nr, unsigned idx)
{
	return idx < nr ? table[idx] : "unknown";
}

const char *name_copy(const char *name, size_t len, char buf[static FIELD_NAME_LEN])
{
	len = strnlen(name, len);
	TOCSIN_ASSERT(len < FIELD_NAME_LEN);
	memcpy(buf, name, len);
	buf[len] = '\0';
	return buf;
}

const char *violation_abandoned(const struct violation *v)
{
	if (v->raw.flags & SECTION_ABANDON_EXIT)
		return "exit";
	if (v->raw.flags & SECTION_ABANDON_EXEC)
		return "exec";
	if (v->raw.flags & SECTION_ABANDON_FRAME)
		return "frame";
	return NULL;
}

uint64_t violation_elapsed_ns(const struct violation *v)
{
	return v->raw.end_ns - v->raw.start_ns;
}

const uint64_t *violation_split_ns(const struct violation *v, uint64_t split_ns[static TS_NR])
{
	for (unsigned i = 0; i < TS_NR; i++)
		split_ns[i] = v->raw.split_ns[i];
	return split_ns;
}

const struct spell *violation_open_spell(const struct violation *v, struct spell *buf)
{
	if (v->nr_spells)
		return &v->spell[v->nr_spells - 1];
	if (!(v->raw.flags & SECTION_SPELL_OPEN))
		return NULL;
	*buf = (struct spell){.raw = v->raw.now, .kind = CAUSE_UNKNOWN, .wait_kind = CAUSE_UNKNOWN};
	return buf;
}

bool spell_has_slept(const struct watch_spell *s)
{
	return s->state == TS_BLOCKED || s->state == TS_STOPPED;
}

bool spell_has_waited(const struct watch_spell *s)
{
	return spell_has_slept(s) && s->t_wake && (!s->t_in || s->t_in > s->t_wake);
}

bool spell_has_io(const struct watch_spell *s)
{
	return s->io_age_ns != UINT64_MAX && s->io_dev;
}

bool spell_has_occupant(const struct watch_spell *s)
{
	return s->occ_tid || s->occ_ns;
}

bool spell_has_syscall(const struct watch_spell *s)
{
	return s->nr >= 0 && (s->flags & SPELL_IN_SYSCALL);
}

static uint64_t span_ns(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

uint64_t spell_off_ns(const struct watch_spell *s, uint64_t end_ns)
{
	uint64_t in_ns = s->t_in ?: end_ns;

	if (!spell_has_slept(s))
		return span_ns(s->t_out, in_ns);
	return span_ns(s->t_out, s->t_wake ?: in_ns);
}

uint64_t spell_wait_ns(const struct watch_spell *s, uint64_t end_ns)
{
	return spell_has_waited(s) ? span_ns(s->t_wake, s->t_in ?: end_ns) : 0;
}

const char *dev_text(uint32_t dev, char buf[static FIELD_NAME_LEN])
{
	/* The kernel's own dev_t: 12 bits of major number, 20 of minor; not that of user space. */
	(void)snprintf(buf, FIELD_NAME_LEN, "%u:%u", dev >> 20, dev & 0xfffff);
	return buf;
}

const char *family_text(uint16_t family, char buf[static FIELD_NAME_LEN])
{
	switch (family) {
	case AF_UNIX: return "unix";
	case AF_INET: return "inet";
	case AF_INET6: return "inet6";
	case AF_NETLINK: return "netlink";
	case AF_PACKET: return "packet";
	case AF_VSOCK: return "vsock";
	default: (void)snprintf(buf, FIELD_NAME_LEN, "%u", family); return buf;
	}
}

static bool has_address(const struct watch_spell *s)
{
	return s->sock_family == AF_INET || s->sock_family == AF_INET6;
}

const char *address_text(const struct watch_spell *s, char buf[static FIELD_NAME_LEN])
{
	if (!has_address(s) || !inet_ntop(s->sock_family, s->sock_addr, buf, FIELD_NAME_LEN))
		buf[0] = '\0';
	return buf;
}

uint16_t spell_port(const struct watch_spell *s)
{
	return has_address(s) ? ntohs(s->sock_port) : 0;
}

const char *spell_flags_text(uint32_t flags, char buf[static SPELL_FLAGS_TEXT_LEN])
{
	struct tocsin_text t;

	tocsin_text_init(&t, buf, SPELL_FLAGS_TEXT_LEN);
#define X(NAME, name)             \
	if (flags & SPELL_##NAME) \
		tocsin_text_add(&t, "%s%s", t.used ? " " : "", #name);
#include "spell_flags.def"
#undef X
	return buf;
}

uint64_t share_permyriad(uint64_t part, uint64_t whole)
{
	return whole ? (uint64_t)(((unsigned __int128)part * 10000 + whole / 2) / whole) : 0;
}
