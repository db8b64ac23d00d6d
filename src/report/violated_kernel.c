// SPDX-License-Identifier: MIT
/*
 * The three forms that the kernel has: of an automaton, of one with variables (error_env_NAME,
 * where time alone is the event "none"), and of a formula, which names the task.
 */
#include "violated_kernel.h"

#include <inttypes.h>
#include <string.h>

bool kernel_has_id(const struct model *m)
{
	return m->scope == MODEL_TASK || m->scope == MODEL_PROCESS || m->scope == MODEL_OBJECT;
}

static bool has_env(const struct model *m)
{
	for (int i = 0; i < m->nr_vars; i++)
		if (m->var[i].kind == MODEL_CLOCK || m->var[i].kind == MODEL_STORED)
			return true;
	return false;
}

static const char *state_of(const struct violated *v)
{
	return v->state >= 0 && v->state < v->model->nr_states ? v->model->state[v->state].name
							       : "none";
}

static const char *event_of(const struct violated *v)
{
	return v->event >= 0 && v->event < v->model->nr_events ? v->model->event[v->event].name
							       : "none";
}

void kernel_env_text(struct tocsin_text *t, const struct violated *v)
{
	const char *between = "";

	for (int i = 0; i < v->model->nr_vars; i++) {
		const struct model_var *var = &v->model->var[i];
		uint64_t slot = (uint64_t)v->in.slot[(var->code & 0x0f) % AUTOMATON_SLOTS];

		if (var->kind == MODEL_CLOCK)
			tocsin_text_add(t, "%s%s=%" PRIu64, between, var->name,
					slot && slot <= v->t_ns ? v->t_ns - slot : 0);
		else if (var->kind == MODEL_STORED)
			tocsin_text_add(t, "%s%s=%" PRId64, between, var->name, (int64_t)slot);
		else
			continue;
		between = ",";
	}
}

static void task_text(struct tocsin_text *t, const struct violated *v)
{
	tocsin_text_add_clean(t, v->comm, strnlen(v->comm, sizeof(v->comm)));
	tocsin_text_add(t, "[%" PRId64 "]: violation detected", v->tid);
}

void kernel_event_text(struct tocsin_text *t, const struct violated *v)
{
	bool is_env = has_env(v->model);

	if (v->model->kind == AUTOMATON_FORMULA) {
		tocsin_text_add(t, "error_%s: ", v->model->name);
		task_text(t, v);
		return;
	}
	tocsin_text_add(t, "error_%s%s: ", is_env ? "env_" : "", v->model->name);
	if (kernel_has_id(v->model))
		tocsin_text_add(t, "%" PRIu64 ": ", v->key);
	tocsin_text_add(t, "event %s not expected in the state %s", event_of(v), state_of(v));
	if (is_env) {
		tocsin_text_add(t, " with env ");
		kernel_env_text(t, v);
	}
}

void kernel_reaction_text(struct tocsin_text *t, const struct violated *v)
{
	if (v->model->kind == AUTOMATON_FORMULA) {
		tocsin_text_add(t, "rv: %s: ", v->model->name);
		task_text(t, v);
		return;
	}
	tocsin_text_add(t, "rv: monitor %s does not allow event %s on state %s", v->model->name,
			event_of(v), state_of(v));
	if (has_env(v->model)) {
		tocsin_text_add(t, " with env ");
		kernel_env_text(t, v);
	}
}

void violated_kernel(struct out *o, const struct violated *v)
{
	char text[512], comm[sizeof(v->comm) + 1];
	struct tocsin_text t;

	tocsin_text_init(&t, comm, sizeof(comm));
	tocsin_text_add_clean(&t, v->comm, strnlen(v->comm, sizeof(v->comm)));
	tocsin_text_init(&t, text, sizeof(text));
	kernel_event_text(&t, v);
	out_add(o, "%16s-%-7" PRId64 " [%03" PRId64 "] %5" PRIu64 ".%06" PRIu64 ": %s\n", comm,
		v->tid, v->cpu < 0 ? 0 : v->cpu, v->t_ns / UINT64_C(1000000000),
		v->t_ns / 1000 % 1000000, text);
}
