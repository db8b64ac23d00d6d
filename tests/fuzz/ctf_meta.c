// SPDX-License-Identifier: MIT
/* Fuzzes the metadata parsers, of CTF 1.8 and CTF 2, and the compiler behind them. Input: a
 * metadata file. */
#include "ctf/read_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
	struct tocsin_err err = {0};
	struct tocsin_diag diag = {0};
	struct plan_trace plan;
	struct meta meta;

	if (meta_read(input, bytes, "input", &meta, &diag) < 0)
		return 0;
	if (plan_make(&meta, &plan, &err) == 0)
		plan_done(&plan);
	meta_done(&meta);
	return 0;
}
