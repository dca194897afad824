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
      Plotly.react(script.dataset.for, data, {...layout, uirevision: "kept"}, config);
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
  const made = (tag, properties) => Object.assign(document.createElement(tag), properties);
  const parallel = document.getElementById("parallel");
  const filterable = (table) => {
    const rows = [...table.tBodies[0].rows];
    const brushed = parallel && table.id === "leaderboard-table" ? brushes() : null;
    if (rows.length < 13 && !brushed) return;
    const names = [...table.tHead.rows[0].cells].map((cell) => plain(cell.textContent));
    const box = made("div", {className: "filter"});
    const label = made("label", {textContent: "Keep rows with "});
    // An example of its own: the first column of numbers behind the rank, and what stands there.
    const place = [...table.tHead.rows[0].cells].findIndex((cell, at) => at > 0 && cell.classList.contains("number"));
    const example = place < 0 ? "words" : `words, or ${names[place]}<=${Number(Number(rows[0].cells[place].dataset.value).toPrecision(3))}`;
    const input = made("input", {type: "search", placeholder: example, spellcheck: false});
    const count = made("output", {});
    const all = made("button", {type: "button", textContent: "Show all", hidden: true});
    label.append(input);
    box.append(label, count, all);
    table.parentElement.before(box);
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const places = brushed?.places() ?? null;
      let shown = 0;
      for (const row of rows) {
        row.dataset.words ??= row.textContent.toLowerCase();
        row.hidden = !kept(row, names, words) || (places !== null && !places.has(row.dataset.place));
        shown += !row.hidden;
      }
      const whole = !words.length && places === null;
      count.textContent = `${shown} of ${rows.length} shown${places === null ? "" : ", by ranges of the parallel coordinates"}`;
      all.hidden = whole;
      brushed?.tell(whole ? "" : count.textContent);
    };
    const reset = () => { input.value = ""; brushed?.clear(); apply(); };
    input.addEventListener("input", apply);
    all.addEventListener("click", () => { reset(); input.focus(); });
    brushed?.listen(apply, reset);
    apply();
  };

  // What is kept along the axes of the parallel coordinates is kept in the leaderboard; below them stands how much that is.
  const brushes = () => {
    const line = made("p", {className: "filter", hidden: true});
    const count = made("output", {});
    const link = made("a", {href: "#leaderboard-table", textContent: "See them in the leaderboard"});
    const all = made("button", {type: "button", textContent: "Show all"});
    line.append(count, link, all);
    parallel.closest("figure").append(line);
    const held = () => (parallel.data?.[0].dimensions ?? []).filter((axis) => axis.constraintrange?.length);
    const inside = ({values, constraintrange: kept}, at) =>
      (Array.isArray(kept[0]) ? kept : [kept]).some(([low, high]) => values[at] >= low && values[at] <= high);
    return {
      places: () => {
        const axes = held();
        if (!axes.length) return null;
        return new Set(parallel.data[0].ids.filter((_, at) => axes.every((axis) => inside(axis, at))));
      },
      clear: () => {
        const axes = parallel.data?.[0].dimensions ?? [];
        const all = Object.fromEntries(axes.map((_, at) => [`dimensions[${at}].constraintrange`, [null]]));
        if (held().length) Plotly.restyle(parallel, all);
      },
      tell: (text) => { count.textContent = text; line.hidden = !text; },
      listen: (apply, reset) => {
        all.addEventListener("click", reset);
        parallel.addEventListener("drawn", () => parallel.on("plotly_restyle", apply), {once: true});
      },
    };
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    filterable(table);
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      head.querySelector("button").addEventListener("click", () => sort(table, place, head));
    });
  }
  if (window.Plotly) {
    draw();
    parallel?.dispatchEvent(new Event("drawn"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    addEventListener("beforeprint", () => print(true));
    addEventListener("afterprint", () => print(false));
  }
})();
