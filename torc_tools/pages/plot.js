"use strict";
// Draws the one figure of a page of torc-plot and its table. All texts of others go through textContent, or were
// escaped for plotly where the figure was made.
const page = JSON.parse(document.getElementById("data").textContent);
const plot = document.getElementById("plot");
const dark = matchMedia("(prefers-color-scheme: dark)");
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const most = 1000; // rows of the table at a time
const narrow = matchMedia("(max-width: 700px)");

function element(tag, text) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  return made;
}

async function library() {
  if (window.Plotly) return;
  const packed = document.getElementById("library");
  if (!packed) throw new Error(page.absent);
  if (!window.DecompressionStream) throw new Error("This browser is too old to draw this page: it needs one of 2023 or later.");
  const raw = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
  packed.remove();
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
  const code = new Blob([await new Response(stream).arrayBuffer()], { type: "text/javascript" });
  const script = element("script");
  script.src = URL.createObjectURL(code);
  await new Promise((done, failed) => {
    script.onload = done;
    script.onerror = () => failed(new Error("The plotting library cannot be run here."));
    document.head.append(script);
  });
  URL.revokeObjectURL(script.src);
}

function looks() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  const [card, text, dim, grid, line] = ["--card", "--text", "--dim", "--grid", "--line"].map(value);
  const found = {
    paper_bgcolor: card, plot_bgcolor: card, "font.color": text, "font.family": style.fontFamily, "font.size": 13,
    "legend.bgcolor": "rgba(0,0,0,0)", "hoverlabel.bgcolor": card, "hoverlabel.font.color": text,
    "hoverlabel.bordercolor": line, "modebar.bgcolor": "rgba(0,0,0,0)", "modebar.color": dim, "modebar.activecolor": text,
  };
  for (const key of Object.keys(page.figure.layout).filter((name) => /^[xy]axis\d*$/.test(name))) {
    Object.assign(found, { [`${key}.gridcolor`]: grid, [`${key}.zerolinecolor`]: line, [`${key}.linecolor`]: line });
  }
  return found;
}

function fitted() {
  // A legend beside the plot leaves nothing of a phone's width: below it there, and the page as long as it takes.
  const layout = page.figure.layout;
  const entries = page.figure.data.filter((trace) => trace.showlegend !== false).length;
  const below = narrow.matches;
  plot.style.height = `${page.height + (below ? 26 * entries : layout.legend.orientation === "h" ? 24 : 0)}px`;
  if (!below) return { legend: layout.legend, margin: layout.margin };
  return {
    legend: { orientation: "v", x: 0, y: -84 / page.height, yanchor: "top" },
    margin: { ...layout.margin, l: 56, r: 10, t: 36 },
  };
}

async function draw() {
  await library();
  const { title, ...layout } = page.figure.layout;
  const config = {
    responsive: true, displaylogo: false, displayModeBar: true,
    // Named one by one: plotly's own choice has a button that uploads the chart.
    modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
    showSendToCloud: false, showEditInChartStudio: false, plotlyServerURL: "",
  };
  await Plotly.newPlot(plot, page.figure.data, { ...layout, ...fitted() }, config);
  await Plotly.relayout(plot, looks());
  dark.addEventListener("change", () => Plotly.relayout(plot, looks()));
  narrow.addEventListener("change", () => Plotly.relayout(plot, fitted()).then(() => Plotly.relayout(plot, looks())));
  for (const button of document.querySelectorAll("button[data-save]")) {
    button.hidden = false;
    button.addEventListener("click", () => save(button.dataset.save));
  }
  document.documentElement.dataset.drawn = "yes";
}

function save(format) {
  // The title stands outside of the plot on the page; a picture takes it along.
  const margin = { ...plot.layout.margin, t: 90 };
  const layout = { ...plot.layout, title: { ...page.figure.layout.title, y: 0.98, yanchor: "top" }, margin };
  const size = { width: Math.max(plot.clientWidth, 900), height: Math.max(plot.clientHeight, 500) + 40 };
  return Plotly.downloadImage({ data: plot.data, layout }, { format, filename: page.name, scale: 2, ...size });
}

function duration(seconds) {
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  return `${hours ? `${hours}h ` : ""}${minutes}m ${whole % 60}s`;
}

const written = {
  name: ([text]) => text,
  text: (value) => value,
  count: (value) => value.toLocaleString("en-US"),
  time: (value) => (Math.abs(value) < 8e12 ? clock.format(value * 1000) : "-"),
  seconds: duration,
  bytes: (value) => (value < 2 ** 30 ? `${(value / 2 ** 20).toFixed(1)} MB` : `${(value / 2 ** 30).toFixed(2)} GB`),
  percent: (value) => `${value.toFixed(1)} %`,
  share: (value) => `${(100 * value).toFixed(0)} %`,
};

function cell(kind, value) {
  const made = element("td");
  const text = value === null ? "-" : written[kind](value);
  if (kind === "name" && page.table.href) {
    const link = made.appendChild(element("a", text));
    link.href = page.table.href.replace("*", value[1]);
  } else made.textContent = text;
  if (kind === "share" && value > 1) made.className = "over";
  else if (kind === "share" && value !== null) {
    made.dataset.share = "";
    made.style.setProperty("--share", `${(100 * value).toFixed(1)}%`);
  }
  return made;
}

function sortBy(rows, column, up) {
  const named = page.table.columns[column][1] === "name";
  const key = (row) => (named ? row[column][1] ?? row[column][0] : row[column]);
  return [...rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);
  });
}

function table(place) {
  const { columns, rows } = page.table;
  const used = columns.map((_, column) => column === 0 || rows.some((row) => row[column] !== null));
  const body = element("tbody");
  const more = element("p");
  const find = document.getElementById("find");
  const lines = new Map();
  let order = rows;

  function line(row) {
    if (!lines.has(row)) {
      const made = element("tr");
      columns.forEach(([, kind], column) => used[column] && made.append(cell(kind, row[column])));
      lines.set(row, made);
    }
    return lines.get(row);
  }

  function show() {
    const wanted = find.value.toLowerCase();
    const found = wanted ? order.filter((row) => row[0][0].toLowerCase().includes(wanted)) : order;
    body.replaceChildren(...found.slice(0, most).map(line));
    more.textContent = found.length > most ? `${most} of ${found.length} rows: sort, or find what is not among them.` : "";
  }

  const head = element("tr");
  columns.forEach(([name], column) => {
    if (!used[column]) return;
    const title = head.appendChild(element("th"));
    const button = title.appendChild(element("button", name));
    button.addEventListener("click", () => {
      const up = title.ariaSort !== "ascending" && (column === 0 || title.ariaSort === "descending");
      for (const other of head.children) other.ariaSort = null;
      title.ariaSort = up ? "ascending" : "descending";
      order = sortBy(rows, column, up);
      show();
    });
  });
  const made = element("table");
  made.appendChild(element("thead")).append(head);
  made.append(body);
  place.append(made, more);
  show();
  find.hidden = rows.length < 12;
  find.addEventListener("input", show);
}

table(document.getElementById("table"));
draw().catch((error) => {
  const trouble = document.getElementById("trouble");
  trouble.textContent = error.message;
  trouble.hidden = false;
  plot.hidden = true;
});
