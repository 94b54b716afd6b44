// Draws the curves of all runs with uPlot from the JSON in the page.
(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("curve-data").textContent);
  const holder = document.getElementById("chart");
  const choice = document.getElementById("curve-choice");
  if (!data.series.length) { holder.remove(); return; }
  choice.hidden = false;
  document.getElementById("chart-help").hidden = false;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const hidden = new Set();
  let key = "val_accuracy";
  let chart = null;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const isShare = () => key.endsWith("accuracy");
  const show = (value) => value == null ? "–" : isShare() ? value.toFixed(1) + " %" : value.toFixed(3);

  function draw() {
    const narrow = holder.clientWidth < 520;
    const few = data.epochs.length < 10;
    const scale = isShare() ? 100 : 1;
    const values = data.series.map((run) => run[key].map((v) => v == null ? null : v * scale));
    const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const options = {
      width: holder.clientWidth,
      height: narrow ? 260 : 360,
      scales: { x: { time: false } },
      cursor: { points: { size: 7 }, focus: { prox: 24 } },
      focus: { alpha: 0.35 },
      legend: { live: true },
      axes: [
        { ...axis, grid: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], space: 44 },
        { ...axis, size: 46, values: (u, ticks) => ticks.map((t) => +t.toFixed(3)) },
      ],
      series: [
        { label: "epoch", value: (u, v) => v == null ? "–" : String(v) },
        ...data.series.map((run) => ({
          label: run.name,
          show: !hidden.has(run.name),
          stroke: colour(run.role),
          width: run.role === "teacher" ? 2.5 : 1.75,
          dash: run.role === "control" ? [6, 4] : [],
          points: { show: few || run[key].filter((v) => v != null).length < 10, size: 5, fill: colour(run.role) },
          value: (u, v) => show(v),
        })),
      ],
      hooks: {
        setSeries: [(u, index, change) => {
          if (index == null || change.show == null) return;
          const name = data.series[index - 1].name;
          if (change.show) hidden.delete(name); else hidden.add(name);
        }],
      },
    };
    if (chart) chart.destroy();
    chart = new uPlot(options, [data.epochs, ...values], holder);
  }

  choice.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    key = button.dataset.key;
    for (const other of choice.children) other.setAttribute("aria-pressed", String(other === button));
    draw();
  });
  dark.addEventListener("change", draw);
  let width = holder.clientWidth;
  new ResizeObserver(() => {
    if (holder.clientWidth !== width) { width = holder.clientWidth; draw(); }
  }).observe(holder);
  addEventListener("beforeprint", () => { for (const d of document.querySelectorAll("details")) d.open = true; });
  draw();
})();
