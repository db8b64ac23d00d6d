// SPDX-License-Identifier: MIT
/*
 * Opening an ELF file and reading from it.
 *
 * libelf is used in its reading mode: sections are copied to the heap with pread() when they are
 * asked for. Mapping would be faster, but a file that is truncated while we look at it would then
 * kill us with SIGBUS, and a package upgrade does just that. It also keeps a collector that waits
 * for hours small: of a 100 MB program only symbols and unwinding tables are held, and those only
 * until it has been bound.
 *
 * Addresses. Symbols, notes and unwinding tables speak of addresses as linked; the kernel wants a
 * place in the file. A program header says how the two go together, and only those that will be
 * executable count for code. Sections are for finding tables; they may be missing.
 *
 * Symbols of a stripped file are looked for in /usr/lib/debug by its build id, for a file reached
 * through /proc/PID/root in that root; then in the file that its .gnu_debuglink names; then in what
 * its .gnu_debugdata holds. Their addresses are those of the stripped file, since it was
 * stripped after linking.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lzma.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "elf_internal.h"
#include "insn.h"

#define NOTE_GNU_BUILD_ID 3
#define UNPACKED_MAX      (32u << 20) /* bytes of packed debugging information, unpacked */
#define UNPACK_MEMORY_MAX (128u << 20)

static void elf_endp(Elf **elf)
{
	(void)elf_end(*elf); /* returns a reference count, NULL is allowed */
}

struct elf_file *elf_file_free(struct elf_file *f)
{
	if (!f)
		return NULL;
	insn_decoder_free(f->decoder);
	free(f->hazards);
	free(f->pointer);
	free(f->frame);
	free(f->sym);
	free(f->version_name);
	(void)elf_end(f->debug_elf);
	(void)elf_end(f->elf);
	tocsin_close_fdp(&f->debug_fd);
	tocsin_close_fdp(&f->fd);
	free(f->path);
	free(f);
	return NULL;
}

void elf_file_freep(struct elf_file **f)
{
	*f = elf_file_free(*f);
}

const char *elf_section_name(Elf *elf, const GElf_Shdr *shdr)
{
	const char *name = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) == 0)
		name = elf_strptr(elf, names, shdr->sh_name);
	return name ? name : "";
}

Elf_Scn *elf_section_find(Elf *elf, const char *name, GElf_Shdr *ret_shdr)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &shdr) && strcmp(elf_section_name(elf, &shdr), name) == 0) {
			*ret_shdr = shdr;
			return scn;
		}
	return NULL;
}

Elf_Scn *elf_section_at(Elf *elf, uint64_t vaddr, GElf_Shdr *ret_shdr)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &shdr) && (shdr.sh_flags & SHF_ALLOC) &&
		    vaddr >= shdr.sh_addr && vaddr - shdr.sh_addr < shdr.sh_size) {
			*ret_shdr = shdr;
			return scn;
		}
	return NULL;
}

int elf_section_bytes(struct elf_file *f, Elf_Scn *scn, const GElf_Shdr *shdr,
		      const uint8_t **ret_bytes, size_t *ret_len, struct tocsin_err *err)
{
	Elf_Data *data;

	if (shdr->sh_type == SHT_NOBITS || !shdr->sh_size)
		return -ENOENT;
	if (shdr->sh_size > ELF_SECTION_MAX)
		return tocsin_err_fail(-EFBIG, err, "section '%s' of '%s' is larger than 1 GiB",
				       elf_section_name(f->elf, shdr), f->path);
	data = elf_rawdata(scn, NULL);
	if (!data || !data->d_buf)
		return tocsin_err_fail(-EBADMSG, err, "section '%s' of '%s' lies outside the file",
				       elf_section_name(f->elf, shdr), f->path);
	*ret_bytes = data->d_buf;
	*ret_len = data->d_size;
	return 0;
}

static const struct elf_segment *segment_of(const struct elf_file *f, uint64_t vaddr,
					    uint32_t flags)
{
	for (size_t i = 0; i < f->nr_segments; i++) {
		const struct elf_segment *s = &f->segment[i];

		if ((s->flags & flags) == flags && vaddr >= s->vaddr && vaddr - s->vaddr < s->size)
			return s;
	}
	return NULL;
}

int elf_vaddr_to_offset(const struct elf_file *f, uint64_t vaddr, uint32_t flags,
			uint64_t *ret_offset)
{
	const struct elf_segment *s = segment_of(f, vaddr, flags);

	if (!s)
		return -ENOENT;
	*ret_offset = s->offset + (vaddr - s->vaddr);
	return 0;
}

uint64_t elf_vaddr_room(const struct elf_file *f, uint64_t vaddr, uint32_t flags)
{
	const struct elf_segment *s = segment_of(f, vaddr, flags);

	return s ? s->size - (vaddr - s->vaddr) : 0;
}

int elf_offset_to_vaddr(const struct elf_file *f, uint64_t offset, uint32_t flags,
			uint64_t *ret_vaddr)
{
	for (size_t i = 0; i < f->nr_segments; i++) {
		const struct elf_segment *s = &f->segment[i];

		if ((s->flags & flags) == flags && offset >= s->offset &&
		    offset - s->offset < s->size) {
			*ret_vaddr = s->vaddr + (offset - s->offset);
			return 0;
		}
	}
	return -ENOENT;
}

int elf_read_vaddr(const struct elf_file *f, uint64_t vaddr, void *buf, size_t len)
{
	const struct elf_segment *s = segment_of(f, vaddr, 0);
	size_t done = 0;

	if (!s || s->size - (vaddr - s->vaddr) < len)
		return -ENOENT;
	while (done < len) {
		ssize_t n = pread(f->fd, (char *)buf + done, len - done,
				  (off_t)(s->offset + (vaddr - s->vaddr) + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		done += (size_t)n;
	}
	return 0;
}

/* Segments wholly inside the file; those that reach beyond its end are cut there, as the kernel
 * maps no more either. */
static int load_segments(struct elf_file *f, struct tocsin_err *err)
{
	size_t nr;

	if (elf_getphdrnum(f->elf, &nr) != 0)
		return tocsin_err_fail(-EBADMSG, err, "damaged program headers in '%s': %s",
				       f->path, elf_errmsg(-1));
	for (size_t i = 0; i < nr && i < 4096; i++) {
		struct elf_segment *s = &f->segment[f->nr_segments];
		GElf_Phdr ph;

		if (!gelf_getphdr(f->elf, (int)i, &ph))
			return tocsin_err_fail(-EBADMSG, err, "damaged program headers in '%s': %s",
					       f->path, elf_errmsg(-1));
		if (ph.p_type != PT_LOAD || !ph.p_filesz)
			continue;
		if (ph.p_offset >= f->size_bytes || ph.p_vaddr + ph.p_filesz < ph.p_vaddr)
			continue;
		if (f->nr_segments == ELF_SEGMENTS_MAX)
			return tocsin_err_fail(-EBADMSG, err, "more than %d segments in '%s'",
					       ELF_SEGMENTS_MAX, f->path);
		*s = (struct elf_segment){.vaddr = ph.p_vaddr,
					  .size = ph.p_filesz,
					  .offset = ph.p_offset,
					  .flags = ph.p_flags};
		if (s->size > f->size_bytes - s->offset)
			s->size = f->size_bytes - s->offset;
		f->nr_segments++;
	}
	return 0;
}

/* The build id of a file. Return: its length in bytes, 0 when there is none. */
static size_t build_id_read(Elf *elf, uint8_t *buf)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(elf, scn))) {
		size_t at = 0, next, name, desc;
		Elf_Data *data;
		GElf_Nhdr note;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_NOTE || shdr.sh_size > 65536)
			continue;
		data = elf_getdata(scn, NULL);
		while (data && (next = gelf_getnote(data, at, &note, &name, &desc))) {
			if (note.n_type == NOTE_GNU_BUILD_ID && note.n_namesz == 4 &&
			    memcmp((char *)data->d_buf + name, "GNU", 4) == 0 &&
			    note.n_descsz >= 2 && note.n_descsz <= ELF_BUILD_ID_MAX) {
				memcpy(buf, (char *)data->d_buf + desc, note.n_descsz);
				return note.n_descsz;
			}
			at = next;
		}
	}
	return 0;
}

size_t elf_build_id(const struct elf_file *f, uint8_t id[ELF_BUILD_ID_MAX])
{
	return build_id_read(f->elf, id);
}

/* "/proc/PID/root" of a path that begins so, else "". */
static int root_prefix_len(const char *path)
{
	const char *p = path;

	if (strncmp(p, "/proc/", 6) != 0)
		return 0;
	p += 6;
	p += strspn(p, "0123456789");
	return strncmp(p, "/root/", 6) == 0 ? (int)(p + 5 - path) : 0;
}

/* Is it a file that tells of the same code? By build id, or, where there is none, by what the link
 * to it says of its contents. */
static bool debug_take(struct elf_file *f, int fd, const uint8_t *id, size_t id_len)
{
	TOCSIN_CLEANUP(elf_endp) Elf *elf = NULL;
	TOCSIN_CLEANUP(tocsin_close_fdp) int owned = fd;
	uint8_t other[ELF_BUILD_ID_MAX];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return false;
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf || elf_kind(elf) != ELF_K_ELF || gelf_getclass(elf) != ELFCLASS64)
		return false;
	if (id_len && (build_id_read(elf, other) != id_len || memcmp(id, other, id_len) != 0))
		return false;
	f->debug_elf = tocsin_take_ptr(&elf);
	f->debug_fd = tocsin_take_fd(&owned);
	return true;
}

static int debug_open(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static bool debug_by_build_id(struct elf_file *f, const uint8_t *id, size_t len)
{
	char hex[2 * ELF_BUILD_ID_MAX + 1], path[512];
	int n;

	for (size_t i = 0; i < len; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
	n = snprintf(path, sizeof(path), "%.*s/usr/lib/debug/.build-id/%.2s/%s.debug",
		     root_prefix_len(f->path), f->path, hex, hex + 2);
	return n > 0 && (size_t)n < sizeof(path) && debug_take(f, debug_open(path), id, len);
}

/* The file's own word: a name, to be looked for beside it, in .debug beside it, and under
 * /usr/lib/debug. Only with a build id that agrees: the checksum that stands behind the name would
 * have us read all of a large file. */
static bool debug_by_link(struct elf_file *f, const uint8_t *id, size_t len)
{
	const char *slash = strrchr(f->path, '/');
	int root = root_prefix_len(f->path), folder = slash ? (int)(slash - f->path) : 0;
	GElf_Shdr shdr;
	Elf_Scn *scn = elf_section_find(f->elf, ".gnu_debuglink", &shdr);
	Elf_Data *data = scn ? elf_rawdata(scn, NULL) : NULL;
	const char *name = data ? data->d_buf : NULL;
	char path[3][PATH_MAX];

	if (!name || !slash || !memchr(name, '\0', data->d_size) || strchr(name, '/') || !name[0])
		return false;
	(void)snprintf(path[0], PATH_MAX, "%.*s/%s", folder, f->path, name);
	(void)snprintf(path[1], PATH_MAX, "%.*s/.debug/%s", folder, f->path, name);
	(void)snprintf(path[2], PATH_MAX, "%.*s/usr/lib/debug%.*s/%s", root, f->path, folder - root,
		       f->path + root, name);
	for (int i = 0; i < 3; i++)
		if (debug_take(f, debug_open(path[i]), id, len))
			return true;
	return false;
}

/* Names of local functions, packed into the file itself: an ELF file compressed by xz. */
static bool debug_unpack(struct elf_file *f)
{
	TOCSIN_CLEANUP(tocsin_free_voidp) uint8_t *bytes = NULL;
	TOCSIN_CLEANUP(tocsin_close_fdp) int fd = -1;
	uint64_t limit = UNPACK_MEMORY_MAX;
	size_t in = 0, out = 0;
	GElf_Shdr shdr;
	Elf_Scn *scn = elf_section_find(f->elf, ".gnu_debugdata", &shdr);
	Elf_Data *data = scn ? elf_rawdata(scn, NULL) : NULL;

	if (!data || !data->d_buf || data->d_size > UNPACKED_MAX)
		return false;
	bytes = malloc(UNPACKED_MAX);
	if (!bytes || lzma_stream_buffer_decode(&limit, 0, NULL, data->d_buf, &in, data->d_size,
						bytes, &out, UNPACKED_MAX) != LZMA_OK)
		return false;
	fd = memfd_create("debugdata", MFD_CLOEXEC);
	if (fd < 0 || write(fd, bytes, out) != (ssize_t)out)
		return false;
	return debug_take(f, tocsin_take_fd(&fd), NULL, 0);
}

/* A debug file is a help, not a need: without a usable one the file's own tables serve. */
static void open_debug_file(struct elf_file *f)
{
	uint8_t id[ELF_BUILD_ID_MAX];
	size_t len = build_id_read(f->elf, id);

	if (len && (debug_by_build_id(f, id, len) || debug_by_link(f, id, len)))
		return;
	(void)debug_unpack(f); /* it need not have any */
}

static int check_header(struct elf_file *f, struct tocsin_err *err)
{
	GElf_Ehdr eh;

	if (elf_kind(f->elf) != ELF_K_ELF)
		return tocsin_err_fail(-ENOEXEC, err, "'%s' is not an ELF file", f->path);
	if (!gelf_getehdr(f->elf, &eh))
		return tocsin_err_fail(-EBADMSG, err, "damaged ELF header in '%s': %s", f->path,
				       elf_errmsg(-1));
	if (eh.e_ident[EI_CLASS] != ELFCLASS64)
		return tocsin_err_fail(-ENOTSUP, err, "'%s' is a 32-bit file", f->path);
	if (eh.e_ident[EI_DATA] != ELFDATA2LSB)
		return tocsin_err_fail(-ENOTSUP, err, "'%s' is a big-endian file", f->path);
	if (eh.e_type != ET_EXEC && eh.e_type != ET_DYN)
		return tocsin_err_fail(-ENOTSUP, err,
				       "'%s' is neither a program nor a shared library", f->path);
	f->machine = eh.e_machine;
	f->is_relocated = eh.e_type == ET_DYN;
	return 0;
}

/* The rules by which probes are emulated or optimised changed with the kernel; an unreadable
 * version counts as old. */
static unsigned kernel_version(void)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) != 0 || sscanf(u.release, "%5u.%5u", &major, &minor) != 2)
		return 0;
	return major << 16 | minor;
}

int elf_file_open(const char *path, struct elf_file **ret, struct tocsin_err *err)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = calloc(1, sizeof(*f));
	struct stat st;
	int r;

	if (!f)
		return -ENOMEM;
	f->fd = f->debug_fd = -1;
	f->kernel = kernel_version();
	f->path = strdup(path);
	if (!f->path)
		return -ENOMEM;
	if (elf_version(EV_CURRENT) == EV_NONE)
		return tocsin_err_fail(-ENOTSUP, err, "libelf is too old: %s", elf_errmsg(-1));
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (f->fd < 0) {
		r = -errno;
		return tocsin_err_fail(r, err, "cannot open '%s': %s", path, strerror(-r));
	}
	if (fstat(f->fd, &st) != 0)
		return tocsin_err_fail(-errno, err, "cannot stat '%s': %m", path);
	if (!S_ISREG(st.st_mode))
		return tocsin_err_fail(-ENOEXEC, err, "'%s' is not a regular file", path);
	f->size_bytes = (uint64_t)st.st_size;
	f->elf = elf_begin(f->fd, ELF_C_READ, NULL);
	if (!f->elf)
		return tocsin_err_fail(-EBADMSG, err, "cannot read '%s': %s", path, elf_errmsg(-1));
	r = check_header(f, err);
	if (r < 0)
		return r;
	r = load_segments(f, err);
	if (r < 0)
		return r;
	open_debug_file(f);
	*ret = tocsin_take_ptr(&f);
	return 0;
}
