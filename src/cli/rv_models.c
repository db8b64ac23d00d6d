// SPDX-License-Identifier: MIT
/* A model that names no tracepoints is bound by its user, which is the matter of `tocsin monitor
 * run`: those, and those whose tracepoints this kernel lacks, or lack what the model asks of them,
 * are not among the available. */
#include "rv_models.h"

#include <string.h>

#include "../collector/rv_lock.h"
#if TOCSIN_HAS_KERNEL_HALF
#	include "../monitor/run.h"
#endif
#include "cli.h"
#include "monitor_events.h"
#include "monitor_models.h"

static const struct container {
	const char *name, *desc, *models;
} containers[] = {
#define X(name, desc, models) {#name, desc, models},
#include "rv_containers.def"
#undef X
};

#define NR_CONTAINERS (sizeof(containers) / sizeof(containers[0]))

static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = words; *at; at += strspn(at, " ")) {
		size_t n = strcspn(at, " ");

		if (n == len && memcmp(at, word, n) == 0)
			return true;
		at += n;
	}
	return false;
}

static const struct container *container_of_model(const char *name)
{
	for (size_t i = 0; i < NR_CONTAINERS; i++)
		if (has_word(containers[i].models, name))
			return &containers[i];
	return NULL;
}

/* A container, before the first that stands in it. */
static bool container_add(const struct container *c, struct rv_monitors *ret)
{
	struct rv_monitor *new;

	for (size_t i = 0; i < ret->nr; i++)
		if (ret->item[i].is_container && strcmp(ret->item[i].name, c->name) == 0)
			return true;
	new = rv_monitors_add(ret, "", 0, c->name, strlen(c->name));
	if (!new)
		return false;
	(void)snprintf(new->desc, sizeof(new->desc), "%s", c->desc);
	new->is_container = true;
	return true;
}

static int model_add(const struct model *m, const struct container *c, struct rv_monitors *ret)
{
	struct rv_monitor *new;

	if (c && !container_add(c, ret))
		return CLI_FAILED;
	new = rv_monitors_add(ret, c ? c->name : "", c ? strlen(c->name) : 0, m->name,
			      strlen(m->name));
	if (!new)
		return CLI_FAILED;
	(void)snprintf(new->desc, sizeof(new->desc), "%s", m->about);
	new->is_enabled = rv_lock_is_taken(m->name);
	return -1;
}

/* Has this kernel the events, and the events what the model asks of them? */
static bool is_available(struct model *m, const struct monitor_events *k)
{
	enum has has = monitor_events_all(k, m, NULL, 0);

	if (has != HAS_YES && has != HAS_UNKNOWN)
		return false;
#if TOCSIN_HAS_KERNEL_HALF
	struct tocsin_err err = {0}; /* `tocsin monitor run` says it */

	return monitor_run_check(m, &err) == 0;
#else
	return true;
#endif
}

/* Those of one container; NULL: of none. */
static int models_of(const struct container *c, const struct monitor_events *k,
		     struct rv_monitors *ret)
{
	int status = -1;

	for (const struct shipped_model *s = shipped_models; s->file && status < 0; s++) {
		struct monitor_said said = {0};
		struct model *m = NULL;

		status = monitor_model_shipped(s, &said, &m);
		if (status >= 0)
			break; /* said: it is tested that none has a fault */
		if (container_of_model(m->name) == c && is_available(m, k))
			status = model_add(m, c, ret);
		(void)model_free(m); /* always NULL */
	}
	return status;
}

int rv_models_read(struct rv_monitors *ret)
{
	struct monitor_events k;
	int status;

	*ret = (struct rv_monitors){0};
	monitor_events_open(&k);
	status = models_of(NULL, &k, ret);
	for (size_t i = 0; i < NR_CONTAINERS && status < 0; i++)
		status = models_of(&containers[i], &k, ret);
	monitor_events_close(&k);
	return status;
}
