// SPDX-License-Identifier: MIT
/* The same from a library that is preloaded (LD_PRELOAD) or audits (LD_AUDIT): its constructor, an
 * IFUNC resolver, what the linker calls, its destructor. */
#include <link.h>

#include "life.h"

#define EXPORT __attribute__((visibility("default")))

static int resolved(void)
{
	return 1;
}

static unsigned ifunc_cpu = ~0u;

__attribute__((used)) static int (*resolve(void))(void)
{
	ifunc_cpu = tocsin_cpu();
	return resolved;
}

EXPORT int life_by_ifunc(void) __attribute__((ifunc("resolve")));

__attribute__((constructor)) static void construct(void)
{
	if (!life_by_ifunc() || ifunc_cpu >= tocsin_nr_cpus())
		_exit(7);
	life_use(LIFE_constructor);
}

EXPORT unsigned la_version(unsigned version)
{
	life_use(LIFE_audit);
	return version;
}

EXPORT unsigned la_objopen(struct link_map *map, Lmid_t lmid, uintptr_t *cookie)
{
	(void)map;
	(void)lmid;
	(void)cookie;
	life_use(LIFE_audit);
	return 0;
}

EXPORT void la_preinit(uintptr_t *cookie)
{
	(void)cookie;
	life_use(LIFE_audit);
}

EXPORT unsigned la_objclose(uintptr_t *cookie)
{
	(void)cookie;
	life_use(LIFE_audit);
	return 0;
}

__attribute__((destructor)) static void destruct(void)
{
	life_use(LIFE_destructor);
	life_check("library", 2);
}
