// Countdowns, busy buttons, and care for what somebody is just typing. Pages work without it.
(() => {
  "use strict";
  const korean = document.documentElement.lang === "ko";

  const span = (seconds) => {
    const days = Math.floor(seconds / 86400);
    const hours = Math.floor((seconds % 86400) / 3600);
    const minutes = Math.floor((seconds % 3600) / 60);
    if (days) return korean ? `${days}일 ${hours}시간` : `${days} d ${hours} h`;
    if (hours) return korean ? `${hours}시간 ${minutes}분` : `${hours} h ${minutes} min`;
    const rest = String(Math.floor(seconds % 60)).padStart(2, "0");
    return korean ? `${minutes}분 ${rest}초` : `${minutes}:${rest} min`;
  };

  const tick = () => {
    for (const time of document.querySelectorAll("time[data-until]")) {
      const left = (Date.parse(time.dateTime) - Date.now()) / 1000;
      time.dataset.left = left > 0 ? (korean ? `${span(left)} 남음` : `${span(left)} left`) : (korean ? "지났습니다" : "is over");
    }
  };
  tick();
  setInterval(tick, 1000);

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    setTimeout(() => delete form.dataset.sent, 20000); // the same form sent again is done once
    const button = event.submitter;
    if (button) {
      button.setAttribute("aria-busy", "true");
      if (button.dataset.busy) button.textContent = button.dataset.busy;
    }
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  const notice = document.querySelector("[data-live-state]");
  const live = (on) => {
    document.body.dataset.live = on ? "on" : "off";
    if (notice) notice.textContent = on ? "" : notice.dataset.off;
  };
  document.addEventListener("htmx:sseOpen", () => live(true));
  document.addEventListener("htmx:sseError", () => live(false));
  // A browser has six lines to a host: a page that nobody sees gives its own up, and catches up when it is seen again.
  class Line {
    constructor(url) {
      this.url = url;
      this.heard = [];
      this.open();
    }
    get readyState() { return this.source.readyState; }
    open() {
      this.source = new EventSource(this.url);
      this.source.onopen = (event) => this.onopen?.(event);
      this.source.onerror = (event) => this.onerror?.(event);
      for (const [name, hear] of this.heard) this.source.addEventListener(name, hear);
    }
    close() { this.source.close(); }
    addEventListener(name, hear) {
      this.heard.push([name, hear]);
      this.source.addEventListener(name, hear);
    }
    removeEventListener(name, hear) {
      this.heard = this.heard.filter((one) => one[0] !== name || one[1] !== hear);
      this.source.removeEventListener(name, hear);
    }
  }
  let line;
  if (window.htmx) htmx.createEventSource = (url) => (line = new Line(url));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) line?.close();
    else if (line?.readyState === EventSource.CLOSED) line.open();
  });

  const news = document.querySelector("[data-news]");
  const states = () => new Map(Array.from(document.querySelectorAll("#live [data-thing]"), (thing) => [thing.dataset.thing, thing]));
  const said = (thing) => thing?.querySelector(".state")?.textContent;
  let before = new Map();
  let opened = [];
  document.addEventListener("htmx:beforeSwap", (event) => {
    const part = event.detail.target;
    if (part.id === "live") before = states();
    if (part.id === "live") opened = Array.from(part.querySelectorAll("details[open]"), (one) => one.id);
    const typing = part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
    const whole = event.detail.xhr.status === 200 && event.detail.serverResponse.includes('id="live"');
    event.detail.shouldSwap = whole && !typing && !part.querySelector("form[data-sent]");
  });
  document.addEventListener("htmx:afterSettle", () => {
    tick();
    const changed = Array.from(states()).filter(([id, thing]) => before.has(id) && said(before.get(id)) !== said(thing));
    if (changed.length && news) news.textContent = changed.map(([, thing]) => `${thing.dataset.name}: ${said(thing)}`).join(", ");
    before = new Map();
    for (const id of opened.splice(0)) document.getElementById(id)?.setAttribute("open", "");
  });
})();
