// SPDX-License-Identifier: MIT
/* Loading pieces of bpf/doctor.bpf.c, each refused or accepted for itself. */

#include "doctor_bpf.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define NAP_NS 100000

static bool part_has_program(const struct doctor_part *part, const char *name)
{
	return strcmp(part->program, name) == 0 ||
	       (part->second && strcmp(part->second, name) == 0);
}

int doctor_part_load(const struct doctor_part *part, struct doctor_bpf **ret_object)
{
	struct doctor_bpf *object = doctor_bpf__open();
	struct bpf_program *program;
	struct bpf_map *map;
	int r = 0;

	if (!object)
		return -errno;
	bpf_object__for_each_program(program, object->obj)
	{
		const char *name = bpf_program__name(program);

		r = r ?: bpf_program__set_autoload(program, part_has_program(part, name));
		if (part->attach_type && strcmp(name, part->program) == 0)
			r = r ?: bpf_program__set_expected_attach_type(program, part->attach_type);
	}
	bpf_object__for_each_map(map, object->obj)
	{
		bool is_wanted = bpf_map__is_internal(map) ||
				 (part->map && strcmp(bpf_map__name(map), part->map) == 0);

		r = r ?: bpf_map__set_autocreate(map, is_wanted);
	}
	r = r ?: doctor_bpf__load(object);
	if (r < 0) {
		doctor_bpf__destroy(object);
		return r;
	}
	*ret_object = object;
	return 0;
}

int doctor_program_run(const struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int r = bpf_prog_test_run_opts(bpf_program__fd(program), &opts);

	return r < 0 ? r : (int)opts.retval;
}

void doctor_nap(void)
{
	struct timespec ts = {.tv_nsec = NAP_NS};

	(void)nanosleep(&ts, NULL); /* cut short by a signal, it serves as well */
}

uint64_t doctor_wait(const volatile __u64 *word)
{
	for (unsigned i = 0; i < DOCTOR_NAPS && !*word; i++)
		doctor_nap();
	return *word;
}
