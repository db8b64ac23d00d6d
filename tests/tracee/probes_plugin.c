// SPDX-License-Identifier: MIT
/* A library with a site and with a probe, which it leaves to its destructor; the program's threads
 * call that at the moment when it is unloaded. */
#include <stdatomic.h>

#include "tocsin/probe.h"

void plugin_work(unsigned from, unsigned nr);
long plugin_seen(void);

static atomic_long seen;

static void on_step(const struct tocsin_record *record, void *data)
{
	(void)record;
	(void)data;
	seen++;
}

__attribute__((constructor)) static void begin(void)
{
	(void)tocsin_probe_register("probes:*", on_step, NULL, 0); /* plugin_seen() tells */
}

__attribute__((visibility("default"))) void plugin_work(unsigned from, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		tocsin_event("plugin", "step", TF_U32("n", from + i));
}

__attribute__((visibility("default"))) long plugin_seen(void)
{
	return seen;
}
