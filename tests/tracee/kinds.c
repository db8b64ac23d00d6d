// SPDX-License-Identifier: MIT
/* Emits events of every kind of field and prints what it emitted, a line of JSON each. Compiled as
 * C and as C++. Waits for a line on standard input before it begins, and again before it ends. */
#include <stdio.h>
#include <string.h>

#include "tocsin/event.h"

static const struct tocsin_label states[] = {{0, 0, "idle"}, {1, 3, "busy"}, {-1, -1, "gone"}};

static int evaluated; /* fields of an event that is off must not be */

static int count_evaluation(int n)
{
	evaluated++;
	return n;
}

static void numbers(int i)
{
	long long big = 0x123456789abcdefLL * i;

	tocsin_event("kinds", "unsigned", TF_U8("a", i), TF_U64("d", big), TF_U16("b", i * 3),
		     TF_U32("c", i * 70000));
	printf("{\"event\": \"unsigned\", \"a\": %u, \"d\": %llu, \"b\": %u, \"c\": %u}\n",
	       (unsigned char)i, (unsigned long long)big, (unsigned short)(i * 3),
	       (unsigned)(i * 70000));
	tocsin_event("kinds", "signed", TF_S8("a", -i), TF_S16("b", -i * 3),
		     TF_S32("c", -i * 70000), TF_S64("d", -big));
	printf("{\"event\": \"signed\", \"a\": %d, \"b\": %d, \"c\": %d, \"d\": %lld}\n",
	       (signed char)-i, (short)(-i * 3), -i * 70000, -big);
	tocsin_event("kinds", "hex", TF_X8("a", i), TF_X16("b", i), TF_X32("c", i), TF_X64("d", i));
	printf("{\"event\": \"hex\", \"a\": %d, \"b\": %d, \"c\": %d, \"d\": %d}\n", i & 255, i, i,
	       i);
	tocsin_event("kinds", "other", TF_F32("f", 0.25f * (float)i), TF_BOOL("b", i & 1),
		     TF_F64("g", 0.1 * i), TF_PTR("p", &states[i % 3]),
		     TF_ENUM("e", states, i % 5 - 1));
	printf("{\"event\": \"other\", \"f\": %.9g, \"b\": %s, \"g\": %.17g, \"p\": %llu, \"e\": %d}\n",
	       (double)(0.25f * (float)i), i & 1 ? "true" : "false", 0.1 * i,
	       (unsigned long long)(uintptr_t)&states[i % 3], i % 5 - 1);
}

static void texts(int i)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
	const char *text = letters + i % 53;
	uint16_t shorts[5] = {(uint16_t)i, 1, 2, 3, 4};
	double fractions[3] = {0.5, (double)i, -1};
	size_t nr = (size_t)(i % 7);

	tocsin_event("kinds", "text", TF_U8("n", i), TF_STR("all", text), TF_STRN("some", text, 8),
		     TF_STR("none", (const char *)NULL));
	printf("{\"event\": \"text\", \"n\": %d, \"all\": \"%s\", \"some\": \"%.7s\", \"none\": \"(null)\"}\n",
	       i & 255, text, text);
	tocsin_event("kinds", "many", TF_U8("n", i), TF_SEQ("seq", U16, shorts, nr, 4),
		     TF_ARRAY("three", F64, fractions, 3), TF_BLOB("blob", letters, (size_t)i, 5),
		     TF_SEQ("none", U64, (const uint64_t *)NULL, 9, 9));
	printf("{\"event\": \"many\", \"n\": %d, \"seq\": [", i & 255);
	for (size_t k = 0; k < nr && k < 4; k++)
		printf("%s%d", k ? ", " : "", shorts[k]);
	printf("], \"three\": [0.5, %d, -1], \"blob\": [", i);
	for (int k = 0; k < i && k < 5; k++)
		printf("%s%d", k ? ", " : "", letters[k]);
	printf("], \"none\": []}\n");
}

static void rest(int i)
{
	tocsin_event("kinds", "nothing");
	printf("{\"event\": \"nothing\"}\n");
	tocsin_event("kinds", "sixteen", TF_U8("a", i), TF_U8("b", 1), TF_U8("c", 2), TF_U8("d", 3),
		     TF_U8("e", 4), TF_U8("f", 5), TF_U8("g", 6), TF_U8("h", 7), TF_U8("i", 8),
		     TF_U8("j", 9), TF_U8("k", 10), TF_U8("l", 11), TF_U8("m", 12), TF_U8("n", 13),
		     TF_U8("o", 14), TF_U64("p", 15));
	printf("{\"event\": \"sixteen\", \"a\": %d, \"b\": 1, \"c\": 2, \"d\": 3, \"e\": 4, \"f\": 5, \"g\": 6, \"h\": 7, \"i\": 8, "
	       "\"j\": 9, \"k\": 10, \"l\": 11, \"m\": 12, \"n\": 13, \"o\": 14, \"p\": 15}\n",
	       i & 255);
	tocsin_event_level(TOCSIN_LEVEL_DEBUG, "quiet", "off", TF_S32("n", count_evaluation(i)));
	if (tocsin_event_enabled("kinds", "nothing") != (evaluated == 0))
		printf("{\"event\": \"wrong\"}\n"); /* on when the rest is on; the test looks for it
						       when it is not */
}

static void wait_line(void)
{
	char line[64];

	(void)fflush(stdout); /* a pipe that the test reads */
	if (!fgets(line, sizeof(line), stdin))
		line[0] = 0;
}

int main(void)
{
	printf("ready\n");
	wait_line();
	for (int i = 0; i < 300; i++) {
		numbers(i);
		texts(i);
		rest(i);
	}
	printf("evaluated %d\n", evaluated);
	printf("done\n");
	wait_line();
	return 0;
}
