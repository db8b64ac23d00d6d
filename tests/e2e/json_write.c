// SPDX-License-Identifier: MIT
/* Prints every kind of JSON line, with known and with extreme values, for json_lines.py. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../unit/report_sample.h"
#include "report/json.h"

static int write_all(struct out *o)
{
	struct sink_losses sinks = {.count = {[SINK_EXEC_FAILED] = UINT64_MAX}};
	struct watch_summary *summary = sample_summary();
	struct watch_event_process *process = sample_process();
	struct violation *v;
	int r = json_armed(o, 2, 5, SAMPLE_REALTIME_NS);

	r = json_violation(o, sample_fired()) ?: r;
	v = sample_fired();
	v->nr_spells = 0;
	v->raw.flags = 0;
	r = json_violation(o, v) ?: r;
	r = json_violation(o, sample_violation()) ?: r;
	r = json_violation(o, sample_extreme()) ?: r;
	v = sample_violation();
	v->nr_spells = 0;
	v->nr_causes = 0;
	v->verdict[0] = '\0';
	v->raw.flags = SECTION_MOVED | SECTION_NO_SPLIT | SECTION_ABANDON_EXIT;
	r = json_violation(o, v) ?: r;
	for (process->what = 0; process->what <= PROCESS_EXITED; process->what++)
		r = json_process(o, process) ?: r;
	r = json_summary(o, summary, NULL) ?: r;
	memset(summary->loss, 0xff, sizeof(summary->loss));
	summary->throttle_known = false;
	return json_summary(o, summary, &sinks) ?: r;
}

int main(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct out o;
	int r;

	if (sigaction(SIGPIPE, &ignore, NULL) < 0)
		return 1;
	out_init(&o, STDOUT_FILENO);
	r = write_all(&o);
	out_done(&o);
	if (r < 0)
		(void)fprintf(stderr, "json_write: %s\n", strerror(-r));
	return r < 0 ? 1 : 0;
}
