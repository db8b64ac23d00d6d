// SPDX-License-Identifier: MIT
/* What the control pages of linked programs say about their sections: which there are, and where a
 * thread's slot is. All of it is hostile: copied, checked, then told to the kernel half. */
#include "watch_linked.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../abi/glob.h"
#include "../abi/section.h"
#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../ctf/described.h"
#include "discover.h"

#define SECTION_PROVIDER "section" /* of the classes that describe sections */
#define YOUNG_S          2         /* a process of this age may still be loading its libraries */
#define NONE_AGAIN_NS \
	2000000000ull             /* one that is not linked is looked into again after this time */
#define TP_OFFSET_MAX (1ll << 30) /* a thread's static TLS is nowhere near as large */

struct page {
	struct control_file file; /* none: the process is not linked */
	pid_t pid;
	uint64_t start_ticks;
	uint32_t nr_classes; /* read so far */
	uint32_t class_bytes;
	uint64_t look_ns; /* not linked: when to look again */
	bool is_told;     /* the kernel half knows the process */
	bool is_broken;   /* says what cannot be: not looked at again */
	bool is_refused;  /* counted */
};

struct linked {
	struct linked_options opts;
	struct page *page;
	size_t nr_pages;
	unsigned nr_processes;
	unsigned nr_refused; /* processes passed over, wholly or in part */
	char refusal[256];   /* the first of them, and why */
};

static bool is_none(const struct page *p)
{
	return p->file.fd < 0;
}

int linked_open(const struct linked_options *opts, struct linked **ret)
{
	struct linked *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->opts = *opts;
	*ret = l;
	return 0;
}

struct linked *linked_close(struct linked *l)
{
	if (!l)
		return NULL;
	for (size_t i = 0; i < l->nr_pages; i++)
		control_file_close(&l->page[i].file);
	free(l->page);
	free(l);
	return NULL;
}

unsigned linked_nr_processes(const struct linked *l)
{
	return l->nr_processes;
}

const char *linked_refusal(const struct linked *l)
{
	return l->refusal;
}

unsigned linked_nr_refused(const struct linked *l)
{
	return l->nr_refused;
}

/* Counted once a process. */
static void refuse(struct linked *l, struct page *p, const char *why)
{
	if (p->is_refused)
		return;
	p->is_refused = true;
	if (!l->nr_refused++)
		(void)snprintf(l->refusal, sizeof(l->refusal), "process %d: %s", p->pid, why);
}

static bool is_wanted(const struct linked *l, const struct control_class *class)
{
	const char *name;

	if (strcmp(ctf_described_text(class, class->provider), SECTION_PROVIDER))
		return false;
	name = ctf_described_text(class, class->name);
	for (size_t i = 0; i < l->opts.nr_globs; i++)
		if (glob_match(l->opts.glob[i], strlen(l->opts.glob[i]), name, strlen(name)))
			return true;
	return false;
}

/* One description: what of it concerns us. Returns its bytes, or -EBADMSG and why. */
static int class_take(struct linked *l, struct page *p, const uint8_t *bytes, size_t len,
		      const char **ret_why, struct tocsin_err *err)
{
	struct control_class *class TOCSIN_CLEANUP(tocsin_free_voidp) = NULL;
	struct control_class head;
	uint32_t index;
	int r;

	*ret_why = "the list of its event classes is cut";
	if (len < sizeof(head))
		return -EBADMSG;
	memcpy(&head, bytes, sizeof(head));
	if (head.bytes < sizeof(head) || head.bytes > len)
		return -EBADMSG;
	class = malloc(head.bytes);
	if (!class)
		return -ENOMEM;
	memcpy(class, bytes, head.bytes);
	r = ctf_described_check(class, head.bytes, ret_why);
	if (r == 0 && is_wanted(l, class)) {
		r = l->opts.name(l->opts.arg, ctf_described_text(class, class->name), &index, err);
		if (r == 0)
			r = watch_kernel_link_name(l->opts.kernel, (uint32_t)p->pid,
						   p->nr_classes + 1, index);
		if (r == -ENOSPC || r == -E2BIG) { /* counted as unnamed when it is late */
			refuse(l, p, "there is no room for all its sections (--max-sections)");
			r = 0;
		}
	}
	return r ?: (int)head.bytes;
}

static int classes_read(struct linked *l, struct page *p, const struct control_tracee *now,
			struct tocsin_err *err)
{
	uint8_t *buf TOCSIN_CLEANUP(tocsin_free_voidp) = NULL;
	uint32_t from = p->class_bytes;
	const char *why = "the number of its event classes is impossible";
	int r = 0;

	if (now->nr_classes > CONTROL_CLASSES || now->class_bytes > CONTROL_CLASS_BYTES ||
	    now->class_bytes < from)
		r = -EBADMSG;
	buf = r ? NULL : malloc(now->class_bytes - from + 1);
	if (!r && !buf)
		return -ENOMEM;
	if (!r &&
	    control_file_read(&p->file, CONTROL_CLASSES_AT + from, buf, now->class_bytes - from))
		return 0; /* again at the next look */
	while (r >= 0 && p->nr_classes < now->nr_classes) {
		r = class_take(l, p, buf + (p->class_bytes - from),
			       now->class_bytes - p->class_bytes, &why, err);
		if (r > 0) {
			p->nr_classes++;
			p->class_bytes += (uint32_t)r;
		}
	}
	if (r != -EBADMSG)
		return r < 0 ? r : 0;
	p->is_broken = true;
	refuse(l, p, why);
	return 0;
}

/* Once the process uses sections, its threads are known to the kernel half. @ret_new is set then.
 */
static int page_look(struct linked *l, struct page *p, bool *ret_new, struct tocsin_err *err)
{
	struct control_tracee now;
	int r;

	if (is_none(p) || p->is_broken || control_file_read(&p->file, 0, &now, sizeof(now)))
		return 0;
	r = now.nr_classes > p->nr_classes ? classes_read(l, p, &now, err) : 0;
	if (r || p->is_told || p->is_broken || !now.slot_bytes)
		return r;
	if (now.slot_abi != SECTION_ABI || now.slot_magic != SECTION_MAGIC ||
	    now.slot_bytes < sizeof(struct section_slot) || now.slot_tp_offset > TP_OFFSET_MAX ||
	    now.slot_tp_offset < -TP_OFFSET_MAX) {
		p->is_broken = true;
		refuse(l, p, "its section slots are not of this version");
		return 0;
	}
	r = watch_kernel_link_process(l->opts.kernel, (uint32_t)p->pid, now.slot_tp_offset,
				      now.min_budget_ns);
	if (r == -E2BIG) {
		p->is_broken = true;
		refuse(l, p, "there is no room for another linked process");
		return 0;
	}
	if (r)
		return r;
	p->is_told = true;
	l->nr_processes++;
	*ret_new = true;
	return 0;
}

/* --- processes that come and go --- */

static int page_add(void *arg, struct discovered *found)
{
	struct linked *l = arg;
	struct page *more = reallocarray(l->page, l->nr_pages + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	l->page = more;
	l->page[l->nr_pages++] = (struct page){
		.file = found->page, .pid = found->pid, .start_ticks = found->start_ticks};
	found->page = (struct control_file)CONTROL_FILE_NONE;
	return 0;
}

static struct page *page_of(const struct linked *l, pid_t pid)
{
	for (size_t i = 0; i < l->nr_pages; i++)
		if (l->page[i].pid == pid)
			return &l->page[i];
	return NULL;
}

static bool is_young(uint64_t start_ticks)
{
	uint64_t per_s = (uint64_t)sysconf(_SC_CLK_TCK);
	struct timespec boot;

	(void)clock_gettime(CLOCK_BOOTTIME, &boot); /* cannot fail; what start times count from */
	return (uint64_t)boot.tv_sec < start_ticks / per_s + YOUNG_S;
}

/* Not linked, as far as can be told (@refusal: why it cannot, NULL: it can): its library may not be
 * loaded yet, or it may execute another program. */
static int page_none(struct linked *l, struct page *known, pid_t pid, const char *refusal)
{
	struct discovered none = {
		.pid = pid, .start_ticks = discover_start_ticks(pid), .page = CONTROL_FILE_NONE};
	int r = known ? 0 : page_add(l, &none);

	if (r)
		return r;
	known = known ?: &l->page[l->nr_pages - 1];
	known->look_ns = is_young(known->start_ticks) ? 0 : clock_now_ns() + NONE_AGAIN_NS;
	if (refusal)
		refuse(l, known, refusal);
	return 0;
}

/* It has said by now that it is linked. */
static void none_forget(struct linked *l, pid_t pid)
{
	for (size_t i = 0; i < l->nr_pages; i++)
		if (l->page[i].pid == pid && is_none(&l->page[i]))
			l->page[i].look_ns = l->page[i].start_ticks = 0;
}

void linked_forget(struct linked *l, pid_t pid)
{
	for (size_t i = 0; i < l->nr_pages; i++)
		if (l->page[i].pid == pid)
			l->page[i].look_ns = l->page[i].start_ticks =
				0; /* swept at the next look */
}

/* A process that has gone, or is another under the same number; one that is not linked is asked
 * when it is to be looked into again. */
static void pages_sweep(struct linked *l)
{
	uint64_t now_ns = clock_now_ns();
	size_t kept = 0;

	for (size_t i = 0; i < l->nr_pages; i++) {
		struct page *p = &l->page[i];

		if ((is_none(p) && now_ns < p->look_ns) ||
		    discover_start_ticks(p->pid) == p->start_ticks)
			l->page[kept++] = *p;
		else
			control_file_close(&p->file);
	}
	l->nr_pages = kept;
}

static int find_among(struct linked *l, const struct pid_set *pids)
{
	uint64_t now_ns = clock_now_ns();
	int r;

	for (size_t i = 0; i < pids->nr; i++) {
		pid_t pid = pids->pid[i];
		struct page *known = page_of(l, pid);
		struct tocsin_err why = {0};
		char text[256];

		if (known && (!is_none(known) || now_ns < known->look_ns))
			continue;
		r = discover_process(pid, page_add, l, &why);
		if (r < 0 && !why.nr_causes) /* the rest says it itself */
			tocsin_err_add(&why, "cannot look into it: %s", strerror(-r));
		if (r == 0 || r == -ESRCH) /* not linked, or gone */
			r = page_none(l, page_of(l, pid), pid, NULL);
		else if (r < 0 && r != -ENOMEM)
			r = page_none(l, page_of(l, pid), pid,
				      tocsin_err_text(&why, text, sizeof(text)));
		else if (r > 0 && known)
			none_forget(l, pid);
		if (r < 0)
			return r;
	}
	return 0;
}

int linked_look(struct linked *l, const struct pid_set *pids, struct tocsin_err *err)
{
	bool is_new = false;
	int r;

	pages_sweep(l);
	r = find_among(l, pids);
	for (size_t i = 0; i < l->nr_pages && !r; i++)
		r = page_look(l, &l->page[i], &is_new, err);
	if (r == 0 && is_new)
		r = watch_kernel_link_threads(l->opts.kernel, err);
	return r;
}
