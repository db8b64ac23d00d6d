// SPDX-License-Identifier: MIT
/*
 * A model drawn: states in layers by their distance from the initial one, edges to the right above
 * and to the left below, one label for all edges between two states. Colours follow the reader's
 * light or dark setting; text is text, and can be searched.
 */
#include <stdlib.h>
#include <string.h>

#include "monitor_show.h"

#define GAP     170 /* between two layers */
#define ROW     150
#define BOX_MIN 120
#define BOX_H   46
#define MARGIN  60
#define LINE    13 /* of a label */

struct drawing {
	struct out *o;
	const struct model *m;
	int layer[AUTOMATON_STATES], row[AUTOMATON_STATES];
	int nr_layers, nr_rows;
	int top;   /* of the first row */
	int box_w; /* of a state */
};

static void text_escaped(struct out *o, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '<')
			out_add(o, "&lt;");
		else if (c == '>')
			out_add(o, "&gt;");
		else if (c == '&')
			out_add(o, "&amp;");
		else
			out_add(o, "%c", c < 0x20 || c >= 0x7f ? '?' : c);
	}
}

static void layers_make(struct drawing *d)
{
	const struct model *m = d->m;
	int used[AUTOMATON_STATES + 1] = {0};
	bool changed = true;

	for (int i = 0; i < m->nr_states; i++)
		d->layer[i] = i == m->initial ? 0 : -1;
	for (int at = 0; changed; at++) {
		changed = false;
		for (int i = 0; i < m->nr_edges; i++)
			if (d->layer[m->edge[i].from] == at && d->layer[m->edge[i].to] < 0) {
				d->layer[m->edge[i].to] = at + 1;
				changed = true;
			}
		d->nr_layers = at + 1;
	}
	for (int i = 0; i < m->nr_states; i++)
		if (d->layer[i] < 0)
			d->layer[i] = d->nr_layers; /* never reached */
	for (int i = 0; i < m->nr_states; i++) {
		d->row[i] = used[d->layer[i]]++;
		if (d->layer[i] + 1 > d->nr_layers)
			d->nr_layers = d->layer[i] + 1;
		if (d->row[i] + 1 > d->nr_rows)
			d->nr_rows = d->row[i] + 1;
	}
}

/* Lines of the label between two states. */
static int label_lines(const struct model *m, int from, int to)
{
	int nr = 0;

	for (int i = 0; i < m->nr_edges; i++)
		nr += m->edge[i].from == from && m->edge[i].to == to;
	return nr;
}

static int state_x(const struct drawing *d, int s)
{
	return MARGIN + d->box_w / 2 + d->layer[s] * (d->box_w + GAP);
}

/* Every other layer is half a row lower, so that straight edges do not run through states. */
static int state_y(const struct drawing *d, int s)
{
	return d->top + BOX_H / 2 + d->row[s] * ROW + d->layer[s] % 2 * ROW / 3;
}

static void label_draw(struct drawing *d, int from, int to, int x, int y, const char *anchor)
{
	const struct model *m = d->m;
	int line = 0;

	for (int i = 0; i < m->nr_edges; i++) {
		if (m->edge[i].from != from || m->edge[i].to != to)
			continue;
		out_add(d->o, "<text class=\"e\" x=\"%d\" y=\"%d\" text-anchor=\"%s\">", x,
			y + LINE * line++, anchor);
		text_escaped(d->o, m->text + m->edge[i].where.at, m->edge[i].where.len);
		out_add(d->o, "</text>\n");
	}
}

static void loop_draw(struct drawing *d, int s, int lines)
{
	int x = state_x(d, s), y = state_y(d, s) - BOX_H / 2;

	out_add(d->o, "<path d=\"M%d %d C%d %d %d %d %d %d\" marker-end=\"url(#a)\"/>\n", x - 22, y,
		x - 40, y - 34, x + 40, y - 34, x + 22, y);
	label_draw(d, s, s, x, y - 30 - LINE * (lines - 1), "middle");
}

/* Near where it begins, at 3/10 of the curve, so that labels of both directions keep apart. */
static int near_start(int from, int bend, int to)
{
	return (49 * from + 42 * bend + 9 * to) / 100;
}

/* Between two states of one layer: on their right. */
static void edge_beside(struct drawing *d, int from, int to, int lines)
{
	int x = state_x(d, from) + d->box_w / 2, y1 = state_y(d, from), y2 = state_y(d, to);
	int far = x + 24 * abs(d->row[from] - d->row[to]) + (y2 > y1 ? 10 : 46);

	y1 += y2 > y1 ? 12 : -4;
	y2 += y2 > y1 ? -4 : 12;
	out_add(d->o, "<path d=\"M%d %d Q%d %d %d %d\" marker-end=\"url(#a)\"/>\n", x, y1, far,
		(y1 + y2) / 2, x, y2);
	label_draw(d, from, to, near_start(x, far, x) + 5,
		   near_start(y1, (y1 + y2) / 2, y2) - LINE * (lines - 1) / 2 + 4, "start");
}

static void edge_draw(struct drawing *d, int from, int to, int lines)
{
	int x1 = state_x(d, from), y1 = state_y(d, from), x2 = state_x(d, to), y2 = state_y(d, to);
	int side, bend, mx, my, x, y;

	if (from == to) {
		loop_draw(d, from, lines);
		return;
	}
	if (x1 == x2) {
		edge_beside(d, from, to, lines);
		return;
	}
	side = x2 > x1 ? 1 : -1;
	bend = side * (abs(x2 - x1) / 7 + 4);
	x1 += side * d->box_w / 2;
	x2 -= side * d->box_w / 2;
	y1 -= side * 9;
	y2 -= side * 9;
	mx = (x1 + x2) / 2;
	my = (y1 + y2) / 2 - bend;
	out_add(d->o, "<path d=\"M%d %d Q%d %d %d %d\" marker-end=\"url(#a)\"/>\n", x1, y1, mx, my,
		x2, y2);
	x = near_start(x1, mx, x2);
	y = near_start(y1, my, y2);
	label_draw(d, from, to, x, side > 0 ? y - 6 - LINE * (lines - 1) : y + 4 + LINE,
		   side > 0 ? "start" : "end");
}

static void state_draw(struct drawing *d, int s)
{
	const struct model_state *state = &d->m->state[s];
	int x = state_x(d, s) - d->box_w / 2, y = state_y(d, s) - BOX_H / 2;
	bool has_bound = state->invariant >= 0;
	const struct model_span *where = has_bound ? &d->m->expr[state->invariant].where : NULL;

	out_add(d->o, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"20\"/>\n", x, y,
		d->box_w, BOX_H);
	if (state->is_final)
		out_add(d->o, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"17\"/>\n",
			x + 4, y + 4, d->box_w - 8, BOX_H - 8);
	out_add(d->o, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
		x + d->box_w / 2, y + BOX_H / 2 + (has_bound ? -2 : 5), state->name);
	if (has_bound) {
		out_add(d->o, "<text class=\"e\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
			x + d->box_w / 2, y + BOX_H / 2 + 13);
		text_escaped(d->o, d->m->text + where->at, where->len);
		out_add(d->o, "</text>\n");
	}
	if (s == d->m->initial)
		out_add(d->o, "<path d=\"M%d %d L%d %d\" marker-end=\"url(#a)\"/>\n", x - 40,
			y + BOX_H / 2, x, y + BOX_H / 2);
}

/* Wide enough for the longest name and bound, some 9 and 7 pixels a letter. */
static void width_find(struct drawing *d)
{
	d->box_w = BOX_MIN;
	for (int i = 0; i < d->m->nr_states; i++) {
		const struct model_state *s = &d->m->state[i];
		int need = (int)strlen(s->name) * 9 + 30;

		if (need > d->box_w)
			d->box_w = need;
		if (s->invariant >= 0)
			need = (int)d->m->expr[s->invariant].where.len * 7 + 30;
		if (need > d->box_w)
			d->box_w = need;
	}
}

/* Room above the first row for the highest label of a loop there. */
static void top_find(struct drawing *d)
{
	d->top = MARGIN;
	for (int i = 0; i < d->m->nr_states; i++) {
		int need = label_lines(d->m, i, i) * LINE + 60 - d->row[i] * ROW;

		if (need > d->top)
			d->top = need;
	}
}

static void head_draw(struct drawing *d)
{
	int width = 2 * MARGIN + 60 + d->box_w +
		    (d->nr_layers > 0 ? d->nr_layers - 1 : 0) * (d->box_w + GAP);
	int height = d->top + d->nr_rows * ROW + MARGIN;

	out_add(d->o,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
		"height=\"%d\" role=\"img\" aria-label=\"model %s\">\n",
		width, height, width, height, d->m->name);
	out_add(d->o,
		"<style>svg{background:#ffffff}rect{fill:#eef3fa;stroke:#1b1b1b;stroke-width:1.4}\n"
		"path{fill:none;stroke:#1b1b1b;stroke-width:1.2}text{fill:#1b1b1b;font:14px sans-serif}\n"
		"text.e{font-size:11px;paint-order:stroke;stroke:#ffffff;stroke-width:3px}marker path{fill:#1b1b1b;stroke:none}\n"
		"@media(prefers-color-scheme:dark){svg{background:#16181c}\n"
		"rect{fill:#242a35;stroke:#e8e8e8}path{stroke:#e8e8e8}text,marker path{fill:#e8e8e8}text.e{stroke:#16181c}}\n"
		"</style>\n"
		"<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" "
		"markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n"
		"<text x=\"%d\" y=\"24\">",
		MARGIN / 2);
	text_escaped(d->o, d->m->name, strlen(d->m->name));
	if (d->m->about[0]) {
		out_add(d->o, ": ");
		text_escaped(d->o, d->m->about, strlen(d->m->about));
	}
	out_add(d->o, "</text>\n");
}

void monitor_svg(struct out *o, const struct model *m)
{
	struct drawing d = {.o = o, .m = m};

	if (m->nr_states)
		layers_make(&d);
	top_find(&d);
	width_find(&d);
	head_draw(&d);
	for (int i = 0; i < m->nr_states; i++)
		for (int k = 0; k < m->nr_states; k++) {
			int lines = label_lines(m, i, k);

			if (lines)
				edge_draw(&d, i, k, lines);
		}
	for (int i = 0; i < m->nr_states; i++)
		state_draw(&d, i);
	out_add(o, "</svg>\n");
}
