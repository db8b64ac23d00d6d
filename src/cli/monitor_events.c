// SPDX-License-Identifier: MIT
/*
 * A tracepoint is there when tracefs lists it, or when the kernel's types (BTF) have its
 * `btf_trace_NAME`, which is how programs of the kernel half attach to those that tracefs does not
 * list. Where neither can be read, nothing is claimed.
 */
#include "monitor_events.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../collector/tracefs.h"

#define BTF_FILE "/sys/kernel/btf/vmlinux"
#define BTF_MAX  (64u << 20)

static void btf_read(struct monitor_events *k)
{
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = open(BTF_FILE, O_RDONLY | O_CLOEXEC);
	size_t room = 0;
	ssize_t got = 1;

	while (fd >= 0 && got > 0 && k->btf_len < BTF_MAX) {
		if (room - k->btf_len < 65536) {
			char *more = realloc(k->btf, room + (4u << 20));

			if (!more)
				break;
			k->btf = more;
			room += 4u << 20;
		}
		got = read(fd, k->btf + k->btf_len, room - k->btf_len);
		k->btf_len += got > 0 ? (size_t)got : 0;
	}
	if (got != 0) { /* a part of it would say no where the answer is not known */
		free(k->btf);
		k->btf = NULL;
		k->btf_len = 0;
	}
}

void monitor_events_open(struct monitor_events *k)
{
	*k = (struct monitor_events){0};
	k->has_tracefs = tracefs_check("sched", "sched_switch", NULL, NULL) == 0;
	btf_read(k);
}

void monitor_events_close(struct monitor_events *k)
{
	free(k->btf);
	k->btf = NULL;
}

enum has monitor_events_point(const struct monitor_events *k, const char *point)
{
	char group[MODEL_POINTS], type[MODEL_POINTS + 16];
	const char *colon = strchr(point, ':');
	int len;

	if (!colon)
		return HAS_NO;
	(void)snprintf(group, sizeof(group), "%.*s", (int)(colon - point), point);
	if (k->has_tracefs && tracefs_check(group, colon + 1, NULL, NULL) == 0)
		return HAS_YES;
	len = snprintf(type, sizeof(type), "%cbtf_trace_%s", '\0', colon + 1);
	if (k->btf && len > 0 && memmem(k->btf, k->btf_len, type, (size_t)len + 1))
		return HAS_YES;
	return k->has_tracefs && k->btf ? HAS_NO : HAS_UNKNOWN;
}

enum has monitor_events_of(const struct monitor_events *k, const struct model_event *e,
			   char *missing, size_t len)
{
	enum has worst = HAS_NOT_SAID;
	const char *at = e->points;

	while (*at) {
		char point[MODEL_POINTS];
		size_t n = strcspn(at, " ");
		enum has has;

		/* What follows a comma says how it is looked at. */
		(void)snprintf(point, sizeof(point), "%.*s", (int)strcspn(at, ", "), at);
		has = monitor_events_point(k, point);
		if (worst == HAS_NOT_SAID || has < worst) {
			worst = has;
			if (missing && has != HAS_YES)
				(void)snprintf(missing, len, "%s", point);
		}
		at += n + (at[n] == ' ');
	}
	return worst;
}

const char *monitor_events_points(const struct model_event *e, char buf[MODEL_POINTS])
{
	size_t used = 0;

	buf[0] = '\0';
	for (const char *at = e->points; *at; at += strcspn(at, " "), at += *at == ' ') {
		size_t n = strcspn(at, ", ");

		if (strncmp(at, buf, n) == 0 && buf[n] == '\0')
			continue; /* the same, looked at in another way */
		used += (size_t)snprintf(buf + used, MODEL_POINTS - used, "%s%.*s", used ? " " : "",
					 (int)n, at);
	}
	return buf;
}

enum has monitor_events_all(const struct monitor_events *k, const struct model *m, char *missing,
			    size_t len)
{
	enum has worst = HAS_NOT_SAID;

	for (int i = 0; i < m->nr_events; i++) {
		char point[MODEL_POINTS] = "";
		enum has has = monitor_events_of(k, &m->event[i], point, sizeof(point));

		if (has != HAS_NOT_SAID && (worst == HAS_NOT_SAID || has < worst)) {
			worst = has;
			(void)snprintf(missing, len, "%s", point);
		}
	}
	return worst;
}

const char *has_text(enum has has)
{
	static const char *const texts[] = {"bound by the user", "no", "unknown", "yes"};

	return texts[has];
}
