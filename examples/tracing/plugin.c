// SPDX-License-Identifier: MIT
/* A plugin with an event of its own; the server loads it by dlopen(). */
#include <ctype.h>
#include <stddef.h>

#include <tocsin/tocsin.h>

void plugin_change(char *line, size_t len);

void plugin_change(char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		line[i] = (char)toupper((unsigned char)line[i]);
	tocsin_event("plugin", "change", TF_U64("bytes", len));
}
