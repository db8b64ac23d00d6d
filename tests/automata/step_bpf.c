// SPDX-License-Identifier: MIT
/*
 * The stepper in the kernel against the stepper in this program: the same tables, which are the
 * shipped models, the same events at random; same verdict and same instance after every step.
 * step_bpf OBJECT prints TAP; skipped where the kernel does not let this user load programs.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "automata/model.h"
#include "automata/shipped.h"
#include "automata/step.h"

#define STEPS 4000 /* of each model */

struct stepped {
	struct automaton_instance in;
	struct automaton_inputs inputs;
};

struct request {
	__u64 now, atoms;
	__u32 event, what;
};

static struct {
	int program, tables, instances;
} kernel;

static uint64_t seed = 0x2545f4914f6cdd1d;

static unsigned rnd(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 20) % below);
}

static void quiet(void *context, const struct tocsin_diag *diag)
{
	(void)context;
	(void)diag;
}

static int no_words(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

static enum automaton_result step_here(const struct automaton_table *t, struct stepped *s,
				       const struct request *r)
{
	if (r->what == 0)
		return automaton_step(t, &s->in, r->event, r->now, &s->inputs);
	if (r->what == 1)
		return automaton_observe(t, &s->in, r->atoms, r->now);
	return automaton_expire(t, &s->in, r->now);
}

/* Return: 0 the same, 1 not, -errno. */
static int step_both(const struct automaton_table *t, struct stepped *s, struct request *r)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = r, .ctx_size_in = sizeof(*r));
	struct stepped there;
	enum automaton_result here;
	uint32_t zero = 0;
	int e = bpf_map_update_elem(kernel.instances, &zero, s, BPF_ANY);

	e = e ?: bpf_prog_test_run_opts(kernel.program, &run);
	e = e ?: bpf_map_lookup_elem(kernel.instances, &zero, &there);
	if (e)
		return e;
	here = step_here(t, s, r);
	return (int)run.retval != (int)here || memcmp(&there.in, &s->in, sizeof(there.in)) != 0;
}

static int model_compare(const struct shipped_model *shipped)
{
	const struct model_sink sink = {.say = quiet};
	const struct model_options options = {.jiffy_ns = 4000000};
	struct stepped s = {0};
	struct model *m = NULL;
	uint64_t now = 1000;
	uint32_t zero = 0;
	int r = model_read(shipped->file, shipped->text, shipped->len, &options, &sink, &m);

	if (r == 0)
		r = bpf_map_update_elem(kernel.tables, &zero, &m->table, BPF_ANY);
	for (int i = 0; i < STEPS && r == 0; i++) {
		struct request request = {.atoms = rnd(1u << 20)};

		now += rnd(20000000);
		request.now = now;
		request.what = rnd(8) == 0 ? 2 : m->kind == AUTOMATON_FORMULA;
		request.event = rnd(m->table.nr_events);
		for (int k = 0; k < AUTOMATON_INPUTS; k++)
			s.inputs.value[k] = rnd(2);
		r = step_both(&m->table, &s, &request);
	}
	(void)model_free(m); /* always NULL */
	return r;
}

int main(int argc, char **argv)
{
	struct bpf_object *object = argc == 2 ? bpf_object__open_file(argv[1], NULL) : NULL;
	int nr = 0, r;

	(void)libbpf_set_print(no_words);
	if (!object) {
		printf("Bail out! no object\n");
		return 1;
	}
	r = bpf_object__load(object);
	if (r == -EPERM || r == -EACCES) {
		printf("1..0 # SKIP loading programs is not allowed: %s\n", strerror(-r));
		return 0;
	}
	if (r) {
		printf("not ok 1 - the verifier takes the stepper: %s\n1..1\n", strerror(-r));
		return 1;
	}
	printf("ok %d - the verifier takes the stepper\n", ++nr);
	kernel.program = bpf_program__fd(bpf_object__find_program_by_name(object, "step"));
	kernel.tables = bpf_object__find_map_fd_by_name(object, "tables");
	kernel.instances = bpf_object__find_map_fd_by_name(object, "instances");
	for (const struct shipped_model *s = shipped_models; s->file; s++) {
		int same = model_compare(s);

		r |= same;
		printf("%s %d - %s\n", same ? "not ok" : "ok", ++nr, s->file);
	}
	printf("1..%d\n", nr);
	bpf_object__close(object);
	return r ? 1 : 0;
}
