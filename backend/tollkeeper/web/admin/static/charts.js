// Draw each figure's table as a chart; the table stays for those who would rather read.
"use strict";

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 6 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const charts = [];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function read(table) {
  const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent);
  const rows = [...table.tBodies[0].rows];
  const times = rows.map((row) => Number(row.cells[0].dataset.at));
  const numbers = names.map((_, column) => rows.map((row) => Number(row.cells[column + 1].dataset.value)));
  return { names, data: [times, ...numbers] };
}

function axis() {
  return {
    stroke: colour("--ink-soft"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui, sans-serif",
  };
}

function draw(figure) {
  const { names, data } = read(figure.querySelector("table"));
  let place = figure.querySelector(".plot");
  if (!place) {
    place = document.createElement("div");
    place.className = "plot";
    place.setAttribute("aria-hidden", "true");
    figure.prepend(place);
  }
  place.replaceChildren();
  const bars = uPlot.paths.bars({ size: [0.7, 28] });
  const series = names.map((name, index) => ({
    label: name,
    stroke: colour(`--series-${(index % 6) + 1}`),
    fill: names.length === 1 ? colour("--series-1") : undefined,
    width: names.length === 1 ? 0 : 2,
    paths: names.length === 1 ? bars : undefined,
    points: { show: data[0].length < 3, size: 6 },
    value: (_, number) => (number === null || number === undefined ? "–" : NUMBER.format(number)),
  }));
  const half = 43200;
  const chart = new uPlot({
    width: place.clientWidth,
    height: 240,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    scales: {
      x: { range: (_, first, last) => [first - half, last + half] },
      y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] },
    },
    axes: [
      { ...axis(), grid: { show: false }, values: (_, splits) => splits.map((at) => DAY.format(at * 1000)), space: 64 },
      { ...axis(), values: (_, splits) => splits.map((number) => SHORT.format(number)), size: 52 },
    ],
    series: [{ label: "Day", value: (_, at) => (at ? DAY.format(at * 1000) : "–") }, ...series],
    cursor: { points: { size: 7 }, drag: { x: false, y: false } },
    legend: { live: true },
  }, data, place);
  charts.push({ chart, place });
}

function drawAll() {
  while (charts.length) charts.pop().chart.destroy();
  for (const figure of document.querySelectorAll("[data-chart]")) draw(figure);
}

drawAll();
new ResizeObserver(() => {
  for (const { chart, place } of charts) {
    if (place.clientWidth && chart.width !== place.clientWidth) {
      chart.setSize({ width: place.clientWidth, height: chart.height });
    }
  }
}).observe(document.getElementById("content"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
