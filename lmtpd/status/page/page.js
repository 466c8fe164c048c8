// The status page: asks for /status.json every two seconds and writes it down.
//
// What a peer chose comes here too. It becomes text by textContent alone, never markup, and what
// could change how other text looks (controls, bidi marks) is shown as a number.

"use strict";

const PAUSE_MS = 2000;
const PATIENCE_MS = 15000; // the server waits five seconds for a disk that hangs
const EXPIRES_SOON_DAYS = 14;
const EVENTS = {
  delivered: ["✓", "delivered"],
  repeated: ["↺", "delivered before"],
  refused: ["–", "refused"],
  failed: ["✕", "failed"],
};
const STANDINGS = {
  working: ["✓ works", "delivered"],
  draining: ["… drains", ""],
  silent: ["! is silent", "refused"],
  missing: ["✕ is missing", "failed"],
};
const SIGNS = { well: "✓", look: "!", bad: "✕", lost: "?" };

const byId = (id) => document.getElementById(id);

// Words for figures.

const COUNT = new Intl.NumberFormat("en");
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const MINUTE = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

const date = (seconds) => new Date(seconds * 1000);
const count = (number) => COUNT.format(number);
const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

function moment(seconds, now) {
  const day = DAY.format(date(seconds));
  const clock = CLOCK.format(date(seconds));
  return day === DAY.format(date(now)) ? clock : `${day} ${clock}`;
}

function rounded(number) {
  return number >= 100 ? count(Math.round(number)) : String(Number(number.toPrecision(2)));
}

function octets(number) {
  const units = ["octets", "kB", "MB", "GB", "TB", "PB", "EB"];
  let unit = 0;
  for (; number >= 999.5 && unit < units.length - 1; unit += 1) number /= 1000;
  return `${unit ? rounded(number) : number} ${units[unit]}`;
}

function duration(seconds) {
  seconds = Math.max(0, seconds); // a clock may have been set back
  if (seconds < 0.0995) return `${rounded(seconds * 1000)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 99.5) return `${rounded(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return many(Math.floor(seconds / 86400), "day");
}

function visible(text) {
  return String(text).replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0).toString(16).padStart(4, "0")}}`,
  );
}

// Writing. Only what differs is written, so that a selection and a reader's place are left alone.

function write(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

function fit(parent, number, make) {
  while (parent.children.length > number) parent.lastElementChild.remove();
  while (parent.children.length < number) parent.append(make());
}

// A row is a list of cells: a text, or {text, under, kind}. The columns are those of the heading.
function fill(id, rows) {
  const table = byId(id);
  const heads = [...table.tHead.rows[0].cells];
  const hasRoles = table.hasAttribute("role");
  const body = table.tBodies[0];
  fit(body, rows.length, () => {
    const row = document.createElement("tr");
    if (hasRoles) row.setAttribute("role", "row");
    for (const head of heads) {
      const cell = row.insertCell();
      cell.className = head.className;
        if (hasRoles) cell.setAttribute("role", "cell");
      cell.append(document.createElement("bdi"), document.createElement("small"));
    }
    return row;
  });
  rows.forEach((cells, index) => {
    cells.forEach((cell, column) => {
      const element = body.rows[index].cells[column];
      const { text, under = "", kind = "" } = typeof cell === "object" ? cell : { text: cell };
      write(element.firstElementChild, text);
      write(element.lastElementChild, under);
      element.dataset.kind = kind;
    });
  });
  const section = table.closest("section");
  if (section) {
    (table.closest(".wide") ?? table).hidden = !rows.length;
    section.querySelector(".empty").hidden = rows.length > 0;
  }
}

// Charts: the columns of a minute, the second kind hatched upon the first.

class Chart {
  constructor(id, kinds) {
    this.kinds = kinds;
    this.caption = byId(`${id}-caption`);
    this.box = byId(`${id}-chart`);
    this.minutes = [];
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.box);
  }

  show(minutes) {
    this.minutes = minutes;
    const [first, second] = this.kinds.map(([kind]) => minutes.map((one) => one[kind]));
    const data = [
      minutes.map((one) => one.time + 30),
      // None where it would peep out behind the first.
      first.map((number, index) => (second[index] ? number + second[index] : null)),
      first,
    ];
    if (this.plot) this.plot.setData(data);
    else this.plot = this.drawn(data);
    this.describe();
  }

  // Anew, in the colours of the moment.
  restyle() {
    this.plot?.destroy();
    this.plot = null;
    if (this.minutes.length) this.show(this.minutes);
  }

  size() {
    return { width: Math.max(this.box.clientWidth, 100), height: 190 };
  }

  drawn(data) {
    const style = getComputedStyle(document.body);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const bars = uPlot.paths.bars({ size: [0.75, 40] });
    const axis = {
      stroke: colour("muted"),
      font: `12px ${style.fontFamily}`,
      ticks: { show: false },
    };
    return new uPlot(
      {
        ...this.size(),
        legend: { show: false },
        padding: [8, 20, 0, 0],
        cursor: {
          y: false,
          points: { show: false },
          drag: { x: false, y: false },
          sync: { key: "hour" },
        },
        scales: {
          x: { range: (plot) => [plot.data[0][0] - 30, plot.data[0].at(-1) + 30] },
          y: { range: (plot, low, high) => [0, Math.max(5, high * 1.05)] },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            values: (plot, times) => times.map((time) => MINUTE.format(date(time))),
            incrs: [600, 900, 1200, 1800],
            space: 55,
            size: 28,
          },
          {
            ...axis,
            grid: { stroke: colour("line"), width: 1 },
            values: (plot, numbers) => numbers.map(count),
            incrs: [1, 2, 5].flatMap((step) => [...Array(9).keys()].map((p) => step * 10 ** p)).sort((a, b) => a - b),
            size: (plot, values) => 16 + 7 * Math.max(1, ...(values ?? []).map((one) => one.length)),
          },
        ],
        series: [
          {},
          { width: 0, paths: bars, points: { show: false }, fill: hatched(colour(this.kinds[1][1])) },
          { width: 0, paths: bars, points: { show: false }, fill: colour(this.kinds[0][1]) },
        ],
        hooks: { setCursor: [() => this.describe()] },
      },
      data,
      this.box,
    );
  }

  // The minute below the pointer, or the hour.
  describe() {
    const index = this.plot?.cursor.idx;
    const minute = index == null ? null : this.minutes[index];
    const parts = this.kinds.map(([kind, colour, words]) => {
      const number = minute ? minute[kind] : sum(this.minutes.map((one) => one[kind]));
      return [colour, `${count(number)} ${words}`];
    });
    fit(this.caption, 1 + parts.length, () => document.createElement("span"));
    const [when, ...keys] = this.caption.children;
    write(when, minute ? `At ${MINUTE.format(date(minute.time))}:` : "In the hour:");
    keys.forEach((key, place) => {
      key.className = place ? "key hatched" : "key";
      key.dataset.kind = parts[place][0];
      write(key, parts[place][1]);
    });
  }
}

function hatched(colour) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d");
  pen.strokeStyle = colour;
  pen.lineWidth = 2.2;
  for (const shift of [-6, 0, 6]) {
    pen.moveTo(shift - 1, 7);
    pen.lineTo(shift + 7, -1);
  }
  pen.stroke();
  return pen.createPattern(tile, "repeat");
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

function byMinute(slots) {
  const minutes = new Map();
  for (const { time, ...counts } of slots) {
    const start = Math.floor(time / 60) * 60;
    const minute = minutes.get(start) ?? { time: start };
    for (const [kind, number] of Object.entries(counts)) minute[kind] = (minute[kind] ?? 0) + number;
    minutes.set(start, minute);
  }
  return [...minutes.values()];
}

// Is all well?

const seen = new Map(); // trouble, without its figures: when this page first saw it

function judge(data) {
  const found = data.troubles;
  const keys = found.map((text) => text.replace(/\d+/g, "#"));
  for (const key of seen.keys()) if (!keys.includes(key)) seen.delete(key);
  for (const key of keys) if (!seen.has(key)) seen.set(key, data.now);

  const state = !data.is_ready ? "bad" : found.length ? "look" : "well";
  const words = { well: "All is well", look: "Mail is delivered, but look at this", bad: "Not all mail can be delivered" };
  const whole = data.slots.slice(-7, -1); // the slot of now is not over
  const minute = sum(whole.map((slot) => slot.delivered + slot.repeated));
  const delivery = data.latency.delivery;
  const p99 = delivery ? `, p99 ${duration(delivery.p99)}` : "";
  proclaim(state, words[state], `: ${many(minute, "delivery", "deliveries")} a minute${p99}`);

  const list = byId("troubles");
  list.hidden = !found.length;
  fit(list, found.length, () => document.createElement("li"));
  found.forEach((text, index) => {
    const since = moment(seen.get(keys[index]), data.now);
    write(list.children[index], `${text} (seen here since ${since})`);
  });
}

function proclaim(state, words, rest) {
  document.body.dataset.state = state;
  write(byId("sign"), SIGNS[state]);
  write(byId("state"), words);
  write(byId("rest"), rest);
  document.title = `${SIGNS[state]} ${words} – lmtpd`;
}

// The rest of the page.

function outcome(one, now) {
  const [sign, words] = EVENTS[one.event] ?? ["", one.event];
  return [
    moment(one.time, now),
    { text: `${sign} ${words}`, kind: one.event },
    one.recipient,
    one.sender,
    one.size ? octets(one.size) : "",
    one.seconds ? duration(one.seconds) : "",
    { text: one.reply, under: one.cause },
    { text: one.peer, under: one.id },
  ];
}

function latency(told) {
  const names = { delivery: "Delivery, from the final dot", disk: "Of it, the disk", verification: "Verification of a recipient" };
  return Object.entries(names)
    .filter(([name]) => told[name])
    .map(([name, words]) => [words, ...["p50", "p90", "p99"].map((part) => duration(told[name][part]))]);
}

function hook(one) {
  const state = one.is_up
    ? { text: "✓ up", kind: "delivered" }
    : { text: `✕ down for ${duration(one.down_seconds)}`, under: one.cause, kind: "failed" };
  return [one.name, state, count(one.asked), count(one.faults), count(one.remembered)];
}

function worker(one, now) {
  const [text, kind] = STANDINGS[one.standing] ?? [one.standing, ""];
  const isThere = one.standing !== "missing";
  const silent = `for ${duration(one.seen_seconds_ago)}`;
  return [
    String(one.index),
    { text, kind, under: one.standing === "silent" || !isThere ? silent : "" },
    isThere ? String(one.pid) : "",
    isThere ? duration(now - one.started) : "",
    count(one.connections),
    count(one.delivered),
  ];
}

function certificate(one, now) {
  const rest = one.not_after - now;
  const soon = rest < EXPIRES_SOON_DAYS * 86400;
  const when = rest < 0 ? "expired" : `in ${duration(rest)}`;
  const expiry = { text: DATE.format(date(one.not_after)), under: soon ? `! ${when}` : when, kind: soon ? "refused" : "" };
  return [one.names.join(", "), expiry, one.file];
}

function showDisk(disk) {
  const share = disk && disk.size > 0 ? Math.min(1, Math.max(0, 1 - disk.free / disk.size)) : 0;
  byId("disk-bar").style.width = `${100 * share}%`;
  if (!disk) {
    write(byId("disk-free"), "The disk does not tell");
    write(byId("disk-note"), "");
    return;
  }
  write(byId("disk-free"), `${octets(disk.free)} free of ${octets(disk.size)}`);
  const reserve = disk.reserve ? ` New mail waits below ${octets(disk.reserve)}.` : "";
  write(byId("disk-note"), `${disk.path}: ${Math.round(100 * share)} % in use.${reserve}`);
}

const charts = [
  new Chart("delivered", [
    ["delivered", "delivered", "delivered"],
    ["repeated", "repeated", "delivered before"],
  ]),
  new Chart("refused", [
    ["refused", "refused", "refused"],
    ["failed", "failed", "failed"],
  ]),
];

function show(data) {
  judge(data);
  write(byId("host"), data.host);
  const age = duration(data.now - data.started);
  write(byId("about"), `Version ${data.version}, watched for ${age}, as of ${CLOCK.format(date(data.now))}`);
  const minutes = byMinute(data.slots);
  for (const chart of charts) chart.show(minutes);
  fill("minutes", minutes.toReversed().map((one) => [
    MINUTE.format(date(one.time)), ...Object.keys(EVENTS).map((kind) => count(one[kind])),
  ]));
  fill("latency", latency(data.latency));
  showDisk(data.disk);
  fill("last", data.last.map((one) => outcome(one, data.now)));
  fill("most-refused", data.most_refused.map((one) => [one.recipient, count(one.count)]));
  fill("hooks", data.hooks.map(hook));
  const working = data.workers.filter((one) => one.standing === "working").length;
  write(byId("workers-count"), `${count(working)} of ${count(data.workers_wanted)} work`);
  fill("workers", data.workers.map((one) => worker(one, data.now)));
  fill("certificates", data.certificates.map((one) => certificate(one, data.now)));
}

// Asking, while somebody looks.

let timer = 0;
let is_asking = false;
let answered = Date.now() / 1000;

async function ask() {
  clearTimeout(timer);
  if (is_asking || document.hidden) return;
  is_asking = true;
  try {
    const answer = await fetch("status.json", { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(`the answer is ${answer.status}`);
    show(await answer.json());
    answered = Date.now() / 1000;
  } catch (error) {
    // One that cannot be shown is none: of another version, perhaps, whose page a reload gets.
    const since = moment(answered, Date.now() / 1000);
    proclaim("lost", `No answer since ${since}`, `: what stands below is of then (${error.message})`);
    byId("troubles").hidden = true;
  } finally {
    is_asking = false;
    timer = setTimeout(ask, PAUSE_MS);
  }
}

document.addEventListener("visibilitychange", ask);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const chart of charts) chart.restyle();
});
ask();
