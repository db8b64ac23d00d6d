/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_CLI_MONITOR_SHOW_H
#define TOCSIN_CLI_MONITOR_SHOW_H

/* A model for people, as JSON, as its flat table, and drawn. */

#include "../automata/model.h"
#include "../report/out.h"
#include "monitor_events.h"

void monitor_show_text(struct out *o, const struct model *m, const struct monitor_events *k);
void monitor_show_json(struct out *o, const struct model *m, const struct monitor_events *k);
void monitor_show_table(struct out *o, const struct model *m);

/** monitor_svg() - a picture of it, one SVG document. */
void monitor_svg(struct out *o, const struct model *m);

/** monitor_edge_text() - `event;guard;reset(clk)` as the text has it. */
void monitor_edge_text(struct out *o, const struct model *m, const struct model_edge *e);

#endif
