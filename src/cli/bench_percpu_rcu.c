// SPDX-License-Identifier: MIT
/* `tocsin bench percpu`: RCU's read side beside liburcu's. */
#include "bench_percpu.h"
#include "bench_percpu_rival.h"
#include "tocsin/rcu.h"

BENCH_PERCPU_LOOP(rcu_pair_ns, tocsin_rcu_read_unlock(tocsin_rcu_read_lock()));

static void synchronize_loop(unsigned turns)
{
	/* A hundredth of the turns: one takes as long as hundreds of pairs. */
	for (unsigned i = 0; i < turns / 100; i++)
		(void)tocsin_rcu_synchronize(); /* 0: this thread is outside of any section */
}

double bench_percpu_rcu_synchronize_us(struct bench_run *run)
{
	(void)run;
	return bench_percpu_time(synchronize_loop) * 100 / 1000;
}

double bench_percpu_urcu_memb_pair_ns(struct bench_run *run)
{
	return bench_rival(run,
			   &(struct bench_rival){.what = "urcu_memb",
						 .package = "liburcu-dev, when Tocsin is built"});
}

double bench_percpu_urcu_bp_pair_ns(struct bench_run *run)
{
	return bench_rival(run, &(struct bench_rival){.what = "urcu_bp"});
}

double bench_percpu_urcu_mb_pair_ns(struct bench_run *run)
{
	return bench_rival(run, &(struct bench_rival){.what = "urcu_mb"});
}

/* liburcu had this flavour until 0.13. */
double bench_percpu_urcu_signal_pair_ns(struct bench_run *run)
{
	return bench_rival(run, &(struct bench_rival){.what = "urcu_signal"});
}

double bench_percpu_urcu_qsbr_pair_ns(struct bench_run *run)
{
	return bench_rival(run, &(struct bench_rival){.what = "urcu_qsbr"});
}
