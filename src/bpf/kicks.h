/* SPDX-License-Identifier: MIT */
#ifndef TOCSIN_BPF_KICKS_H
#define TOCSIN_BPF_KICKS_H

/* The rings by which probes have a CPU's timer armed (probe.h). */

struct bpf_map;

/**
 * kicks_make() - a ring for each CPU.
 * @rings:   the loaded object's map `kicks`, of at least @nr_cpus entries; lent
 * @nr_cpus: possible CPUs
 *
 * Return: 0 or -errno. Thread-safe: yes. Signal-safe: no.
 */
int kicks_make(const struct bpf_map *rings, int nr_cpus);

#endif
