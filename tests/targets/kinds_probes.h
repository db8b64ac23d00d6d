/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_TESTS_KINDS_PROBES_H
#define TOCSIN_TESTS_KINDS_PROBES_H

/* The USDT probes of the target `kinds`, provider `kinds`, named as the functions without `probe_`.
 */

#include <stdbool.h>
#include <stdint.h>

void probe_tick_begin(unsigned i);
void probe_tick_end(unsigned i);
void probe_a_begin(unsigned i);
void probe_a_end(unsigned i);
void probe_b_begin(unsigned i);
void probe_b_end(unsigned i);

/* Guarded by semaphores. */
bool probe_sem_wanted(void);
void probe_sem_begin(unsigned i);
void probe_sem_end(unsigned i);

/* arg0 says whether it begins (1) or ends (0); arg1 is the key: in a register, in memory, a
 * constant 77. */
void probe_key_reg_begin(uint64_t key);
void probe_key_reg_end(uint64_t key);
void probe_key_mem_begin(uint64_t key);
void probe_key_mem_end(uint64_t key);
void probe_key_const_begin(uint64_t key);
void probe_key_const_end(uint64_t key);

#endif
