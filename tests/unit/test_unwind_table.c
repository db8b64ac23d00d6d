// SPDX-License-Identifier: MIT
/*
 * Unwinding tables. What they say of the C library, the C++ library and this program is compared,
 * at the start, middle and end of every function and at random places in between, with elfutils,
 * which reads the same section in code of its own. Records written by hand give what these files
 * do not have.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "elf/elf_internal.h"
#include "unwind/cfa.h"
#include "unwind/table.h"

/* --- against elfutils
 * ------------------------------------------------------------------------------------------------------
 */

struct oracle {
	Elf *elf;
	Dwarf *dwarf;
	Dwarf_CFI *cfi;
	int fd;
};

static void oracle_open(struct oracle *o, const char *path)
{
	o->fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(o->fd >= 0);
	(void)elf_version(EV_CURRENT);
	o->elf = elf_begin(o->fd, ELF_C_READ, NULL);
	assert_non_null(o->elf);
	o->cfi = dwarf_getcfi_elf(o->elf);
	assert_non_null(o->cfi);
}

static void oracle_close(struct oracle *o)
{
	(void)dwarf_cfi_end(o->cfi);
	(void)elf_end(o->elf);
	(void)close(o->fd);
}

/* elfutils' operations for a register that is stored relative to the CFA or to another register. */
static bool ops_are(const Dwarf_Op *ops, size_t nr, unsigned reg, int64_t off)
{
	if (nr == 1 && reg < 32 && ops[0].atom == DW_OP_bregx)
		return ops[0].number == reg && (int64_t)ops[0].number2 == off;
	if (nr == 2 && reg < 32 && ops[0].atom == DW_OP_call_frame_cfa) { /* pushed, not used */
		ops++;
		nr = 1;
	}
	if (nr == 1 && reg < 32)
		return ops[0].atom == DW_OP_breg0 + reg && (int64_t)ops[0].number == off;
	if (nr == 1)
		return ops[0].atom == DW_OP_call_frame_cfa && off == 0;
	return nr == 2 && ops[0].atom == DW_OP_call_frame_cfa && ops[1].atom == DW_OP_plus_uconst &&
	       (int64_t)ops[1].number == off && reg == 32;
}

enum { REG_CFA = 32, REG_FP = 6, REG_SP = 7, REG_RA = 16 };

/* Return: whether the rule is what elfutils says. Unsupported ones are what they may be: less. */
static bool rule_is_right(const struct unwind_rule *rule, Dwarf_Frame *frame)
{
	Dwarf_Op mem[3], *ops = NULL;
	size_t nr = 0;

	if (dwarf_frame_register(frame, REG_RA, mem, &ops, &nr) != 0)
		return false;
	if (nr == 0 && ops == mem)
		return rule->cfa == UNWIND_CFA_END; /* undefined */
	if (!(rule->ra == UNWIND_RA_AT_CFA && ops_are(ops, nr, REG_CFA, rule->ra_off)) &&
	    !(rule->ra == UNWIND_RA_AT_SP && ops_are(ops, nr, REG_SP, rule->ra_off)))
		return false;
	if (dwarf_frame_cfa(frame, &ops, &nr) != 0)
		return false;
	switch ((enum unwind_cfa)rule->cfa) {
	case UNWIND_CFA_SP:
		if (!ops_are(ops, nr, REG_SP, rule->cfa_off))
			return false;
		break;
	case UNWIND_CFA_FP:
		if (!ops_are(ops, nr, REG_FP, rule->cfa_off))
			return false;
		break;
	case UNWIND_CFA_SP_DEREF:
	case UNWIND_CFA_FP_DEREF:
		if (!ops_are(ops, 1, rule->cfa == UNWIND_CFA_SP_DEREF ? REG_SP : REG_FP,
			     rule->cfa_off) ||
		    ops[1].atom != DW_OP_deref ||
		    (nr > 2 &&
		     (ops[2].atom != DW_OP_plus_uconst || (int64_t)ops[2].number != rule->cfa_add)))
			return false;
		break;
	case UNWIND_CFA_PLT:
		if (nr != 9 || !ops_are(ops, 1, REG_SP, rule->cfa_off))
			return false;
		break;
	case UNWIND_CFA_NONE:
	case UNWIND_CFA_END:
	case UNWIND_CFA_UNSUPPORTED:
	case UNWIND_CFA_NR:
	default: return false;
	}
	if (dwarf_frame_register(frame, REG_FP, mem, &ops, &nr) != 0)
		return false;
	switch ((enum unwind_fp)rule->fp) {
	case UNWIND_FP_SAME: return nr == 0 && !ops;
	case UNWIND_FP_AT_CFA: return ops_are(ops, nr, REG_CFA, rule->fp_off);
	case UNWIND_FP_AT_SP: return ops_are(ops, nr, REG_SP, rule->fp_off);
	case UNWIND_FP_AT_FP: return ops_are(ops, nr, REG_FP, rule->fp_off);
	case UNWIND_FP_LOST: return nr != 0 || ops == mem;
	case UNWIND_FP_NR:
	default: return false;
	}
}

struct compared {
	const struct unwind_table *table;
	struct oracle *oracle;
	unsigned nr, nr_unsupported, nr_wrong;
	uint32_t random;
};

static void compare_at(struct compared *c, uint64_t vaddr)
{
	const struct unwind_rule *rule = unwind_table_find(c->table, vaddr);
	Dwarf_Frame *frame = NULL;

	c->nr++;
	if (dwarf_cfi_addrframe(c->oracle->cfi, vaddr, &frame) != 0) {
		c->nr_wrong += rule && rule->cfa != UNWIND_CFA_NONE;
		return;
	}
	if (rule && rule->cfa == UNWIND_CFA_UNSUPPORTED)
		c->nr_unsupported++;
	else if (!rule || !rule_is_right(rule, frame)) {
		if (c->nr_wrong++ < 5)
			print_message("# wrong at 0x%lx: cfa %d%+d ra %d%+d fp %d%+d\n", vaddr,
				      rule ? rule->cfa : -1, rule ? rule->cfa_off : 0,
				      rule ? rule->ra : -1, rule ? rule->ra_off : 0,
				      rule ? rule->fp : -1, rule ? rule->fp_off : 0);
	}
	free(frame);
}

static int compare_fde(const struct cfi_fde *fde, void *arg)
{
	struct compared *c = arg;

	compare_at(c, fde->vaddr);
	compare_at(c, fde->vaddr + fde->size - 1);
	compare_at(c, fde->vaddr + fde->size); /* the next, or the gap behind it */
	for (int i = 0; i < 4; i++) {
		c->random = c->random * 1664525 + 1013904223;
		compare_at(c, fde->vaddr + c->random % fde->size);
	}
	return 0;
}

/* Return: how many places were unsupported, in a thousand. */
static unsigned compare_file(const char *path)
{
	TOCSIN_CLEANUP(unwind_table_freep) struct unwind_table *table = NULL;
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = NULL;
	struct compared c = {.random = 1};
	struct oracle oracle = {0};
	struct cursor section = {0};
	GElf_Shdr shdr;
	Elf_Scn *scn;
	size_t len;

	assert_int_equal(elf_file_open(path, &f, NULL), 0);
	assert_int_equal(unwind_table_make(f, &table, NULL), 0);
	oracle_open(&oracle, path);
	c.table = table;
	c.oracle = &oracle;
	scn = elf_section_find(f->elf, ".eh_frame", &shdr);
	assert_non_null(scn);
	assert_int_equal(elf_section_bytes(f, scn, &shdr, &section.at, &len, NULL), 0);
	section.end = section.at + len;
	section.vaddr = shdr.sh_addr;
	assert_int_equal(cfi_for_each(section, false, compare_fde, &c), 0);
	print_message(
		"# %s: %u places, %u unsupported, %u wrong; %u functions, %zu bytes of table, "
		"%.2f of .eh_frame\n",
		path, c.nr, c.nr_unsupported, c.nr_wrong, table->nr_fdes, unwind_table_bytes(table),
		(double)unwind_table_bytes(table) / (double)table->source_bytes);
	assert_int_equal(c.nr_wrong, 0);
	assert_true(c.nr > 100);
	assert_true(unwind_table_bytes(table) * 10 <= table->source_bytes * 7 ||
		    table->source_bytes < 65536);
	oracle_close(&oracle);
	return c.nr_unsupported * 1000 / c.nr;
}

static void test_files(void **state)
{
	char library[PATH_MAX];

	(void)state;
	assert_int_equal(elf_find_library(0, "libc.so.6", library, sizeof(library)), 0);
	assert_true(compare_file(library) <= 10);
	assert_int_equal(elf_find_library(0, "libstdc++.so.6", library, sizeof(library)), 0);
	assert_true(compare_file(library) <= 2);
	assert_int_equal(compare_file("/proc/self/exe"), 0);
}

/* --- by hand
 * ------------------------------------------------------------------------------------------------------
 */

struct rows {
	struct {
		uint64_t vaddr;
		struct unwind_rule rule;
	} row[16];
	unsigned nr;
};

static int row_take(uint64_t vaddr, const struct unwind_rule *rule, void *arg)
{
	struct rows *rows = arg;

	assert_true(rows->nr < 16);
	rows->row[rows->nr].vaddr = vaddr;
	rows->row[rows->nr++].rule = *rule;
	return 0;
}

static void run(uint16_t machine, const uint8_t *start, size_t start_len, const uint8_t *code,
		size_t code_len, struct rows *ret)
{
	struct cfi_cie cie = {.code_align = machine == EM_AARCH64 ? 4 : 1,
			      .data_align = -8,
			      .return_column = machine == EM_AARCH64 ? 30 : 16,
			      .usable = true,
			      .start = {start, start + start_len, 0, false}};
	struct cfi_fde fde = {.vaddr = 0x1000,
			      .size = 0x100,
			      .cie = &cie,
			      .code = {code, code + code_len, 0, false}};

	*ret = (struct rows){0};
	assert_int_equal(unwind_cfa_run(unwind_machine_of(machine), &fde, row_take, ret), 0);
	assert_true(ret->nr > 0 && ret->row[0].vaddr == 0x1000);
}

#define RUN(machine, start, code, rows) run(machine, start, sizeof(start), code, sizeof(code), rows)

/* def_cfa sp+0; stp x29, x30, [sp, -32]! with a signed return address; a leaf before. */
static void test_aarch64(void **state)
{
	static const uint8_t start[] = {DW_CFA_def_cfa, 31, 0};
	static const uint8_t code[] = {0x41, 0x2d, /* paciasp */
				       0x41, DW_CFA_def_cfa_offset,
				       32,   0x80 | 29,
				       4,    0x80 | 30,
				       3, /* stp */
				       0x41, DW_CFA_def_cfa_register,
				       29}; /* mov x29, sp */
	struct rows rows;

	(void)state;
	RUN(EM_AARCH64, start, code, &rows);
	assert_int_equal(rows.nr, 4);
	assert_int_equal(rows.row[0].rule.ra, UNWIND_RA_IN_LR);
	assert_int_equal(rows.row[0].rule.flags, 0);
	assert_int_equal(rows.row[1].rule.flags, UNWIND_RULE_SIGNED);
	assert_int_equal(rows.row[2].vaddr, 0x1008);
	assert_int_equal(rows.row[2].rule.cfa, UNWIND_CFA_SP);
	assert_int_equal(rows.row[2].rule.cfa_off, 32);
	assert_int_equal(rows.row[2].rule.ra, UNWIND_RA_AT_CFA);
	assert_int_equal(rows.row[2].rule.ra_off, -24);
	assert_int_equal(rows.row[2].rule.fp_off, -32);
	assert_int_equal(rows.row[3].rule.cfa, UNWIND_CFA_FP);
	assert_int_equal(rows.row[3].rule.flags, UNWIND_RULE_SIGNED);
}

static const uint8_t plain[] = {DW_CFA_def_cfa, 7, 8, 0x80 | 16, 1};

static void test_expressions(void **state)
{
	static const uint8_t plt[] = {DW_CFA_def_cfa_expression,
				      11,
				      DW_OP_breg7,
				      8,
				      DW_OP_breg16,
				      0,
				      DW_OP_lit15,
				      DW_OP_and,
				      DW_OP_lit11,
				      DW_OP_ge,
				      DW_OP_lit3,
				      DW_OP_shl,
				      DW_OP_plus};
	static const uint8_t deref[] = {DW_CFA_def_cfa_expression,
					5,
					DW_OP_breg6,
					0x78,
					DW_OP_deref,
					DW_OP_plus_uconst,
					8,
					DW_CFA_expression,
					6,
					2,
					DW_OP_breg6,
					0};
	static const uint8_t other[] = {DW_CFA_def_cfa_expression, 3, DW_OP_breg3, 8, DW_OP_neg};
	struct rows rows;

	(void)state;
	RUN(EM_X86_64, plain, plt, &rows);
	assert_int_equal(rows.row[0].rule.cfa, UNWIND_CFA_PLT);
	assert_int_equal(rows.row[0].rule.cfa_add, 11);
	RUN(EM_X86_64, plain, deref, &rows);
	assert_int_equal(rows.row[0].rule.cfa, UNWIND_CFA_FP_DEREF);
	assert_int_equal(rows.row[0].rule.cfa_off, -8);
	assert_int_equal(rows.row[0].rule.cfa_add, 8);
	assert_int_equal(rows.row[0].rule.fp, UNWIND_FP_AT_FP);
	RUN(EM_X86_64, plain, other, &rows);
	assert_int_equal(rows.row[0].rule.cfa, UNWIND_CFA_UNSUPPORTED);
}

/* What is not understood is unsupported from there on, and what was before it stays. */
static void test_unknown(void **state)
{
	static const uint8_t unknown[] = {0x44, DW_CFA_def_cfa_offset, 16, 0x44, 0x3f, 0x44};
	static const uint8_t unmatched[] = {DW_CFA_restore_state};
	static const uint8_t cut[] = {0x44, DW_CFA_def_cfa, 7};
	static const uint8_t backwards[] = {DW_CFA_set_loc, 0, 0, 0, 0, 0, 0, 0, 0};
	static const uint8_t register_cfa[] = {DW_CFA_def_cfa_register, 3};
	static const uint8_t nowhere[] = {DW_CFA_undefined, 16};
	static const uint8_t no_cfa[] = {DW_CFA_nop};
	struct rows rows;

	(void)state;
	RUN(EM_X86_64, plain, unknown, &rows);
	assert_int_equal(rows.nr, 3);
	assert_int_equal(rows.row[1].rule.cfa_off, 16);
	assert_int_equal(rows.row[2].rule.cfa, UNWIND_CFA_UNSUPPORTED);
	RUN(EM_X86_64, plain, unmatched, &rows);
	assert_int_equal(rows.row[0].rule.cfa, UNWIND_CFA_UNSUPPORTED);
	RUN(EM_X86_64, plain, cut, &rows);
	assert_int_equal(rows.row[rows.nr - 1].rule.cfa, UNWIND_CFA_UNSUPPORTED);
	RUN(EM_X86_64, plain, backwards, &rows);
	assert_int_equal(rows.row[0].rule.cfa, UNWIND_CFA_UNSUPPORTED);
	RUN(EM_X86_64, plain, register_cfa, &rows);
	assert_int_equal(rows.row[0].rule.cfa, UNWIND_CFA_UNSUPPORTED);
	RUN(EM_X86_64, plain, nowhere, &rows);
	assert_int_equal(rows.row[0].rule.cfa, UNWIND_CFA_END);
	RUN(EM_X86_64, no_cfa, no_cfa, &rows);
	assert_int_equal(rows.row[0].rule.cfa, UNWIND_CFA_UNSUPPORTED);
}

/* --- the stored form
 * ------------------------------------------------------------------------------------------------------
 */

static bool same_table(const struct unwind_table *a, const struct unwind_table *b)
{
	return a->nr_rules == b->nr_rules && a->nr_pages == b->nr_pages &&
	       a->nr_rows == b->nr_rows && a->base == b->base && a->machine == b->machine &&
	       !memcmp(a->rule, b->rule, a->nr_rules * sizeof(*a->rule)) &&
	       !memcmp(a->page, b->page, (a->nr_pages + 1) * sizeof(*a->page)) &&
	       !memcmp(a->row, b->row, a->nr_rows * sizeof(*a->row));
}

/* The one file of the cache. */
static void stored_path(const char *folder, struct elf_file *f, char *path, size_t len)
{
	uint8_t id[ELF_BUILD_ID_MAX];
	char hex[2 * ELF_BUILD_ID_MAX + 1];
	size_t n = elf_build_id(f, id);

	assert_true(n > 0);
	for (size_t i = 0; i < n; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
	(void)snprintf(path, len, "%s/unwind/%.2s/%s.v%d", folder, hex, hex + 2,
		       UNWIND_TABLE_VERSION);
}

static void test_cache(void **state)
{
	TOCSIN_CLEANUP(unwind_table_freep) struct unwind_table *made = NULL;
	TOCSIN_CLEANUP(unwind_table_freep) struct unwind_table *again = NULL;
	TOCSIN_CLEANUP(unwind_table_freep) struct unwind_table *damaged = NULL;
	TOCSIN_CLEANUP(unwind_table_freep) struct unwind_table *others = NULL;
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = NULL;
	char folder[] = "/tmp/tocsin-unwind-XXXXXX", path[PATH_MAX], library[PATH_MAX];
	int fd;

	(void)state;
	assert_int_equal(elf_find_library(0, "libc.so.6", library, sizeof(library)), 0);
	assert_non_null(mkdtemp(folder));
	assert_int_equal(elf_file_open(library, &f, NULL), 0);
	assert_int_equal(unwind_table_load(f, folder, &made, NULL), 0);
	stored_path(folder, f, path, sizeof(path));
	assert_int_equal(access(path, R_OK), 0);
	assert_int_equal(unwind_table_load(f, folder, &again, NULL), 0);
	assert_true(same_table(made, again));
	assert_int_equal(again->nr_fdes, 0); /* it was read */

	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\xff\xff\xff\xff", 4, 4000), 4);
	(void)close(fd);
	assert_int_equal(unwind_table_load(f, folder, &damaged, NULL), 0);
	assert_true(same_table(made, damaged));
	assert_true(damaged->nr_fdes > 0); /* it was made */

	assert_int_equal(chmod(path, 0666), 0); /* others could have written it */
	assert_int_equal(unwind_table_load(f, folder, &others, NULL), 0);
	assert_true(others->nr_fdes > 0);
	(void)unlink(path);
	*strrchr(path, '/') = '\0';
	(void)rmdir(path);
	*strrchr(path, '/') = '\0';
	(void)rmdir(path);
	(void)rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),       cmocka_unit_test(test_aarch64),
		cmocka_unit_test(test_expressions), cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
