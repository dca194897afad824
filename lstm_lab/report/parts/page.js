"use strict";
(() => {
  const config = {showSendToCloud: false, displaylogo: false, displayModeBar: false, responsive: true};

  // Figures name CSS variables as colours; replace them by their values in the current colour scheme.
  const colored = (value, style) => {
    if (typeof value === "string") return value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
    if (Array.isArray(value)) return value.map((inner) => colored(inner, style));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, colored(inner, style)]));
  };
  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    for (const script of document.querySelectorAll("script[data-for]")) {
      const {data, layout} = colored(JSON.parse(script.textContent), style);
      Plotly.react(script.dataset.for, data, {...layout, uirevision: "constant"}, config);
    }
  };
  const print = (on) => { document.documentElement.classList.toggle("printing", on); draw(); };

  // Numbers by value, text alphabetically, missing values last in both directions.
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, {numeric: true}) : x - y;
  };
  const sort = (table, column, head) => {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.value;
    const rows = [...table.tBodies[0].rows].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      return ascending ? compare(a, b) : compare(b, a);
    });
    table.tBodies[0].append(...rows);
  };

  // A filter: words that a row must contain, and conditions on its columns, as in `gru learningrate<0.003 hiddensize>=64`.
  const normalized = (text) => text.toLowerCase().replaceAll(/[\s.]/g, "");
  const matches = (row, names, words) => words.every((word) => {
    const [, name, operator, wanted] = word.match(/^([^<>=]+)(<=|>=|<|>|=)(.+)$/) ?? [];
    const column = name === undefined ? -1 : names.indexOf(normalized(name));
    if (column < 0) return row.dataset.words.includes(word);
    const cell = row.cells[column];
    const value = cell.dataset.value;
    if (operator === "=") return value === wanted || normalized(cell.textContent) === normalized(wanted);
    if (value === undefined || Number.isNaN(Number(value)) || Number.isNaN(Number(wanted))) return false;
    const difference = Number(value) - Number(wanted);
    return {"<": difference < 0, ">": difference > 0, "<=": difference <= 0, ">=": difference >= 0}[operator];
  });
  const create = (tag, properties) => Object.assign(document.createElement(tag), properties);
  const parallel = document.getElementById("parallel");
  const addFilter = (table) => {
    const rows = [...table.tBodies[0].rows];
    const ranges = parallel && table.id === "leaderboard-table" ? axisRanges() : null;
    if (rows.length < 13 && !ranges) return;
    const names = [...table.tHead.rows[0].cells].map((cell) => normalized(cell.textContent));
    const box = create("div", {className: "filter"});
    const label = create("label", {textContent: "Filter rows "});
    // The example is a condition on the first numeric column after the rank.
    const known = (column) => rows.find((row) => Number.isFinite(Number.parseFloat(row.cells[column].dataset.value)));
    const column = [...table.tHead.rows[0].cells].findIndex(
      (cell, index) => index > 0 && cell.classList.contains("number") && known(index));
    const bound = column < 0 ? 0 : Number(Number(known(column).cells[column].dataset.value).toPrecision(3));
    const example = column < 0 ? "words" : `words, or ${names[column]}<=${bound}`;
    const input = create("input", {type: "search", placeholder: example, spellcheck: false});
    const count = create("output", {});
    const all = create("button", {type: "button", textContent: "Show all", hidden: true});
    label.append(input);
    box.append(label, count, all);
    table.parentElement.before(box);
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const selected = ranges?.selected() ?? null;
      let shown = 0;
      for (const row of rows) {
        row.dataset.words ??= row.textContent.toLowerCase();
        row.hidden = !matches(row, names, words) || (selected !== null && !selected.has(row.dataset.index));
        shown += !row.hidden;
      }
      const unfiltered = !words.length && selected === null;
      count.textContent = `${shown} of ${rows.length} shown${selected === null ? "" : ", filtered by the parallel coordinates"}`;
      all.hidden = unfiltered;
      ranges?.show(unfiltered ? "" : count.textContent);
    };
    const reset = () => { input.value = ""; ranges?.clear(); apply(); };
    input.addEventListener("input", apply);
    all.addEventListener("click", () => { reset(); input.focus(); });
    ranges?.connect(apply, reset);
    apply();
  };

  // Ranges selected along the axes of the parallel coordinates filter the leaderboard; the count is shown below them too.
  const axisRanges = () => {
    const line = create("p", {className: "filter", hidden: true});
    const count = create("output", {});
    const link = create("a", {href: "#leaderboard-table", textContent: "Show in the leaderboard"});
    const all = create("button", {type: "button", textContent: "Show all"});
    line.append(count, link, all);
    parallel.closest("figure").append(line);
    const constrained = () => (parallel.data?.[0].dimensions ?? []).filter((axis) => axis.constraintrange?.length);
    const inside = ({values, constraintrange: range}, index) =>
      (Array.isArray(range[0]) ? range : [range]).some(([low, high]) => values[index] >= low && values[index] <= high);
    return {
      selected: () => {
        const axes = constrained();
        if (!axes.length) return null;
        return new Set(parallel.data[0].ids.filter((_, index) => axes.every((axis) => inside(axis, index))));
      },
      clear: () => {
        const axes = parallel.data?.[0].dimensions ?? [];
        const none = Object.fromEntries(axes.map((_, index) => [`dimensions[${index}].constraintrange`, [null]]));
        if (constrained().length) Plotly.restyle(parallel, none);
      },
      show: (text) => { count.textContent = text; line.hidden = !text; },
      connect: (apply, reset) => {
        all.addEventListener("click", reset);
        parallel.addEventListener("drawn", () => parallel.on("plotly_restyle", apply), {once: true});
      },
    };
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    addFilter(table);
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => sort(table, column, head));
    });
  }
  // On a narrow screen a table that does not fit becomes blocks, whose values are labelled with their columns' names.
  const fit = () => {
    for (const table of document.querySelectorAll(".scroll > table")) {
      table.classList.remove("cards");
      table.classList.toggle("cards", innerWidth <= 640 && table.scrollWidth > table.parentElement.clientWidth + 1);
    }
  };
  for (const table of document.querySelectorAll(".scroll > table")) {
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    for (const row of table.tBodies[0].rows) names.forEach((name, column) => { row.cells[column].dataset.label = name; });
  }
  fit();
  addEventListener("resize", fit);
  if (window.Plotly) {
    draw();
    parallel?.dispatchEvent(new Event("drawn"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    addEventListener("beforeprint", () => print(true));
    addEventListener("afterprint", () => print(false));
  }
})();
