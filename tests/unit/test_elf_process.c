// SPDX-License-Identifier: MIT
/* What a process calls its files, and what it has in memory. */
#include "sites.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char scratch[64]; /* a directory of our own */

/* Start a child that says with one byte when @prepare is done (0: well), and lives until it is
 * stopped. */
static pid_t child_start(int (*prepare)(void), bool *ret_is_ready)
{
	uint8_t ready = 1;
	int pipe_fd[2];
	pid_t pid;

	assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		ready = prepare() != 0;
		if (write(pipe_fd[1], &ready, 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(pipe_fd[1]);
	assert_true(read(pipe_fd[0], &ready, 1) >= 0);
	(void)close(pipe_fd[0]);
	*ret_is_ready = !ready;
	return pid;
}

static void child_stop(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void copy_file(const char *from, const char *to)
{
	FILE *in = fopen(from, "re"), *out = fopen(to, "we");
	char buf[65536];
	size_t n;

	assert_non_null(in);
	assert_non_null(out);
	while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
		assert_int_equal(fwrite(buf, 1, n, out), n);
	assert_int_equal(fclose(in), 0);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(chmod(to, 0755), 0);
}

static void test_own_program(void **state)
{
	char path[PATH_MAX], exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	(void)state;
	assert_true(n > 0);
	exe[n] = '\0';
	assert_int_equal(elf_path_in_process(getpid(), NULL, path, sizeof(path)), 0);
	assert_string_equal(path, exe);
	assert_int_equal(elf_path_in_process(getpid(), "/some/where", path, sizeof(path)), 0);
	assert_string_equal(path, "/some/where");
	assert_int_equal(elf_path_in_process(0, "/some/where", path, sizeof(path)), 0);
	assert_int_equal(elf_path_in_process(0, NULL, path, sizeof(path)), -EINVAL);
	assert_int_equal(elf_path_in_process(getpid(), "/some/where", path, 5), -ENAMETOOLONG);
	assert_int_equal(elf_path_in_process(INT_MAX, NULL, path, sizeof(path)), -ESRCH);
	assert_int_equal(elf_path_in_process(INT_MAX, "/x", path, sizeof(path)), -ESRCH);
}

/* A program that was replaced while it runs: the file of the running one, not the new file of that
 * name. */
static void test_deleted_program(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = NULL;
	char program[128], path[PATH_MAX], wanted[64];
	pid_t pid;

	(void)state;
	(void)snprintf(program, sizeof(program), "%s/program", scratch);
	copy_file("/proc/self/exe", program);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)execl(program, program, "wait", (char *)NULL);
		_exit(1);
	}
	for (unsigned i = 0; i < 500; i++) {
		assert_int_equal(elf_path_in_process(pid, NULL, path, sizeof(path)), 0);
		if (strcmp(path, program) == 0)
			break;
		(void)poll(NULL, 0, 10);
	}
	assert_string_equal(path, program);
	assert_int_equal(unlink(program), 0);
	copy_file(site_path("context"), program);
	assert_int_equal(elf_path_in_process(pid, NULL, path, sizeof(path)), 0);
	(void)snprintf(wanted, sizeof(wanted), "/proc/%d/exe", pid);
	assert_string_equal(path, wanted);
	f = site_open_path(path);
	assert_true(site_func(f, "test_deleted_program").size > 0);
	child_stop(pid);
	assert_int_equal(unlink(program), 0);
}

/* A mount namespace with its own files in `scratch`, where absolute links lead to its own root. */
static int prepare_namespace(void)
{
	char path[128], target[128];
	FILE *f;

	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", scratch, "tmpfs", 0, NULL) != 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "%s/file", scratch);
	f = fopen(path, "we");
	if (!f || fclose(f) != 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "%s/down", scratch);
	if (mkdir(path, 0755) != 0)
		return -errno;
	(void)snprintf(target, sizeof(target), "%s/file", scratch);
	(void)snprintf(path, sizeof(path), "%s/absolute", scratch);
	if (symlink(target, path) != 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "%s/down/relative", scratch);
	if (symlink("../absolute", path) != 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "%s/circle", scratch);
	return symlink("circle", path) != 0 ? -errno : 0;
}

static void test_other_namespace(void **state)
{
	static const char *const names[] = {"file", "absolute", "down/relative", "./down//../file",
					    "down/../../../../../../../.."};
	char path[PATH_MAX], name[256], wanted[256];
	bool is_ready;
	pid_t pid = child_start(prepare_namespace, &is_ready);

	(void)state;
	if (!is_ready) {
		child_stop(pid);
		print_message("# no mount namespace: no privilege, or / is no mount point, as in a "
			      "bare chroot\n");
		skip();
	}
	(void)snprintf(wanted, sizeof(wanted), "/proc/%d/root%s/file", pid, scratch);
	for (unsigned i = 0; i < 5; i++) {
		/* The last climbs to the root, and no further, and comes down again. */
		(void)snprintf(name, sizeof(name), "%s/%s%s%s", scratch, names[i],
			       i == 4 ? scratch : "", i == 4 ? "/file" : "");
		assert_int_equal(elf_path_in_process(pid, name, path, sizeof(path)), 0);
		assert_string_equal(path, wanted);
		assert_int_equal(access(path, R_OK), 0);
	}
	(void)snprintf(name, sizeof(name), "%s/circle", scratch);
	assert_int_equal(elf_path_in_process(pid, name, path, sizeof(path)), -ELOOP);
	(void)snprintf(name, sizeof(name), "%s/none", scratch);
	assert_int_equal(elf_path_in_process(pid, name, path, sizeof(path)), -ENOENT);
	/* Its program is ours, but is found through the process, whose paths are not ours. */
	assert_int_equal(elf_path_in_process(pid, NULL, path, sizeof(path)), 0);
	(void)snprintf(wanted, sizeof(wanted), "/proc/%d/exe", pid);
	assert_string_equal(path, wanted);
	/* Its libraries are on a file system that we share. */
	assert_int_equal(elf_find_library(pid, "libc.so.6", path, sizeof(path)), 0);
	assert_int_equal(access(path, R_OK), 0);
	child_stop(pid);
}

static void test_libraries(void **state)
{
	char mapped[PATH_MAX], found[PATH_MAX], path[PATH_MAX];
	struct stat one, other;

	(void)state;
	assert_int_equal(elf_find_library(getpid(), "libc.so.6", mapped, sizeof(mapped)), 0);
	assert_int_equal(elf_find_library(0, "libc.so.6", found, sizeof(found)), 0);
	assert_int_equal(stat(mapped, &one), 0);
	assert_int_equal(stat(found, &other), 0);
	assert_int_equal(one.st_ino, other.st_ino);
	assert_int_equal(elf_find_library(getpid(), "libc", path, sizeof(path)), 0);
	assert_string_equal(path, mapped);
	assert_int_equal(elf_find_library(getpid(), "libc.so", path, sizeof(path)), 0);
	assert_string_equal(path, mapped);
	assert_int_equal(elf_find_library(0, "libc", path, sizeof(path)),
			 0); /* the linker script is passed over */
	assert_int_equal(stat(path, &one), 0);
	assert_int_equal(one.st_ino, other.st_ino);
	assert_int_equal(elf_find_library(getpid(), "libnone.so", path, sizeof(path)), -ENOENT);
	assert_int_equal(elf_find_library(0, "libnone.so", path, sizeof(path)), -ENOENT);
	assert_int_equal(elf_find_library(0, "lib*", path, sizeof(path)), -ENOENT);
	assert_int_equal(elf_find_library(0, "", path, sizeof(path)), -EINVAL);
	assert_int_equal(elf_find_library(0, "a/b", path, sizeof(path)), -EINVAL);
	assert_int_equal(elf_find_library(INT_MAX, "libc.so.6", path, sizeof(path)), -ESRCH);
}

static void test_read_back(void **state)
{
	TOCSIN_CLEANUP(elf_file_freep) struct elf_file *f = NULL;
	char path[PATH_MAX];
	struct elf_func func;
	uint8_t byte = 0, wanted = 1;

	(void)state;
	assert_int_equal(elf_find_library(getpid(), "libc.so.6", path, sizeof(path)), 0);
	f = site_open_path(path);
	func = site_func(f, "malloc");
	assert_int_equal(elf_read_vaddr(f, func.vaddr, &wanted, 1), 0);
	assert_int_equal(bind_read_back(getpid(), path, func.offset, &byte), 0);
	assert_int_equal(byte, wanted);
	assert_int_equal(bind_read_back(getpid(), path, 1ull << 40, &byte), -ENOENT);
	assert_int_equal(bind_read_back(getpid(), site_path("context"), func.offset, &byte),
			 -ENOENT);
	assert_int_equal(bind_read_back(getpid(), "/nonexistent", func.offset, &byte), -ENOENT);
	assert_int_equal(bind_read_back(INT_MAX, path, func.offset, &byte), -ESRCH);
}

static int make_scratch(void **state)
{
	(void)state;
	(void)snprintf(scratch, sizeof(scratch), "/tmp/tocsin-elf-XXXXXX");
	return mkdtemp(scratch) ? 0 : -1;
}

static int remove_scratch(void **state)
{
	(void)state;
	return rmdir(scratch);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_program),     cmocka_unit_test(test_deleted_program),
		cmocka_unit_test(test_other_namespace), cmocka_unit_test(test_libraries),
		cmocka_unit_test(test_read_back),
	};

	if (argc == 2 && strcmp(argv[1], "wait") == 0)
		for (;;)
			(void)pause();
	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
