// SPDX-License-Identifier: MIT
/*
 * The first and only process of a guest: runs the lines of /tests one after the other, says how
 * each ended, and switches the machine off. A line is a program and its arguments.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS 16

static int run(char *line)
{
	char *argv[ARGS + 1] = {NULL}, *save = NULL;
	int status = -1, nr = 0;
	pid_t pid;

	for (char *word = strtok_r(line, " \n", &save); word && nr < ARGS;
	     word = strtok_r(NULL, " \n", &save))
		argv[nr++] = word;
	pid = fork();
	if (pid == 0) {
		(void)execv(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(void)
{
	char line[256], shown[256];
	FILE *tests;

	(void)mount("proc", "/proc", "proc", 0, NULL); /* what needs it will say so */
	(void)mount("sysfs", "/sys", "sysfs", 0, NULL);
	tests = fopen("/tests", "re");
	while (tests && fgets(line, sizeof(line), tests)) {
		int status;

		line[strcspn(line, "\n")] = '\0';
		(void)snprintf(shown, sizeof(shown), "%s", line); /* as long */
		(void)printf("\n@begin %s\n", shown);
		(void)fflush(stdout); /* the console */
		status = run(line);
		(void)printf("\n@end %d %s\n", status, shown);
		(void)fflush(stdout); /* the console */
	}
	(void)printf("\n@done\n");
	(void)fflush(stdout); /* the console */
	(void)sleep(1);       /* what is in the serial line */
	return reboot(RB_POWER_OFF);
}
