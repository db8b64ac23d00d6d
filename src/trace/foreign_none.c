// SPDX-License-Identifier: MIT
/* Built without libbabeltrace2: there is no foreign trace, so nothing but opening one is called. */
#include "foreign.h"

#include <errno.h>

int foreign_open(const char *input, const char *plugin, struct ctf_range range,
		 struct tocsin_err *err, struct foreign **ret_foreign)
{
	(void)plugin;
	(void)range;
	(void)ret_foreign;
	return tocsin_err_fail(-ENOTSUP, err,
			       "'%s' is for babeltrace2's library, without which this "
			       "tocsin was built (libbabeltrace2-dev)",
			       input);
}

struct foreign *foreign_close(struct foreign *f)
{
	(void)f;
	return NULL;
}

int foreign_step(struct foreign *f)
{
	(void)f;
	return -ENOTSUP;
}

struct ctf_input *foreign_input(struct foreign *f)
{
	(void)f;
	return NULL;
}

int foreign_values(struct foreign *f, struct ctf_values *values)
{
	(void)f;
	(void)values;
	return -ENOTSUP;
}

int foreign_packet_values(struct foreign *f, struct ctf_values *values)
{
	(void)f;
	(void)values;
	return -ENOTSUP;
}

int foreign_each_class(const struct foreign *f, foreign_class_fn *fn, void *context)
{
	(void)f;
	(void)fn;
	(void)context;
	return 0;
}

const struct meta *foreign_meta(const struct foreign *f)
{
	(void)f;
	return NULL;
}

const char *foreign_dir(const struct foreign *f)
{
	(void)f;
	return NULL;
}
