// SPDX-License-Identifier: MIT
/* The figures of `tocsin bench percpu` as a picture: charts below each other, bars from the left.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "bench_percpu.h"

#define WIDTH   800
#define LEFT    300 /* where bars begin */
#define BAR_MAX 380
#define LINE    24
#define TITLE   40

static const char *const titles[BENCH_CHARTS_NR] = {
	[BENCH_CHART_CPU] = "Reading the current CPU number (ns)",
	[BENCH_CHART_COUNTER] = "Incrementing a counter (ns)",
	[BENCH_CHART_EVENT] = "Writing an event (ns)",
	[BENCH_CHART_ALLOC] = "Allocating and freeing (ns)",
	[BENCH_CHART_RCU] = "Entering and leaving a read side (ns)",
	[BENCH_CHART_TRIP] = "Working on another CPU's data (us, logarithmic)",
};

static const struct bar {
	enum bench_value value;
	enum bench_chart chart;
	const char *colour;
	const char *label;
} bars[] = {
#define OURS                          "#b5472f"
#define OTHERS                        "#8a97a6"
#define X(value, chart, whose, label) {BENCH_V_##value, BENCH_CHART_##chart, whose, label},
#include "bench_percpu.def"
#include "bench_percpu_events.def"
#undef X
#undef OTHERS
#undef OURS
};

#define BARS_NR (sizeof(bars) / sizeof(bars[0]))

/* The share of the longest bar. */
static double length_of(enum bench_chart chart, double value, double longest)
{
	if (chart == BENCH_CHART_TRIP)
		return log10(1 + value) / log10(1 + longest);
	return value / longest;
}

static double longest_of(const struct bench_run *run, enum bench_chart chart)
{
	struct bench_result r;
	double longest = 0;

	for (size_t i = 0; i < BARS_NR; i++)
		if (bars[i].chart == chart && bench_result(run, bars[i].value, &r) &&
		    r.value > longest)
			longest = r.value;
	return longest;
}

/* Return: the line below the chart. */
static int chart_write(FILE *f, const struct bench_run *run, enum bench_chart chart, int y)
{
	double longest = longest_of(run, chart);
	struct bench_result r;

	if (longest <= 0)
		return y;
	(void)fprintf(f, "<text x=\"20\" y=\"%d\" font-weight=\"bold\">%s</text>\n", y + 26,
		      titles[chart]);
	y += TITLE;
	for (size_t i = 0; i < BARS_NR; i++) {
		int width;

		if (bars[i].chart != chart || !bench_result(run, bars[i].value, &r))
			continue;
		width = (int)(BAR_MAX * length_of(chart, r.value, longest) + 0.5);
		(void)fprintf(f,
			      "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>"
			      "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"16\" fill=\"%s\"/>"
			      "<text x=\"%d\" y=\"%d\">%.*f</text>\n",
			      LEFT - 8, y + 13, bars[i].label, LEFT, y, width < 1 ? 1 : width,
			      bars[i].colour, LEFT + width + 6, y + 13, r.value < 100 ? 2 : 0,
			      r.value);
		y += LINE;
	}
	return y;
}

static int height_of(const struct bench_run *run)
{
	struct bench_result r;
	int height = 60;

	for (int chart = 1; chart < BENCH_CHARTS_NR; chart++)
		if (longest_of(run, (enum bench_chart)chart) > 0)
			height += TITLE;
	for (size_t i = 0; i < BARS_NR; i++)
		if (bars[i].chart != BENCH_CHART_NONE && bench_result(run, bars[i].value, &r))
			height += LINE;
	return height;
}

int bench_percpu_svg(const struct bench_run *run, const char *path)
{
	TOCSIN_CLEANUP(tocsin_fclosep) FILE *f = fopen(path, "we");
	struct utsname host = {0};
	int y = 40, height;

	if (!f)
		return -errno;
	height = height_of(run);
	(void)uname(&host); /* cannot fail with this buffer */
	(void)fprintf(
		f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
		"<text x=\"20\" y=\"24\" fill=\"#555\">tocsin bench percpu, %u rounds, Linux %s, %s</text>\n",
		WIDTH, height, WIDTH, height, run->rounds, host.release, host.machine);
	for (int chart = 1; chart < BENCH_CHARTS_NR; chart++)
		y = chart_write(f, run, (enum bench_chart)chart, y);
	(void)fprintf(f, "</svg>\n");
	if (ferror(f))
		return -EIO;
	return fclose(tocsin_take_ptr(&f)) ? -errno : 0;
}
