// SPDX-License-Identifier: MIT
/* Kernel stacks against the tables of functions that say why a thread sleeps or wakes. */
#include "frames.h"

#include <string.h>

struct frame_rule {
	const char *pattern;
	unsigned class;
	const char *subject;
};

#define X(pattern, class, subject) {pattern, SLEEP_##class, subject},
static const struct frame_rule sleep_rules[] = {
#include "sleep_frames.def"
};
#undef X

#define X(pattern, class, subject) {pattern, WAKE_##class, subject},
static const struct frame_rule wake_rules[] = {
#include "wake_frames.def"
};
#undef X

#define NR(array) (sizeof(array) / sizeof((array)[0]))

bool frame_matches(const char *name, const char *pattern)
{
	size_t len = strlen(pattern);

	if (len && pattern[len - 1] == '*')
		return !strncmp(name, pattern, len - 1);
	return !strncmp(name, pattern, len) && (!name[len] || name[len] == '.');
}

static const struct frame_rule *rule_find(const struct frame_rule *rules, size_t nr,
					  const char *name)
{
	for (size_t i = 0; i < nr; i++)
		if (frame_matches(name, rules[i].pattern))
			return &rules[i];
	return NULL;
}

void sleep_view_make(struct sleep_view *view, const char *const *frame, unsigned nr)
{
	*view = (struct sleep_view){.wait_subject = ""};
	for (unsigned i = 0; i < nr; i++) {
		const struct frame_rule *rule;

		if (!frame[i])
			continue;
		view->nr++;
		rule = rule_find(sleep_rules, NR(sleep_rules), frame[i]);
		if (!view->top && (!rule || rule->class != SLEEP_PLAIN))
			view->top = frame[i];
		if (!rule)
			continue;
		if (!view->frame[rule->class])
			view->frame[rule->class] = frame[i];
		if (rule->class == SLEEP_LEAVING)
			break;
		if (!view->wait && rule->class >= SLEEP_IPC && rule->class <= SLEEP_FILE_LOCK) {
			view->wait = rule->class;
			view->wait_subject = rule->subject;
		}
	}
	if (!view->top)
		view->top = view->frame[SLEEP_PLAIN];
}

void wake_view_make(struct wake_view *view, const char *const *frame, unsigned nr)
{
	*view = (struct wake_view){.subject = ""};
	for (unsigned i = 0; i < nr; i++) {
		const struct frame_rule *rule;

		enum wake_class class;

		rule = frame[i] ? rule_find(wake_rules, NR(wake_rules), frame[i]) : NULL;
		if (!rule)
			continue;
		class = rule->class;
		if (class == WAKE_TASK)
			break;
		if (class == WAKE_RECEIVE) {
			view->is_interrupt = true;
			class = WAKE_NETWORK;
		}
		if (class == WAKE_INTERRUPT || class == WAKE_TIMER_INTERRUPT) {
			view->is_interrupt = true;
			view->is_timer |= class == WAKE_TIMER_INTERRUPT;
		} else if (class == WAKE_POLLED) {
			view->is_polled = true;
		} else if (!view->mechanism) {
			view->mechanism = class;
			view->subject = rule->subject;
			view->frame = frame[i];
		}
	}
}
