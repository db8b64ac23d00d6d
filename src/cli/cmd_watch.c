// SPDX-License-Identifier: MIT
/* `tocsin watch`: sections of running programs, and why they were late. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/parse.h"
#include "../collector/ctl.h"
#include "../collector/doctor.h"
#include "cli.h"
#include "watch_child.h"
#include "watch_ctl.h"
#include "watch_hot.h"
#include "watch_output.h"

#define TICK_NS 250000000ull

static struct {
	struct opt_strings pid, comm, budgets, linked;
	const char *cgroup;
	bool all, follow, force, notes, stacks;
	const char *stack_cache;
	uint64_t stack_bytes, stack_ring_bytes;
	uint64_t duration_ns, count;
	bool fail_on_violation, strict;
	struct output_options out;
	uint64_t gate_ns, poll_ns, ring_bytes;
	uint64_t max_threads, max_processes, max_probes, max_sections, max_spells, max_keyed,
		max_deadlines, max_stacks;
} wanted = {.notes = true, .stack_bytes = STACK_BYTES_MAX, .stack_ring_bytes = 8u << 20};

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Processes"},
	{OPT_STRINGS, 'p', "pid", "PID", "watch this process; may be given again", NULL,
	 &wanted.pid, 0, 0, NULL},
	{OPT_FLAG, 'f', "follow-children", NULL, "also watch processes that they start", NULL,
	 &wanted.follow, 0, 0, NULL},
	{OPT_STRINGS, 0, "comm", "NAME", "watch every process of this name, also later ones", NULL,
	 &wanted.comm, 0, 0, NULL},
	{OPT_STRING, 0, "cgroup", "PATH", "watch every process in this cgroup or below it",
	 "PATH is a directory of a mounted hierarchy, or the path below its root. Processes that enter later are watched "
	 "when they first hit a probe; one that leaves stays watched.",
	 &wanted.cgroup, 0, 0, NULL},
	{OPT_FLAG, 'a', "all", NULL, "watch every process that runs the code of a section", NULL,
	 &wanted.all, 0, 0, NULL},
	{.kind = OPT_GROUP, .name = "Sections"},
	CLI_SHARED(BUDGETS, &wanted.budgets),
	{OPT_STRINGS, 0, "linked", "GLOB",
	 "watch the sections of this name that programs define themselves",
	 "Those of programs built with libtocsin, each with its own budget, without a probe. * and ? stand for other characters. "
	 "Programs and sections that come later are found within 100 ms.",
	 &wanted.linked, 0, 0, NULL},
	{OPT_FLAG, 0, "force", NULL, "bind where it may hurt the program, and say what may happen",
	 NULL, &wanted.force, 0, 0, NULL},
	{OPT_FLAG, 0, "notes", NULL, "use the program's own probes that say what it waits for",
	 NULL, &wanted.notes, 0, 0, "on"},
	{.kind = OPT_GROUP, .name = "End"},
	{OPT_DURATION, 'd', "duration", "TIME", "stop after this time", NULL, &wanted.duration_ns,
	 1000000, INT64_MAX, NULL},
	{OPT_U64, 0, "count", "N", "stop after N violations", NULL, &wanted.count, 1, UINT64_MAX,
	 NULL},
	{OPT_FLAG, 0, "fail-on-violation", NULL, "exit with 1 if a section ran over its budget",
	 NULL, &wanted.fail_on_violation, 0, 0, NULL},
	{OPT_FLAG, 0, "strict", NULL, "exit with 4 if anything was lost", NULL, &wanted.strict, 0,
	 0, NULL},
	{.kind = OPT_GROUP, .name = "Output"},
	CLI_SHARED(JSON, &wanted.out.is_json),
	{OPT_STRING, 0, "json-file", "FILE", "write the JSON lines to FILE as well", NULL,
	 &wanted.out.json_file, 0, 0, NULL},
	{OPT_STRING, 'o', "output", "DIR", "write a CTF trace of the violations to DIR", NULL,
	 &wanted.out.trace_dir, 0, 0, NULL},
	{OPT_FLAG, 0, "top", NULL, "show a table that refreshes instead of lines", NULL,
	 &wanted.out.is_top, 0, 0, NULL},
	{OPT_FLAG, 'v', "verbose", NULL, "print each violation with its spells", NULL,
	 &wanted.out.is_verbose, 0, 0, NULL},
	{OPT_FLAG, 0, "stacks", NULL, "show where in the program the time was spent",
	 "Each violation has the user stack with which its deadline passed, and those of its spells that lasted a quarter of the "
	 "smallest budget or longer: functions, source lines and inlined calls, through code without frame pointers. "
	 "Needs Linux 6.18.",
	 &wanted.stacks, 0, 0, NULL},
	{OPT_STRING, 0, "stack-cache", "DIR", "keep unwinding tables in DIR",
	 "By build id, so that later watches need not make them again. An empty DIR: keep none.",
	 &wanted.stack_cache, 0, 0, "/var/cache/tocsin as root, else ~/.cache/tocsin"},
	{OPT_STRING, 0, "exec", "CMD", "run a shell command for each violation",
	 "The violation's fields are in its environment as TOCSIN_*. At most one a second in the long run; those not run are "
	 "counted.",
	 &wanted.out.command, 0, 0, NULL},
	{.kind = OPT_GROUP, .name = "Limits"},
	{OPT_DURATION, 0, "gate", "TIME", "look into spells off the CPU that last longer than this",
	 NULL, &wanted.gate_ns, 1000, 1000000000, "50us"},
	{OPT_DURATION, 0, "poll", "TIME", "look at a running thread no oftener than this", NULL,
	 &wanted.poll_ns, 20000, 1000000000, "100us"},
	{OPT_U64, 0, "max-threads", "N", "threads watched at once", NULL, &wanted.max_threads, 1,
	 1u << 22, "65536"},
	{OPT_U64, 0, "max-processes", "N", "processes watched at once",
	 "One that -a, --comm or --cgroup meets later takes no room.", &wanted.max_processes, 1,
	 1u << 22, "65536"},
	{OPT_U64, 0, "max-probes", "N", "probes placed, those of removed sections included", NULL,
	 &wanted.max_probes, 1, 1u << 20, "4096"},
	{OPT_U64, 0, "max-sections", "N", "sections defined, removed ones included", NULL,
	 &wanted.max_sections, 1, WATCH_SECTIONS_MAX,
	 "those given and 16 more, 64 more with --linked"},
	{OPT_U64, 0, "max-spells", "N", "spells kept for all open sections", NULL,
	 &wanted.max_spells, 8, 8 * 65534, "8192"},
	{OPT_U64, 0, "max-keyed", "N", "sections open that pair by key", NULL, &wanted.max_keyed, 1,
	 1u << 22, "65536"},
	{OPT_U64, 0, "max-deadlines", "N", "threads off a CPU with a deadline, a CPU", NULL,
	 &wanted.max_deadlines, 16, 1u << 22, "four a thread, and 8192 at least"},
	{OPT_U64, 0, "max-stacks", "N", "different kernel stacks kept", NULL, &wanted.max_stacks,
	 16, 1u << 20, "4096"},
	{OPT_SIZE, 0, "stack-size", "SIZE", "bytes of a user stack that are copied", NULL,
	 &wanted.stack_bytes, 1024, STACK_BYTES_MAX, "32K"},
	{OPT_SIZE, 0, "stack-ring", "SIZE", "bytes of the ring of user stacks, a power of two",
	 NULL, &wanted.stack_ring_bytes, 65536, 1u << 30, "8M"},
	{OPT_SIZE, 0, "ring", "SIZE", "bytes of the ring of events, a power of two", NULL,
	 &wanted.ring_bytes, 65536, 1u << 30, "8M"},
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin watch -p 4711 -f 'usdt:postgres:query__start .. query__done < 10ms'",
	"tocsin watch -d 30s 'func:handle_request < 5ms' -- ./server",
	"tocsin watch --comm nginx --json 'syscall:read < 20ms'",
	NULL,
};

const struct opt_command cmd_watch_usage = {
	CLI_COMMAND(watch),
	.usage = "[OPTIONS] ['SECTION']... [-- CMD ARGS]",
	.examples = examples,
	.options = options,
};

struct run {
	struct watch *watch;
	struct output *output;
	struct child child;
	bool has_child;
	struct ctl_server *ctl;
	struct hot hot;
	int signal_fd;
	uint64_t end_ns;  /* CLOCK_MONOTONIC, 0: none */
	int stopping;     /* not 0: the loop ends */
	int signal;       /* that ended it, 0: none */
	bool ended_child; /* the command's status is our doing, not its own */
};

/* --- what the command line asks for
 * ------------------------------------------------------------------------------- */

static int sections_read(struct section_list *list, char **words, int nr)
{
	struct tocsin_diag diag;
	int r = 0;

	for (size_t i = 0; i < wanted.budgets.nr && !r; i++) {
		r = section_list_read(list, wanted.budgets.item[i], &diag);
		if (r)
			return cli_diag(r, &diag);
	}
	for (int i = 0; i < nr && !r; i++) {
		r = section_list_apply(list, words[i], "command line", 0, &diag);
		if (r)
			return cli_diag(r, &diag);
	}
	if (!list->nr && !wanted.linked.nr)
		return cli_usage(
			&cmd_watch_usage,
			"no section to watch: give one, as in 'syscall:read < 20ms', --budgets, or --linked");
	return -1;
}

static int pids_read(struct pid_set *pids)
{
	for (size_t i = 0; i < wanted.pid.nr; i++) {
		uint64_t pid;

		if (tocsin_parse_u64(wanted.pid.item[i], &pid) || !pid || pid > INT_MAX)
			return cli_usage(&cmd_watch_usage, "'%s' is no process id",
					 wanted.pid.item[i]);
		if (pid_set_add(pids, (pid_t)pid))
			return CLI_FAILED;
	}
	return -1;
}

/* Sections in the kernel's own form are for every process, as there; for all others somebody must
 * be named. */
static int targets_check(const struct section_list *list, bool has_child)
{
	bool named = wanted.pid.nr || wanted.comm.nr || wanted.cgroup || wanted.all || has_child;
	bool all_tlob = list->nr;

	for (size_t i = 0; i < list->nr; i++)
		all_tlob &= list->item[i].is_tlob;
	if (!named && all_tlob)
		wanted.all = true;
	else if (!named)
		return cli_usage(
			&cmd_watch_usage,
			"no process to watch: give -p PID, --comm NAME, --cgroup PATH, -- CMD, or -a for all");
	if (wanted.ring_bytes & (wanted.ring_bytes - 1))
		return cli_usage(&cmd_watch_usage, "--ring must be a power of two");
	if (wanted.stack_ring_bytes & (wanted.stack_ring_bytes - 1))
		return cli_usage(&cmd_watch_usage, "--stack-ring must be a power of two");
	if (wanted.out.is_json && wanted.out.is_top)
		return cli_usage(&cmd_watch_usage, "--json and --top both want standard output");
	return -1;
}

/* Return: NULL: none. */
static const char *cache_folder(void)
{
	static char path[PATH_MAX];
	const char *home = getenv("HOME"), *cache = getenv("XDG_CACHE_HOME");
	int n;

	if (wanted.stack_cache)
		return wanted.stack_cache[0] ? wanted.stack_cache : NULL;
	if (geteuid() == 0)
		return "/var/cache/tocsin";
	if (cache && cache[0] == '/')
		n = snprintf(path, sizeof(path), "%s/tocsin", cache);
	else if (home && home[0] == '/')
		n = snprintf(path, sizeof(path), "%s/.cache/tocsin", home);
	else
		return NULL;
	return n < (int)sizeof(path) ? path : NULL;
}

static struct watch_options options_make(const struct pid_set *pids,
					 const struct section_list *list, const struct run *run)
{
	struct watch_options o = {.pids = *pids,
				  .comm = wanted.comm.item,
				  .nr_comms = wanted.comm.nr,
				  .cgroup = wanted.cgroup,
				  .force = wanted.force,
				  .notes = wanted.notes};

	watch_kernel_defaults(&o.kernel);
	o.kernel.all = wanted.all;
	o.kernel.follow = wanted.follow;
	o.kernel.max_sections = (uint32_t)list->nr + (wanted.linked.nr ? 64 : 16);
	if (o.kernel.max_sections > WATCH_SECTIONS_MAX)
		o.kernel.max_sections = WATCH_SECTIONS_MAX;
	o.kernel.gate_ns = wanted.gate_ns ?: o.kernel.gate_ns;
	o.kernel.poll_min_ns = wanted.poll_ns ?: o.kernel.poll_min_ns;
	o.kernel.ring_bytes = wanted.ring_bytes ?: o.kernel.ring_bytes;
	o.kernel.max_threads = (uint32_t)wanted.max_threads ?: o.kernel.max_threads;
	o.kernel.max_processes = (uint32_t)wanted.max_processes ?: o.kernel.max_processes;
	o.kernel.max_probes = (uint32_t)wanted.max_probes ?: o.kernel.max_probes;
	o.kernel.max_sections = (uint32_t)wanted.max_sections ?: o.kernel.max_sections;
	o.kernel.max_spells = (uint32_t)wanted.max_spells ?: o.kernel.max_spells;
	o.kernel.max_keyed = (uint32_t)wanted.max_keyed ?: o.kernel.max_keyed;
	o.kernel.max_deadlines = (uint32_t)wanted.max_deadlines ?: o.kernel.max_deadlines;
	o.kernel.max_stacks = (uint32_t)wanted.max_stacks ?: o.kernel.max_stacks;
	if (wanted.stacks) {
		o.kernel.stack_bytes = (uint32_t)wanted.stack_bytes;
		o.kernel.stack_ring_bytes = wanted.stack_ring_bytes;
		o.stack_cache = cache_folder();
	}
	if (run->has_child) {
		o.program = run->child.path;
		o.program_pid = run->child.pid;
	}
	return o;
}

/* --- while it runs
 * ------------------------------------------------------------------------------------------------
 */

static void reread(struct run *run)
{
	struct section_list list TOCSIN_CLEANUP(section_list_done) = {.keeps_removals = true};
	struct tocsin_err err = {0};
	struct tocsin_diag diag;
	unsigned before = watch_nr_sections(run->watch);

	for (size_t i = 0; i < wanted.budgets.nr; i++) {
		int r = section_list_read(&list, wanted.budgets.item[i], &diag);

		if (r) {
			(void)cli_diag(r, &diag);
			(void)fprintf(stderr, "not reread: the sections stay as they are\n");
			return;
		}
	}
	if (watch_reread(run->watch, &list, &err))
		(void)cli_fail(CLI_FAILED, &err); /* said; the watch goes on */
	for (unsigned i = before; i < watch_nr_sections(run->watch); i++)
		watch_say_bound(run->watch, i);
	(void)fprintf(stderr, "reread: %u probe%s\n", watch_nr_probes(run->watch),
		      watch_nr_probes(run->watch) == 1 ? "" : "s");
}

static void signals_take(struct run *run)
{
	struct signalfd_siginfo info;

	while (read(run->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP && wanted.budgets.nr)
			reread(run);
		else
			run->stopping = run->signal = (int)info.ssi_signo;
	}
}

/* Wait until the command has ended: it gets the time that it takes, unless we are asked once more.
 */
static void child_await(struct run *run, bool is_watched)
{
	struct pollfd p[] = {{.fd = run->child.pid_fd, .events = POLLIN},
			     {.fd = run->signal_fd, .events = POLLIN}};

	while (!child_reap(&run->child)) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return;
		if (p[1].revents)
			return;
		if (is_watched) /* its last sections; a sink's trouble shows at the end */
			(void)watch_poll(run->watch);
	}
}

/* Whoever ends the watch ends the command as well: a terminal has told it already, others have not.
 */
static void child_interrupt(struct run *run)
{
	struct pollfd p = {.fd = run->child.pid_fd, .events = POLLIN};

	if (!run->has_child || child_reap(&run->child))
		return;
	if (poll(&p, 1, 200) == 0)
		(void)kill(run->child.pid, run->signal); /* gone meanwhile: as good */
	child_await(run, true);
}

/* The watch is over (-d, --count, nobody reads it any more) and the command is not: it was started
 * for the watch, so it ends with it, as under `perf stat --timeout`. What it does meanwhile is not
 * watched. */
static void child_terminate(struct run *run)
{
	if (!run->has_child || run->signal || child_reap(&run->child))
		return;
	run->ended_child = true;
	(void)kill(run->child.pid, SIGTERM);
	(void)kill(run->child.pid,
		   SIGCONT); /* one that is stopped would not see it; gone meanwhile: as good */
	child_await(run, false);
}

static int timeout_ms(const struct run *run)
{
	uint64_t now = clock_now_ns(), due = now + TICK_NS;

	if (watch_due_ns(run->watch) < due)
		due = watch_due_ns(run->watch);
	if (run->end_ns && run->end_ns < due)
		due = run->end_ns;
	return due <= now ? 0 : (int)((due - now + 999999) / 1000000);
}

static bool is_over(struct run *run)
{
	if (run->end_ns && clock_now_ns() >= run->end_ns)
		return true;
	if (wanted.count && output_nr_violations(run->output) >= wanted.count)
		return true;
	if (run->has_child && !child_reap(&run->child))
		return false;
	if (run->has_child && !wanted.follow)
		return true;
	return !watch_alive(run->watch);
}

/* Return: 0, or what ended it. */
static int loop(struct run *run)
{
	int r = 0;

	while (!r && !run->stopping) {
		struct pollfd p[] = {
			{.fd = watch_fd(run->watch), .events = POLLIN},
			{.fd = run->signal_fd, .events = POLLIN},
			{.fd = run->ctl ? ctl_server_fd(run->ctl) : -1, .events = POLLIN},
			{.fd = run->has_child && !run->child.ended ? run->child.pid_fd : -1,
			 .events = POLLIN}};

		if (poll(p, sizeof(p) / sizeof(p[0]), timeout_ms(run)) < 0 && errno != EINTR)
			return -errno;
		r = watch_poll(run->watch);
		signals_take(run);
		if (p[2].revents)
			(void)ctl_server_serve(run->ctl, watch_ctl_answer,
					       run->watch); /* a peer's trouble is the peer's */
		r = r ?: output_tick(run->output, run->watch);
		hot_look(&run->hot, run->watch);
		if (is_over(run))
			run->stopping = 1;
	}
	return r;
}

/* Processes whose own sections are not watched, those that came later included. */
static void say_refused(const struct watch *w)
{
	unsigned nr;
	const char *first = watch_link_refusal(w, &nr);

	if (nr)
		(void)fprintf(
			stderr,
			"own sections of %u process%s are not watched, or not all of them: %s%s\n",
			nr, nr == 1 ? "" : "es", nr == 1 ? "" : "the first is ", first);
}

static int finish(struct run *run, int r)
{
	char why[64];

	watch_silence(run->watch);
	if (!r)
		r = watch_poll(run->watch);
	if (!r)
		r = output_finish(run->output, run->watch);
	say_refused(run->watch);
	if (r)
		cli_error("the watch ends: %s", tocsin_errno_text(r, why, sizeof(why)));
	return r;
}

static int status_of(const struct run *run, int r)
{
	if (r)
		return run->has_child ? CLI_WATCH_FAILED : CLI_FAILED;
	if (wanted.strict && output_has_strict_loss(run->output))
		return CLI_LOST;
	if (wanted.fail_on_violation &&
	    (output_nr_violations(run->output) || output_nr_fired(run->output)))
		return CLI_NO;
	if (run->has_child && run->child.ended && !run->ended_child)
		return child_status(&run->child);
	return CLI_OK;
}

static void run_done(struct run *run)
{
	(void)ctl_server_close(run->ctl);
	(void)watch_close(run->watch);
	(void)output_close(run->output);
	if (run->has_child)
		child_done(&run->child);
	if (run->signal_fd >= 0)
		(void)close(run->signal_fd);
}

static int signals_open(struct run *run)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	if (sigaction(SIGPIPE, &ignore, NULL)) /* a closed pipe is a result of writing to it */
		return -errno;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	run->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signal_fd < 0 ? -errno : 0;
}

/* Wrong input, or no way here? */
static int status_of_failure(const struct run *run, int r)
{
	switch (r) {
	case -ENOENT:
	case -ESRCH:
	case -EINVAL:
	case -EEXIST:
	case -ENOTUNIQ:
	case -ENOEXEC:
	case -EBADMSG:
	case -EOPNOTSUPP: return CLI_USAGE;
	default: return run->has_child ? CLI_WATCH_FAILED : CLI_FAILED;
	}
}

static int arm(struct run *run, const struct watch_options *opts,
	       const struct watch_handlers *handlers, struct section_list *list)
{
	struct tocsin_err err = {0};
	bool loaded;
	int r;

	if (process_check_numbers(&err))
		return cli_fail(run->has_child ? CLI_WATCH_FAILED : CLI_FAILED, &err);
	r = watch_open(opts, handlers, &run->watch, &err);
	loaded = !r;
	while (!r && list->nr) {
		r = watch_add(run->watch, &list->item[0], &err);
		if (!r) {
			memmove(&list->item[0], &list->item[1],
				(list->nr - 1) * sizeof(list->item[0]));
			list->nr--;
			watch_say_bound(run->watch, watch_nr_sections(run->watch) - 1);
		}
	}
	if (!r && wanted.linked.nr)
		r = watch_link(run->watch, wanted.linked.item, wanted.linked.nr, &err);
	if (r) {
		if (!loaded && (r == -EPERM || r == -EACCES || r == -EINVAL || r == -ENOTSUP))
			(void)doctor_explain_failure(r, &err); /* returns r */
		if (loaded)
			(void)doctor_explain_refusal(r, &err); /* returns r */
		(void)cli_fail(CLI_FAILED, &err);
		if (loaded && r == -EPERM) /* binding there would hurt the program */
			return CLI_USAGE;
		if (!loaded && r == -ENOTSUP) /* this machine cannot, whatever is asked for */
			return run->has_child ? CLI_WATCH_FAILED : CLI_FAILED;
		return status_of_failure(run, r);
	}
	return -1;
}

/* A name that nobody has yet may be meant so, or be misspelt. */
static void say_names(const struct watch_options *opts)
{
	for (size_t i = 0; i < opts->nr_comms; i++) {
		struct pid_set found TOCSIN_CLEANUP(pid_set_done) = {0};

		if (!process_find_comm(opts->comm[i], &found) && !found.nr)
			(void)fprintf(stderr,
				      "no process is named '%s' yet: later ones will be watched\n",
				      opts->comm[i]);
	}
}

static void say_armed(const struct watch *w)
{
	unsigned sections = watch_nr_sections(w), probes = watch_nr_probes(w);

	(void)fprintf(stderr, "armed: %u section%s, %u probe%s\n", sections,
		      sections == 1 ? "" : "s", probes, probes == 1 ? "" : "s");
}

/* Return: the exit status. */
static int watch_run(struct run *run, const struct watch_options *opts, struct section_list *list)
{
	struct watch_handlers handlers = {.on_section = output_section,
					  .on_process = output_process};
	struct tocsin_err err = {0};
	int status, r;

	r = output_open(&wanted.out, &run->output, &err);
	if (r)
		return cli_fail(r == -EEXIST || r == -ENOENT ? CLI_USAGE : CLI_FAILED, &err);
	handlers.arg = run->output;
	output_limit(run->output, wanted.count);
	status = arm(run, opts, &handlers, list);
	if (status >= 0)
		return status;
	r = ctl_server_open(&run->ctl, &err);
	if (r) { /* the watch works without */
		(void)cli_fail(CLI_FAILED, &err);
		err.nr_causes = 0;
	}
	say_names(opts);
	r = output_armed(run->output, run->watch);
	say_armed(run->watch);
	if (!wanted.all) /* of all processes some always are */
		say_refused(run->watch);
	run->end_ns = wanted.duration_ns ? clock_now_ns() + wanted.duration_ns : 0;
	if (!r && run->has_child) {
		r = child_go(&run->child, &err);
		if (r)
			return cli_fail(r == -ENOENT ? CLI_NOT_FOUND : CLI_CANNOT_RUN, &err);
	}
	r = r ?: loop(run);
	if (run->signal)
		child_interrupt(run);
	r = finish(run, r);
	child_terminate(run);
	return status_of(run, r);
}

static int prepare_child(struct run *run, char **argv, struct pid_set *pids)
{
	struct tocsin_err err = {0};
	int r = child_find(&run->child, argv[0], &err);

	if (r)
		return cli_fail(r == -ENOENT ? CLI_NOT_FOUND : CLI_CANNOT_RUN, &err);
	r = child_start(&run->child, argv, &err);
	if (r)
		return cli_fail(CLI_WATCH_FAILED, &err);
	run->has_child = true;
	return pid_set_add(pids, run->child.pid) ? CLI_WATCH_FAILED : -1;
}

int cmd_watch(int argc, char **argv)
{
	struct section_list list TOCSIN_CLEANUP(section_list_done) = {0};
	struct pid_set pids TOCSIN_CLEANUP(pid_set_done) = {0};
	struct run run = {.signal_fd = -1};
	int operands, after, status;

	status = cli_parse(&cmd_watch_usage, argc, argv, &operands, &after);
	if (status < 0)
		status = sections_read(&list, argv + operands, after - operands);
	if (status < 0)
		status = pids_read(&pids);
	if (status < 0)
		status = targets_check(&list, after < argc);
	if (status < 0 && signals_open(&run))
		status = CLI_FAILED;
	if (status < 0 && after < argc)
		status = prepare_child(&run, argv + after, &pids);
	if (status < 0) {
		struct watch_options opts = options_make(&pids, &list, &run);

		status = watch_run(&run, &opts, &list);
	}
	run_done(&run);
	opt_strings_done(&wanted.pid);
	opt_strings_done(&wanted.comm);
	opt_strings_done(&wanted.budgets);
	opt_strings_done(&wanted.linked);
	return status;
}
