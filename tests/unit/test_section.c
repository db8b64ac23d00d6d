// SPDX-License-Identifier: MIT
/* collector/section: the language by example, lists, files, and lines that nobody meant. What is
 * said about wrong lines is in tests/golden/check. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "abi/watch.h"
#include "collector/section_scan.h"

#define MS UINT64_C(1000000)

/* Parse a line that is right. */
static struct section parsed(const char *line)
{
	struct section s = {0};
	struct tocsin_diag diag;
	enum section_line kind;
	static char text[4096];

	if (section_parse(line, "test", 7, &kind, &s, &diag) < 0)
		fail_msg("%s", tocsin_diag_text(&diag, text, sizeof(text)));
	return s;
}

/* A place as `kind path group name offset`, '-' for what is not there. */
static const char *place_fields(const struct place *p, char *buf, size_t len)
{
	(void)snprintf(buf, len, "%s %s %s %s 0x%llx", place_kind_name(p->kind),
		       p->path ? p->path : "-", p->group ? p->group : "-", p->name ? p->name : "-",
		       (unsigned long long)p->offset);
	return buf;
}

static void check_place(const char *line, const struct place *p, const char *wanted)
{
	char fields[1024];

	if (strcmp(place_fields(p, fields, sizeof(fields)), wanted) != 0)
		fail_msg("'%s': '%s', not '%s'", line, fields, wanted);
}

struct good {
	const char *line;
	const char *name;
	const char *start;
	const char *stop; /* NULL: none */
	uint64_t budget_ns;
};

static const struct good goods[] = {
	{"usdt:postgres:query__start .. query__done < 10ms", "query__start..query__done",
	 "usdt - postgres query__start 0x0", "usdt - postgres query__done 0x0", 10 * MS},
	{"q: usdt:/usr/lib/p:g:a .. usdt:h:b<1.5s", "q", "usdt /usr/lib/p g a 0x0",
	 "usdt - h b 0x0", 1500 * MS},
	{"usdt:/x:g:a .. h:b < 20us", "a..b", "usdt /x g a 0x0", "usdt /x h b 0x0", 20000},
	{"usdt:/x:g:a .. /y:z:h:b < 1h", "a..b", "usdt /x g a 0x0", "usdt /y:z h b 0x0",
	 3600000 * MS},
	{"usdt:\"/x y\":g:a .. b < 1m", "a..b", "usdt /x y g a 0x0", "usdt /x y g b 0x0",
	 60000 * MS},
	{"func:main < 1ms", "main", "func - - main 0x0", NULL, MS},
	{"func:libc.so.6:read < 1ms", "read", "func libc.so.6 - read 0x0", NULL, MS},
	{"func:/bin/x:ns::T<int>::f(int, char const*) < 10ms", "ns.T.f",
	 "func /bin/x - ns::T<int>::f(int, char const*) 0x0", NULL, 10 * MS},
	{"func:ns::T<int>::f<10ms", "ns.T.f", "func - - ns::T<int>::f 0x0", NULL, 10 * MS},
	{"func:/opt/my:app/bin:ns::f < 1ms", "ns.f", "func /opt/my:app/bin - ns::f 0x0", NULL, MS},
	{"func:/x:::f < 1ms", "f", "func /x - ::f 0x0", NULL, MS},
	{"func:/x:f[abi:cxx11](int) < 1ms", "f", "func /x - f[abi:cxx11](int) 0x0", NULL, MS},
	{"func:operator< < 10ms", "operator", "func - - operator< 0x0", NULL, 10 * MS},
	{"func:operator<<10ms", "operator", "func - - operator< 0x0", NULL, 10 * MS},
	{"func:operator<<<10ms", "operator", "func - - operator<< 0x0", NULL, 10 * MS},
	{"func:bool ns::operator< <int>(A const&) < 10ms", "ns.operator",
	 "func - - bool ns::operator< <int>(A const&) 0x0", NULL, 10 * MS},
	{"func:ns::operator\"\"_km(long double) < 1ms", "ns.operator___km",
	 "func - - ns::operator\"\"_km(long double) 0x0", NULL, MS},
	{"func:operator new(unsigned long) < 1ms", "operator_new",
	 "func - - operator new(unsigned long) 0x0", NULL, MS},
	{"func:A::operator bool() const < 1ms", "A.operator_bool",
	 "func - - A::operator bool() const 0x0", NULL, MS},
	{"func:A::operator()(int) < 1ms", "A.operator", "func - - A::operator()(int) 0x0", NULL,
	 MS},
	{"func:(anonymous namespace)::f(int) const < 1ms", "f",
	 "func - - (anonymous namespace)::f(int) const 0x0", NULL, MS},
	{"func:{lambda(int)#1}::operator()(int) const < 1ms", "operator",
	 "func - - {lambda(int)#1}::operator()(int) const 0x0", NULL, MS},
	{"func:void ns::g<int>(int) < 1ms", "ns.g", "func - - void ns::g<int>(int) 0x0", NULL, MS},
	{"func:f(int, ...) < 1ms", "f", "func - - f(int, ...) 0x0", NULL, MS},
	{"func:main.main..func1 < 1ms", "main.main.func1", "func - - main.main..func1 0x0", NULL,
	 MS},
	{"func:/bin/g:example.org/y.F < 1ms", "example.org_y.F",
	 "func /bin/g - example.org/y.F 0x0", NULL, MS},
	{"func:memcpy@GLIBC_2.14 .. memcpy@@GLIBC_2.15 < 1ms", "memcpy..memcpy",
	 "func - - memcpy@GLIBC_2.14 0x0", "func - - memcpy@@GLIBC_2.15 0x0", MS},
	{"func:\"/a b/c:d\":\"x < 5ms # .. by\" < 1ms", "x___5ms___._by",
	 "func /a b/c:d - x < 5ms # .. by 0x0", NULL, MS},
	{"func:\"a\\\"b\\\\c\" < 1ms", "a_b_c", "func - - a\"b\\c 0x0", NULL, MS},
	{"func:\"1st\" < 1ms", "_1st", "func - - 1st 0x0", NULL, MS},
	{"func:/bin/x:a .. b < 1ms", "a..b", "func /bin/x - a 0x0", "func /bin/x - b 0x0", MS},
	{"func:/bin/x:a .. func:b < 1ms", "a..b", "func /bin/x - a 0x0", "func - - b 0x0", MS},
	{"func:/bin/x:a .. /bin/y:b < 1ms", "a..b", "func /bin/x - a 0x0", "func /bin/y - b 0x0",
	 MS},
	{"func:a .. /bin/x:0x10 < 1ms", "a..x.0x10", "func - - a 0x0", "offset /bin/x - - 0x10",
	 MS},
	{"func:usdt < 1ms", "usdt_", "func - - usdt 0x0", NULL, MS},
	{"func:\xc3\xa4 < 1ms", "__", "func - - \xc3\xa4 0x0", NULL, MS},
	{"/bin/x:0x10 .. 32 < 1ms", "x.0x10..x.0x20", "offset /bin/x - - 0x10",
	 "offset /bin/x - - 0x20", MS},
	{"/opt/my:app/b:16 .. /y:0x20 < 1ms", "b.0x10..y.0x20", "offset /opt/my:app/b - - 0x10",
	 "offset /y - - 0x20", MS},
	{"n:\"a b\":0 .. /y:0x7fffffffffffffff < 1ms", "n", "offset a b - - 0x0",
	 "offset /y - - 0x7fffffffffffffff", MS},
	{"x:0x10 .. 0x20 < 1ms", "x.0x10..x.0x20", "offset x - - 0x10", "offset x - - 0x20", MS},
	{"syscall:read < 1ms", "read", "syscall - - read 0x0", NULL, MS},
	{"n:syscall:read .. write < 1ms", "n", "syscall - - read 0x0", "syscall - - write 0x0", MS},
	{"tracepoint:sched:sched_switch .. sched_wakeup < 1ms", "sched_switch..sched_wakeup",
	 "tracepoint - sched sched_switch 0x0", "tracepoint - sched sched_wakeup 0x0", MS},
	{"tracepoint:9p:a .. xhci-hcd:b < 1ms", "a..b", "tracepoint - 9p a 0x0",
	 "tracepoint - xhci-hcd b 0x0", MS},
	{"a..b#12: func:f < 1ms", "a..b#12", "func - - f 0x0", NULL, MS},
	{" \t_x.y-z:\tfunc:f\t<\t1ms \t# f is slow", "_x.y-z", "func - - f 0x0", NULL, MS},
	{"p /usr/bin/server:4768 4848 threshold=5000", "server.0x12a0..server.0x12f0",
	 "offset /usr/bin/server - - 0x12a0", "offset /usr/bin/server - - 0x12f0", 5000},
	{"p  /usr/bin/server:0x12a0\tthreshold=1000 0x12f0 ", "server.0x12a0..server.0x12f0",
	 "offset /usr/bin/server - - 0x12a0", "offset /usr/bin/server - - 0x12f0", 1000},
	{"p /opt/my:server/bin:0x100 0x200 threshold=3600000000000", "bin.0x100..bin.0x200",
	 "offset /opt/my:server/bin - - 0x100", "offset /opt/my:server/bin - - 0x200",
	 3600000 * MS},
};

#define GOODS_NR (sizeof(goods) / sizeof(goods[0]))

static void good_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < GOODS_NR; i++) {
		const struct good *g = &goods[i];
		struct section s = parsed(g->line);

		check_place(g->line, &s.start, g->start);
		check_place(g->line, &s.stop, g->stop ? g->stop : "none - - - 0x0");
		assert_string_equal(s.name, g->name);
		assert_int_equal(s.budget_ns, g->budget_ns);
		assert_int_equal(s.start_key, -1);
		assert_int_equal(s.stop_key, -1);
		assert_int_equal(s.is_tlob, g->line[0] == 'p');
		assert_string_equal(s.file, "test");
		assert_int_equal(s.line, 7);
		section_done(&s);
		assert_null(s.name);
	}
	section_done(NULL);
}

static void keys(void **state)
{
	struct section s = parsed("syscall:read .. write by arg11/arg0 < 1ms");

	(void)state;
	assert_int_equal(s.start_key, 11);
	assert_int_equal(s.stop_key, 0);
	section_done(&s);
	s = parsed("a: usdt:g:a .. b by arg3<1ms");
	assert_int_equal(s.start_key, 3);
	assert_int_equal(s.stop_key, 3);
	section_done(&s);
}

static void text_is_as_written(void **state)
{
	struct section s = parsed("\t n:  func:/bin/x:f(int,  char) <1.50ms   # why");

	(void)state;
	assert_string_equal(s.text, "n:  func:/bin/x:f(int,  char) <1.50ms");
	assert_true(s.has_own_name);
	section_done(&s);
	s = parsed("func:f < 1ms");
	assert_false(s.has_own_name);
	section_done(&s);
}

static void made_names_are_short(void **state)
{
	char line[600], name[SECTION_NAME_MAX + 1];
	struct section s;

	(void)state;
	for (size_t len = 1; len < 250; len++) {
		(void)snprintf(line, sizeof(line), "func:%0*d%s", 0, 0, "");
		memset(line + 5, 'a', len);
		(void)snprintf(line + 5 + len, sizeof(line) - 5 - len,
			       " .. /b/%.*s:0xffffffffffff < 1ms", (int)len, line + 5);
		s = parsed(line);
		assert_in_range(strlen(s.name), 1, SECTION_NAME_MAX);
		assert_non_null(strstr(s.name, ".."));
		section_name_make(&s, name);
		assert_string_equal(s.name, name);
		section_done(&s);
	}
}

struct bad {
	const char *line;
	int r;
};

/* What is said about them is in tests/golden/check; here, that nothing is written. */
static void bad_lines(void **state)
{
	static const struct bad bads[] = {
		{"func:f < 19999ns", -ERANGE},
		{"func:f < 3600.000000001s", -ERANGE},
		{"func:f < 99999999999999999999h", -ERANGE},
		{"func:f", -EINVAL},
		{"func:f < x", -EINVAL},
		{"p /x:1 2 threshold=999", -ERANGE},
		{"p /x:1 2 threshold=3600000000001", -ERANGE},
		{"p /x:1 2 threshold=99999999999999999999", -ERANGE},
		{"p /x:0x8000000000000000 2 threshold=1000", -EINVAL},
		{"p /x:010 2 threshold=1000", -EINVAL},
		{"p", -EINVAL},
		{"p ", -EINVAL},
		{"-", -EINVAL},
		{":", -EINVAL},
		{"<", -EINVAL},
		{"\"", -EINVAL},
		{"..", -EINVAL},
		{"\x7f", -EINVAL},
		{"func:f < 1ms\r", -EINVAL},
	};
	struct tocsin_diag diag;

	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		struct section s = {.line = 4711};
		enum section_line kind = SECTION_LINE_REMOVE;

		if (section_parse(bads[i].line, "test", 1, &kind, &s, &diag) != bads[i].r)
			fail_msg("'%s'", bads[i].line);
		assert_int_equal(section_parse(bads[i].line, "test", 1, &kind, &s, NULL),
				 bads[i].r);
		assert_int_equal(s.line, 4711);
		assert_int_equal(kind, SECTION_LINE_REMOVE);
		assert_true(diag.text[0] && diag.len >= 1);
	}
}

static void empty_and_removing_lines(void **state)
{
	static const char *const empties[] = {"", " \t", "#", "# func:f < 1ms",
					      "  # \xc3\xa4\xff\x01 \""};
	struct section s = {0};
	enum section_line kind;

	(void)state;
	for (size_t i = 0; i < sizeof(empties) / sizeof(empties[0]); i++) {
		assert_int_equal(section_parse(empties[i], "test", 1, &kind, &s, NULL), 0);
		assert_int_equal(kind, SECTION_LINE_EMPTY);
		section_done(&s);
	}
	assert_int_equal(section_parse(" -/a:b:0x10 # gone", "test", 1, &kind, &s, NULL), 0);
	assert_int_equal(kind, SECTION_LINE_REMOVE);
	check_place("removal", &s.start, "offset /a:b - - 0x10");
	assert_string_equal(s.text, "-/a:b:0x10");
	section_done(&s);
}

static void lines_may_be_as_long_as_said(void **state)
{
	static char line[SECTION_LINE_MAX + 2];
	enum section_line kind;
	struct section s = {0};

	(void)state;
	memset(line, 'f', SECTION_LINE_MAX + 1);
	memcpy(line, "func:", 5);
	memcpy(line + SECTION_LINE_MAX - 4, "<1ms", 4);
	line[SECTION_LINE_MAX] = '\0';
	assert_int_equal(section_parse(line, "test", 1, &kind, &s, NULL), 0);
	section_done(&s);
	memcpy(line + SECTION_LINE_MAX - 3, "<1ms", 5);
	assert_int_equal(section_parse(line, "test", 1, &kind, &s, NULL), -EINVAL);
}

static int apply(struct section_list *list, const char *line, struct tocsin_diag *diag)
{
	return section_list_apply(list, line, "test", 3, diag);
}

static void list_refuses_the_same_twice(void **state)
{
	struct section_list list = {0};
	struct tocsin_diag diag;

	(void)state;
	assert_int_equal(apply(&list, "q: func:f < 1ms", &diag), 0);
	assert_int_equal(apply(&list, "q: func:g < 1ms", &diag), -EEXIST);
	assert_string_equal(diag.text, "a second section has the name 'q'");
	assert_string_equal(diag.hint, "the first is at test:3: q: func:f < 1ms");
	assert_int_equal(diag.column, 1);
	assert_int_equal(diag.len, 1);
	assert_int_equal(apply(&list, "p /x:0x10 0x20 threshold=1000", &diag), 0);
	assert_int_equal(apply(&list, "p /x:16 0x30 threshold=2000", &diag), -EEXIST);
	assert_string_equal(diag.text, "a second section starts at offset 0x10 of '/x'");
	assert_int_equal(apply(&list, "p /y:0x10 0x30 threshold=2000", &diag), 0);
	assert_int_equal(apply(&list, "p /x:0x11 0x30 threshold=2000", &diag), 0);
	assert_int_equal(apply(&list, "/x:0x10 .. 0x30 < 1ms", &diag),
			 0); /* not the kernel's own */
	assert_int_equal(list.nr, 5);
	section_list_done(&list);
	section_list_done(NULL);
}

static void list_numbers_made_names(void **state)
{
	struct section_list list = {0};
	struct tocsin_diag diag;
	char line[200] = "func:";

	(void)state;
	assert_int_equal(apply(&list, "syscall:read < 1ms", &diag), 0);
	assert_int_equal(apply(&list, "func:read < 1ms", &diag), 0);
	assert_int_equal(apply(&list, "read#3: func:g < 1ms", &diag), 0);
	assert_int_equal(apply(&list, "func:/x:read < 1ms", &diag), 0);
	assert_string_equal(list.item[0].name, "read");
	assert_string_equal(list.item[1].name, "read#2");
	assert_string_equal(list.item[3].name, "read#4");
	assert_int_equal(apply(&list, "read: func:h < 1ms", &diag), -EEXIST);
	memset(line + 5, 'n', 100);
	memcpy(line + 105, " < 1ms", 7);
	assert_int_equal(apply(&list, line, &diag), 0);
	assert_int_equal(apply(&list, line, &diag), 0);
	assert_int_equal(strlen(list.item[4].name), SECTION_NAME_MAX);
	assert_int_equal(strcmp(list.item[5].name + SECTION_NAME_MAX - 4, "#2"), 0);
	section_list_done(&list);
}

static void list_has_a_limit(void **state)
{
	struct section_list list = {0};
	struct tocsin_diag diag;

	(void)state;
	for (size_t i = 0; i < WATCH_SECTIONS_MAX; i++)
		assert_int_equal(apply(&list, "syscall:read < 1ms", &diag), 0);
	assert_string_equal(list.item[WATCH_SECTIONS_MAX - 1].name, "read#256");
	assert_int_equal(apply(&list, "syscall:read < 1ms", &diag), -ENOSPC);
	assert_string_equal(diag.text, "more than 256 sections");
	assert_int_equal(list.nr, WATCH_SECTIONS_MAX);
	section_list_done(&list);
}

static void list_removes(void **state)
{
	struct section_list list = {0};
	struct tocsin_diag diag;

	(void)state;
	assert_int_equal(apply(&list, "p /x:0x10 0x20 threshold=1000", &diag), 0);
	assert_int_equal(apply(&list, "a: /x:0x18 .. 0x20 < 1ms", &diag), 0);
	assert_int_equal(apply(&list, "p /x:0x11 0x20 threshold=1000", &diag), 0);
	assert_int_equal(section_list_remove(&list, "/x", 0x12), -ENOENT);
	assert_int_equal(section_list_remove(&list, "/y", 0x10), -ENOENT);
	assert_int_equal(section_list_remove(&list, "/x", 0x18),
			 -ENOENT); /* not the kernel's own */
	assert_int_equal(apply(&list, "-/x:16", &diag), 0);
	assert_int_equal(apply(&list, "-/x:16", &diag), -ENOENT);
	assert_string_equal(diag.text, "no section starts at offset 0x10 of '/x'");
	assert_int_equal(list.nr, 2);
	assert_string_equal(list.item[0].name, "a");
	assert_int_equal(list.item[1].start.offset, 0x11);
	assert_int_equal(section_list_remove(&list, "/x", 0x11), 0);
	assert_int_equal(list.nr, 1);
	section_list_done(&list);
}

/* A budgets file with these bytes. */
static int read_bytes(struct section_list *list, const void *bytes, size_t len,
		      struct tocsin_diag *diag)
{
	char path[] = "/tmp/test_section.XXXXXX";
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	(void)close(fd);
	r = section_list_read(list, path, diag);
	(void)unlink(path);
	return r;
}

static int read_text(struct section_list *list, const char *text, struct tocsin_diag *diag)
{
	return read_bytes(list, text, strlen(text), diag);
}

static void files_are_read(void **state)
{
	struct section_list list = {0};
	struct tocsin_diag diag;

	(void)state;
	assert_int_equal(read_text(&list, "", &diag), 0);
	assert_int_equal(list.nr, 0);
	assert_int_equal(read_text(&list,
				   "\xef\xbb\xbf# \xc3\xbc"
				   "ber\r\n"
				   "\r\n"
				   "a: func:f < 1ms\r\n"
				   "p /x:1 2 threshold=1000\n"
				   "\n"
				   "-/x:1\n"
				   "b: func:f < 1ms",
				   &diag),
			 0);
	assert_int_equal(list.nr, 2);
	assert_string_equal(list.item[0].text, "a: func:f < 1ms");
	assert_int_equal(list.item[0].line, 3);
	assert_int_equal(list.item[1].line, 7);
	section_list_done(&list);
}

static void files_count_as_a_whole(void **state)
{
	struct section_list list = {0};
	struct tocsin_diag diag;

	(void)state;
	assert_int_equal(apply(&list, "p /x:1 2 threshold=1000", &diag), 0);
	assert_int_equal(apply(&list, "a: usdt:g:a .. b by arg1 < 1ms", &diag), 0);
	assert_int_equal(read_text(&list, "-/x:1\nb: func:f < 1ms\nc: func:f\n", &diag), -EINVAL);
	assert_int_equal(diag.line, 3);
	assert_int_equal(diag.column, 10);
	assert_int_equal(list.nr, 2);
	assert_int_equal(read_text(&list, "b: func:f < 1ms\na: func:f < 1ms\n", &diag), -EEXIST);
	assert_int_equal(diag.line, 2);
	assert_int_equal(read_text(&list, "-/x:1\n-/x:1\n", &diag), -ENOENT);
	assert_int_equal(diag.line, 2);
	assert_int_equal(list.nr, 2);
	assert_int_equal(list.item[0].start.offset, 1);
	assert_int_equal(read_text(&list, "-/x:1\nb: func:f < 1ms\n", &diag), 0);
	assert_int_equal(list.nr, 2);
	assert_string_equal(list.item[0].name, "a");
	assert_int_equal(list.item[0].stop_key, 1);
	assert_string_equal(list.item[0].stop.group, "g");
	assert_string_equal(list.item[1].name, "b");
	section_list_done(&list);
}

static void files_that_are_none(void **state)
{
	struct section_list list = {0};
	struct tocsin_diag diag;
	char *big = malloc(SECTION_FILE_MAX + 2);

	(void)state;
	assert_non_null(big);
	assert_int_equal(section_list_read(&list, "/tmp", &diag), -EISDIR);
	assert_string_equal(diag.text, "cannot read: is a directory");
	assert_int_equal(section_list_read(&list, "/nonexistent/x", &diag), -ENOENT);
	assert_string_equal(diag.file, "/nonexistent/x");
	assert_int_equal(section_list_read(&list, "/dev/zero", &diag), -EFBIG);
	assert_int_equal(read_bytes(&list, "a: func:f < 1ms\nab\0c\n", 22, &diag), -EINVAL);
	assert_int_equal(diag.line, 2);
	assert_int_equal(diag.column, 3);
	memset(big, '\n', SECTION_FILE_MAX + 1);
	memcpy(big, "func:f < 1ms", 12);
	assert_int_equal(read_bytes(&list, big, SECTION_FILE_MAX + 1, &diag), -EFBIG);
	assert_int_equal(list.nr, 0);
	assert_int_equal(read_bytes(&list, big, SECTION_FILE_MAX, &diag), 0);
	assert_int_equal(list.nr, 1);
	memset(big, 'x', SECTION_FILE_MAX); /* one line */
	assert_int_equal(read_bytes(&list, big, 1 << 20, &diag), -EINVAL);
	assert_int_equal(list.nr, 1);
	section_list_done(&list);
	free(big);
}

/* ---- lines that nobody meant */

static uint64_t seed;

static size_t chance(size_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(seed >> 33) % below;
}

static const char *const fragments[] = {
	"usdt:",  "func:",       "syscall:",   "tracepoint:", "p ",
	"-/",     " .. ",        "..",         " by ",        "by",
	"arg0",   "arg1/arg2",   " < ",        "<",           "10ms",
	" < 1ms", "5us",         "1h",         "\"",          "\\",
	"\\\"",   ":",           "::",         ":::",         "0x10",
	"16",     "/bin/x",      "threshold=", "5000",        " ",
	"\t",     "#",           " #",         "operator",    "(",
	")",      "[abi:cxx11]", "@",          "@@V_1",       "name: ",
	"a#2: ",  "x:",          "\xc3\xa4",   "\xff",        "99999999999999999999",
};

#define FRAGMENTS_NR (sizeof(fragments) / sizeof(fragments[0]))

static size_t insert(char *line, size_t len, size_t max, size_t at, const char *what,
		     size_t what_len)
{
	if (len + what_len > max)
		return len;
	memmove(line + at + what_len, line + at, len - at);
	memcpy(line + at, what, what_len);
	return len + what_len;
}

static size_t mutate(char *line, size_t len, size_t max)
{
	size_t at = chance(len + 1), count;
	const char *other;

	switch (chance(6)) {
	case 0: /* another byte */
		if (at < len)
			line[at] = (char)chance(256);
		break;
	case 1: /* a part less */
		count = chance(12);
		if (count > len - at)
			count = len - at;
		memmove(line + at, line + at + count, len - at - count);
		len -= count;
		break;
	case 2: /* the tail of another line */
		other = goods[chance(GOODS_NR)].line;
		other += chance(strlen(other) + 1);
		len = at;
		len = insert(line, len, max, at, other, strlen(other));
		break;
	case 3: /* itself again */
		count = chance(20);
		if (count > len - at)
			count = len - at;
		len = insert(line, len, max, at, line + at, count);
		break;
	default:
		other = fragments[chance(FRAGMENTS_NR)];
		len = insert(line, len, max, at, other, strlen(other));
		break;
	}
	return len;
}

/* Does the place mean the same when it is read from its text? */
static void check_place_text(const char *line, const struct place *p)
{
	static char text[SECTION_TEXT_MAX], again[SECTION_TEXT_MAX + 40];
	struct section s;

	(void)snprintf(again, sizeof(again), "%s .. func:\"no such\" < 1ms",
		       place_text(p, text, sizeof(text)));
	s = parsed(again);
	if (!place_equal(p, &s.start))
		fail_msg("'%s': the place '%s'", line, text);
	section_done(&s);
}

static void check_accepted(const char *line, const struct section *s)
{
	static char text[SECTION_TEXT_MAX];
	struct section again;

	again = parsed(section_normal(s, text, sizeof(text)));
	if (strcmp(again.name, s->name) != 0 || !place_equal(&again.start, &s->start) ||
	    !place_equal(&again.stop, &s->stop) || again.start_key != s->start_key ||
	    again.stop_key != s->stop_key || again.budget_ns != s->budget_ns ||
	    again.is_tlob != s->is_tlob)
		fail_msg("'%s': '%s'", line, text);
	section_done(&again);
	if (s->is_tlob ||
	    chance(8) == 0) { /* of the others the line above has the places in full */
		check_place_text(line, &s->start);
		if (s->stop.kind != PLACE_NONE)
			check_place_text(line, &s->stop);
	}
	assert_in_range(strlen(s->name), 1, SECTION_NAME_MAX);
}

static void check_refused(const char *line, int r, const struct tocsin_diag *diag)
{
	static char text[4096];

	if ((r != -EINVAL && r != -ERANGE) || !diag->text[0] || !diag->column ||
	    diag->column > strlen(line) + 1 || diag->column - 1 + diag->len > strlen(line) + 1)
		fail_msg("'%s': %d, column %u, len %u", line, r, diag->column, diag->len);
	if (chance(16) == 0)
		assert_non_null(strchr(tocsin_diag_text(diag, text, sizeof(text)), '^'));
}

static void nobody_meant_these_lines(void **state)
{
	enum { LINES = 200000, LEN = 300 };
	size_t nr_accepted = 0, nr_removals = 0;
	char line[LEN + 1];

	(void)state;
	seed = 20250131;
	for (int i = 0; i < LINES; i++) {
		const char *first = chance(50) ? goods[chance(GOODS_NR)].line : "-/bin/x:0x10";
		struct section s = {0};
		struct tocsin_diag diag;
		enum section_line kind;
		size_t len = strlen(first);
		int r;

		memcpy(line, first, len);
		for (size_t n = chance(6) + (i % 16 == 0 ? 20 : 0); n > 0; n--)
			len = mutate(line, len, LEN);
		line[len] = '\0';
		r = section_parse(line, "fuzz", 1, &kind, &s, &diag);
		if (r < 0) {
			check_refused(line, r, &diag);
		} else if (kind == SECTION_LINE_ADD) {
			check_accepted(line, &s);
			nr_accepted++;
		} else {
			nr_removals += kind == SECTION_LINE_REMOVE;
		}
		section_done(&s);
	}
	/* A fuzzer that is always refused, or never, has tested little. */
	assert_in_range(nr_accepted, LINES / 10, LINES * 9 / 10);
	assert_true(nr_removals > 0);
}

static void nobody_meant_these_files(void **state)
{
	struct section_list list = {0};
	struct tocsin_diag diag;
	size_t nr_read = 0;
	char bytes[2048];

	(void)state;
	seed = 5;
	assert_int_equal(apply(&list, "keep: func:f < 1ms", &diag), 0);
	for (int i = 0; i < 1000; i++) {
		size_t len = 0, nr = list.nr;
		int r;

		for (size_t n = chance(5); n > 0; n--) {
			const char *line = goods[chance(GOODS_NR)].line;

			len = insert(bytes, len, sizeof(bytes), len, line, strlen(line));
			len = insert(bytes, len, sizeof(bytes), len, chance(2) ? "\n" : "\r\n", 2);
		}
		for (size_t n = chance(2); n > 0; n--)
			len = mutate(bytes, len, sizeof(bytes));
		r = read_bytes(&list, bytes, len, &diag);
		assert_string_equal(list.item[0].name, "keep");
		if (r < 0)
			assert_int_equal(list.nr, nr);
		else
			nr_read++;
		if (list.nr > 100) {
			section_list_done(&list);
			assert_int_equal(apply(&list, "keep: func:f < 1ms", &diag), 0);
		}
	}
	assert_in_range(nr_read, 100, 900);
	section_list_done(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_lines),
		cmocka_unit_test(keys),
		cmocka_unit_test(text_is_as_written),
		cmocka_unit_test(made_names_are_short),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(empty_and_removing_lines),
		cmocka_unit_test(lines_may_be_as_long_as_said),
		cmocka_unit_test(list_refuses_the_same_twice),
		cmocka_unit_test(list_numbers_made_names),
		cmocka_unit_test(list_has_a_limit),
		cmocka_unit_test(list_removes),
		cmocka_unit_test(files_are_read),
		cmocka_unit_test(files_count_as_a_whole),
		cmocka_unit_test(files_that_are_none),
		cmocka_unit_test(nobody_meant_these_lines),
		cmocka_unit_test(nobody_meant_these_files),
	};

	return cmocka_run_group_tests_name("section", tests, NULL, NULL);
}
