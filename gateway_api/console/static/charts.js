// Draws the charts of the operators' page with uPlot, and again after a live update or a resize.
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
    const clock = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Seoul", hour: "2-digit", minute: "2-digit" });
    const time = (stamp) => (stamp == null ? "–" : clock.format(stamp * 1000));
    const now = Date.now() / 1000;
    for (const figure of box.querySelectorAll("[data-chart]")) {
      const data = all[figure.dataset.chart];
      for (const old of figure.querySelectorAll(".uplot")) old.remove();
      const series = [{ label: box.dataset.time, value: (_, stamp) => time(stamp) }].concat(figure.dataset.lines.split("|").map((label, index) => ({
        label, stroke: tones.lines[index], width: 2, points: { show: data[0].length < 3 }, spanGaps: true,
      })));
      new uPlot({
        width: Math.max(240, figure.clientWidth - 32), height: 180, tzDate: seoul, series,
        axes: [Object.assign({ values: (_, stamps) => stamps.map(time) }, axis), Object.assign({ size: 52 }, axis)],
        scales: { x: { range: () => [now - 3600, now] }, y: { range: (_, low, high) => [0, Math.max(1, high || 0) * 1.1] } },
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
