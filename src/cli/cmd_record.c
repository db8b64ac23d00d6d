// SPDX-License-Identifier: MIT
/* `tocsin record`: events of programs that are linked with libtocsin, into a trace. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/parse.h"
#include "../collector/discover.h"
#include "../collector/record.h"
#include "cli.h"
#include "record_args.h"
#include "record_preload.h"
#include "record_progress.h"
#include "watch_child.h"

#define TICK_NS     100000000ull
#define ARENA_BYTES (256ull << 30) /* a hole; memory is what processes use of it */

static struct {
	struct opt_strings pid;
	bool all, follow, flight, off, strict, quiet, zstd;
	const char *dir, *rotate, *recover, *trace;
	uint64_t duration_ns, keep, ctf, function_depth, function_min_ns;
	struct record_args args;
} wanted = {.follow = true, .ctf = 1, .dir = "trace"};

static const struct opt options[] = {
	{.kind = OPT_GROUP, .name = "Processes"},
	{OPT_STRINGS, 'p', "pid", "PID", "record this process; may be given again",
	 "What a killed recording left in its rings comes first.", &wanted.pid, 0, 0, NULL},
	{OPT_FLAG, 'a', "all", NULL, "record every process that has libtocsin, also later ones",
	 NULL, &wanted.all, 0, 0, NULL},
	{OPT_FLAG, 'f', "follow-children", NULL, "record the children of recorded processes", NULL,
	 &wanted.follow, 0, 0, "on"},
	{.kind = OPT_GROUP, .name = "Events"},
	{OPT_STRINGS, 'e', "enable", "GLOB",
	 "record events whose provider:name matches; may be given again",
	 "* is any text, ? any character; a GLOB without a colon is a provider.",
	 &wanted.args.enable, 0, 0, "*"},
	{OPT_STRINGS, 'x', "disable", "GLOB", "but not those that match this", NULL,
	 &wanted.args.disable, 0, 0, NULL},
	{OPT_STRING, 'l', "level", "LEVEL", "only events at least as important as this",
	 "emerg, alert, crit, error, warning, notice, info, debug or trace.", &wanted.args.level, 0,
	 0, "trace"},
	{OPT_STRING, 'w', "where", "EXPR",
	 "only events for which this holds, as 'fd > 10 && peer ~ \"10.*\"'",
	 "Evaluated in the process before the record is written. == != < <= > >=, & for bits, ~ and !~ for patterns with * and "
	 "?, ! && || and parentheses; a name alone asks whether the event has the field, $ begins the name of a context. A test "
	 "of a field that an event does not have does not hold.",
	 &wanted.args.where, 0, 0, NULL},
	{OPT_STRING, 'c', "context", "LIST",
	 "add to every event: tid, pid, comm, cpu, cookie, perf0, perf1", NULL,
	 &wanted.args.contexts, 0, 0, NULL},
	{OPT_STRING, 't', "trace", "LIST",
	 "put libraries before the command's own that trace what it calls: malloc, functions",
	 "Names separated by commas, for programs that nobody can rebuild; the events are malloc:free and so on. "
	 "Refused for programs that are linked statically, set-user-id, or built with a sanitizer.",
	 &wanted.trace, 0, 0, NULL},
	{OPT_U64, 0, "function-depth", "N", "with --trace functions, calls down to this depth",
	 NULL, &wanted.function_depth, 1, 256, "256"},
	{OPT_DURATION, 0, "function-min", "TIME",
	 "with --trace functions, only calls that take at least this long",
	 "One event a call then, functions:call, with its duration.", &wanted.function_min_ns, 1,
	 INT64_MAX, NULL},
	{.kind = OPT_GROUP, .name = "Kernel events"},
	{OPT_STRINGS, 'k', "kernel", "LIST",
	 "record kernel events too: sched, irq, syscall, block, tracepoint:CATEGORY:NAME",
	 "Groups, single events as sched:switch, or tracepoints, separated by commas, with * and ? in names; may be given again. "
	 "They are those of the recorded processes, or of all with --all and where no process is named.",
	 &wanted.args.kernel, 0, 0, NULL},
	{OPT_FLAG, 0, "self", NULL, "with --kernel, record what this tocsin does itself too", NULL,
	 &wanted.args.with_self, 0, 0, NULL},
	{.kind = OPT_GROUP, .name = "Rings"},
	{OPT_SIZE, 0, "ring-size", "SIZE", "bytes of each ring, a power of two from 64K to 1G",
	 NULL, &wanted.args.ring_bytes, 64 << 10, 1 << 30, "4M"},
	{OPT_STRING, 'm', "mode", "MODE", "of full rings: discard, overwrite or block",
	 "discard counts the new event as lost; overwrite loses the oldest; block waits, at most --block.",
	 &wanted.args.mode, 0, 0, "discard"},
	{OPT_DURATION, 0, "block", "TIME", "longest wait for room of one event", NULL,
	 &wanted.args.block_ns, 1000, 1000000000, "10ms"},
	{.kind = OPT_GROUP, .name = "Trace"},
	{OPT_STRING, 'o', "output", "DIR", "write the trace to DIR, which is made or is empty",
	 NULL, &wanted.dir, 0, 0, "trace"},
	{OPT_STRING, 0, "rotate", "SIZE|TIME",
	 "begin a new chunk after so many bytes or so much time",
	 "DIR then holds chunk_000001, chunk_000002 and so on, each a trace by itself. SIZE has K, M or G, TIME a unit.",
	 &wanted.rotate, 0, 0, NULL},
	{OPT_U64, 0, "keep", "N", "with --rotate, keep the newest N complete chunks", NULL,
	 &wanted.keep, 1, UINT_MAX, "all"},
	{OPT_FLAG, 0, "zstd", NULL, "with --rotate, compress complete chunks", NULL, &wanted.zstd,
	 0, 0, NULL},
	{OPT_U64, 0, "ctf", "VERSION", "metadata of CTF 1.8 (1) or CTF 2 (2)", NULL, &wanted.ctf, 1,
	 2, "1"},
	{OPT_STRING, 0, "recover", "DIR", "make whole what a killed recording left in DIR, and end",
	 "Cuts off places in files that nothing was written to, and cut packets. Readers do without, but for cut ones.",
	 &wanted.recover, 0, 0, NULL},
	{.kind = OPT_GROUP, .name = "Flight recorder"},
	{OPT_FLAG, 0, "flight", NULL, "switch the flight recorder of the processes on, and end",
	 "Their rings overwrite the oldest events from then on. tocsin snapshot writes what is in them; --flight --off ends it. "
	 "With -k, kernel events too: one recorder a machine, of the processes or of all, which --flight --off without a process ends.",
	 &wanted.flight, 0, 0, NULL},
	{OPT_FLAG, 0, "off", NULL, "with --flight, switch it off", NULL, &wanted.off, 0, 0, NULL},
	{.kind = OPT_GROUP, .name = "End"},
	{OPT_DURATION, 'd', "duration", "TIME", "stop after this time", NULL, &wanted.duration_ns,
	 1000000, INT64_MAX, NULL},
	{OPT_FLAG, 0, "strict", NULL, "exit with 4 if anything was lost", NULL, &wanted.strict, 0,
	 0, NULL},
	{OPT_FLAG, 'q', "quiet", NULL, "no progress, no summary", NULL, &wanted.quiet, 0, 0, NULL},
	{.kind = OPT_END},
};

static const char *const examples[] = {
	"tocsin record -o trace -- ./server",
	"tocsin record -p 4711 --enable 'server:*' --context tid,cpu -d 10s",
	"tocsin record -k sched,syscall -k 'tracepoint:net:*' -- ./server",
	"tocsin record --trace malloc -- ./server",
	"tocsin record -k sched,irq,block -d 5s",
	"tocsin record -a --rotate 100M --keep 10 --zstd -o traces",
	"tocsin record --flight -p 4711 --ring-size 16M",
	NULL,
};

const struct opt_command cmd_record_usage = {
	CLI_COMMAND(record),
	.usage = "[OPTIONS] [-- CMD ARGS]",
	.examples = examples,
	.options = options,
};

struct run {
	struct recorder *rec;
	struct child child;
	bool has_child;
	bool is_refused; /* the command, and that was said */
	int signal_fd;
	int signal; /* that ended it, 0: none */
	uint64_t end_ns;
	struct record_progress progress;
};

static int status_of_failure(const struct run *run, int r)
{
	switch (r) {
	case -ENOENT:
	case -ESRCH:
	case -EACCES:
	case -EPERM:
	case -EPROTO:
	case -EBUSY:
	case -EEXIST:
	case -ENOTSUP:
	case -ENOTDIR: return CLI_USAGE;
	default: return run->has_child ? CLI_WATCH_FAILED : CLI_FAILED;
	}
}

static int signals_open(struct run *run)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	/* A closed pipe and a file that may not grow are results of writing to them. */
	if (sigaction(SIGPIPE, &ignore, NULL) || sigaction(SIGXFSZ, &ignore, NULL))
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

static bool signal_taken(struct run *run)
{
	struct signalfd_siginfo info;

	while (read(run->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		run->signal = (int)info.ssi_signo;
	return run->signal;
}

static void say(void *arg, pid_t pid, const char *comm, const char *what, const char *text)
{
	(void)arg;
	if (!strcmp(what, "corrupt"))
		cli_error("process %d '%s': %s", (int)pid, comm, text);
}

static bool is_over(struct run *run)
{
	if (signal_taken(run))
		return true;
	if (run->end_ns && clock_now_ns() >= run->end_ns)
		return true;
	if (run->has_child) {
		struct record_stats stats;

		if (!child_reap(&run->child))
			return false;
		record_get_stats(run->rec, &stats);
		return !wanted.follow || !stats.alive; /* what it started may go on */
	}
	return !record_alive(run->rec);
}

static int pass_over(void *arg, struct discovered *found)
{
	(void)arg; /* only whether there is one that is refused is asked */
	(void)found;
	return 0;
}

/* A library of another version leaves the arena alone: only the command's own page tells. */
static void version_look(struct run *run)
{
	struct tocsin_err err = {0};
	struct record_stats stats;

	record_get_stats(run->rec, &stats);
	if (!run->has_child || run->is_refused || run->child.ended || stats.processes)
		return;
	if (discover_process(run->child.pid, pass_over, NULL, &err) != -EPROTO)
		return; /* not yet there, or not linked */
	run->is_refused = true;
	(void)cli_fail(CLI_WATCH_FAILED, &err); /* the command goes on, unrecorded */
}

static int loop(struct run *run)
{
	int r = 0;

	while (r == 0) {
		bool over =
			is_over(run); /* before the drain, so that nothing comes after the last */

		version_look(run);
		r = record_poll(run->rec);
		record_progress_show(&run->progress, run->rec);
		if (over && r == 0 && !run->signal && run->has_child && !is_over(run))
			continue; /* its children were found just now */
		if (over)
			break;
		record_wait(run->rec, TICK_NS);
	}
	return r;
}

static int pids_add(struct run *run)
{
	for (size_t i = 0; i < wanted.pid.nr; i++) {
		struct tocsin_err err = {0};
		uint64_t pid;
		int r;

		if (tocsin_parse_u64(wanted.pid.item[i], &pid) || !pid || pid > INT_MAX)
			return cli_usage(&cmd_record_usage, "'%s' is no process id",
					 wanted.pid.item[i]);
		r = record_add(run->rec, (pid_t)pid, &err);
		if (r < 0)
			return cli_fail((enum cli_status)status_of_failure(run, r), &err);
	}
	return -1;
}

/* Whoever ends the recording ends the command as well: a terminal has told it already. */
static void child_stop(struct run *run)
{
	for (int i = 0; i < 100 && !child_reap(&run->child); i++) {
		if (i == 2)
			(void)kill(run->child.pid, run->signal); /* gone meanwhile: as good */
		(void)record_poll(run->rec);                     /* its last events */
		record_wait(run->rec, TICK_NS / 2);
	}
}

static int status_of(const struct run *run, const struct record_stats *stats, int r)
{
	if (r)
		return run->has_child ? CLI_WATCH_FAILED : CLI_FAILED;
	if (wanted.strict && record_progress_lost(stats))
		return CLI_LOST;
	if (run->has_child && run->child.ended)
		return child_status(&run->child);
	return CLI_OK;
}

static int finish(struct run *run, int r)
{
	struct record_stats stats;
	char why[64];
	int stopped, closed;

	stopped = record_stop(run->rec);
	record_get_stats(run->rec, &stats);
	run->rec = record_close(run->rec, &closed);
	r = r ?: stopped ?: closed;
	if (!wanted.quiet)
		record_progress_end(&run->progress, &stats, wanted.dir);
	if (r)
		cli_error("the recording is not complete: %s",
			  tocsin_errno_text(r, why, sizeof(why)));
	return status_of(run, &stats, r);
}

static int child_prepare(struct run *run, char **argv)
{
	struct tocsin_err err = {0};
	char number[16];
	int r, fd;

	r = child_find(&run->child, argv[0], &err);
	if (r)
		return cli_fail(r == -ENOENT ? CLI_NOT_FOUND : CLI_CANNOT_RUN, &err);
	r = record_arena(run->rec, ARENA_BYTES, &fd);
	if (r == 0) {
		(void)snprintf(number, sizeof(number), "%d", fd);
		r = setenv(ARENA_ENV, number, 1) ? -errno : 0;
	}
	if (r)
		cli_error("what processes do before they are found is not recorded: %s",
			  strerror(-r));
	r = record_preload_set(&cmd_record_usage, wanted.trace, wanted.function_depth,
			       wanted.function_min_ns, run->child.path);
	if (r >= 0)
		return r;
	r = child_start(&run->child, argv, &err);
	if (!r)
		r = record_add_kernel(run->rec, run->child.pid, &err);
	(void)unsetenv(ARENA_ENV); /* the name is no secret */
	record_preload_unset();
	if (r)
		return cli_fail(CLI_WATCH_FAILED, &err);
	run->has_child = true;
	return -1;
}

static int record_run(struct run *run, const struct record_options *opts, char **command)
{
	struct tocsin_err err = {0};
	int status = -1, r;

	r = record_open(opts, say, run, &err, &run->rec);
	if (r)
		return cli_fail((enum cli_status)status_of_failure(run, r), &err);
	if (*command)
		status = child_prepare(run, command);
	if (status < 0)
		status = pids_add(run);
	if (status < 0) {
		run->end_ns = wanted.duration_ns ? clock_now_ns() + wanted.duration_ns : 0;
		record_progress_begin(&run->progress, !wanted.quiet);
		record_go(run->rec);
		if (run->has_child) {
			r = child_go(&run->child, &err);
			if (r)
				status = cli_fail(r == -ENOENT ? CLI_NOT_FOUND : CLI_CANNOT_RUN,
						  &err);
		}
	}
	if (status < 0) {
		r = loop(run);
		if (run->signal && run->has_child)
			child_stop(run);
		return finish(run, r);
	}
	(void)record_stop(run->rec);
	run->rec = record_close(run->rec, &r);
	record_discard_empty(wanted.dir);
	return status;
}

/* The machine's recorder of kernel events, of the processes that were named, or of all. */
static int flight_kernel(const pid_t *pid)
{
	struct record_kernel_options opts = wanted.args.kernel_options;
	struct tocsin_err err = {0};
	struct run none = {0};
	int r;

	opts.is_overwriting = true;
	opts.with_self = true; /* this process ends, and its number goes to another */
	opts.is_all = !wanted.pid.nr;
	r = record_kernel_flight(wanted.off ? NULL : &opts, pid, wanted.pid.nr, wanted.follow,
				 &err);
	return r ? cli_fail((enum cli_status)status_of_failure(&none, r), &err) : CLI_OK;
}

static int flight_run(void)
{
	bool has_kernel = wanted.args.kernel.nr || (wanted.off && !wanted.pid.nr);
	pid_t *pids TOCSIN_CLEANUP(tocsin_free_voidp) = calloc(wanted.pid.nr + 1, sizeof(*pids));

	if (!pids)
		return CLI_FAILED;
	for (size_t i = 0; i < wanted.pid.nr; i++) {
		struct tocsin_err err = {0};
		struct run none = {0};
		uint64_t pid;
		int r;

		if (tocsin_parse_u64(wanted.pid.item[i], &pid) || !pid || pid > INT_MAX)
			return cli_usage(&cmd_record_usage, "'%s' is no process id",
					 wanted.pid.item[i]);
		pids[i] = (pid_t)pid;
		wanted.args.wish.mode = CONTROL_MODE_OVERWRITE;
		r = record_flight(wanted.off ? NULL : &wanted.args.wish, (pid_t)pid, &err);
		if (r == -ENOENT && has_kernel)
			continue; /* it is not linked: its kernel events are there */
		if (r)
			return cli_fail((enum cli_status)status_of_failure(&none, r), &err);
	}
	return has_kernel ? flight_kernel(pids) : CLI_OK;
}

static int rotate_read(struct record_options *opts)
{
	if (!wanted.rotate)
		return wanted.keep || wanted.zstd
			       ? cli_usage(&cmd_record_usage, "--keep and --zstd go with --rotate")
			       : -1;
	opts->trace.is_chunked = true;
	if (tocsin_parse_size(wanted.rotate, &opts->rotate_bytes) == 0 && opts->rotate_bytes)
		return -1;
	opts->rotate_bytes = 0;
	if (tocsin_parse_duration(wanted.rotate, &opts->rotate_ns) == 0 && opts->rotate_ns)
		return -1;
	return cli_usage(&cmd_record_usage,
			 "--rotate '%s' is neither a size (100M) nor a time (10s)", wanted.rotate);
}

static int options_check(bool has_child)
{
	bool named = wanted.pid.nr || wanted.all || has_child;

	if (!named && !wanted.args.kernel.nr && !(wanted.flight && wanted.off))
		return cli_usage(
			&cmd_record_usage,
			"no process to record: give -p PID, -- CMD, -a for all, or -k for kernel events");
	if (wanted.flight && (wanted.all || has_child))
		return cli_usage(&cmd_record_usage,
				 "--flight goes with -p PID, or -k for kernel events");
	if (wanted.trace && !has_child)
		return cli_usage(&cmd_record_usage, "--trace goes with -- CMD");
	if ((wanted.function_depth || wanted.function_min_ns) && !wanted.trace)
		return cli_usage(&cmd_record_usage,
				 "--function-depth and --function-min go with --trace functions");
	if (wanted.off && !wanted.flight)
		return cli_usage(&cmd_record_usage, "--off goes with --flight");
	if (wanted.zstd && !record_chunk_has_zstd())
		return cli_usage(&cmd_record_usage, "this tocsin was built without zstd");
	return -1;
}

/* A command line as people would write it, near enough. */
static const char *command_text(char **argv, char *buf, size_t len)
{
	size_t used = 0;

	buf[0] = 0;
	for (; *argv && used < len; argv++)
		used += (size_t)snprintf(buf + used, len - used, "%s%s", used ? " " : "", *argv);
	return buf;
}

/* A ring is a descriptor and a file is another: a thousand processes have many. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* as many as we may */
	}
}

int cmd_record(int argc, char **argv)
{
	struct record_options opts = {0};
	struct run run = {.signal_fd = -1};
	char command[1024];
	int operands, after, status;

	status = cli_parse(&cmd_record_usage, argc, argv, &operands, &after);
	if (status < 0 && wanted.recover)
		status = record_recover_run(wanted.recover);
	if (status < 0 && operands < after)
		status = cli_usage(&cmd_record_usage, "unexpected '%s'", argv[operands]);
	if (status < 0)
		status = options_check(after < argc);
	if (status < 0)
		status = record_args_read(&wanted.args, &cmd_record_usage, wanted.follow);
	if (status < 0 && wanted.flight)
		status = flight_run();
	if (status < 0)
		status = rotate_read(&opts);
	if (status < 0 && signals_open(&run))
		status = CLI_FAILED;
	if (status < 0) {
		opts.wish = wanted.args.wish;
		opts.is_all = wanted.all;
		opts.kernel = wanted.args.kernel_options;
		opts.kernel.is_all = wanted.all || (after == argc && !wanted.pid.nr);
		opts.trace.dir = wanted.dir;
		opts.trace.version = TOCSIN_VERSION;
		opts.trace.command = command_text(argv + after, command, sizeof(command));
		opts.trace.is_ctf2 = wanted.ctf == 2;
		opts.trace.is_zstd = wanted.zstd;
		opts.trace.keep = wanted.keep;
		descriptors_raise();
		status = record_run(&run, &opts, argv + after);
	}
	if (run.has_child)
		child_done(&run.child);
	if (run.signal_fd >= 0)
		(void)close(run.signal_fd);
	record_args_done(&wanted.args);
	opt_strings_done(&wanted.pid);
	return status;
}
