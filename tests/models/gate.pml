/* SPDX-License-Identifier: MIT */
/*
 * The gate, as in src/percpu/percpu.c: one CPU's item, two threads of that CPU of which one runs at a
 * time, and two callers of tocsin_do_on_cpu() elsewhere.
 *
 * An update loads the item's value and stores it plus one; nothing may be lost. A section that finds the
 * gate closed does its update behind the gate too, as tocsin_percpu_op() does; so does one that was
 * aborted LIMIT times, as under a debugger. The closing is a store into a buffer that drains at any time,
 * at the latest with the fence: weaker than the exchange that it is. The lock half of the exchange (I3)
 * is the bit `held`.
 *
 * BUG: 1 no fence; 2 a fence that does not abort; 3 the fence before the closing; 4 the gate is tested
 * before the section is armed; 5 a switch of threads does not abort (some arm64 kernels); 6 the holder
 * works on the item before the fence; 7 the section's load of the value passes its load of the gate, as
 * aarch64 may where only a branch is between them: hence the value's address comes out of the gate.
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef UPDATES
#define UPDATES 2
#endif
#define SWITCHES 3
#define LIMIT 2

bool closed = false, buffered = false, held = false;
bool inside = false; /* somebody is behind the gate and works */
byte value = 0, running = 0, finished = 0;
bit aborted[2];

#if BUG == 5
#define ABORT(i) skip
#else
#define ABORT(i) aborted[i] = 1
#endif

/* One step of a section of the running thread; away if it was aborted. */
#define STEP(what) atomic { running == me -> if :: aborted[me] -> goto again :: else -> what fi }

inline drain() { if :: buffered -> closed = true; buffered = false :: else fi }

/* A thread that does not run was aborted when it was switched out. */
inline fence() {
#if BUG == 1
	skip
#elif BUG == 2
	d_step { drain() }
#else
	d_step { drain(); aborted[running] = 1 }
#endif
}

inline work_in_gate() {
	atomic { !held -> held = true };
#if BUG == 3
	fence();
	buffered = true;
#elif BUG == 6
	buffered = true;
	x = value;
	fence();
#else
	buffered = true;
	fence();
#endif
	inside = true;
#if BUG != 6
	x = value;
#endif
	d_step { value = x + 1; inside = false };
	d_step { drain(); closed = false; held = false }
}

active proctype Drain() { end: do :: d_step { buffered -> drain() } od }

proctype Thread(byte me) {
	byte n = 0, tries = 0, x = 0;
	bool gate;

again:
	if :: n == UPDATES -> goto ends :: else fi;
	if :: tries == LIMIT -> goto outside :: else -> tries++ fi;
#if BUG == 4
	atomic { running == me -> gate = closed };
	atomic { running == me -> aborted[me] = 0 };
#elif BUG == 7
	atomic { running == me -> aborted[me] = 0 };
	STEP(x = value);
	STEP(gate = closed);
#else
	atomic { running == me -> aborted[me] = 0 };
	STEP(gate = closed);
#endif
	if :: gate -> goto outside :: else fi;
#if BUG != 7
	STEP(x = value);
#endif
	STEP(assert(!inside); value = x + 1; n++; tries = 0);
	goto again;
outside:
	work_in_gate();
	d_step { n++; tries = 0; x = 0; gate = false };
	goto again;
ends:
	atomic {
		finished++;
		if :: running == me -> running = 1 - me; ABORT(0); ABORT(1) :: else fi
	}
}

proctype Switch() {
	byte k = 0;

	do
	:: atomic { k < SWITCHES && finished == 0 -> ABORT(running); running = 1 - running; k++ }
	:: break
	od
}

proctype Caller() {
	byte x = 0;

	work_in_gate();
	finished++
}

init {
	atomic {
		run Thread(0);
		run Thread(1);
		run Switch();
		run Caller();
		run Caller()
	};
	finished == 4;
	assert(value == 2 * UPDATES + 2)
}
