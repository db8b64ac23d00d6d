// SPDX-License-Identifier: MIT
/*
 * A stack is walked when its record is read, while its process still has the mappings that it had;
 * names are looked up when an event asks for it. What a walk leaves are places in files, which stay
 * open for the life of the watch, so a process may go in between.
 *
 * A library that was loaded since the mappings were read makes a walk end in code that is in none
 * of them: then they are read again, once for that stack.
 */
#include "watch_stack.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/text.h"
#include "../unwind/perf_map.h"
#include "../unwind/stitch.h"
#include "../unwind/symbol.h"

#define FRAMES_MAX    128
#define STACKS_KEPT   2048
#define PROCESSES_MAX 64            /* whose mappings are kept; a power of two */
#define FIRED_KEPT    1024          /* sections that fired and have not ended */
#define MADE_AGAIN_NS 1000000000ull /* names of code made at run time are not read again sooner */
#define NAMES_MAX     (16u << 20)   /* bytes of names kept */

struct place {
	struct unwind_module *module; /* NULL: none */
	uint64_t vaddr;               /* to be looked up */
};

struct walked {
	enum stack_reason why;
	uint32_t tgid;
	unsigned nr;
	struct place place[];
};

struct process_slot {
	uint32_t tgid;                  /* 0: free */
	struct unwind_process *process; /* NULL: it could not be read */
	struct perf_map *made;          /* names of code that it made; NULL: not looked, or none */
	uint64_t made_ns;               /* when it was looked for */
};

/* Texts, each kept once, for the life of the watch. */
struct name {
	struct name *next;
	char text[];
};

/* A section whose deadline has passed: its end has the same stack. */
struct fired {
	uint64_t serial;
	uint64_t cookie;
	uint64_t t_ns;
	uint32_t tid;
};

struct stacks {
	struct watch_kernel *kernel;
	struct unwind_files *files;
	struct stitch *stitch;
	struct process_slot process[PROCESSES_MAX];
	unsigned next_slot;
	uint64_t session;
	struct fired fired[FIRED_KEPT];
	unsigned next_fired;
	struct name *name[4096];
	size_t name_bytes;
	uint8_t bytes[STACK_BYTES_MAX + 4096]; /* of the stack that is being walked */
};

static void slot_clear(struct process_slot *slot)
{
	slot->process = unwind_process_free(slot->process);
	slot->made = perf_map_free(slot->made);
	slot->made_ns = 0;
	slot->tgid = 0;
}

static void stacks_closep(struct stacks **s)
{
	(void)stacks_close(*s);
}

int stacks_open(const struct stacks_options *opts, struct stacks **ret)
{
	TOCSIN_CLEANUP(stacks_closep) struct stacks *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->kernel = opts->kernel;
	s->session = opts->session;
	s->files = unwind_files_new(opts->cache_dir);
	s->stitch = stitch_new(opts->session, STACKS_KEPT, free);
	if (!s->files || !s->stitch)
		return -ENOMEM;
	*ret = tocsin_take_ptr(&s);
	return 0;
}

struct stacks *stacks_close(struct stacks *s)
{
	if (!s)
		return NULL;
	for (unsigned i = 0; i < PROCESSES_MAX; i++)
		slot_clear(&s->process[i]);
	(void)stitch_free(s->stitch); /* always NULL, as the next */
	(void)unwind_files_free(s->files);
	for (size_t i = 0; i < sizeof(s->name) / sizeof(s->name[0]); i++)
		while (s->name[i]) {
			struct name *n = s->name[i];

			s->name[i] = n->next;
			free(n);
		}
	free(s);
	return NULL;
}

/* --- processes
 * ------------------------------------------------------------------------------------------------------
 */

static struct process_slot *process_slot(struct stacks *s, uint32_t tgid)
{
	for (unsigned i = 0; i < PROCESSES_MAX; i++)
		if (s->process[i].tgid == tgid)
			return &s->process[i];
	return NULL;
}

static struct unwind_process *process_of(struct stacks *s, uint32_t tgid)
{
	struct process_slot *slot = process_slot(s, tgid);

	if (slot)
		return slot->process;
	slot = &s->process[s->next_slot];
	s->next_slot = (s->next_slot + 1) % PROCESSES_MAX;
	slot_clear(slot);
	slot->tgid = tgid;
	if (unwind_process_open(s->files, (pid_t)tgid, &slot->process, NULL))
		slot->tgid = 0; /* tried again with the next stack */
	return slot->process;
}

void stacks_prepare(struct stacks *s, uint32_t tgid)
{
	(void)process_of(s, tgid);
}

void stacks_forget(struct stacks *s, uint32_t tgid)
{
	struct process_slot *slot = process_slot(s, tgid);

	if (slot)
		slot_clear(slot);
}

/* --- walks
 * ------------------------------------------------------------------------------------------------------
 */

static struct walked *walked_none(enum stack_reason why)
{
	struct walked *w = calloc(1, sizeof(*w));

	if (w)
		w->why = why;
	return w;
}

static struct walked *walked_from(const struct unwind_space *space, uint32_t tgid,
				  const struct unwind_frame *frame, size_t nr,
				  enum stack_reason why)
{
	struct walked *w = malloc(sizeof(*w) + nr * sizeof(w->place[0]));

	if (!w)
		return NULL;
	w->why = why;
	w->tgid = tgid;
	w->nr = (unsigned)nr;
	for (size_t i = 0; i < nr; i++) {
		uint64_t pc = frame[i].pc - !frame[i].is_exact;
		const struct unwind_map *map = unwind_map_at(space, pc);

		w->place[i].module = map ? map->module : NULL;
		w->place[i].vaddr = map && map->module ? pc - map->bias : pc;
	}
	return w;
}

/* Return addresses that probes have replaced are put back. */
static void returns_restore(struct stacks *s, const struct stack_event *e)
{
	for (int i = 0; i < STACK_RETURNS; i++) {
		uint64_t off = e->real[i].at - e->sp;

		if (off < e->bytes && e->bytes - off >= sizeof(uint64_t))
			memcpy(s->bytes + off, &e->real[i].address, sizeof(uint64_t));
	}
}

static struct walked *walk(struct stacks *s, const struct stack_event *e)
{
	const struct unwind_regs regs = {.pc = e->ip, .sp = e->sp, .fp = e->fp};
	const struct unwind_stack stack = {.base = e->sp, .bytes = s->bytes, .len = e->bytes};
	struct unwind_process *p = process_of(s, e->tgid);
	struct unwind_frame frame[FRAMES_MAX];
	enum stack_reason why;
	size_t nr;

	if (!p)
		return walked_none(STACK_GONE);
	nr = unwind_walk(unwind_process_space(p), &regs, &stack, frame, FRAMES_MAX, &why);
	if (why == STACK_NOT_CODE && unwind_process_refresh(p, NULL))
		why = STACK_GONE; /* it may be a library of which we shall never know */
	else if (why == STACK_NOT_CODE)
		nr = unwind_walk(unwind_process_space(p), &regs, &stack, frame, FRAMES_MAX, &why);
	return walked_from(unwind_process_space(p), e->tgid, frame, nr, why);
}

static int on_stack(void *arg, const void *event, size_t len)
{
	const struct stack_event *e = event;
	struct stacks *s = arg;
	struct walked *w;

	if (len < sizeof(*e) || e->bytes > len - sizeof(*e) || e->bytes > sizeof(s->bytes) ||
	    e->reason >= STACK_REASONS)
		return -EPROTO;
	memcpy(s->bytes, e + 1, e->bytes);
	returns_restore(s, e);
	w = e->reason == STACK_COMPLETE ? walk(s, e) : walked_none((enum stack_reason)e->reason);
	if (!w)
		return -ENOMEM;
	stitch_put(s->stitch,
		   &(struct stitch_key){.session = e->session,
					.cookie = e->cookie,
					.thread_start_ns = e->thread_start_ns,
					.tid = e->tid},
		   e->asked_ns, e->walked_ns, w);
	return 0;
}

int stacks_take(struct stacks *s)
{
	uint64_t loss[LOSS_NR];
	int r = watch_kernel_consume_stacks(s->kernel, on_stack, s);

	watch_kernel_losses(s->kernel, loss);
	stitch_lost(s->stitch, loss[LOSS_STACK_RING_FULL]);
	return r < 0 ? r : 0;
}

/* --- names
 * ------------------------------------------------------------------------------------------------------
 */

/* Made fit for a terminal, and cut where it is longer than any path. */
static const char *name_keep(struct stacks *s, const char *text)
{
	char clean[PATH_MAX];
	struct tocsin_text t;
	struct name *n;
	size_t at;

	if (!text[0])
		return "";
	tocsin_text_init(&t, clean, sizeof(clean));
	tocsin_text_add_clean(&t, text, strlen(text));
	at = unwind_hash(clean, t.used) % (sizeof(s->name) / sizeof(s->name[0]));
	for (n = s->name[at]; n; n = n->next)
		if (!strcmp(n->text, clean))
			return n->text;
	if (s->name_bytes + t.used > NAMES_MAX)
		return "";
	n = malloc(sizeof(*n) + t.used + 1);
	if (!n)
		return "";
	memcpy(n->text, clean, t.used + 1);
	n->next = s->name[at];
	s->name[at] = n;
	s->name_bytes += t.used;
	return n->text;
}

/* Code in no file: the process may have left word of what it made. */
static const char *made_name(struct stacks *s, uint32_t tgid, uint64_t address)
{
	struct process_slot *slot = process_slot(s, tgid);
	const char *name = slot && slot->made ? perf_map_find(slot->made, address) : NULL;
	uint64_t now_ns = clock_now_ns();

	if (name || !slot || (slot->made_ns && now_ns - slot->made_ns < MADE_AGAIN_NS))
		return name;
	slot->made_ns = now_ns;
	slot->made = perf_map_free(slot->made);
	if (perf_map_open((int)tgid, &slot->made))
		return NULL;
	return perf_map_find(slot->made, address);
}

static unsigned place_name(struct stacks *s, uint32_t tgid, const struct place *p,
			   struct named_frame *frame)
{
	struct unwind_symbol sym[UNWIND_INLINED_MAX];
	int nr = p->module ? unwind_symbol_at(p->module, p->vaddr, sym) : -ENOENT;

	if (nr < 1) {
		const char *made = p->module ? NULL : made_name(s, tgid, p->vaddr);

		sym[0] = (struct unwind_symbol){.function = made ? made : "", .file = ""};
		nr = 1;
	}
	for (int i = 0; i < nr; i++)
		frame[i] = (struct named_frame){
			.function = name_keep(s, sym[i].function),
			.file = name_keep(s, sym[i].file),
			.line = sym[i].line,
			.is_inlined = sym[i].is_inlined,
			.module = p->module ? name_keep(s, unwind_module_path(p->module)) : "",
			.build_id = p->module ? unwind_module_build_id(p->module) : "",
			.is_replaced = p->module && unwind_module_is_replaced(p->module),
			.vaddr = p->vaddr,
		};
	return (unsigned)nr;
}

static struct named_stack *named_new(unsigned max, enum stack_reason why)
{
	struct named_stack *n = calloc(1, sizeof(*n) + max * sizeof(n->frame[0]));

	if (n)
		n->why = why;
	return n;
}

static struct named_stack *stack_find(struct stacks *s, uint32_t tid, uint64_t thread_start_ns,
				      uint64_t cookie, uint64_t t_ns)
{
	const struct stitch_key key = {.session = s->session,
				       .cookie = cookie,
				       .thread_start_ns = thread_start_ns,
				       .tid = tid};
	enum stack_reason why = STACK_PENDING;
	const struct walked *w;
	struct named_stack *n;
	unsigned max = FRAMES_MAX + UNWIND_INLINED_MAX;

	if (STACK_IS_COOKIE(cookie))
		(void)stacks_take(s); /* what cannot be read now is missing below */
	w = stitch_get(s->stitch, &key, t_ns, &why);
	if (!w)
		return named_new(0, why);
	n = named_new(w->nr ? max : 0, w->why);
	for (unsigned i = 0; n && i < w->nr; i++) {
		if (n->nr + UNWIND_INLINED_MAX > max) {
			n->why = STACK_DEPTH;
			break;
		}
		n->nr += place_name(s, w->tgid, &w->place[i], &n->frame[n->nr]);
	}
	return n;
}

struct named_stack *stacks_deadline(struct stacks *s, const struct watch_event_section *event)
{
	struct fired now = {.serial = event->serial,
			    .cookie = event->user_stack,
			    .t_ns = event->fired_ns,
			    .tid = event->tid};

	if (event->head.type == EV_FIRED) {
		s->fired[s->next_fired] = now;
		s->next_fired = (s->next_fired + 1) % FIRED_KEPT;
	} else {
		now.cookie = STACK_NOT_ASKED; /* it ended before its deadline was noticed */
		for (unsigned i = 0; i < FIRED_KEPT; i++)
			if (s->fired[i].tid == event->tid && s->fired[i].serial == event->serial)
				now = s->fired[i];
	}
	return stack_find(s, event->tid, event->thread_start_ns, now.cookie, now.t_ns);
}

struct named_stack *stacks_spell(struct stacks *s, const struct watch_event_section *event,
				 const struct watch_spell *spell)
{
	if (spell->user_stack == STACK_NOT_ASKED)
		return NULL;
	return stack_find(s, event->tid, event->thread_start_ns, spell->user_stack, spell->t_in);
}
