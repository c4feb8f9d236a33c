// Draws the operator's charts from the figures in the page, and again when they change.
(() => {
  "use strict";
  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    return { ink: style.getPropertyValue("--soft").trim(), line: style.getPropertyValue("--line").trim(),
      lines: [style.getPropertyValue("--accent").trim(), style.getPropertyValue("--bad").trim()] };
  };

  const draw = () => {
    const box = document.querySelector("[data-charts]");
    if (!box) return;
    const all = JSON.parse(box.dataset.charts);
    const tones = colours();
    const axis = { stroke: tones.ink, grid: { stroke: tones.line, width: 1 }, ticks: { stroke: tones.line } };
    const seoul = (stamp) => uPlot.tzDate(new Date(stamp * 1000), "Asia/Seoul");
    for (const figure of box.querySelectorAll("[data-chart]")) {
      const data = all[figure.dataset.chart];
      for (const old of figure.querySelectorAll(".uplot")) old.remove();
      const series = [{}].concat(figure.dataset.lines.split("|").map((label, place) => ({
        label, stroke: tones.lines[place], width: 2, points: { show: data[0].length < 3 }, spanGaps: true,
      })));
      new uPlot({
        width: Math.max(240, figure.clientWidth - 32), height: 180, tzDate: seoul, series,
        axes: [axis, Object.assign({ size: 52 }, axis)],
        scales: { y: { range: (_, low, high) => [0, Math.max(1, high || 0) * 1.1] } },
      }, data, figure);
    }
  };
  draw();
  document.addEventListener("htmx:afterSettle", draw);
  let waiting;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(draw, 150);
  });
})();
