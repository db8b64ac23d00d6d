/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_ELF_ELF_FILE_H
#define TOCSIN_ELF_ELF_FILE_H

/*
 * Programs and libraries as files: where a function's code lies, and which file a process really
 * runs. Every file is taken for hostile: sizes and offsets are checked, nothing is mapped, and a
 * damaged file gives an error, never a crash.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../base/err.h"
#include "../base/parse.h"

struct elf_file;

/**
 * elf_file_open() - open a program or shared library for looking things up.
 * @path: lent
 * @ret:  the file, to be given to elf_file_free()
 * @err:  the sentence on failure
 *
 * 64-bit little-endian executables and shared libraries of any machine; what needs disassembly
 * (bind.h) works for x86-64. A separate debug file with the same build id is used for symbols where
 * /usr/lib/debug has one.
 *
 * Return: 0, or -errno of opening, -ENOEXEC not an ELF file, -ENOTSUP 32-bit, big-endian or not a
 * program, -EBADMSG damaged, -EFBIG, -ENOMEM. Thread-safe: yes. Signal-safe: no.
 */
int elf_file_open(const char *path, struct elf_file **ret, struct tocsin_err *err);

/** elf_file_free() - accepts NULL. Return: NULL. */
struct elf_file *elf_file_free(struct elf_file *f);

void elf_file_freep(struct elf_file **f);

#define ELF_BUILD_ID_MAX 64 /* bytes; linkers write 20 */

/** elf_build_id() - what names the file's contents. Return: its length in bytes, 0: it has none. */
size_t elf_build_id(const struct elf_file *f, uint8_t id[ELF_BUILD_ID_MAX]);

/* Stretch of code with a name. */
struct elf_func {
	char name[256];  /* as in the symbol table (mangled), cut if longer; empty: known from
			    unwinding tables only */
	uint64_t vaddr;  /* as linked */
	uint64_t size;   /* bytes */
	uint64_t offset; /* of its first byte in the file */
};

/**
 * elf_find_func() - look a function up by name.
 * @symbol: `name` (the default version), `name@VERSION`, `name@@VERSION`, or a C++ name as people
 * write it: `ns::cls::method` where only one has it, `ns::cls::method(int, char const*)` exactly;
 * lent
 * @ret:    the function
 * @near:   gathers similar names when there is none, may be NULL
 * @err:    the sentence on failure
 *
 * A global function is preferred to a file-local one of the same name. A symbol without a size gets
 * that of its unwinding table, or reaches to the next symbol.
 *
 * Return: 0, or -ENOENT, -ENOTUNIQ several have this name (@err lists them), -EOPNOTSUPP chosen at
 * run time (IFUNC), -EBADMSG, -ENOMEM.
 */
int elf_find_func(struct elf_file *f, const char *symbol, struct elf_func *ret,
		  struct tocsin_nearest *near, struct tocsin_err *err);

/**
 * elf_func_at() - the function that covers an address.
 *
 * Return: 0, or -ENOENT nothing known covers it, -EBADMSG, -ENOMEM.
 */
int elf_func_at(struct elf_file *f, uint64_t vaddr, struct elf_func *ret, struct tocsin_err *err);

typedef int (*elf_needed_fn)(const char *name, void *arg);

/** elf_for_each_needed() - call @fn for each library that the file names (DT_NEEDED). Return: 0,
 * what @fn returned. */
int elf_for_each_needed(struct elf_file *f, elf_needed_fn fn, void *arg);

/* What a file lacks that names would come from. */
struct elf_shape {
	bool has_symtab;  /* a full symbol table, here or in a separate debug file */
	bool has_symbols; /* names of functions at all */
	bool is_program;  /* it has an interpreter, or a fixed address: no library */
	bool is_cut;      /* the table of sections is not in the file: it is damaged */
};

/** elf_file_shape() - of an open file; false where memory or the file fail. */
void elf_file_shape(struct elf_file *f, struct elf_shape *ret);

/* Return: 0 to go on; anything else ends the enumeration and is its result. */
typedef int (*elf_func_fn)(const struct elf_func *func, void *arg);

/**
 * elf_for_each_func() - call @fn for every function of the symbol tables, by rising address,
 * aliases included.
 *
 * Return: 0, what @fn returned, -EBADMSG, -ENOMEM.
 */
int elf_for_each_func(struct elf_file *f, elf_func_fn fn, void *arg);

/**
 * elf_path_in_process() - the path by which we can open what a process calls @path.
 * @pid:  process; 0: our own view
 * @path: as the process says it; NULL: the program it runs
 * @buf:  the result, terminated
 * @len:  its size in bytes
 *
 * In another mount namespace or root: /proc/PID/root/..., with symbolic links followed inside that
 * root. The program of a process: its path where that still names the same file, else
 * /proc/PID/exe.
 *
 * Return: 0, or -ESRCH no such process, -EACCES, -ENAMETOOLONG, -ELOOP, -errno.
 */
int elf_path_in_process(pid_t pid, const char *path, char *buf, size_t len);

/**
 * elf_find_library() - the file of a shared library given by its name (`libc.so.6`, `libssl`).
 * @pid:  process whose mappings are searched; 0: the directories of the dynamic linker
 * @name: no slash; the exact file name, or the beginning of it up to `.so` or a version
 * @buf:  the path as we can open it, terminated
 *
 * Return: 0, or -ENOENT, -ENOTUNIQ two different mapped libraries fit, -ESRCH, -EACCES,
 * -ENAMETOOLONG, -errno.
 */
int elf_find_library(pid_t pid, const char *name, char *buf, size_t len);

#endif
