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
    byId("status").textContent = nets.length ? `${shown} of ${nets.length} Nets shown` : "";
  };
  for (const select of Object.values(chosen)) select.addEventListener("change", apply);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.hidden = false;
  apply();

  // --- tables sorted by a column: empty cells last ---
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
        const up = head.getAttribute("aria-sort") !== "ascending";
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
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest ? event.target.closest("[data-tip]") : null;
    if (mark) show(mark, event.clientX, event.clientY);
    else if (marked && !marked.ownerSVGElement.matches(":focus")) hide();
  });
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
})();
