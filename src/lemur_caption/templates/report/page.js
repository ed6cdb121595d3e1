"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;

  // --- dark and light ---
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = byId("theme");
  const current = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const label = () => { theme.textContent = current() === "dark" ? "Light colours" : "Dark colours"; };
  theme.addEventListener("click", () => { root.dataset.theme = current() === "dark" ? "light" : "dark"; label(); });
  dark.addEventListener("change", label);
  theme.hidden = false;
  label();

  // --- filters ---
  const filters = byId("filters");
  const chosen = { family: byId("family"), outcome: byId("outcome") };
  const filtered = [...document.querySelectorAll("[data-family], [data-outcome]")];
  const nets = document.querySelectorAll("#nets tbody tr");
  const apply = () => {
    for (const item of filtered) {
      const out = Object.entries(chosen).some(
        ([key, select]) => select.value && key in item.dataset && item.dataset[key] !== select.value
      );
      item.classList.toggle("filtered", out);
    }
    const shown = [...nets].filter((row) => !row.classList.contains("filtered")).length;
    const picked = Object.values(chosen).some((select) => select.value);
    byId("status").textContent = nets.length ? `${shown} of ${nets.length} Nets shown${picked ? "; sums and rates are of all" : ""}` : "";
  };
  for (const select of Object.values(chosen)) select.addEventListener("change", apply);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.hidden = false;
  apply();

  // --- tables sorted by a column: empty cells last, numbers from the highest first ---
  const value = (row, index) => {
    const cell = row.cells[index];
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    return cell.textContent.trim();
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const up = before ? before === "descending" : !head.classList.contains("n");
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows].map((row) => [row, value(row, index)]);
        rows.sort(([, a], [, b]) => {
          if (a === "" || b === "") return (a === "") - (b === "");
          return up ? compare(a, b) : compare(b, a);
        });
        table.tBodies[0].append(...rows.map(([row]) => row));
      });
    });
  }

  // --- what a mark of a chart says: under the pointer, or by the arrow keys ---
  const tip = byId("tip");
  let marked = null;
  const hide = () => {
    tip.hidden = true;
    if (marked) marked.classList.remove("on");
    marked = null;
  };
  const show = (mark, x, y) => {
    hide();
    marked = mark;
    mark.classList.add("on");
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + 16 + box.height > innerHeight ? y - box.height - 8 : y + 16}px`;
  };
  // Dots are small, and fingers are not: the nearest one within reach speaks.
  const near = (chart, x, y) => {
    let best = null, least = 18;
    for (const dot of chart.querySelectorAll("circle[data-tip]:not(.filtered)")) {
      const box = dot.getBoundingClientRect();
      const apart = Math.hypot(box.left + box.width / 2 - x, box.top + box.height / 2 - y);
      if (apart < least) [best, least] = [dot, apart];
    }
    return best;
  };
  const point = (event) => {
    if (!(event.target instanceof Element)) return;
    const chart = event.target.closest(".chart");
    const mark = event.target.closest("[data-tip]") || (chart && near(chart, event.clientX, event.clientY));
    if (mark) show(mark, event.clientX, event.clientY);
    else if (marked && !marked.ownerSVGElement.matches(":focus")) hide();
  };
  for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, point);
  for (const chart of document.querySelectorAll(".chart")) {
    for (const title of chart.querySelectorAll(".mark > title")) {
      title.parentNode.dataset.tip = title.textContent;
      // The browser's own label would stand beside ours.
      title.remove();
    }
    let place = -1;
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      const marks = [...chart.querySelectorAll("[data-tip]:not(.filtered)")];
      if (!step || !marks.length) return;
      event.preventDefault();
      place = (place + step + marks.length) % marks.length;
      const box = marks[place].getBoundingClientRect();
      show(marks[place], box.left + box.width / 2, box.top + box.height / 2);
      byId("spoken").textContent = marks[place].dataset.tip;
    });
    chart.addEventListener("blur", hide);
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // --- rows of bars, and dots in the order of asking, put in another order ---
  const orders = (chart) => {
    const rows = [...chart.querySelectorAll(".row")];
    const dots = [...chart.querySelectorAll(".in-order")];
    const items = rows.length ? rows : dots;
    const attribute = rows.length ? "transform" : "cx";
    const places = items.map((item) => item.getAttribute(attribute));
    const axis = dots.length ? chart.querySelector(".x-label") : null;
    const size = (item) => (rows.length ? Number(item.dataset.value) : -Number(item.getAttribute("cy")));
    const name = (item) => item.querySelector("text").textContent;
    const found = new Map([[axis ? "as asked for" : "as given", null]]);
    if (new Set(items.map(size)).size > 1) found.set("highest first", (a, b) => size(b) - size(a));
    if (rows.length) found.set("by name", (a, b) => name(a).localeCompare(name(b), undefined, { numeric: true }));
    const label = axis ? axis.textContent : "";
    const apply = (compare) => {
      const sorted = compare ? [...items].sort(compare) : items;
      sorted.forEach((item, index) => {
        item.setAttribute(attribute, places[index]);
        // The arrow keys go through marks as they are seen.
        item.parentNode.append(item);
      });
      if (axis) axis.textContent = compare ? "Nets from the best" : label;
    };
    return items.length > 1 && found.size > 1 ? [found, apply] : null;
  };
  for (const chart of document.querySelectorAll(".chart")) {
    const possible = orders(chart);
    if (!possible) continue;
    const [found, apply] = possible;
    const select = document.createElement("select");
    for (const words of found.keys()) select.add(new Option(words));
    select.addEventListener("change", () => apply(found.get(select.value)));
    const label = document.createElement("label");
    label.append("Order ", select);
    chart.parentNode.querySelector("figcaption").append(label);
  }
})();
