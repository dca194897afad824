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

  // Words that a row must hold, and comparisons of its columns: `gru lr<0.003 hiddensize>=64`.
  const plain = (text) => text.toLowerCase().replaceAll(/[\s.]/g, "");
  const kept = (row, names, words) => words.every((word) => {
    const [, name, sign, wanted] = word.match(/^([^<>=]+)(<=|>=|<|>|=)(.+)$/) ?? [];
    const place = name === undefined ? -1 : names.indexOf(plain(name));
    if (place < 0) return row.dataset.words.includes(word);
    const cell = row.cells[place];
    const value = cell.dataset.value;
    if (sign === "=") return value === wanted || plain(cell.textContent) === plain(wanted);
    if (value === undefined || Number.isNaN(Number(value)) || Number.isNaN(Number(wanted))) return false;
    const apart = Number(value) - Number(wanted);
    return {"<": apart < 0, ">": apart > 0, "<=": apart <= 0, ">=": apart >= 0}[sign];
  });
  const filterable = (table) => {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < 13) return;
    const names = [...table.tHead.rows[0].cells].map((cell) => plain(cell.textContent));
    const box = Object.assign(document.createElement("div"), {className: "filter"});
    const label = Object.assign(document.createElement("label"), {textContent: "Keep rows with "});
    // An example of its own: the first column of numbers behind the rank, and what stands there.
    const place = [...table.tHead.rows[0].cells].findIndex((cell, at) => at > 0 && cell.classList.contains("number"));
    const example = place < 0 ? "words" : `words, or ${names[place]}<=${Number(rows[0].cells[place].dataset.value)}`;
    const input = Object.assign(document.createElement("input"), {
      type: "search", placeholder: example, spellcheck: false,
    });
    const count = Object.assign(document.createElement("output"), {textContent: `${rows.length} rows`});
    label.append(input);
    box.append(label, count);
    table.parentElement.before(box);
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        row.dataset.words ??= row.textContent.toLowerCase();
        row.hidden = !kept(row, names, words);
        shown += !row.hidden;
      }
      count.textContent = words.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
    };
    input.addEventListener("input", apply);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    filterable(table);
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
