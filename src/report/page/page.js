"use strict";
/* Draws the JSON lines in #data. What is text in them is foreign: it is only ever set as text. */
(() => {
const STATES = ["running", "waiting", "throttled", "blocked", "stopped", "unknown"];
const $ = id => document.getElementById(id);
const css = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

/* ---- data */

/* Whole numbers that a double cannot hold stay text: keys and arguments are shown, not counted with. */
const parse = line => JSON.parse(/\d{16}/.test(line)
	? line.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}/g, t => t[0] === '"' || Number.isSafeInteger(+t) ? t : `"${t}"`) : line);

const data = { violations: [], notices: 0, summary: null, gaps: [], about: {} };
let offset = 0;
let broken = 0;
for (const line of $("data").textContent.split("\n")) {
	if (!line.trim())
		continue;
	let o;
	try { o = parse(line); } catch { broken++; continue; }
	if (o.type === "violation") {
		o.t = o.end_ns / 1e6 + offset / 1e6; /* ms since 1970 */
		o.main = Object.entries(o.split_ns).reduce((a, b) => b[1] > a[1] ? b : a, ["unknown", 0])[0];
		o.cause = o.causes.length ? o.causes[0].kind : "unknown";
		o.text = [o.section, o.comm, o.pid, o.tid, o.verdict, o.key ?? ""].join(" ").toLowerCase();
		data.violations.push(o);
	} else if (o.type === "fired") data.notices++;
	else if (o.type === "summary") data.summary = o;
	else if (o.type === "offset") offset = o.realtime_offset_ns;
	else if (o.type === "report") data.about = o;
	else data.gaps.push(o);
}
data.violations.sort((a, b) => a.t - b.t);

/* ---- words */

function ns(v) {
	for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["us", 1e3]])
		if (Math.abs(v) >= size)
			return (v / size).toPrecision(3).replace(/e\+\d+$/, m => "0".repeat(+m.slice(2) - 2)) + " " + unit;
	return v + " ns";
}
const clock = (ms, more) => {
	const d = new Date(ms);
	const two = (n, w = 2) => String(n).padStart(w, "0");
	const text = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${two(d.getMilliseconds(), 3)}`;
	return more ? d.toLocaleDateString() + " " + text : text;
};
const percent = (part, whole) => !whole ? "0 %" : (100 * part / whole).toPrecision(2).replace(/\.?0+e.*/, "") + " %";
const task = t => t.tid ? `${t.comm} ${t.pid}${t.tid !== t.pid ? "/" + t.tid : ""}` : t.comm;
function el(tag, props = {}, ...children) {
	const e = document.createElement(tag);
	for (const [k, v] of Object.entries(props)) {
		if (k === "class") e.className = v;
		else if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
		else if (k === "style") e.style.cssText = v;
		else e.setAttribute(k, v);
	}
	e.append(...children.filter(c => c !== null && c !== undefined));
	return e;
}
function splitBar(split) {
	const whole = Object.values(split).reduce((a, b) => a + b, 0);
	const bar = el("div", { class: "split", role: "img", "aria-label": STATES.filter(s => split[s]).map(s => `${s} ${ns(split[s])}`).join(", ") || "no time" });
	for (const s of STATES)
		if (split[s])
			bar.append(el("span", { style: `flex:${split[s] / (whole || 1)} 0 0;background:var(--${s})`, title: `${s} ${ns(split[s])} (${percent(split[s], whole)})` }));
	return bar;
}

/* ---- lost, sections */

function drawLost() {
	const found = [];
	const s = data.summary;
	if (broken) found.push(`${broken} lines of this page's data cannot be read`);
	for (const g of data.gaps)
		found.push(g.text ?? `${g.events || "some"} events of the trace (${g.packets ? g.packets + " packets" : "counted by it"})`);
	if (s) {
		for (const [name, count] of [...Object.entries(s.losses), ...Object.entries(s.sinks ?? {})])
			if (count) found.push(`${count}  ${data.about.sentences?.[name] ?? name}`);
		if (s.records_lost) found.push(`${s.records_lost}  violations whose records did not arrive whole`);
		if (!s.throttle_known) found.push("throttling is not known on this kernel: time that a CPU quota cost counts as waiting");
		if (!("sinks" in s)) found.push("totals are those of the violations in this page: what ended within its budget was not recorded");
	} else found.push("the watch did not write its totals: what it lost is not known");
	if (!found.length) { $("lost").append(el("p", { class: "dim" }, "Nothing was lost.")); return; }
	$("lost").append(el("div", { class: "lost" }, el("strong", {}, "Lost or not seen"), el("ul", {}, ...found.map(t => el("li", {}, t)))));
}
function drawSections() {
	for (const s of data.summary?.sections ?? []) {
		const over = Object.values(s.over_split_ns).reduce((a, b) => a + b, 0);
		const number = (name, value) => el("span", {}, name + " ", el("b", {}, value));
		const card = el("div", { class: "card" }, el("h3", {}, s.text === s.name || s.text.startsWith(s.name + ":") ? s.text : `${s.name}: ${s.text}`));
		const numbers = el("div", { class: "numbers" });
		if (s.closed) numbers.append(number("ended", s.closed));
		numbers.append(number("over budget", s.over + (s.closed ? ` (${percent(s.over, s.closed + s.abandoned)})` : "")));
		if (s.abandoned) numbers.append(number("never stopped", s.abandoned));
		if (s.still_open) numbers.append(number("still open", s.still_open));
		if (s.closed)
			for (const [name, key] of [["p50", "p50_ns"], ["p90", "p90_ns"], ["p99", "p99_ns"], ["p99.9", "p999_ns"], ["max", "max_ns"], ["mean", "mean_ns"]])
				numbers.append(number(name, ns(s[key])));
		else if (s.max_ns) numbers.append(number("max", ns(s.max_ns)));
		card.append(numbers);
		if (over) {
			card.append(splitBar(s.over_split_ns));
			const list = el("ul", { class: "causes" });
			for (const c of s.causes.slice(0, 6))
				list.append(el("li", {}, `${percent(c.ns, over)}  ${ns(c.ns)}${c.spells ? ` in ${c.spells} spell${c.spells === 1 ? "" : "s"}` : ""}: ${c.text || c.kind}`));
			card.append(list);
		}
		$("sections").append(card);
	}
	if (!data.summary?.sections.length) $("sections").append(el("p", { class: "dim" }, "No section was watched in this trace."));
}

/* ---- what is chosen */

const view = { from: 0, to: 1, chosen: null, shown: [], heat: false, rows: 100, sort: "t", back: false };
const first = data.violations[0]?.t ?? 0;
const last = data.violations.at(-1)?.t ?? 1;
const margin = Math.max((last - first) * 0.02, 1);
const whole = { from: first - margin, to: last + margin };
Object.assign(view, whole);

function options(select, what, names) {
	select.append(el("option", { value: "" }, what));
	for (const n of names) select.append(el("option", { value: n }, n));
	select.addEventListener("change", refresh);
}
options($("f-section"), "all", [...new Set(data.violations.map(v => v.section))].sort());
options($("f-cause"), "all", [...new Set(data.violations.flatMap(v => v.causes.map(c => c.kind)))].sort());
$("search").addEventListener("input", refresh);

function refresh() {
	const text = $("search").value.trim().toLowerCase(), section = $("f-section").value, cause = $("f-cause").value;
	view.match = data.violations.filter(v => (!section || v.section === section) && (!cause || v.causes.some(c => c.kind === cause)) && (!text || v.text.includes(text)));
	view.rows = 100;
	moved();
}
function moved() {
	view.shown = view.match.filter(v => v.t >= view.from && v.t <= view.to);
	$("shown").textContent = `${view.shown.length} of ${data.violations.length} violations`;
	drawTime();
	drawList();
	drawFlame();
}

/* ---- the line of time */

const time = $("time");
const LEFT = 62, BOTTOM = 22, TOP = 8, RIGHT = 10;
const low = Math.log10(Math.max(1, data.violations.reduce((a, v) => Math.min(a, v.elapsed_ns, v.budget_ns || Infinity), Infinity)) / 1.3) || 0;
const high = Math.log10(data.violations.reduce((a, v) => Math.max(a, v.elapsed_ns), 10) * 1.3);
let size = { w: 0, h: 0 };
const x = t => LEFT + (t - view.from) / (view.to - view.from) * (size.w - LEFT - RIGHT);
const y = v => size.h - BOTTOM - (Math.log10(Math.max(1, v)) - low) / Math.max(0.1, high - low) * (size.h - BOTTOM - TOP);
const atX = px => view.from + (px - LEFT) / (size.w - LEFT - RIGHT) * (view.to - view.from);

function axes(c) {
	c.font = "12px system-ui, sans-serif";
	c.fillStyle = css("dim");
	c.strokeStyle = css("line");
	c.textBaseline = "middle";
	c.textAlign = "right";
	const tick = (value, label) => { const py = y(value); c.beginPath(); c.moveTo(LEFT, py); c.lineTo(size.w - RIGHT, py); c.stroke(); c.fillText(label, LEFT - 6, py); };
	const steps = high - low > 2.5 ? [1] : [1, 2, 5];
	for (let e = Math.floor(low); e <= high; e++)
		for (const m of steps)
			if (Math.log10(m) + e >= low && Math.log10(m) + e <= high) tick(m * 10 ** e, ns(m * 10 ** e).replace(/\.0+ /, " "));
	c.textAlign = "center";
	c.textBaseline = "alphabetic";
	const room = Math.max(2, Math.floor((size.w - LEFT) / 120));
	for (let i = 0; i < room; i++) {
		const t = view.from + (i + 0.5) / room * (view.to - view.from);
		c.fillText(clock(t), x(t), size.h - 6);
	}
}
function drawHeat(c) {
	const nx = Math.max(10, Math.floor((size.w - LEFT - RIGHT) / 12)), ny = 24;
	const cells = new Float64Array(nx * ny);
	for (const v of view.shown) {
		const i = Math.min(nx - 1, Math.floor((v.t - view.from) / (view.to - view.from) * nx));
		const j = Math.min(ny - 1, Math.max(0, Math.floor((Math.log10(v.elapsed_ns) - low) / (high - low) * ny)));
		cells[i * ny + j]++;
	}
	const most = cells.reduce((a, b) => Math.max(a, b), 1);
	const w = (size.w - LEFT - RIGHT) / nx, h = (size.h - BOTTOM - TOP) / ny;
	c.fillStyle = css("blocked");
	for (let i = 0; i < nx; i++)
		for (let j = 0; j < ny; j++)
			if (cells[i * ny + j]) {
				c.globalAlpha = 0.2 + 0.8 * Math.log1p(cells[i * ny + j]) / Math.log1p(most);
				c.fillRect(LEFT + i * w, size.h - BOTTOM - (j + 1) * h, w - 1, h - 1);
			}
	c.globalAlpha = 1;
}
function drawDots(c) {
	for (const s of STATES) {
		c.fillStyle = css(s);
		for (const v of view.shown)
			if (v.main === s) c.fillRect(x(v.t) - 2.5, y(v.elapsed_ns) - 2.5, 5, 5);
	}
	if (view.chosen && view.chosen.t >= view.from && view.chosen.t <= view.to) {
		c.strokeStyle = css("text");
		c.lineWidth = 2;
		c.strokeRect(x(view.chosen.t) - 6, y(view.chosen.elapsed_ns) - 6, 12, 12);
		c.lineWidth = 1;
	}
}
function drawTime() {
	const ratio = window.devicePixelRatio || 1, box = time.getBoundingClientRect();
	size = { w: box.width, h: box.height };
	time.width = Math.round(box.width * ratio);
	time.height = Math.round(box.height * ratio);
	const c = time.getContext("2d");
	c.scale(ratio, ratio);
	axes(c);
	(view.heat ? drawHeat : drawDots)(c);
	if (view.drag?.range) {
		c.globalAlpha = 0.2;
		c.fillStyle = css("accent");
		c.fillRect(Math.min(view.drag.x, view.drag.now), 0, Math.abs(view.drag.now - view.drag.x), size.h);
		c.globalAlpha = 1;
	}
}
let waiting = false;
function soon() { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; moved(); }); } }
function zoom(factor, t = (view.from + view.to) / 2) {
	const width = Math.min(whole.to - whole.from, Math.max(0.001, (view.to - view.from) * factor));
	const share = (t - view.from) / (view.to - view.from);
	view.from = Math.max(whole.from, Math.min(whole.to - width, t - share * width));
	view.to = view.from + width;
	soon();
}
function pan(by) {
	const width = view.to - view.from;
	view.from = Math.max(whole.from, Math.min(whole.to - width, view.from + by));
	view.to = view.from + width;
	soon();
}
const inside = e => { const box = time.getBoundingClientRect(); return [e.clientX - box.left, e.clientY - box.top]; };
time.addEventListener("wheel", e => { e.preventDefault(); zoom(e.deltaY > 0 ? 1.25 : 0.8, atX(inside(e)[0])); }, { passive: false });
time.addEventListener("pointerdown", e => { const [px] = inside(e); view.drag = { x: px, now: px, last: px, range: e.shiftKey, far: false }; time.setPointerCapture(e.pointerId); });
time.addEventListener("pointermove", e => {
	const d = view.drag;
	if (!d) return;
	const [px] = inside(e);
	d.now = px;
	d.far ||= Math.abs(px - d.x) > 3;
	if (d.range) drawTime();
	else if (d.far) pan((d.last - px) / (size.w - LEFT - RIGHT) * (view.to - view.from));
	d.last = px;
});
time.addEventListener("pointerup", e => {
	const d = view.drag, [px, py] = inside(e);
	view.drag = null;
	if (!d) return;
	if (d.range && d.far) {
		const [a, b] = [atX(Math.min(d.x, px)), atX(Math.max(d.x, px))];
		[view.from, view.to] = [Math.max(a, whole.from), Math.min(b, whole.to)];
		soon();
	} else if (!d.far) {
		let best = null, near = 12 * 12;
		for (const v of view.shown) {
			const far = (x(v.t) - px) ** 2 + (y(v.elapsed_ns) - py) ** 2;
			if (far < near) [near, best] = [far, v];
		}
		if (best) choose(best);
	}
});
time.addEventListener("pointercancel", () => { view.drag = null; });
time.addEventListener("keydown", e => {
	const width = view.to - view.from;
	if (e.key === "ArrowLeft") pan(-width / 8);
	else if (e.key === "ArrowRight") pan(width / 8);
	else if (e.key === "+" || e.key === "=") zoom(0.7);
	else if (e.key === "-") zoom(1.4);
	else if (e.key === "0") { Object.assign(view, whole); soon(); }
	else if (e.key === "Enter" && view.shown.length) choose(view.shown[(view.shown.indexOf(view.chosen) + 1) % view.shown.length]);
	else return;
	e.preventDefault();
});
$("zoom-out").addEventListener("click", () => { Object.assign(view, whole); moved(); });
$("mode").addEventListener("click", () => { view.heat = !view.heat; $("mode").setAttribute("aria-pressed", view.heat); drawTime(); });
window.addEventListener("resize", () => { drawTime(); drawFlame(); });

/* ---- the list */

const COLUMNS = [["when", "t", true], ["section", "section"], ["took", "elapsed_ns", true], ["budget", "budget_ns", true], ["thread", "comm"], ["verdict", "verdict"]];
function drawList() {
	const rows = view.shown.slice();
	rows.sort((a, b) => (a[view.sort] < b[view.sort] ? -1 : a[view.sort] > b[view.sort] ? 1 : 0) * (view.back ? -1 : 1));
	const head = el("tr", {}, ...COLUMNS.map(([name, key, n]) => el("th", { scope: "col", class: n ? "n" : "", "aria-sort": view.sort === key ? (view.back ? "descending" : "ascending") : "none" },
		el("button", { type: "button", onclick: () => { view.back = view.sort === key ? !view.back : key === "elapsed_ns"; view.sort = key; drawList(); } }, name))));
	const body = rows.slice(0, view.rows).map(v => el("tr", v === view.chosen ? { class: "chosen" } : {},
		el("td", { class: "n" }, el("button", { type: "button", class: "open", onclick: () => choose(v) }, clock(v.t))), el("td", {}, v.section), el("td", { class: "n" }, ns(v.elapsed_ns)),
		el("td", { class: "n" }, v.budget_ns ? ns(v.budget_ns) : ""), el("td", {}, task(v)), el("td", { class: "text" }, v.verdict)));
	$("list").replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
	$("more").hidden = rows.length <= view.rows;
}
$("more").addEventListener("click", () => { view.rows += 400; drawList(); });

/* ---- one violation */

const SVG = "http://www.w3.org/2000/svg";
function svg(tag, props, text) {
	const e = document.createElementNS(SVG, tag);
	for (const [k, v] of Object.entries(props)) e.setAttribute(k, v);
	if (text !== undefined) e.textContent = text;
	return e;
}
function titled(e, text) { e.append(svg("title", {}, text)); return e; }

/* Stretches of the thread: what is between the spells is running, if a split is claimed. */
function stretches(v) {
	const out = [];
	let at = v.start_ns;
	const put = (from, to, state, text) => { if (to > from) out.push({ from, to, state, text }); };
	for (const s of v.spells) {
		const end = s.in_ns ?? v.end_ns, wake = s.wake_ns ?? end;
		put(at, s.out_ns, v.split_known ? "running" : "unknown", v.split_known ? "running, or spells too short to be kept" : "not seen");
		if (s.state === "blocked" || s.state === "stopped") {
			put(s.out_ns, wake, s.state, `${s.state}: ${s.cause}${s.syscall ? " in " + s.syscall : ""}`);
			put(wake, end, s.throttled_ns ? "throttled" : "waiting", `woken, waiting: ${s.wait_cause ?? s.cause}`);
		} else put(s.out_ns, end, s.state, `${s.state}: ${s.cause}`);
		at = Math.max(at, end);
	}
	put(at, v.end_ns, v.split_known ? "running" : "unknown", v.split_known ? "running" : "not seen");
	return out;
}
function lanes(v) {
	const W = 1000, LABEL = 190, H = 24, x0 = t => LABEL + (t - v.start_ns) / Math.max(1, v.end_ns - v.start_ns) * (W - LABEL - 8);
	const others = new Map();
	const lane = (t, kind) => { const key = `${t.comm} ${t.tid ?? ""}`; if (!others.has(key)) others.set(key, { name: task(t), marks: [] }); others.get(key).marks.push(kind); };
	for (const s of v.spells) {
		const end = s.in_ns ?? v.end_ns;
		if (s.occupant) lane(s.occupant, { from: s.wake_ns ?? s.out_ns, to: end, state: "running", text: `had the CPU for ${ns(s.occupant.ns)} of the wait` });
		if (s.owner) lane(s.owner, { from: s.out_ns, to: s.wake_ns ?? end, state: "unknown", text: "held what was waited for" });
		if (s.waker && s.wake_ns) lane(s.waker, { at: s.wake_ns, text: `woke it${s.waker.syscall ? " in " + s.waker.syscall : ""}` });
	}
	const list = [...others.values()].slice(0, 24), height = (list.length + 1) * H + 30;
	const root = svg("svg", { viewBox: `0 0 ${W} ${height}`, role: "img", "aria-label": `The thread's time from start to end, and ${list.length} others that it met` });
	for (let i = 0; i <= 4; i++) {
		const t = v.start_ns + i / 4 * (v.end_ns - v.start_ns);
		root.append(svg("line", { class: "tick", x1: x0(t), x2: x0(t), y1: 0, y2: height - 18 }), svg("text", { class: "axis", x: x0(t), y: height - 5, "text-anchor": i === 0 ? "start" : i === 4 ? "end" : "middle" }, "+" + ns(Math.round(t - v.start_ns))));
	}
	const label = (row, name) => root.append(svg("text", { x: 4, y: row * H + 17 }, name.length > 27 ? name.slice(0, 26) + "…" : name));
	const block = (row, m) => root.append(titled(svg("rect", { x: x0(m.from), y: row * H + 4, width: Math.max(1, x0(m.to) - x0(m.from)), height: H - 8, style: `fill:var(--${m.state})`, opacity: row ? 0.75 : 1 }), `${m.text} (${ns(m.to - m.from)})`));
	label(0, task(v));
	for (const s of stretches(v)) block(0, s);
	list.forEach((other, i) => {
		label(i + 1, other.name);
		for (const m of other.marks) {
			if (m.at === undefined) { block(i + 1, m); continue; }
			const px = x0(m.at), py = (i + 1) * H + H / 2;
			root.append(titled(svg("path", { class: "arrow", d: `M${px},${py} L${px},${H - 2}` }), m.text), svg("polygon", { class: "head", points: `${px},${H - 4} ${px - 4},${H + 4} ${px + 4},${H + 4}` }), titled(svg("circle", { cx: px, cy: py, r: 4, style: "fill:var(--text)" }), m.text));
		}
	});
	return el("div", { class: "lanes", tabindex: "0", role: "region", "aria-label": "Lanes of threads" }, root);
}
function about(s) {
	const out = [];
	if (s.syscall) out.push(`in ${s.syscall}${s.args ? "(" + s.args.join(", ") + ", …)" : ""}`);
	if (s.file) out.push(`file ${s.file.name} (device ${s.file.dev}, inode ${s.file.ino})`);
	if (s.socket) out.push(`socket ${s.socket.family} ${s.socket.address}${s.socket.port ? ":" + s.socket.port : ""}`);
	if (s.io) out.push(`a request on ${s.io.dev} took ${ns(s.io.latency_ns)}`);
	if (s.owner) out.push(`held by ${task(s.owner)}`);
	if (s.waker) out.push(`woken by ${task(s.waker)}${s.waker.syscall ? " in " + s.waker.syscall : ""}`);
	if (s.occupant) out.push(`${task(s.occupant)} had the CPU for ${ns(s.occupant.ns)}`);
	if (s.cgroup) out.push(`cgroup ${s.cgroup.name}: ${ns(s.cgroup.quota_ns)} in each ${ns(s.cgroup.period_ns)}`);
	return out.join("; ");
}
function userFrame(f) {
	const place = f.file ? ` ${f.file}:${f.line ?? "?"}` : "", where = f.module ? `${f.module}+${f.address}` : f.address;
	return `${f.function ?? "?"}${f.inlined ? " (inlined)" : ""}${place}  ${where}${f.replaced ? " (the file was replaced)" : ""}`;
}
function userStack(stack, name) {
	if (!stack) return null;
	return el("details", {}, el("summary", {}, stack.frames.length ? name : `${name}: none (${stack.reach})`),
		el("pre", {}, stack.frames.map(userFrame).join("\n") + (stack.reach === "complete" ? "" : `\n... ${stack.reach}`)));
}
function spellRow(v, s) {
	const end = s.in_ns ?? v.end_ns;
	return el("tr", {}, el("td", { class: "n" }, "+" + ns(s.out_ns - v.start_ns)), el("td", { class: "n" }, ns(end - s.out_ns)),
		el("td", {}, el("i", { class: "key", style: `background:var(--${s.state})` }), s.state), el("td", {}, s.cause + (s.wait_cause ? ", then " + s.wait_cause : "")),
		el("td", { class: "text" }, about(s), s.stack ? el("details", {}, el("summary", {}, "kernel stack"), el("pre", {}, s.stack.join("\n"))) : null, userStack(s.user_stack, "user stack")));
}
function choose(v) {
	view.chosen = v;
	drawTime();
	drawList();
	const body = $("detail-body");
	const over = v.budget_ns ? ` (budget ${ns(v.budget_ns)}, ${(v.elapsed_ns / v.budget_ns).toPrecision(2)}x)` : "";
	body.replaceChildren(
		el("h3", {}, `${v.section} took ${ns(v.elapsed_ns)}${over}`),
		el("p", {}, `${task(v)}${v.key !== undefined ? ", key " + v.key : ""}, ended ${clock(v.t, true)}${v.abandoned ? ", never stopped: " + v.abandoned : ""}${v.fired ? `, noticed ${ns(v.fired_late_ns)} after its deadline` : ""}`),
		el("p", {}, el("strong", {}, v.verdict)), splitBar(v.split_ns), lanes(v),
		el("ul", {}, ...v.causes.map(c => el("li", {}, `${percent(c.ns, v.elapsed_ns)}  ${c.text || c.kind} (${c.confidence}${c.evidence ? ": " + c.evidence : ""})`))));
	if (v.user_stack) body.append(userStack(v.user_stack, "user stack at the deadline"));
	if (v.spells.length)
		body.append(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Spells" }, el("table", {}, el("thead", {}, el("tr", {}, ...["left the CPU", "for", "state", "cause", "what is known"].map((t, i) => el("th", { scope: "col", class: i < 2 ? "n" : "" }, t)))),
			el("tbody", {}, ...v.spells.map(s => spellRow(v, s))))));
	const missing = v.spells_total - v.spells.length;
	if (missing > 0 || v.spells_lost || v.spells_short)
		body.append(el("p", { class: "dim" }, [missing > 0 ? `${missing} longer spells were not kept` : "", v.spells_lost ? `${v.spells_lost} were lost` : "", v.spells_short ? `${v.spells_short} shorter than 50 us, ${ns(v.short_ns)} together` : ""].filter(Boolean).join("; ")));
	$("detail").hidden = false;
	$("detail").scrollIntoView({ block: "nearest" });
}

/* ---- flames */

const flame = { root: null, top: null };

/* A spell is blocked or stopped first, and waits for a CPU after that; or it waits from the start. */
function parts(v, s) {
	const end = s.in_ns ?? v.end_ns, slept = s.state === "blocked" || s.state === "stopped", wake = slept ? s.wake_ns ?? end : s.out_ns;
	return { slept: wake - s.out_ns, waited: end - wake };
}
function growSpell(root, kind, v, s) {
	const { slept, waited } = parts(v, s);
	if (kind === "wakers") {
		grow(root, [v.section, s.waker ? s.waker.comm : "no waker seen", ...(s.waker?.syscall ? [s.waker.syscall] : []), s.cause], slept);
		return;
	}
	const user = (s.user_stack?.frames ?? []).map(f => f.function ?? `${(f.module ?? "?").split("/").at(-1)}+${f.address}`).reverse();
	grow(root, [v.section, s.state, s.cause, ...user, ...(s.syscall ? [s.syscall] : []), ...(s.stack ? s.stack.slice().reverse() : [])], slept);
	const throttled = Math.min(waited, s.throttled_ns ?? 0);
	grow(root, [v.section, "throttled", "quota", ...(s.cgroup ? [s.cgroup.name] : [])], throttled);
	grow(root, [v.section, "waiting", s.wait_cause ?? s.cause, ...(s.occupant ? [s.occupant.comm] : [])], waited - throttled);
}
function grow(root, path, weight) {
	let node = root;
	if (!(weight > 0)) return;
	node.value += weight;
	for (const name of path) {
		if (!node.below.has(name)) node.below.set(name, { name, value: 0, below: new Map(), up: node });
		node = node.below.get(name);
		node.value += weight;
	}
}
function drawFlame() {
	const kind = $("flame-kind").value;
	const root = { name: "all", value: 0, below: new Map() };
	for (const v of view.shown) {
		if (kind === "causes")
			for (const c of v.causes) grow(root, [v.section, c.kind, c.peer?.comm ?? c.subject ?? ""].filter(Boolean), c.ns);
		else
			for (const s of v.spells) growSpell(root, kind, v, s);
	}
	flame.root = root;
	showFlame(root);
}
function colour(name, depth) {
	let h = 0;
	for (const ch of name) h = (h * 31 + ch.codePointAt(0)) >>> 0;
	return `hsl(${30 + h % 40 + (depth < 3 ? 160 : 0)}deg ${55 + h % 20}% ${68 + h % 12}%)`;
}
function showFlame(top) {
	const box = $("flame"), w = box.clientWidth, text = $("flame-search").value.trim().toLowerCase();
	flame.top = top;
	const nodes = [];
	let depth = 0, found = 0, nr = 0;
	const put = (node, left, width, row) => {
		depth = Math.max(depth, row);
		if (width < 0.8 || nr > 3000) return;
		nr++;
		const hit = text && node.name.toLowerCase().includes(text);
		const label = `${node.name} ${ns(node.value)} (${percent(node.value, flame.root.value)})`;
		nodes.push(el("button", { type: "button", role: "treeitem", class: hit ? "found" : "", style: `left:${left}px;width:${width}px;top:${row * 20}px;background:${colour(node.name, row)}`, title: label, "aria-label": label, tabindex: nodes.length ? "-1" : "0", onclick: () => showFlame(node) }, width > 24 ? node.name : ""));
		let at = left;
		for (const below of [...node.below.values()].sort((a, b) => b.value - a.value)) {
			const part = width * below.value / (node.value || 1);
			put(below, at, part, row + 1);
			at += part;
		}
	};
	const sum = node => { let s = 0; if (text && node.name.toLowerCase().includes(text)) return node.value; for (const b of node.below.values()) s += sum(b); return s; };
	if (top.value) put(top, 0, w, 0);
	found = sum(top);
	box.style.height = (depth + 1) * 20 + "px";
	box.replaceChildren(...nodes);
	$("flame-said").textContent = !top.value ? "no time off the CPU was kept" : text ? `${percent(found, top.value)} of ${ns(top.value)} is in what was found` : ns(top.value);
}
$("flame").addEventListener("keydown", e => {
	const all = [...$("flame").children], i = all.indexOf(document.activeElement);
	const next = { ArrowRight: i + 1, ArrowDown: i + 1, ArrowLeft: i - 1, ArrowUp: i - 1 }[e.key];
	if (next === undefined || !all[next]) return;
	all[i].tabIndex = -1;
	all[next].tabIndex = 0;
	all[next].focus();
	e.preventDefault();
});
$("flame-kind").addEventListener("change", drawFlame);
$("flame-search").addEventListener("input", () => showFlame(flame.top));
$("flame-out").addEventListener("click", () => showFlame(flame.root));

/* ---- */

$("theme").addEventListener("change", () => { document.documentElement.dataset.theme = $("theme").value; drawTime(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTime);
$("legend").append(...STATES.map(s => el("li", {}, el("i", { style: `background:var(--${s})` }), s)));
$("about").textContent = [data.about.traces?.join(", "), data.about.hostname ? "on " + data.about.hostname : "", data.about.kernel_release ? "Linux " + data.about.kernel_release : "", data.violations.length ? clock(first, true) + " to " + clock(last) : ""].filter(Boolean).join(" · ");
drawLost();
drawSections();
refresh();
})();
