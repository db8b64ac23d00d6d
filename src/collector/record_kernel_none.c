// SPDX-License-Identifier: MIT
/* Recordings of a tool that was built without the kernel half. */
#include <errno.h>

#include "kernel_wish.h"
#include "record_kernel.h"

int record_kernel_begin(struct recorder *rec, struct tocsin_err *err)
{
	(void)rec;
	(void)err;
	return 0;
}

int record_kernel_load(struct recorder *rec, struct tocsin_err *err)
{
	if (!rec->opts->kernel.wish)
		return 0;
	return tocsin_err_fail(-ENOTSUP, err,
			       "this tocsin was built without its kernel half: no kernel events");
}

void record_kernel_go(struct recorder *rec)
{
	(void)rec;
}

void record_kernel_halt(struct recorder *rec)
{
	(void)rec;
}

int record_kernel_add(struct recorder *rec, pid_t pid, struct tocsin_err *err)
{
	(void)rec;
	(void)pid;
	(void)err;
	return 0;
}

bool record_kernel_is_alive(const struct recorder *rec)
{
	(void)rec;
	return false;
}

void record_kernel_tell_losses(struct recorder *rec)
{
	(void)rec;
}

int record_kernel_convert(struct recorder *rec, struct record_ring *ring,
			  const struct ring_extent *ext, struct ring_extent *ret)
{
	(void)rec;
	(void)ring;
	*ret = *ext;
	return 0;
}

void record_kernel_measured(struct recorder *rec)
{
	(void)rec;
}

void record_kernel_end(struct recorder *rec)
{
	(void)rec;
}

int record_kernel_flight(const struct record_kernel_options *opts, const pid_t *pid, size_t nr,
			 bool follow, struct tocsin_err *err)
{
	(void)opts;
	(void)pid;
	(void)nr;
	(void)follow;
	return tocsin_err_fail(-ENOTSUP, err,
			       "this tocsin was built without its kernel half: no kernel events");
}

int record_kernel_snapshot(struct recorder *rec, struct tocsin_err *err)
{
	(void)rec;
	return tocsin_err_fail(-ENOENT, err,
			       "this tocsin was built without its kernel half: no kernel events");
}
