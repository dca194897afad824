"use strict";
(() => {
  const config = {showSendToCloud: false, displaylogo: false, displayModeBar: false, responsive: true};

  // Figures name the page's colours; here they get the ones of the hour.
  const coloured = (value, style) => {
    if (typeof value === "string") return value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
    if (Array.isArray(value)) return value.map((inner) => coloured(inner, style));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, coloured(inner, style)]));
  };
  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    for (const script of document.querySelectorAll("script[data-for]")) {
      const {data, layout} = coloured(JSON.parse(script.textContent), style);
      Plotly.react(script.dataset.for, data, layout, config);
    }
  };
  const print = (on) => { document.documentElement.classList.toggle("printing", on); draw(); };

  // Numbers by their size, words by the alphabet, what is absent last in either direction.
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, {numeric: true}) : x - y;
  };
  const sort = (table, place, head) => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[place].dataset.value;
    const rows = [...table.tBodies[0].rows].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      return up ? compare(a, b) : compare(b, a);
    });
    table.tBodies[0].append(...rows);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      head.querySelector("button").addEventListener("click", () => sort(table, place, head));
    });
  }
  if (window.Plotly) {
    draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    addEventListener("beforeprint", () => print(true));
    addEventListener("afterprint", () => print(false));
  }
})();
