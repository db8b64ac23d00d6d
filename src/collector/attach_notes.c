// SPDX-License-Identifier: MIT
/* Probes that were not asked for: what programs say of themselves that helps to explain
 * (abi/notes.def, abi/doubts.def). */
#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "attach_job.h"

static const struct {
	const char *provider;
	const char *begin;
	const char *end;
	bool text; /* the first argument is the address of a text */
} notes[] = {
#define NOTE_IS_TEXT_NUMBER                           false
#define NOTE_IS_TEXT_TEXT                             true
#define X(NAME, provider, begin, end, decoder, first) {provider, begin, end, NOTE_IS_TEXT_##first},
#include "../abi/notes.def"
#undef X
};

static int attach_note_pair(struct attach_job *j, struct elf_file *elf, const struct file *f,
			    size_t kind)
{
	struct elf_usdt *begin = NULL, *end = NULL;
	size_t nr_begin = 0, nr_end = 0;
	int r = elf_find_usdt(elf, notes[kind].provider, notes[kind].begin, &begin, &nr_begin, NULL,
			      NULL);

	r = r
		    ?: elf_find_usdt(elf, notes[kind].provider, notes[kind].end, &end, &nr_end,
				     NULL, NULL);
	j->probe = (struct watch_probe){.action = ACT_NOTE_END, .section = (__u16)kind};
	r = r ?: attach_usdt_sites(j, elf, f, end, nr_end);
	j->probe.action = ACT_NOTE_BEGIN;
	if (!r && notes[kind].text)
		for (size_t i = 0; i < nr_begin; i++) {
			begin[i].arg[3] =
				begin[i].arg[1]; /* behind the text, which takes three places */
			begin[i].arg[1].kind = begin[i].arg[2].kind = ARG_NONE;
			begin[i].arg[0].kind =
				begin[i].arg[0].kind == ARG_REG ? ARG_STRING : ARG_NONE;
		}
	r = r ?: attach_usdt_sites(j, elf, f, begin, nr_begin);
	(void)elf_usdt_free(begin, nr_begin); /* returns NULL always */
	(void)elf_usdt_free(end, nr_end);
	return r == -ENOENT ? 0 : r;
}

static const struct {
	const char *provider;
	const char *probe;
} doubts[] = {
#define X(provider, probe) {provider, probe},
#include "../abi/doubts.def"
#undef X
};

static int attach_doubt(struct attach_job *j, struct elf_file *elf, const struct file *f, size_t i)
{
	struct elf_usdt *sites = NULL;
	size_t nr = 0;
	int r = elf_find_usdt(elf, doubts[i].provider, doubts[i].probe, &sites, &nr, NULL, NULL);

	j->probe = (struct watch_probe){.action = ACT_DOUBT};
	r = r ?: attach_usdt_sites(j, elf, f, sites, nr);
	(void)elf_usdt_free(sites, nr); /* returns NULL always */
	return r == -ENOENT ? 0 : r;
}

/* What helps to explain may fail where what was asked for does not: a place that is refused is left
 * out. */
static int forgive_refusal(struct attach_job *j, int r, unsigned causes)
{
	if (r != -EPERM && r != -ENOTSUP)
		return r;
	(void)attach_say_forced(j, causes); /* no memory for a remark: the remark is lost */
	return 0;
}

int attach_notes(struct watch_kernel *k, const struct attach_targets *targets,
		 uint32_t *next_cookie, struct attachment *ret, struct tocsin_err *err)
{
	struct file_list files TOCSIN_CLEANUP(file_list_done) = {0};
	const struct attach_kernel watch = attach_watch(k);
	struct attachment a = {0};
	struct attach_job j = {.k = &watch,
			       .targets = targets,
			       .out = &a,
			       .err = err,
			       .next_cookie = next_cookie,
			       .role = "note",
			       .key = -1,
			       .program = WATCH_NOTE};
	int r = 0;

	if (files_of_programs(targets, &files, NULL))
		return 0; /* nothing to look in: sections that name their files need none */
	for (size_t i = 0; i < files.nr && !r; i++) {
		struct elf_file *elf TOCSIN_CLEANUP(elf_file_freep) = NULL;

		if (elf_file_open(files.item[i].path, &elf, NULL))
			continue; /* no ELF file has no notes */
		for (size_t kind = 0; kind < sizeof(notes) / sizeof(notes[0]) && !r; kind++)
			r = forgive_refusal(&j, attach_note_pair(&j, elf, &files.item[i], kind), 0);
		for (size_t n = 0; n < sizeof(doubts) / sizeof(doubts[0]) && !r; n++)
			r = forgive_refusal(&j, attach_doubt(&j, elf, &files.item[i], n), 0);
	}
	attach_batch_done(&j.batch);
	if (r) {
		attachment_done(&a);
		return r;
	}
	*ret = a;
	return 0;
}
