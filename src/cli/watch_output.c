// SPDX-License-Identifier: MIT
/* Every record is explained once and then given to each sink that was asked for; the causes of all
 * are summed by section. */
#include "watch_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../analysis/cause_table.h"
#include "../analysis/verdict.h"
#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/hist.h"
#include "../report/json.h"
#include "../report/text.h"
#include "../report/top.h"
#include "../report/trace.h"

#define CGROUPS_KEPT     32
#define COMMAND_GRACE_NS 2000000000ull

struct output {
	struct output_options opts;
	struct watch *watch; /* lent, from output_armed() on */
	struct ksyms *ksyms;
	struct explain_context explain;
	struct text_report text;
	struct out json_out;
	struct out json_file;
	int json_fd;
	struct top top;
	struct trace_sink *trace;
	struct exec_sink *exec;
	struct cause_table *causes[WATCH_SECTIONS_MAX];
	uint64_t nr_unreported[WATCH_SECTIONS_MAX]; /* behind the limit */
	struct {
		uint64_t id;
		char path[256];
	} cgroup[CGROUPS_KEPT];
	unsigned nr_cgroups;
	uint64_t armed_ns;
	uint64_t drawn_ns;
	int64_t realtime_offset_ns;
	uint64_t nr_violations;
	uint64_t nr_fired;
	uint64_t limit;
	bool has_strict_loss;
};

/* The load that makes sections late starves the watch as well, and then its ring runs over: so it
 * goes first, for the little that it needs. Where that is not allowed it goes in turn. Commands
 * that it starts go in turn always. */
#define NICE_WATCH (-10)
#define NICE_OTHER 0

static void nice_set(int nice)
{
	(void)setpriority(PRIO_PROCESS, 0, nice); /* not allowed without CAP_SYS_NICE */
}

static void output_closep(struct output **o)
{
	output_close(*o);
}

static size_t stack_of(void *arg, uint32_t id, uint64_t frames[WATCH_STACK])
{
	struct output *o = arg;

	return watch_kernel_stack(watch_kernel_of(o->watch), id, frames);
}

/* Looking a cgroup up walks the hierarchy: once each. */
static const char *cgroup_path(void *arg, uint64_t id)
{
	struct output *o = arg;
	unsigned at;

	for (unsigned i = 0; i < o->nr_cgroups; i++)
		if (o->cgroup[i].id == id)
			return o->cgroup[i].path;
	at = o->nr_cgroups < CGROUPS_KEPT ? o->nr_cgroups++ : CGROUPS_KEPT - 1;
	o->cgroup[at].id = 0;
	if (cgroup_path_of(id, o->cgroup[at].path, sizeof(o->cgroup[at].path)))
		return NULL;
	o->cgroup[at].id = id;
	return o->cgroup[at].path;
}

int output_open(const struct output_options *opts, struct output **ret, struct tocsin_err *err)
{
	struct output *o TOCSIN_CLEANUP(output_closep) = calloc(1, sizeof(*o));
	int r = 0;

	if (!o)
		return -ENOMEM;
	o->opts = *opts;
	o->json_fd = -1;
	o->realtime_offset_ns = clock_realtime_offset_ns();
	o->ksyms = ksyms_new(NULL);
	if (!o->ksyms)
		return -ENOMEM;
	o->explain = (struct explain_context){
		.ksyms = o->ksyms, .arg = o, .stack = stack_of, .cgroup_path = cgroup_path};
	text_report_init(&o->text, STDOUT_FILENO, out_style_get(STDOUT_FILENO), opts->is_verbose);
	out_init(&o->json_out, STDOUT_FILENO);
	out_init(&o->json_file, -1);
	top_init(&o->top, STDOUT_FILENO);
	if (opts->json_file) {
		o->json_fd = open(opts->json_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (o->json_fd < 0)
			return tocsin_err_fail(-errno, err, "cannot create '%s': %s",
					       opts->json_file, strerror(errno));
		o->json_file.fd = o->json_fd;
	}
	if (opts->trace_dir)
		r = trace_sink_open(opts->trace_dir, o->realtime_offset_ns, err, &o->trace);
	if (!r && opts->command)
		r = exec_sink_open(opts->command, (struct exec_limits){0}, &o->exec);
	if (r)
		return r;
	*ret = tocsin_take_ptr(&o);
	return 0;
}

struct output *output_close(struct output *o)
{
	if (!o)
		return NULL;
	top_done(&o->top);
	text_report_done(&o->text);
	out_done(&o->json_out);
	out_done(&o->json_file);
	if (o->json_fd >= 0)
		(void)close(o->json_fd); /* each line was written and its error seen */
	(void)trace_sink_close(o->trace);
	(void)exec_sink_close(o->exec, 0, NULL);
	for (unsigned i = 0; i < WATCH_SECTIONS_MAX; i++)
		cause_table_free(o->causes[i]);
	(void)ksyms_free(o->ksyms);
	free(o);
	return NULL;
}

int output_armed(struct output *o, struct watch *w)
{
	unsigned sections = watch_nr_sections(w), probes = watch_nr_probes(w);
	int r = 0;

	o->watch = w;
	nice_set(NICE_WATCH);
	o->armed_ns = clock_now_ns();
	if (o->opts.is_json)
		r = json_armed(&o->json_out, sections, probes, o->realtime_offset_ns);
	if (!r && o->json_fd >= 0)
		r = json_armed(&o->json_file, sections, probes, o->realtime_offset_ns);
	return r;
}

/* --- a record
 * -----------------------------------------------------------------------------------------------------
 */

/* Its number, and how late its deadline was noticed. */
static void number_it(struct output *o, struct violation *v)
{
	const struct watch_event_section *ev = &v->raw;

	if (ev->fired_ns > ev->deadline_ns)
		v->fired_late_ns = ev->fired_ns - ev->deadline_ns;
	v->number = ev->head.type == EV_FIRED ? ++o->nr_fired : ++o->nr_violations;
}

static int stacks_add(struct stacks *stacks, struct violation *v)
{
	v->stack = stacks_deadline(stacks, &v->raw);
	for (unsigned i = 0; i < v->nr_spells; i++)
		v->spell[i].user_stack = stacks_spell(stacks, &v->raw, &v->spell[i].raw);
	return v->stack ? 0 : -ENOMEM;
}

static struct violation *violation_from(struct output *o, const struct watch_record *record)
{
	struct violation *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->section = strdup(record->section->name);
	v->raw = *record->event;
	v->budget_ns = v->raw.deadline_ns - v->raw.start_ns; /* a linked section brings its own */
	v->realtime_offset_ns = o->realtime_offset_ns;
	v->nr_spells_lost = record->nr_spells_lost;
	if (v->raw.head.type == EV_FIRED)
		v->flags = VIOLATION_OPEN;
	else if (v->raw.head.type == EV_ABANDONED)
		v->flags = VIOLATION_ABANDONED;
	if (record->nr_spells) {
		v->spell = calloc(record->nr_spells, sizeof(*v->spell));
		v->nr_spells = record->nr_spells;
	}
	if (!v->section || (record->nr_spells && !v->spell))
		return violation_free(v);
	for (unsigned i = 0; i < v->nr_spells; i++)
		v->spell[i].raw = record->spell[i];
	if (watch_stacks(o->watch) && stacks_add(watch_stacks(o->watch), v))
		return violation_free(v);
	number_it(o, v);
	return v;
}

static void violation_freep(struct violation **v)
{
	(void)violation_free(*v);
}

static int sum_up(struct output *o, const struct violation *v)
{
	struct cause_table **table = &o->causes[v->raw.section];

	if (!*table)
		*table = cause_table_new();
	if (!*table)
		return -ENOMEM;
	cause_table_add(*table, v);
	return 0;
}

void output_limit(struct output *o, uint64_t nr_violations)
{
	o->limit = nr_violations;
}

int output_section(void *arg, const struct watch_record *record)
{
	struct output *o = arg;
	struct violation *v TOCSIN_CLEANUP(violation_freep) = NULL;
	bool is_open;
	int r;

	if (o->limit && o->nr_violations >= o->limit) {
		if (record->event->head.type != EV_FIRED)
			o->nr_unreported[record->event->section]++;
		return 0;
	}
	v = violation_from(o, record);
	if (!v)
		return -ENOMEM;
	is_open = v->flags & VIOLATION_OPEN;
	r = violation_explain(v, &o->explain);
	if (!r && !is_open)
		r = sum_up(o, v);
	if (!r && o->opts.is_json)
		r = json_violation(&o->json_out, v);
	else if (!r && !o->opts.is_top)
		r = text_violation(&o->text, v);
	if (!r && o->json_fd >= 0)
		r = json_violation(&o->json_file, v);
	if (o->trace)
		(void)trace_sink_violation(o->trace,
					   v); /* counted there, and later events are tried again */
	if (o->exec && !is_open) {
		nice_set(NICE_OTHER);
		(void)exec_sink_violation(o->exec, v, clock_now_ns()); /* counted there */
		nice_set(NICE_WATCH);
	}
	return r;
}

int output_process(void *arg, const struct watch_event_process *event)
{
	struct output *o = arg;
	int r = 0;

	if (o->opts.is_json)
		r = json_process(&o->json_out, event);
	else if (!o->opts.is_top &&
		 (o->opts.is_verbose || event->what == PROCESS_EXECED ||
		  (event->what == PROCESS_EXITED && watch_asked_for(o->watch, event->tgid))))
		r = text_process(&o->text, event, o->realtime_offset_ns);
	if (!r && o->json_fd >= 0)
		r = json_process(&o->json_file, event);
	if (o->trace)
		(void)trace_sink_process(o->trace, event); /* counted there */
	return r;
}

/* --- totals
 * -------------------------------------------------------------------------------------------------------
 */

static void summary_done(struct watch_summary *s)
{
	for (unsigned i = 0; i < s->nr_sections; i++)
		free(s->section[i].cause);
	free(s->section);
}

static int section_sum(struct output *o, struct watch *w, unsigned i, struct section_summary *s)
{
	bool is_active;
	const struct section *section = watch_section(w, i, &is_active);
	struct watch_stats *st TOCSIN_CLEANUP(tocsin_free_voidp) = malloc(sizeof(*st));
	uint64_t *bucket TOCSIN_CLEANUP(tocsin_free_voidp) = malloc(sizeof(st->bucket));
	int r;

	if (!st || !bucket)
		return -ENOMEM;
	r = watch_kernel_stats(watch_kernel_of(w), i, st);
	if (r)
		return r;
	memcpy(bucket, st->bucket, sizeof(st->bucket));
	s->name = section->name;
	s->text = section->text;
	s->budget_ns = section->budget_ns;
	s->over = st->over;
	s->fired = st->fired;
	s->abandoned = st->abandoned;
	s->still_open = is_active && st->fired > st->fired_ended ? st->fired - st->fired_ended : 0;
	s->removed_open = watch_open_at_removal(w, i);
	s->unreported = o->nr_unreported[i];
	memcpy(s->over_split_ns, st->over_split_ns, sizeof(s->over_split_ns));
	s->closed = hist_count(bucket);
	s->mean_ns = hist_mean(bucket);
	s->p50_ns = hist_percentile(bucket, 0.5);
	s->p90_ns = hist_percentile(bucket, 0.9);
	s->p99_ns = hist_percentile(bucket, 0.99);
	s->p999_ns = hist_percentile(bucket, 0.999);
	s->max_ns = hist_percentile(bucket, 1.0);
	if (o->causes[i])
		return cause_table_top(o->causes[i], &s->cause, &s->nr_causes, &s->other_ns);
	return 0;
}

static int summary_make(struct output *o, struct watch *w, struct watch_summary *s)
{
	struct watch_kernel_facts facts;
	unsigned nr = watch_nr_sections(w);
	int r = 0;

	s->section = calloc(nr ?: 1, sizeof(*s->section));
	if (!s->section)
		return -ENOMEM;
	s->nr_sections = nr;
	s->duration_ns = clock_now_ns() - o->armed_ns;
	for (unsigned i = 0; i < nr && !r; i++)
		r = section_sum(o, w, i, &s->section[i]);
	watch_kernel_losses(watch_kernel_of(w), s->loss);
	watch_kernel_facts(watch_kernel_of(w), &facts);
	s->throttle_known = facts.throttle_known;
	s->records_lost = watch_records_lost(w);
	return r;
}

int output_tick(struct output *o, struct watch *w)
{
	struct watch_summary s TOCSIN_CLEANUP(summary_done) = {0};
	uint64_t now = clock_now_ns();
	int r;

	if (o->exec)
		(void)exec_sink_reap(o->exec); /* how many still run does not matter here */
	if (o->trace)
		(void)trace_sink_tick(o->trace, now); /* counted there */
	if (!o->opts.is_top || now - o->drawn_ns < 900000000)
		return 0;
	o->drawn_ns = now;
	r = summary_make(o, w, &s);
	return r ?: top_draw(&o->top, &s, now, o->realtime_offset_ns);
}

static void sink_losses_get(struct output *o, struct sink_losses *l)
{
	struct exec_stats st = {0};

	if (o->exec) {
		o->exec = exec_sink_close(o->exec, COMMAND_GRACE_NS, &st);
		l->count[SINK_EXEC_SUPPRESSED] = st.suppressed;
		l->count[SINK_EXEC_FAILED] = st.failed;
		l->count[SINK_EXEC_NOT_STARTED] = st.not_started;
	}
	if (o->trace)
		l->count[SINK_TRACE_LOST] = trace_sink_get_stats(o->trace).lost;
}

int output_finish(struct output *o, struct watch *w)
{
	struct watch_summary s TOCSIN_CLEANUP(summary_done) = {0};
	struct sink_losses sinks = {0};
	int r = summary_make(o, w, &s);

	if (r)
		return r;
	top_done(&o->top);
	sink_losses_get(o, &sinks);
	for (int i = 0; i < LOSS_NR; i++)
		o->has_strict_loss |= loss_text[i].is_strict && s.loss[i];
	for (int i = 0; i < SINK_NR; i++)
		o->has_strict_loss |= sink_text[i].is_strict && sinks.count[i];
	o->has_strict_loss |= s.records_lost != 0;
	if (o->opts.is_json)
		r = json_summary(&o->json_out, &s, &sinks);
	else
		r = text_summary(&o->text, &s, &sinks);
	if (!r && o->json_fd >= 0)
		r = json_summary(&o->json_file, &s, &sinks);
	if (o->trace) {
		int t = trace_sink_summary(o->trace, &s, &sinks, clock_now_ns());

		r = r ?: t ?: trace_sink_flush(o->trace);
	}
	return r;
}

uint64_t output_nr_violations(const struct output *o)
{
	return o->nr_violations;
}

uint64_t output_nr_fired(const struct output *o)
{
	return o->nr_fired;
}

bool output_has_strict_loss(const struct output *o)
{
	return o->has_strict_loss;
}
