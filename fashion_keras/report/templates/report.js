(() => {
  "use strict";
  // The class table: a column's name sorts by it, a second time the other way round.
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    const value = (row, column) => {
      const cell = row.cells[column];
      return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
    };
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const rows = [...body.rows];
        const numeric = head.classList.contains("num");
        const was = head.getAttribute("aria-sort");
        const up = was === "none" ? !numeric : was === "descending";
        rows.sort((a, b) => {
          const [x, y] = [value(a, column), value(b, column)];
          return (numeric ? x - y : x.localeCompare(y)) * (up ? 1 : -1);
        });
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        body.append(...rows);
      });
    });
  }

  // The confusion matrix: what the cell under the pointer says, beside the pointer.
  const data = JSON.parse(document.getElementById("matrix-data").textContent);
  const readout = document.getElementById("readout");
  const size = data.classes.length;
  const totals = new Array(size).fill(0);
  const counts = new Map();
  for (const [row, column, count] of data.cells) {
    totals[row] += count;
    counts.set(row * size + column, count);
  }
  const bold = (text) => Object.assign(document.createElement("b"), { textContent: text });
  const hide = () => { readout.hidden = true; };
  const place = (x, y) => {
    // Above a finger and to the right of a mouse, and always on the screen.
    const [width, height] = [readout.offsetWidth, readout.offsetHeight];
    const left = Math.min(x + 14, document.documentElement.clientWidth - width - 8);
    const top = y - height - 14 < 8 ? y + 24 : y - height - 14;
    readout.style.transform = `translate(${Math.max(left, 8)}px, ${top}px)`;
  };
  for (const svg of document.querySelectorAll(".matrix svg")) {
    const read = (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width - data.left) / data.width;
      const y = ((event.clientY - box.top) / box.height - data.top) / data.height;
      if (x < 0 || x >= 1 || y < 0 || y >= 1) return hide();
      const [row, column] = [Math.floor(y * size), Math.floor(x * size)];
      const count = counts.get(row * size + column) || 0;
      const share = totals[row] ? (100 * count) / totals[row] : 0;
      const [truth, prediction] = [data.classes[row], data.classes[column]];
      readout.replaceChildren(
        bold(truth), row === column ? " recognised: " : " taken for ",
        ...(row === column ? [] : [bold(prediction), ": "]),
        `${count.toLocaleString("en")} of ${totals[row].toLocaleString("en")} photos, ${share.toFixed(1)}%`
      );
      readout.hidden = false;
      place(event.clientX, event.clientY);
    };
    // A finger reads a cell by a tap, and goes on scrolling the page otherwise.
    svg.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") read(event); });
    svg.addEventListener("click", read);
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") hide(); });
  }
  document.addEventListener("scroll", hide, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
})();
