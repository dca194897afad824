addEventListener("securitypolicyviolation", (event) => { (window.refused ??= []).push(event.blockedURI); });
addEventListener("load", () => setTimeout(() => {
  const light = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    const part = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return {l: 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b), a};
  };
  const contrast = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  const backdrop = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = light(getComputedStyle(at).backgroundColor);
      if (found.a > 0.5) return found.l;
    }
    return 1;
  };
  const visible = (element) => { const box = element.getBoundingClientRect(); return box.width > 1 && box.height > 1; };
  const lowContrast = [];
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  for (const element of document.querySelectorAll("body *")) {
    if (!hasText(element) || !visible(element) || element.closest("script, style, noscript, canvas")) continue;
    const style = getComputedStyle(element);
    const svg = element instanceof SVGElement;
    if (svg && (element.closest(".annotation") || Number(style.fillOpacity) === 0)) continue;
    const ratio = contrast(light(svg ? style.fill : style.color).l, backdrop(svg ? element.closest(".plot") : element));
    if (ratio < 4.5) lowContrast.push([element.textContent.trim().slice(0, 40), Math.round(ratio * 100) / 100]);
  }
  const boxes = [...document.querySelectorAll(".subsection, section > h2, header, .headline, .stats, .verdict, figure, .scroll, p")];
  const overlapping = [];
  for (const one of boxes) for (const other of boxes) {
    if (one === other || one.contains(other) || other.contains(one)) continue;
    const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
    const over = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
    if (over[0] > 2 && over[1] > 2 && visible(one) && visible(other)) overlapping.push([one.className || one.tagName, other.className || other.tagName]);
  }
  const plots = [...document.querySelectorAll(".plot")].map((plot) => {
    const marks = plot.querySelectorAll(".point, .js-line, .js-fill, .heatmaplayer image, .hm image, .parcoords .y-axis, .scatterlayer path, .barlayer path");
    const labels = [...plot.querySelectorAll(".xtick text, .ytick text, .xtitle, .ytitle, .legendtext, .annotation text, .axis-title text, .axis-heading text")]
      .filter((text) => visible(text) && text.textContent.trim() && getComputedStyle(text).opacity !== "0");
    const over = [];
    for (let i = 0; i < labels.length; i++) for (let j = i + 1; j < labels.length; j++) {
      const [a, b] = [labels[i].getBoundingClientRect(), labels[j].getBoundingClientRect()];
      const [x, y] = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
      if (x > 2 && y > 4) over.push([labels[i].textContent, labels[j].textContent]);
    }
    const box = plot.getBoundingClientRect();
    const main = plot.querySelector(".main-svg")?.getBoundingClientRect();
    const out = labels.filter((text) => { const l = text.getBoundingClientRect(); return main && (l.left < main.left - 2 || l.right > main.right + 2); });
    return {id: plot.id, marks: marks.length, width: box.width, height: box.height, over, out: out.map((text) => text.textContent)};
  });
  // What a reader of a narrow screen would have to scroll sideways for.
  const cut = innerWidth > 640 ? [] : [...document.querySelectorAll(".scroll:not(.plain):has(table), .commands code, caption, .filter")]
    .filter((element) => element.scrollWidth > element.clientWidth + 2)
    .map((element) => element.textContent.trim().slice(0, 40));
  const table = document.querySelector("#leaderboard-table");
  let filtered = null;
  const input = document.querySelector(".filter input");
  if (table && input) {
    const count = (words) => {
      input.value = words;
      input.dispatchEvent(new Event("input"));
      return [...table.tBodies[0].rows].filter((row) => !row.hidden).length;
    };
    filtered = {gru: count("gru"), small: count("cell=lstm hiddensize<=32"), none: count("nothing-like-this"), all: count("")};
  }
  // A range along the axis of the learning rate, as the mouse drags it: from its middle to its top.
  const brushed = table && document.getElementById("parallel") ? (() => {
    const plot = document.getElementById("parallel");
    const at = plot.data[0].dimensions.findIndex((axis) => axis.label === "learning rate");
    const bar = [...plot.querySelectorAll(".y-axis")][at].querySelector(".axis-brush");
    const rows = () => [...table.tBodies[0].rows].filter((row) => !row.hidden);
    const rates = () => { const head = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.trim() === "learning rate");
      return rows().map((row) => Number(row.cells[head].dataset.value)); };
    const counts = () => [...document.querySelectorAll(".filter output")].map((output) => output.textContent);
    const box = bar.getBoundingClientRect();
    const mouse = (type, y) => (type === "mousedown" ? bar.querySelector(".background") ?? bar : window)
      .dispatchEvent(new MouseEvent(type, {bubbles: true, cancelable: true, view: window, clientX: box.left + box.width / 2, clientY: y}));
    mouse("mousedown", box.top + box.height / 2);
    for (const share of [0.45, 0.3, 0.1]) mouse("mousemove", box.top + share * box.height);
    mouse("mouseup", box.top + 0.1 * box.height);
    const found = {range: plot.data[0].dimensions[at].constraintrange ?? null, rates: rates(), counts: counts()};
    [...document.querySelectorAll(".filter button")].at(-1).click();
    return {...found, after: rows().length, open: plot.data[0].dimensions.filter((axis) => axis.constraintrange).length, last: counts()};
  })() : null;
  const sorted = table ? (() => {
    const head = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.trim() === "learning rate");
    table.tHead.rows[0].cells[head]?.querySelector("button").click();
    return [...table.tBodies[0].rows].map((row) => Number(row.cells[head]?.dataset.value));
  })() : null;
  parent.postMessage({
    name: window.name, background: getComputedStyle(document.body).backgroundColor, wide: document.documentElement.scrollWidth - innerWidth,
    height: document.documentElement.scrollHeight, lowContrast, overlapping, cut, plots, filtered, brushed, sorted, refused: window.refused ?? [],
    loaded: performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !name.startsWith("data:")),
  }, "*");
}, 1500));
