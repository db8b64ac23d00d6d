// SPDX-License-Identifier: MIT
/* A library with sites of its own, loaded and unloaded while the program traces. */
#include "tocsin/event.h"

void plugin_work(unsigned from, unsigned nr);

__attribute__((visibility("default"))) void plugin_work(unsigned from, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		tocsin_event("life", "plugin", TF_U32("who", 30), TF_U32("seq", from + i));
}
