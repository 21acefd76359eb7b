"use strict";
(async () => {
  const $ = (id) => document.getElementById(id);
  const make = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  // ---- the data: columns; lists that rise are given as steps
  const unpack = async (raw) => {
    if (!raw.gzip) return raw;
    const bytes = Uint8Array.from(atob(raw.gzip), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };
  const sums = (steps) => { let sum = 0; return steps.map((step) => (sum += step)); };
  const data = await unpack(JSON.parse($("data").textContent));
  const jobs = data.jobs, tries = data.attempts, total = jobs.name.length;
  jobs.id = sums(jobs.id);
  tries.start = sums(tries.start).map((ticks) => ticks * data.tick * 10);     // tenths of a second, all of them
  data.marks = data.marks.map((ticks) => ticks * data.tick * 10);
  tries.took = tries.took.map((ms) => ms / 100);
  const mine = jobs.name.map(() => []);
  const order = tries.job.map((_, at) => at);
  for (const at of order) mine[tries.job[at]].push(at);
  for (const list of mine) list.sort((a, b) => tries.run[a] - tries.run[b] || tries.attempt[a] - tries.attempt[b]);

  // ---- words
  const short = (n) => (n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2)).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
  const size = (bytes) => bytes == null ? "no limit" : bytes < 1 << 20 ? `${(bytes / 1024).toFixed(0)} KB`
    : bytes < 2 ** 30 ? `${short(bytes / 2 ** 20)} MB` : `${short(bytes / 2 ** 30)} GB`;
  const span = (s) => {
    if (s == null) return "no limit";
    if (s > 0 && s < 0.05) return "under 0.1 s";
    if (s < 9.95) return `${s.toFixed(1).replace(/\.0$/, "")} s`;
    const whole = Math.round(s);
    for (const [large, small, many, few] of [[86400, 3600, "d", "h"], [3600, 60, "h", "min"], [60, 1, "min", "s"]]) {
      const rest = Math.floor((whole % large) / small);
      if (whole >= large) return `${Math.floor(whole / large)} ${many}${rest ? ` ${rest} ${few}` : ""}`;
    }
    return `${whole} s`;
  };
  const ahead = (at) => { let found = data.zone[0][1]; for (const [from, s] of data.zone) if (at >= from) found = s; return found; };
  const two = (n) => String(n).padStart(2, "0");
  const clock = (at, seconds) => {
    const local = new Date((at + ahead(at)) * 1000);
    return `${two(local.getUTCHours())}:${two(local.getUTCMinutes())}${seconds ? `:${two(local.getUTCSeconds())}` : ""}`;
  };
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  const day = (at) => { const local = new Date((at + ahead(at)) * 1000); return `${DAYS[local.getUTCDay()]} ${local.getUTCDate()}`; };
  const ending = (at) => tries.kind[at] === 0 ? "completed" : data.called[tries.cause[at]].toLowerCase();
  const numbered = (at) => `run ${tries.run[at]}, attempt ${tries.attempt[at]}`;
  const used = (at) => {
    const [memory, runtime] = data.attempts.given[tries.limits[at]];
    const peak = tries.peak[at] < 0 ? "memory not measured" : `${size(tries.peak[at] * 1024)} of ${size(memory)}`;
    return `${span(tries.took[at] / 10)} of ${span(runtime)} · ${peak}`;
  };

  // ---- copying a command
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const code = button.parentElement.querySelector("code");
    let done = false;
    try { await navigator.clipboard.writeText(code.textContent); done = true; } catch { /* no clipboard here */ }
    if (!done) {
      getSelection().selectAllChildren(code);
      try { done = document.execCommand("copy"); } catch { /* it stays selected */ }
    }
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });

  // ---- the time line
  const canvas = document.querySelector("#timeline canvas");
  if (canvas) timeline(canvas);

  function timeline(canvas) {
    const box = canvas.parentElement, kept = document.createElement("canvas"), whole = $("whole");
    let context, colour;
    const tip = make("div", undefined, "tip");
    tip.hidden = true;
    box.append(tip);
    const shown = data.kinds.map(() => true);
    const lanes = tries.lane.reduce((most, lane) => Math.max(most, lane), 0) + 1;
    const last = Math.max(1, ...sampled(order.map((at) => tries.start[at] + tries.took[at])));
    const AXIS = 30, TOP = 8;
    const pitch = Math.max(1.2, Math.min(20, 420 / lanes));
    let from = 0, to = last, over = -1, dragged = null;

    function sampled(list) { let most = 0; for (const value of list) most = Math.max(most, value); return [most]; }
    const colours = () => {
      const style = getComputedStyle(document.documentElement);
      const of = (name) => style.getPropertyValue(`--${name}`).trim();
      return { kinds: data.kinds.map(of), ink: of("ink"), cured: of("cured"), faint: of("faint"), line: of("line") };
    };
    const width = () => box.clientWidth;
    const x = (tenths) => ((tenths - from) / (to - from)) * width();
    const back = (px) => from + (px / width()) * (to - from);

    function draw() {                           // all of it, kept aside: pointing at a bar draws that alone anew
      const scale = window.devicePixelRatio || 1, w = width(), h = Math.ceil(TOP + lanes * pitch + AXIS);
      for (const each of [canvas, kept]) {
        each.width = Math.max(1, Math.round(w * scale));
        each.height = Math.round(h * scale);
      }
      canvas.style.height = `${h}px`;
      colour = colours();
      context = kept.getContext("2d");
      context.setTransform(scale, 0, 0, scale, 0, 0);
      axis(w, h);
      for (const pass of [true, false]) {       // what failed lies above what completed
        for (const at of order) if ((tries.kind[at] === 0) === pass) bar(at);
      }
      context.fillStyle = colour.cured;
      for (const mark of data.marks) {          // where something was changed
        context.fillRect(Math.round(x(mark)) - 0.5, 0, 1.5, h - AXIS + 2);
        context.beginPath();
        context.arc(x(mark), h - AXIS + 3, 3.5, 0, 7);
        context.fill();
      }
      context = canvas.getContext("2d");
      context.setTransform(scale, 0, 0, scale, 0, 0);
      show();
    }
    function show() {
      const w = width(), h = canvas.clientHeight;
      context.clearRect(0, 0, w, h);
      context.globalAlpha = over >= 0 ? 0.35 : 1;
      context.drawImage(kept, 0, 0, w, h);
      context.globalAlpha = 1;
      if (over >= 0) connected();
      if (dragged && dragged.now !== dragged.began) {
        context.fillStyle = colour.faint;
        context.globalAlpha = 0.25;
        context.fillRect(Math.min(dragged.began, dragged.now), 0, Math.abs(dragged.now - dragged.began), h - AXIS);
        context.globalAlpha = 1;
      }
    }
    function bar(at) {
      if (tries.lane[at] < 0 || !shown[tries.kind[at]]) return;
      const left = x(tries.start[at]), right = x(tries.start[at] + tries.took[at]);
      if (right < 0 || left > width()) return;
      const gap = pitch > 4 ? 1.5 : 0, least = tries.kind[at] ? 2.5 : 0.75;
      const wide = Math.max(least, right - left - (right - left > 4 ? 1 : 0));
      const high = Math.max(tries.kind[at] ? 2.5 : 1, pitch - gap);
      context.fillStyle = colour.kinds[tries.kind[at]];
      context.fillRect(left, TOP + tries.lane[at] * pitch, wide, high);
    }
    function connected() {                      // the attempts of one job, in order
      const list = mine[tries.job[over]].filter((at) => tries.lane[at] >= 0);
      list.forEach(bar);
      context.strokeStyle = colour.ink;
      context.lineWidth = 1;
      context.beginPath();
      list.forEach((at, place) => {
        const y = TOP + tries.lane[at] * pitch + pitch / 2, end = x(tries.start[at] + tries.took[at]);
        if (place) context.lineTo(x(tries.start[at]), y); else context.moveTo(end, y);
        if (place) context.moveTo(end, y);
      });
      context.stroke();
      for (const at of list) {
        const left = x(tries.start[at]), wide = Math.max(3, (tries.took[at] / (to - from)) * width());
        context.strokeRect(left - 1, TOP + tries.lane[at] * pitch - 1, wide + 1, Math.max(3, pitch));
      }
    }
    function axis(w, h) {
      const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];
      const date = (at) => { const local = new Date((at + ahead(at)) * 1000); return `${local.getUTCDate()} ${MONTHS[local.getUTCMonth()]}`; };
      const room = (to - from) / 10 / (w / 90);
      const step = steps.find((each) => each >= room) || Math.ceil(room / 604800) * 604800;
      const begin = data.start + from / 10, offset = ahead(begin);
      context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
      context.textBaseline = "middle";
      for (let at = Math.ceil((begin + offset) / step) * step - offset; at <= data.start + to / 10; at += step) {
        const px = x((at - data.start) * 10);
        context.fillStyle = colour.line;
        context.fillRect(Math.round(px), 0, 1, h - AXIS + 4);
        const time = clock(at, step < 60), text = step >= 86400 ? date(at) : /^00:00(:00)?$/.test(time) ? day(at) : time;
        context.fillStyle = colour.faint;
        const wide = context.measureText(text).width;
        if (px + wide / 2 < w && px - wide / 2 > 0) context.fillText(text, px - wide / 2, h - AXIS / 2 + 4);
      }
    }
    function at(px, py) {                       // the attempt under, or nearest to, a point; failures first
      const lane = (py - TOP) / pitch;
      let found = -1, best = Infinity;
      for (const each of order) {
        if (tries.lane[each] < 0 || !shown[tries.kind[each]]) continue;
        const off = Math.abs(tries.lane[each] + 0.5 - lane) * pitch;
        if (off > Math.max(6, pitch / 2)) continue;
        const left = x(tries.start[each]), right = Math.max(left + 2, x(tries.start[each] + tries.took[each]));
        const side = px < left ? left - px : px > right ? px - right : 0;
        if (side > 5) continue;
        const far = side + off * 0.5 - (tries.kind[each] ? 2 : 0);
        if (far < best) { best = far; found = each; }
      }
      return found;
    }
    function say(px, py) {
      tip.hidden = over < 0;
      if (over < 0) return;
      const words = tries.words[over] >= 0 ? data.words[tries.words[over]] : "";
      tip.replaceChildren(make("b", jobs.name[tries.job[over]]), make("p", `${numbered(over)}: ${ending(over)}`),
        make("p", `${clock(data.start + tries.start[over] / 10, true)} · ${used(over)}`));
      if (words) tip.append(make("p", words));
      const room = width() - tip.offsetWidth - 8, below = py + 18 + tip.offsetHeight < canvas.clientHeight;
      tip.style.left = `${Math.max(8, Math.min(room, px + 14))}px`;
      tip.style.top = `${below ? py + 18 : Math.max(4, py - tip.offsetHeight - 14)}px`;
    }
    const point = (event) => { const r = canvas.getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top]; };
    function look(px, py) {
      const found = at(px, py);
      if (found !== over) { over = found; show(); }
      say(px, py);
    }
    function zoom(a, b) {
      [from, to] = [Math.max(0, a), Math.min(last, b)];
      whole.hidden = from <= 0 && to >= last;
      draw();
    }
    canvas.addEventListener("pointerdown", (event) => { if (event.pointerType === "mouse") dragged = { began: point(event)[0], now: point(event)[0] }; });
    canvas.addEventListener("pointermove", (event) => {
      const [px, py] = point(event);
      if (dragged) { dragged.now = px; over = -1; tip.hidden = true; show(); } else look(px, py);
    });
    canvas.addEventListener("pointerup", (event) => {
      const [px, py] = point(event), was = dragged;
      dragged = null;
      if (was && Math.abs(was.now - was.began) > 6) zoom(...[back(was.began), back(was.now)].sort((a, b) => a - b));
      else look(px, py);
    });
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "touch") return;        // a finger leaves as it has pointed
      dragged = null; over = -1; tip.hidden = true; show();
    });
    canvas.addEventListener("dblclick", () => zoom(0, last));
    whole.addEventListener("click", () => zoom(0, last));
    canvas.addEventListener("keydown", (event) => {     // arrows go through the failures, Escape ends it
      const failed = order.filter((each) => tries.kind[each] && tries.lane[each] >= 0);
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") { over = -1; tip.hidden = true; zoom(0, last); }
      if (!step || !failed.length) return;
      event.preventDefault();
      over = failed[(failed.indexOf(over) + step + failed.length) % failed.length];
      if (x(tries.start[over]) < 0 || x(tries.start[over]) > width()) zoom(0, last);
      show();
      say(x(tries.start[over]), TOP + tries.lane[over] * pitch);
    });
    for (const [place, kind] of data.kinds.entries()) {
      const count = tries.kind.reduce((sum, each) => sum + (each === place), 0);
      if (!count) continue;
      const button = make("button", `${data.kinds_called[place]} ${count.toLocaleString("en")}`, `dot k-${kind}`);
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => {
        shown[place] = !shown[place];
        button.setAttribute("aria-pressed", String(shown[place]));
        draw();
      });
      $("kinds").append(button);
    }
    if (data.marks.length) $("kinds").append(make("span", `changes ${data.marks.length}`, "mark dot f-cured"));
    new ResizeObserver(() => draw()).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    draw();
  }

  // ---- the list of jobs
  const PAGE = 25;
  const rank = { failed: 0, canceled: 1, running: 2, waiting: 3, cured: 4, disabled: 6, completed: 5 };
  const sorted = jobs.name.map((_, job) => job)
    .sort((a, b) => rank[data.fates[jobs.fate[a]]] - rank[data.fates[jobs.fate[b]]] || jobs.id[a] - jobs.id[b]);
  const folded = jobs.name.map((name) => name.toLowerCase());
  const choice = { fate: -1, cause: -1, text: "", most: PAGE };
  const chips = [];

  function fits(job) {
    if (choice.fate >= 0 && jobs.fate[job] !== choice.fate) return false;
    if (choice.cause >= 0 && !mine[job].some((at) => tries.cause[at] === choice.cause)) return false;
    return !choice.text || folded[job].includes(choice.text) || String(jobs.id[job]) === choice.text;
  }
  function list() {
    const found = sorted.filter(fits), rows = $("jobs-rows");
    rows.replaceChildren(...found.slice(0, choice.most).map(row));
    $("more").hidden = found.length <= choice.most;
    $("shown").textContent = `${Math.min(choice.most, found.length).toLocaleString("en")} of ${found.length.toLocaleString("en")}`
      + (found.length < total ? `, ${total.toLocaleString("en")} in all` : "");
    for (const chip of chips) chip.button.setAttribute("aria-pressed", String(chip.is()));
  }
  function row(job) {
    const fate = data.fates[jobs.fate[job]], tr = make("tr", undefined, "job"), head = make("th");
    head.scope = "row";
    const name = make("button", jobs.name[job], `name dot f-${fate}`);
    name.type = "button";
    name.setAttribute("aria-expanded", "false");
    head.append(name, make("span", `${jobs.id[job]} · ${data.states[jobs.status[job]]}`, "by"));
    const dots = make("td", undefined, "dots");
    dots.dataset.head = "Attempts";
    for (const at of mine[job].slice(-12)) {
      const dot = make("i", undefined, `k-${data.kinds[tries.kind[at]]}`);
      dot.title = `${numbered(at)}: ${ending(at)}`;
      dots.append(dot);
    }
    if (mine[job].length) dots.append(ending(mine[job].at(-1))); else dots.append("none");
    tr.append(head, dots, ...uses(job));
    tr.addEventListener("click", () => open(job, tr));
    return tr;
  }
  function uses(job) {
    const at = mine[job].at(-1), [, memory, runtime, cpus] = data.asked[jobs.asked[job]];
    const given = at === undefined ? [memory, runtime, cpus] : data.attempts.given[tries.limits[at]];
    const peak = at === undefined || tries.peak[at] < 0 ? "–" : size(tries.peak[at] * 1024);
    const took = at === undefined ? "–" : span(tries.took[at] / 10);
    const cpu = at === undefined || tries.cpu[at] < 0 ? "–" : tries.cpu[at] === 0 ? "under 0.01" : short(tries.cpu[at] / 100);
    return [["Memory", peak, size(given[0])], ["Time", took, span(given[1])], ["CPUs", cpu, String(given[2] ?? 1)]].map(([head, value, of]) => {
      const td = make("td", value);
      td.dataset.head = head;
      td.append(make("span", ` of ${of}`, "of"));
      return td;
    });
  }
  function open(job, tr) {
    const next = tr.nextElementSibling, isOpen = next && next.classList.contains("more");
    tr.querySelector("button").setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) { next.remove(); return; }
    const cell = make("td"), items = make("ul"), after = make("tr", undefined, "more");
    cell.colSpan = 5;
    for (const at of mine[job]) {
      const item = make("li", undefined, `dot k-${data.kinds[tries.kind[at]]}`);
      const when = tries.lane[at] < 0 ? "start unknown" : `${day(data.start + tries.start[at] / 10)}, ${clock(data.start + tries.start[at] / 10, true)}`;
      item.append(`${numbered(at)}: ${ending(at)}, code ${tries.code[at]} · ${when} · ${used(at)}`);
      if (tries.words[at] >= 0) item.append(make("br"), make("code", data.words[tries.words[at]]));
      items.append(item);
    }
    if (!mine[job].length) items.append(make("li", "No attempt of it has ended."));
    cell.append(items);
    after.append(cell);
    tr.after(after);
  }
  function chip(text, className, is, set) {
    const button = make("button", text, className);
    button.type = "button";
    button.addEventListener("click", () => { set(); choice.most = PAGE; list(); });
    $("fates").append(button);
    chips.push({ button, is });
  }
  chip(`all ${total.toLocaleString("en")}`, "", () => choice.fate < 0 && choice.cause < 0, () => { choice.fate = choice.cause = -1; });
  data.fates.forEach((fate, place) => {
    const count = jobs.fate.reduce((sum, each) => sum + (each === place), 0);
    if (count) chip(`${data.fates_called[place]} ${count.toLocaleString("en")}`, `dot f-${fate}`, () => choice.fate === place, () => { choice.fate = place; choice.cause = -1; });
  });
  const causeChip = { button: make("button", "", "dot"), is: () => choice.cause >= 0 };
  causeChip.button.type = "button";
  causeChip.button.hidden = true;
  $("fates").append(causeChip.button);
  chips.push(causeChip);
  for (const button of document.querySelectorAll("button[data-cause]")) {
    button.addEventListener("click", () => {
      choice.cause = data.causes.indexOf(button.dataset.cause);
      choice.fate = -1;
      choice.most = PAGE;
      causeChip.button.hidden = false;
      causeChip.button.textContent = `were ${data.called[choice.cause].toLowerCase()}`;
      list();
      $("jobs").scrollIntoView();
    });
  }
  $("search").addEventListener("input", () => { choice.text = $("search").value.trim().toLowerCase(); choice.most = PAGE; list(); });
  $("more").addEventListener("click", () => { choice.most += 8 * PAGE; list(); });
  list();
  document.documentElement.dataset.ready = "true";
})();
