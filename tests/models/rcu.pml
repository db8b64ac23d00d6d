/* SPDX-License-Identifier: MIT */
/*
 * RCU as in src/percpu/rcu.c: two readers, two updaters that may share grace periods (ALONE: one).
 *
 * A reader's store of its mark goes into a buffer, and from there into memory at any time, at the latest
 * with its next store or with the updater's membarrier; its loads do not wait for that (x86-64). With
 * COUNTED the second reader has no slot. poison[i]: what pointer i points to has been freed.
 *
 * BUG: 1 no membarrier; 2 the period told by its last bit; 3 one phase of counted sections looked at;
 * 4 a period that had begun before the call is taken for one after it; 5 the slots are looked at before
 * the membarrier.
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef SECTIONS
#define SECTIONS 2
#endif
#ifndef UPDATES
#define UPDATES 2
#endif

byte ptr = 0;
bool poison[5];
byte fresh = 0;                 /* the last pointer given out */
byte period = 2, completed = 2; /* completed: under lock */
bool lock = false;
byte mark[2] = 1;               /* memory: 1 outside, else a period */
byte buffered[2] = 0;           /* 0 nothing, else the mark to come */
byte phase = 0, count[2] = 0;   /* counted sections: full fences */

inline flush(i) { if :: buffered[i] -> mark[i] = buffered[i]; buffered[i] = 0 :: else fi }
inline fence_all() { d_step { flush(0); flush(1) } }
inline store_mark(i, value) { d_step { flush(i); buffered[i] = value } }

#if BUG == 2
#define PASSED(i) (mark[i] == 1 || ((mark[i] & 1) == (period & 1)))
#else
#define PASSED(i) (mark[i] == 1 || mark[i] >= period)
#endif

active proctype Drain() { end: do :: d_step { buffered[0] -> flush(0) } :: d_step { buffered[1] -> flush(1) } od }

proctype Reader(byte i) {
	byte p, seen, n = 0;

	do
	:: n < SECTIONS ->
		p = period;             /* and then maybe a long while */
		store_mark(i, p);
		seen = ptr;
		assert(!poison[seen]);
		assert(!poison[seen]);  /* later */
		store_mark(i, 1);
		n++
	:: else -> break
	od
}

proctype Counted() {
	byte p, seen, n = 0;

	do
	:: n < SECTIONS ->
		p = phase;
		count[p]++;
		seen = ptr;
		assert(!poison[seen]);
		assert(!poison[seen]);
		count[p]--;
		n++
	:: else -> break
	od
}

inline counted_look() {
	ph = phase;
	if :: count[0] || count[1] -> phase = 1 - ph :: else fi;
	count[ph] == 0
}

inline look() { PASSED(0); PASSED(1) }

proctype Updater() {
	byte n = 0, old, begun, ph;

	do
	:: n < UPDATES ->
		d_step { fresh++; old = ptr; ptr = fresh };
		begun = period;
		atomic { !lock -> lock = true };
		if
#if BUG == 4
		:: completed < begun ->
#else
		:: completed <= begun ->
#endif
			period++;
#if BUG == 5
			look();
			fence_all();
#elif BUG == 1
			look();
#else
			fence_all();
			look();
#endif
#ifdef COUNTED
			counted_look();
#if BUG != 3
			counted_look();
#endif
#endif
			completed = period
		:: else
		fi;
		lock = false;
		poison[old] = true;
		n++
	:: else -> break
	od
}

init {
	atomic {
		run Reader(0);
#ifdef COUNTED
		run Counted();
#else
		run Reader(1);
#endif
#ifndef ALONE
		run Updater();
#endif
		run Updater()
	}
}
