// SPDX-License-Identifier: MIT
/*
 * A program with probes on its own sites, in unusual circumstances. Prints a line a fact,
 * "NAME GOT WANTED"; tests/truth/probes.py compares, and reads the rings and the counters of the
 * control page beside it. Built against the public headers only.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probes.h"
#include "tocsin/rcu.h"
#include "tocsin/tocsin.h"

atomic_long calls;

void say(const char *name, long long got, long long wanted)
{
	printf("%s %lld %lld\n", name, got, wanted);
}

static void wait_line(const char *word)
{
	char line[64];

	printf("%s\n", word);
	(void)fflush(stdout); /* a pipe that the test reads */
	if (!fgets(line, sizeof(line), stdin))
		line[0] = 0;
}

__attribute__((noinline)) void step(unsigned n)
{
	tocsin_event("probes", "step", TF_U32("n", n), TF_STR("text", "hello"));
}

__attribute__((noinline)) void other(unsigned n)
{
	tocsin_event("probes", "other", TF_S64("n", (int64_t)n));
}

void count(const struct tocsin_record *record, void *data)
{
	(void)record;
	(void)data;
	calls++;
}

int must(int id)
{
	if (id <= 0) {
		fprintf(stderr, "tocsin_probe_register: %s\n", strerror(-id));
		exit(9);
	}
	return id;
}

static long calls_of(void (*work)(void))
{
	long before = calls;

	work();
	return calls - before;
}

static void ten(void)
{
	for (unsigned i = 0; i < 10; i++)
		step(i);
}

/* ---- fields */

static const struct tocsin_label states[] = {{0, 0, "idle"}, {1, 3, "busy"}};
static const uint16_t numbers[] = {1, 2, 65535};
static int nr_wrong;

static void see(bool is_right, const char *what)
{
	if (!is_right) {
		fprintf(stderr, "wrong: %s\n", what);
		nr_wrong++;
	}
}

static void on_fields(const struct tocsin_record *r, void *data)
{
	struct tocsin_value v;

	see(data == states, "data");
	see(!strcmp(r->cls->provider, "probes") && !strcmp(r->cls->name, "fields"), "names");
	see(r->cls->nr_fields == 10 && r->size == sizeof(*r), "sizes");
	see(!tocsin_record_field(r, 0, &v) && v.kind == TOCSIN_VALUE_UNSIGNED && v.u == 200, "u8");
	see(!tocsin_record_field(r, 1, &v) && v.kind == TOCSIN_VALUE_SIGNED && v.s == -3, "s16");
	see(!tocsin_record_find(r, "u64", &v) && v.u == UINT64_MAX, "u64");
	see(!tocsin_record_find(r, "f32", &v) && v.kind == TOCSIN_VALUE_FLOAT && v.f == 1.5, "f32");
	see(!tocsin_record_find(r, "yes", &v) && v.u == 1, "bool");
	see(!tocsin_record_find(r, "at", &v) && v.u == (uintptr_t)numbers, "pointer");
	see(!tocsin_record_find(r, "state", &v) && v.s == 2 && r->cls->fields[6].nr_labels == 2,
	    "enum");
	see(!tocsin_record_find(r, "text", &v) && v.kind == TOCSIN_VALUE_TEXT && v.nr == 2 &&
		    !strcmp(v.at, "hi"),
	    "text");
	see(!tocsin_record_find(r, "array", &v) && v.kind == TOCSIN_VALUE_ELEMENTS && v.nr == 3 &&
		    v.elem == TOCSIN_TYPE_U16 && !memcmp(v.at, numbers, sizeof(numbers)),
	    "array");
	see(!tocsin_record_find(r, "seq", &v) && v.nr == 2 && !memcmp(v.at, numbers, 4),
	    "sequence");
	see(tocsin_record_field(r, 10, &v) == -ENOENT && tocsin_record_find(r, "no", &v) == -ENOENT,
	    "no such field");
	calls++;
	errno = EDOM;
}

static void mode_fields(void)
{
	int id = must(
		tocsin_probe_register("probes:fields", on_fields, (void *)(uintptr_t)states, 0));

	errno = ENOTTY;
	tocsin_event("probes", "fields", TF_U8("u8", 200), TF_S16("s16", -3),
		     TF_U64("u64", UINT64_MAX), TF_F32("f32", 1.5f), TF_BOOL("yes", 3),
		     TF_PTR("at", numbers), TF_ENUM("state", states, 2), TF_STR("text", "hi"),
		     TF_ARRAY("array", U16, numbers, 3), TF_SEQ("seq", U16, numbers, 2, 8));
	say("errno", errno, ENOTTY);
	say("called", calls, 1);
	say("wrong", nr_wrong, 0);
	say("unregister", tocsin_probe_unregister(id), 0);
}

/* ---- order, patterns, limits */

static char order[64];

static void append(const struct tocsin_record *record, void *data)
{
	size_t len = strlen(order);

	(void)record;
	if (len + 1 < sizeof(order))
		order[len] = *(const char *)data;
}

static void mode_order(void)
{
	int id[TOCSIN_PROBES_MAX], nr = 0, last;
	char pattern[200];

	memset(pattern, 'x', sizeof(pattern));
	pattern[sizeof(pattern) - 1] = 0;
	say("empty", tocsin_probe_register("", append, NULL, 0), -EINVAL);
	say("long", tocsin_probe_register(pattern, append, NULL, 0), -EINVAL);
	say("null", tocsin_probe_register("*", NULL, NULL, 0), -EINVAL);
	id[nr++] = must(tocsin_probe_register("probes:*", append, (char *)(uintptr_t) "c", 0));
	id[nr++] = must(tocsin_probe_register("*:step", append, (char *)(uintptr_t) "d", -5));
	id[nr++] = must(tocsin_probe_register("probes:st?p", append, (char *)(uintptr_t) "a", 9));
	id[nr++] = must(tocsin_probe_register("*", append, (char *)(uintptr_t) "b", 9));
	id[nr++] = must(tocsin_probe_register("probes:other", append, (char *)(uintptr_t) "x", 99));
	step(0);
	say("order", strcmp(order, "abcd"), 0);
	memset(order, 0, sizeof(order));
	tocsin_event("probes", "quiet");
	say("enabled", tocsin_event_enabled("probes", "quiet"), 1);
	say("unregister", tocsin_probe_unregister(id[3]), 0);
	say("twice", tocsin_probe_unregister(id[3]), -ENOENT);
	memset(order, 0, sizeof(order));
	step(0);
	other(0);
	say("order without", strcmp(order, "acdxc"), 0);
	id[3] = id[--nr];
	while (nr < TOCSIN_PROBES_MAX)
		id[nr++] = must(tocsin_probe_register("none:*", append, NULL, 0));
	say("full", tocsin_probe_register("none:*", append, NULL, 0), -ENOSPC);
	for (last = 0; last < nr; last++)
		say("unregister", tocsin_probe_unregister(id[last]), 0);
	memset(order, 0, sizeof(order));
	step(0);
	say("order after", (long long)strlen(order), 0);
	say("disabled", tocsin_event_enabled("probes", "quiet"), 0);
}

/* ---- where it may be called */

static int from_constructor, from_handler, from_callback, own_id, own_result;

__attribute__((constructor(200))) static void early(void)
{
	from_constructor = tocsin_probe_register("probes:step", count, NULL, 0);
}

static void on_signal(int sig)
{
	(void)sig;
	from_handler = tocsin_probe_register("probes:step", count, NULL, 0);
}

static void register_more(const struct tocsin_record *record, void *data)
{
	(void)record;
	if (!from_callback)
		from_callback = tocsin_probe_register("probes:step", count, data, 0);
}

static void unregister_self(const struct tocsin_record *record, void *data)
{
	(void)record;
	(void)data;
	calls++;
	own_result = tocsin_probe_unregister(own_id);
}

static void mode_where(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	int id;
	uint64_t token;

	say("constructor", from_constructor > 0, 1);
	say("calls", calls_of(ten), 10);
	if (sigaction(SIGUSR1, &sa, NULL) || raise(SIGUSR1))
		exit(9);
	say("handler", from_handler > 0, 1);
	say("calls with the handler's", calls_of(ten), 20);
	id = must(tocsin_probe_register("probes:step", register_more, NULL, 1));
	step(0);
	say("callback", from_callback > 0, 1);
	say("calls with the callback's", calls_of(ten), 30);
	own_id = must(tocsin_probe_register("probes:other", unregister_self, NULL, 0));
	other(0);
	other(0);
	say("itself", own_result, -EINPROGRESS);
	say("gone", tocsin_probe_unregister(own_id), -ENOENT);
	say("barrier", tocsin_probe_barrier(), 0);
	token = tocsin_rcu_read_lock();
	say("inside a section", tocsin_probe_unregister(id), -EINPROGRESS);
	say("barrier inside", tocsin_probe_barrier(), -EINPROGRESS);
	tocsin_rcu_read_unlock(token);
	say("barrier outside", tocsin_probe_barrier(), 0);
	say("unregister", tocsin_probe_unregister(from_constructor), 0);
	say("unregister", tocsin_probe_unregister(from_handler), 0);
	say("unregister", tocsin_probe_unregister(from_callback), 0);
	say("calls without", calls_of(ten), 0);
}

/* ---- cancellation, vfork */

static void *emit_for_ever(void *arg)
{
	(void)arg;
	(void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL); /* cannot fail */
	for (unsigned n = 0;; n++)
		step(n);
	return NULL;
}

static void mode_cancel(void)
{
	int id = must(tocsin_probe_register("probes:step", count, NULL, 0));
	struct timespec while_ = {0, 200000};

	for (int i = 0; i < 200; i++) {
		long before = calls;
		pthread_t thread;

		if (pthread_create(&thread, NULL, emit_for_ever, NULL))
			exit(9);
		while (calls == before)
			(void)nanosleep(&while_, NULL); /* shorter is fine */
		(void)nanosleep(&while_, NULL);         /* shorter is fine */
		if (pthread_cancel(thread) || pthread_join(thread, NULL))
			exit(9);
		while_.tv_nsec = 100000 + 997 * i;
	}
	say("called", calls > 0, 1);
	say("unregister", tocsin_probe_unregister(id), 0);
}

static void mode_vfork(void)
{
	int id = must(tocsin_probe_register("probes:step", count, NULL, 0));

	step(0);
	for (int i = 0; i < 50; i++) {
		pid_t pid = vfork();

		if (pid == 0) {
			step(1);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			exit(9);
	}
	step(2);
	say("calls", calls, 52);
	say("unregister", tocsin_probe_unregister(id), 0);
}

static void mode_fork(void)
{
	int id = must(tocsin_probe_register("probes:step", count, NULL, 0)), status;
	pid_t pid;

	step(0);
	(void)fflush(stdout); /* the child would print it again */
	pid = fork();
	if (pid == 0) {
		step(1);
		status = calls != 2 || tocsin_probe_unregister(id);
		step(2);
		_exit(status || calls != 2);
	}
	if (waitpid(pid, &status, 0) != pid)
		exit(9);
	say("child", status, 0);
	step(3);
	say("calls", calls, 2);
	say("unregister", tocsin_probe_unregister(id), 0);
}

/* ---- unregistering while others call, with memory that is gone then */

struct poisoned {
	_Atomic uint64_t magic;
};
#define MAGIC UINT64_C(0x600d600d600d600d)

static atomic_int stop;
static atomic_long nr_poisoned;

static void check_magic(const struct tocsin_record *record, void *data)
{
	struct poisoned *p = data;

	(void)record;
	for (int i = 0; i < 200; i++)
		if (p->magic != MAGIC)
			nr_poisoned++;
	calls++;
}

static void *emit_until(void *arg)
{
	(void)arg;
	while (!stop)
		ten();
	return NULL;
}

static void on_tick(int sig)
{
	(void)sig;
	step(1);
}

static void mode_unregister(long rounds)
{
	struct sigaction sa = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
	struct timespec pause = {0, 20000};
	pthread_t thread[3];
	long bad = 0;

	if (sigaction(SIGUSR1, &sa, NULL))
		exit(9);
	for (int i = 0; i < 3; i++)
		if (pthread_create(&thread[i], NULL, emit_until, NULL))
			exit(9);
	for (long i = 0; i < rounds; i++) {
		struct poisoned *p = malloc(sizeof(*p)), *q = malloc(sizeof(*q));
		int a, b;

		if (!p || !q)
			exit(9);
		p->magic = q->magic = MAGIC;
		a = must(tocsin_probe_register("probes:step", check_magic, p, (int)(i % 3)));
		b = must(tocsin_probe_register("probes:*", check_magic, q, 1));
		(void)pthread_kill(thread[i % 3], SIGUSR1); /* ours, and not joined */
		if (i % 4 == 0)
			(void)nanosleep(&pause, NULL); /* shorter is fine */
		bad += tocsin_probe_unregister(a) != 0;
		p->magic = 0xdeaddeaddeaddead;
		free(p);
		bad += tocsin_probe_unregister(b) != 0;
		q->magic = 0xdeaddeaddeaddead;
		free(q);
	}
	stop = 1;
	for (int i = 0; i < 3; i++)
		(void)pthread_join(thread[i], NULL); /* ours, joined once */
	say("called", calls > 0, 1);
	say("refused", bad, 0);
	say("poisoned", nr_poisoned, 0);
}

/* ---- libraries that come and go */

static void mode_plugin(const char *path)
{
	int id = must(tocsin_probe_register("plugin:*", count, NULL, 0));
	pthread_t thread;
	long want = 0, has_seen = 0;

	if (pthread_create(&thread, NULL, emit_until, NULL))
		exit(9);
	for (int i = 0; i < 50; i++) {
		void *plugin = dlopen(path, RTLD_NOW);
		void (*work)(unsigned, unsigned) =
			plugin ? (void (*)(unsigned, unsigned))dlsym(plugin, "plugin_work") : NULL;
		long (*seen)(void) = plugin ? (long (*)(void))dlsym(plugin, "plugin_seen") : NULL;
		struct timespec while_ = {0, 300000};

		if (!work || !seen) {
			fprintf(stderr, "%s\n", dlerror());
			exit(9);
		}
		work(0, 10);
		want += 10;
		(void)nanosleep(&while_, NULL); /* shorter is fine */
		has_seen += seen() > 0;
		if (dlclose(plugin))
			exit(9);
	}
	stop = 1;
	(void)pthread_join(thread, NULL); /* ours, joined once */
	say("the plugin's probe sees the program's sites", has_seen > 0, 1);
	say("sites of a library that came later", calls, want);
	say("unregister", tocsin_probe_unregister(id), 0);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "order";
	bool waits = argc > 2 && !strcmp(argv[argc - 1], "wait");

	if (strcmp(mode, "where") && tocsin_probe_unregister(from_constructor))
		return 9;
	if (waits)
		wait_line("ready");
	if (!strcmp(mode, "fields"))
		mode_fields();
	else if (!strcmp(mode, "order"))
		mode_order();
	else if (!strcmp(mode, "where"))
		mode_where();
	else if (!strcmp(mode, "storm"))
		mode_storm();
	else if (!strcmp(mode, "handlers"))
		mode_handlers(false);
	else if (!strcmp(mode, "handlers-stack"))
		mode_handlers(true);
	else if (!strcmp(mode, "trap"))
		mode_trap(false);
	else if (!strcmp(mode, "trap-stack"))
		mode_trap(true);
	else if (!strcmp(mode, "tracers"))
		mode_tracers();
	else if (!strcmp(mode, "longjmp"))
		mode_longjmp();
	else if (!strcmp(mode, "handler-longjmp"))
		mode_handler_longjmp();
	else if (!strcmp(mode, "contexts"))
		mode_contexts();
	else if (!strcmp(mode, "cancel"))
		mode_cancel();
	else if (!strcmp(mode, "vfork"))
		mode_vfork();
	else if (!strcmp(mode, "fork"))
		mode_fork();
	else if (!strcmp(mode, "unregister"))
		mode_unregister(argc > 2 && !waits ? strtol(argv[2], NULL, 10) : 200);
	else if (!strcmp(mode, "plugin"))
		mode_plugin(argv[2]);
	else
		return 64;
	if (waits)
		wait_line("done");
	return 0;
}
