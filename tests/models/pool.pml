/* SPDX-License-Identifier: MIT */
/*
 * The pool's magazine and a drain, as in src/percpu/pool.c: one CPU with two threads, of which one runs at
 * a time, and a drain elsewhere. A section is aborted by a switch of threads and by the fence.
 *
 * Items 1 .. 3; top is how many are in the magazine. A thread takes an item and gives it back; what
 * finds the gate closed, or the magazine empty or full, uses the list of singles (atomic). in_use counts
 * an item's owners.
 *
 * BUG: 1 the drain does not fence; 2 sections are not aborted; 3 give stores the top before the cell;
 * 4 the gate is opened before the top is reset.
 */
#ifndef BUG
#define BUG 0
#endif
#define ITEMS 3
#define CAP 2

bool closed = false;
byte top = CAP;
byte cell[CAP + 1];
bool single[ITEMS + 1];
byte in_use[ITEMS + 1];
byte running = 0;
bit aborted[2];
byte finished = 0;

#if BUG == 2
#define ABORT(i) skip
#else
#define ABORT(i) aborted[i] = 1
#endif

/* One step of a section of the running thread; away if it was aborted. */
#define STEP(what) atomic { running == me -> if :: aborted[me] -> goto again :: else -> what fi }

inline single_take() {
	if
	:: single[1] -> single[1] = false; item = 1
	:: single[2] -> single[2] = false; item = 2
	:: single[3] -> single[3] = false; item = 3
	:: else -> item = 0
	fi
}

inline own(what) { in_use[what]++; assert(in_use[what] == 1) }

proctype Thread(byte me) {
	byte n = 0, t, item = 0;
	bool gate;

	do
	:: n == 2 -> break
	:: n < 2 ->
again:
		atomic { running == me -> aborted[me] = 0 };
		STEP(gate = closed);
		if
		:: gate ->
			if
			:: !item -> atomic { running == me -> single_take(); if :: item -> own(item) :: else fi }
			:: else -> atomic { running == me -> in_use[item]--; single[item] = true; item = 0 }
			fi
		:: else ->
			STEP(t = top);
			if
			:: !item && t == 0 -> atomic { running == me -> single_take(); if :: item -> own(item) :: else fi }
			:: !item && t > 0 ->
				byte got;
				STEP(got = cell[t]);
				STEP(top = t - 1; item = got; own(item))
			:: item && t == CAP -> atomic { running == me -> in_use[item]--; single[item] = true; item = 0 }
			:: item && t < CAP ->
#if BUG == 3
				STEP(top = t + 1);
				STEP(cell[t + 1] = item; in_use[item]--; item = 0)
#else
				STEP(cell[t + 1] = item);
				STEP(top = t + 1; in_use[item]--; item = 0)
#endif
			fi
		fi;
		n++
	od;
	atomic {
		finished++;
		if :: running == me -> running = 1 - me; ABORT(0); ABORT(1) :: else fi
	}
}

proctype Switch() {
	byte k = 0;

	do
	:: atomic { k < 3 && finished == 0 -> ABORT(running); running = 1 - running; k++ }
	:: break
	od
}

proctype Drain() {
	byte t, i = 1, hand[CAP + 1];

	closed = true;
#if BUG != 1
	atomic { aborted[0] = 1; aborted[1] = 1 };
#endif
	t = top;
	do
	:: i <= t -> hand[i] = cell[i]; i++
	:: else -> break
	od;
#if BUG == 4
	closed = false;
	top = 0;
#else
	top = 0;
	closed = false;
#endif
	i = 1;
	do
	:: i <= t -> atomic { assert(!single[hand[i]] && !in_use[hand[i]]); single[hand[i]] = true }; i++
	:: else -> break
	od;
	finished++
}

init {
	byte i, k, found;

	atomic {
		cell[1] = 1;
		cell[2] = 2;
		single[3] = true;
		run Thread(0);
		run Thread(1);
		run Switch();
		run Drain()
	};
	finished == 3;
	/* Each item once: in the magazine, single, or still somebody's. */
	i = 1;
	do
	:: i <= ITEMS ->
		found = (single[i] -> 1 : 0) + in_use[i];
		k = 1;
		do
		:: k <= top -> found = found + (cell[k] == i -> 1 : 0); k++
		:: else -> break
		od;
		assert(found == 1);
		i++
	:: else -> break
	od
}
