#include "tracking/report/assets.hpp"

namespace cifarpipe::report {

// Values of charts under the pointer, tables that sort, everything unfolded for print. Without it
// the page says the same: points have titles, tables have an order.
const std::string_view kScript = R"js(
"use strict";
for (const svg of document.querySelectorAll("svg[data-chart]")) {
  const chart = JSON.parse(svg.dataset.chart);
  const figure = svg.parentElement;
  const make = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  let marks = null;
  let tip = null;
  const hide = () => {
    if (marks) marks.remove();
    if (tip) tip.remove();
    marks = tip = null;
  };
  const show = (event) => {
    hide();
    const box = svg.getBoundingClientRect();
    const view = svg.viewBox.baseVal;
    const x = (event.clientX - box.left) / box.width * view.width;
    let best = null;
    for (const line of chart.lines) {
      for (const point of line.at) {
        if (best === null || Math.abs(point[0] - x) < Math.abs(best[0] - x)) best = point;
      }
    }
    if (best === null) return;
    const found = [];
    for (const line of chart.lines) {
      const point = line.at.find((p) => p[2] === best[2]);
      if (point) found.push({line, point});
    }
    found.sort((a, b) => a.point[1] - b.point[1]);
    marks = make("g", {});
    marks.append(make("line", {class: "cross", x1: best[0], x2: best[0], y1: 10, y2: view.height - 34}));
    tip = document.createElement("div");
    tip.className = "tip";
    tip.append(chart.x + " " + best[2]);
    for (const {line, point} of found.slice(0, 12)) {
      const color = "var(--s" + line.color + ")";
      const spot = make("circle", {class: "spot", cx: point[0], cy: point[1], r: 5});
      spot.style.fill = color;
      marks.append(spot);
      const row = document.createElement("div");
      const value = document.createElement("b");
      value.textContent = point[3];
      row.append(value);
      if (chart.lines.length > 1) {
        const dot = document.createElement("i");
        dot.style.background = color;
        row.append(dot, line.name);
      }
      tip.append(row);
    }
    svg.append(marks);
    figure.append(tip);
    const place = figure.getBoundingClientRect();
    const at = box.left - place.left + best[0] / view.width * box.width;
    const left = at + 14 + tip.offsetWidth < place.width ? at + 14 : at - 14 - tip.offsetWidth;
    tip.style.left = Math.max(0, left) + "px";
    tip.style.top = box.top - place.top + 12 + "px";
  };
  svg.addEventListener("pointermove", show);
  svg.addEventListener("pointerdown", show);
  svg.addEventListener("pointerleave", hide);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if ("fixed" in head.dataset) return;
    head.setAttribute("aria-sort", "none");
    head.tabIndex = 0;
    const sort = () => {
      // Numbers from the greatest on, names from A on; a second click turns them round.
      const first = body.rows.length && "sort" in body.rows[0].cells[column].dataset ? -1 : 1;
      const before = {ascending: 1, descending: -1}[head.getAttribute("aria-sort")];
      const sign = before === undefined ? first : -before;
      const value = (row) => {
        const cell = row.cells[column];
        return "sort" in cell.dataset && cell.dataset.sort !== "" ? Number(cell.dataset.sort) : cell.textContent;
      };
      const compare = (a, b) => {
        const u = value(a);
        const v = value(b);
        const numbers = (typeof u === "number") + (typeof v === "number");
        if (numbers === 2) return sign * (u - v);
        if (numbers === 1) return typeof u === "number" ? -1 : 1;
        return sign * u.localeCompare(v, undefined, {numeric: true});
      };
      body.append(...[...body.rows].sort(compare));
      for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  });
}

let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not([open])")];
  for (const details of unfolded) details.open = true;
});
addEventListener("afterprint", () => { for (const details of unfolded) details.open = false; });
)js";

}  // namespace cifarpipe::report
