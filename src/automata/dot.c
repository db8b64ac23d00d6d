// SPDX-License-Identifier: MIT
/*
 * Graphviz's DOT, as far as models use it: the kernel's rvgen has had two readers, one of lines and
 * one of a grammar, and this reads what either does.
 *
 * A node is a state when it is written down or an edge leads to or from it; those that begin with
 * __init_ are no states but name the initial one. Its name is the first word of its label, or its
 * id. It is final when the first shape that it got, its own or one inherited from `node [...]` in
 * its braces, is a doublecircle or an ellipse. Edges without a label say nothing. Comments, strict,
 * colours and the like are passed over. Settings of ours are graph attributes that begin with
 * "tocsin_", which rvgen passes over.
 */
#include <errno.h>
#include <string.h>

#include "parse.h"

#define SCOPES 16
#define CHAIN  16 /* nodes of one edge statement */

enum token_kind { TOKEN_END, TOKEN_ID, TOKEN_ARROW, TOKEN_PUNCTUATION, TOKEN_BAD };

struct token {
	enum token_kind kind;
	char punctuation;
	struct model_span where;  /* with quotes */
	struct model_span inside; /* without */
};

/* What `node [...]` and `edge [...]` gave, in one pair of braces. */
struct scope {
	struct model_span node_shape, node_label, edge_label;
	bool has_label;
};

struct node {
	struct model_span id;
	struct model_span label;
	bool has_label, has_shape, is_final, is_init;
	int state;
};

struct attributes {
	struct model_span label, shape, label_key;
	bool has_label, has_shape;
};

struct dot {
	struct parse *p;
	size_t at;
	struct token now;
	struct scope scope[SCOPES];
	int depth;
	struct node node[2 * AUTOMATON_STATES];
	int nr_nodes;
	struct {
		int from, to;
		struct model_span label;
		bool has_label;
	} edge[AUTOMATON_EDGES];
	int nr_edges;
};

/* ---- tokens */

static struct model_span from_to(size_t from, size_t to)
{
	return (struct model_span){(uint32_t)from, (uint32_t)(to - from)};
}

/* Blanks and comments. */
static int space_skip(struct dot *d)
{
	struct parse *p = d->p;

	for (;;) {
		char c = parse_at(p, d->at), next = parse_at(p, d->at + 1);
		bool line_start = d->at == 0 || parse_at(p, d->at - 1) == '\n';

		if (d->at < p->m->len && is_space(c)) {
			d->at++;
		} else if ((c == '/' && next == '/') || (c == '#' && line_start)) {
			while (d->at < p->m->len && parse_at(p, d->at) != '\n')
				d->at++;
		} else if (c == '/' && next == '*') {
			size_t start = d->at;

			while (d->at < p->m->len &&
			       !(d->at >= start + 3 && parse_at(p, d->at - 1) == '*' &&
				 parse_at(p, d->at) == '/'))
				d->at++;
			if (d->at++ >= p->m->len)
				return parse_error(p, from_to(start, start + 2), NULL,
						   "comment is not closed");
		} else {
			return 0;
		}
	}
}

static int quoted_take(struct dot *d)
{
	struct parse *p = d->p;
	size_t start = d->at++;

	while (d->at < p->m->len && parse_at(p, d->at) != '"')
		d->at += parse_at(p, d->at) == '\\' && d->at + 1 < p->m->len ? 2 : 1;
	if (d->at >= p->m->len)
		return parse_error(p, from_to(start, start + 1), NULL, "quote is not closed");
	d->now.kind = TOKEN_ID;
	d->now.inside = from_to(start + 1, d->at++);
	d->now.where = from_to(start, d->at);
	return 0;
}

static bool is_word_char(char c)
{
	return is_name_char(c) || c == '.' || (unsigned char)c >= 0x80;
}

static int token_next(struct dot *d)
{
	struct parse *p = d->p;
	size_t start;
	char c;

	d->now = (struct token){.kind = TOKEN_BAD};
	if (space_skip(d) < 0)
		return -EINVAL;
	start = d->at;
	c = parse_at(p, start);
	d->now.where = from_to(start, start < p->m->len ? start + 1 : start);
	if (start >= p->m->len) {
		d->now.kind = TOKEN_END;
		return 0;
	}
	if (c == '"')
		return quoted_take(d);
	if (c == '-' && (parse_at(p, start + 1) == '>' || parse_at(p, start + 1) == '-')) {
		d->at += 2;
		d->now.kind = TOKEN_ARROW;
		d->now.where = from_to(start, d->at);
		return 0;
	}
	if (is_word_char(c) || (c == '-' && is_word_char(parse_at(p, start + 1)))) {
		for (d->at++; d->at < p->m->len && is_word_char(parse_at(p, d->at)); d->at++)
			;
		d->now.kind = TOKEN_ID;
		d->now.where = d->now.inside = from_to(start, d->at);
		return 0;
	}
	d->at++;
	if (c && strchr("{}[]=;,:+", c)) {
		d->now.kind = TOKEN_PUNCTUATION;
		d->now.punctuation = c;
		return 0;
	}
	if (c == '<')
		return parse_error(p, d->now.where, "put the label into quotes",
				   "HTML labels are not read");
	return parse_error(p, d->now.where, NULL, "unexpected character");
}

static bool is_punctuation(const struct dot *d, char c)
{
	return d->now.kind == TOKEN_PUNCTUATION && d->now.punctuation == c;
}

static bool is_word(const struct dot *d, const char *word)
{
	return d->now.kind == TOKEN_ID && span_equals(d->p, d->now.where, word);
}

static int unexpected(struct dot *d, const char *wanted)
{
	if (d->now.kind == TOKEN_END)
		return parse_error(d->p, d->now.where, NULL, "expected %s, and the text ends",
				   wanted);
	return parse_error(d->p, d->now.where, NULL, "expected %s", wanted);
}

/* ---- nodes and attributes */

static int node_of(struct dot *d, struct model_span id)
{
	const char *text = d->p->m->text;
	struct node *n;

	for (int i = 0; i < d->nr_nodes; i++)
		if (d->node[i].id.len == id.len &&
		    memcmp(text + d->node[i].id.at, text + id.at, id.len) == 0)
			return i;
	if (d->nr_nodes == 2 * AUTOMATON_STATES)
		return parse_error(d->p, id, NULL, "more than %d nodes", 2 * AUTOMATON_STATES);
	n = &d->node[d->nr_nodes];
	*n = (struct node){.id = id, .state = -1};
	n->is_init = id.len >= 7 && memcmp(text + id.at, "__init_", 7) == 0;
	return d->nr_nodes++;
}

static bool shape_is_final(const struct dot *d, struct model_span shape)
{
	return span_equals(d->p, shape, "doublecircle") || span_equals(d->p, shape, "ellipse");
}

/* At every mention: the first shape and the first label that is not empty count. */
static void node_define(struct dot *d, int i, const struct attributes *a)
{
	struct node *n = &d->node[i];
	const struct scope *s = &d->scope[d->depth];
	struct model_span shape = a->has_shape ? a->shape : s->node_shape;
	struct model_span label = a->has_label ? a->label : s->node_label;

	if (!n->has_shape && shape.len) {
		n->has_shape = true;
		n->is_final = shape_is_final(d, shape);
	}
	if (!n->has_label && label.len) {
		n->has_label = true;
		n->label = label;
	}
}

static int setting_read(struct dot *d, struct model_span key, struct model_span value)
{
	static const char prefix[] = "tocsin_";

	if (key.len < sizeof(prefix) - 1 ||
	    memcmp(d->p->m->text + key.at, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	key.at += sizeof(prefix) - 1;
	key.len -= (uint32_t)sizeof(prefix) - 1;
	(void)parse_setting(d->p, key, value); /* said, and counted */
	return 0;
}

/* [a=b, c=d; e]... */
static int attributes_read(struct dot *d, struct attributes *a, bool is_graph)
{
	int r = 0;

	while (r == 0 && is_punctuation(d, '[')) {
		r = token_next(d);
		while (r == 0 && !is_punctuation(d, ']')) {
			struct token key = d->now;
			struct model_span value = {0, 0};

			if (key.kind != TOKEN_ID)
				return unexpected(d, "an attribute or ']'");
			r = token_next(d);
			if (r == 0 && is_punctuation(d, '=')) {
				r = token_next(d);
				if (r == 0 && d->now.kind != TOKEN_ID)
					return unexpected(d, "an attribute's value");
				value = d->now.inside;
				r = r ?: token_next(d);
			}
			if (r == 0 && is_punctuation(d, '+'))
				return parse_error(d->p, d->now.where, NULL,
						   "texts are not put together by '+'");
			if (span_equals(d->p, key.inside, "label")) {
				a->has_label = true;
				a->label = value;
			} else if (span_equals(d->p, key.inside, "shape")) {
				a->has_shape = true;
				a->shape = value;
			} else if (is_graph && r == 0) {
				r = setting_read(d, key.inside, value);
			}
			if (r == 0 && (is_punctuation(d, ',') || is_punctuation(d, ';')))
				r = token_next(d);
		}
		r = r ?: token_next(d);
	}
	return r;
}

static int edges_add(struct dot *d, const int *chain, int nr, const struct attributes *a)
{
	struct model_span label = a->has_label ? a->label : d->scope[d->depth].edge_label;

	for (int i = 0; i + 1 < nr; i++) {
		if (d->nr_edges == AUTOMATON_EDGES)
			return parse_error(d->p, d->node[chain[i]].id, NULL, "more than %d edges",
					   AUTOMATON_EDGES);
		d->edge[d->nr_edges].from = chain[i];
		d->edge[d->nr_edges].to = chain[i + 1];
		d->edge[d->nr_edges].label = label;
		d->edge[d->nr_edges++].has_label = label.len;
	}
	return 0;
}

/* ---- statements */

static int defaults_read(struct dot *d, char what)
{
	struct scope *s = &d->scope[d->depth];
	struct attributes a = {0};
	int r = token_next(d);

	if (r == 0 && !is_punctuation(d, '['))
		return unexpected(d, "'['");
	r = r ?: attributes_read(d, &a, what == 'g');
	if (what == 'n' && a.has_shape)
		s->node_shape = a.shape;
	if (what == 'n' && a.has_label)
		s->node_label = a.label;
	if (what == 'e' && a.has_label)
		s->edge_label = a.label;
	return r;
}

/* A node, an edge, or key = value. */
static int named_read(struct dot *d)
{
	struct attributes a = {0};
	struct token first = d->now;
	int chain[CHAIN], nr = 0, r = token_next(d);

	if (r == 0 && is_punctuation(d, '=')) {
		r = token_next(d);
		if (r == 0 && d->now.kind != TOKEN_ID)
			return unexpected(d, "a value");
		r = r ?: setting_read(d, first.inside, d->now.inside);
		return r ?: token_next(d);
	}
	chain[nr] = node_of(d, first.inside);
	if (chain[nr++] < 0)
		return -EINVAL;
	while (r == 0 && (d->now.kind == TOKEN_ARROW || is_punctuation(d, ':'))) {
		if (is_punctuation(d, ':'))
			return parse_error(d->p, d->now.where, NULL, "ports of nodes are not read");
		if (span_equals(d->p, d->now.where, "--"))
			return parse_error(d->p, d->now.where, "write ->",
					   "edges of models have a direction");
		r = token_next(d);
		if (r == 0 && d->now.kind != TOKEN_ID)
			return unexpected(d, "a state");
		if (nr == CHAIN)
			return parse_error(d->p, d->now.where, NULL,
					   "more than %d states in one statement", CHAIN);
		chain[nr] = r == 0 ? node_of(d, d->now.inside) : -1;
		if (chain[nr++] < 0)
			return -EINVAL;
		r = token_next(d);
	}
	r = r ?: attributes_read(d, &a, false);
	if (r < 0)
		return r;
	if (nr > 1) {
		const struct attributes none = {0};

		for (int i = 0; i < nr; i++)
			node_define(d, chain[i], &none);
		return edges_add(d, chain, nr, &a);
	}
	node_define(d, chain[0], &a);
	return 0;
}

static int braces_open(struct dot *d)
{
	if (d->depth + 1 == SCOPES)
		return parse_error(d->p, d->now.where, NULL, "more than %d braces in one another",
				   SCOPES);
	d->scope[d->depth + 1] = d->scope[d->depth];
	d->depth++;
	return token_next(d);
}

static int statement_read(struct dot *d)
{
	int r;

	if (is_punctuation(d, ';') || is_punctuation(d, ','))
		return token_next(d);
	if (is_punctuation(d, '}')) {
		d->depth--;
		r = token_next(d);
		if (r == 0 && d->now.kind == TOKEN_ARROW)
			return parse_error(d->p, d->now.where, NULL,
					   "edges of groups of states are not read");
		return r;
	}
	if (is_word(d, "subgraph")) {
		r = token_next(d);
		if (r == 0 && d->now.kind == TOKEN_ID)
			r = token_next(d);
		if (r == 0 && !is_punctuation(d, '{'))
			return unexpected(d, "'{'");
	}
	if (is_punctuation(d, '{'))
		return braces_open(d);
	if (is_word(d, "node"))
		return defaults_read(d, 'n');
	if (is_word(d, "edge"))
		return defaults_read(d, 'e');
	if (is_word(d, "graph"))
		return defaults_read(d, 'g');
	if (d->now.kind != TOKEN_ID)
		return unexpected(d, "a statement or '}'");
	return named_read(d);
}

static int text_read(struct dot *d)
{
	int r = token_next(d);

	if (r == 0 && is_word(d, "strict"))
		r = token_next(d);
	if (r == 0 && !is_word(d, "digraph"))
		return parse_error(d->p, d->now.where, "a model begins with 'digraph NAME {'",
				   is_word(d, "graph") ? "edges of models have a direction"
						       : "this is not DOT");
	r = r ?: token_next(d);
	if (r == 0 && d->now.kind == TOKEN_ID)
		r = token_next(d);
	if (r == 0 && !is_punctuation(d, '{'))
		return unexpected(d, "'{'");
	r = r ?: braces_open(d);
	while (r == 0 && d->depth > 0)
		r = statement_read(d);
	if (r == 0 && d->now.kind != TOKEN_END)
		r = parse_error(d->p, d->now.where, NULL, "text behind the model's '}'");
	return r;
}

/* ---- from nodes to states */

static int state_make(struct dot *d, struct node *n)
{
	struct model *m = d->p->m;
	struct model_state *s;
	int r;

	if (m->nr_states == AUTOMATON_STATES - 1)
		return parse_error(d->p, n->id, NULL, "more than %d states", AUTOMATON_STATES - 1);
	n->state = m->nr_states++;
	s = &m->state[n->state];
	s->is_final = n->is_final;
	s->invariant = -1;
	s->where = n->id;
	if (n->has_label)
		return label_state(d->p, n->state, n->label);
	r = parse_name(d->p, n->id, s->name);
	return r;
}

static int states_make(struct dot *d)
{
	struct model *m = d->p->m;
	const struct node *init = NULL;
	bool has_final = false;

	for (int i = 0; i < d->nr_nodes; i++) {
		struct node *n = &d->node[i];

		if (!n->is_init) {
			(void)state_make(d, n); /* said */
			continue;
		}
		if (init)
			return parse_error(d->p, n->id, NULL, "a second initial state");
		init = n;
	}
	if (!init)
		return parse_error(d->p, (struct model_span){0, 0},
				   "a node '__init_NAME' says that NAME is",
				   "the model has no initial state");
	for (int i = 0; i < d->nr_nodes; i++) {
		const struct node *n = &d->node[i];

		if (n->id.len == init->id.len - 7 &&
		    memcmp(m->text + n->id.at, m->text + init->id.at + 7, n->id.len) == 0)
			m->initial = n->state;
	}
	if (m->initial < 0)
		return parse_error(d->p, init->id, NULL, "no state '%.*s'", (int)(init->id.len - 7),
				   m->text + init->id.at + 7);
	for (int i = 0; i < m->nr_states; i++)
		has_final |= m->state[i].is_final;
	if (!has_final)
		m->state[m->initial].is_final = true;
	return 0;
}

static int edges_make(struct dot *d)
{
	for (int i = 0; i < d->nr_edges; i++) {
		const struct node *from = &d->node[d->edge[i].from], *to = &d->node[d->edge[i].to];

		if (to->is_init) {
			(void)parse_error(d->p, to->id, NULL, "an edge leads to '%.*s'",
					  (int)to->id.len, d->p->m->text + to->id.at);
		} else if (from->is_init) {
			if (to->state != d->p->m->initial)
				(void)parse_error(d->p, from->id, NULL,
						  "'%.*s' leads to another state",
						  (int)from->id.len, d->p->m->text + from->id.at);
			if (d->edge[i].has_label)
				(void)label_initial(d->p, d->edge[i].label);
		} else if (d->edge[i].has_label) {
			(void)label_edge(d->p, from->state, to->state, d->edge[i].label);
		}
	} /* what is wrong was said, and counted */
	return d->p->nr_errors ? -EINVAL : 0;
}

int dot_read(struct parse *p)
{
	struct dot d = {0};
	int r;

	p->m->kind = AUTOMATON_GRAPH;
	d.p = p;
	r = text_read(&d);
	r = r ?: states_make(&d);
	return r ?: edges_make(&d);
}
