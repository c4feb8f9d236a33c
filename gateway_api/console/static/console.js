// Countdowns, busy buttons, live updates that keep a focused input. Pages work without this script.
(() => {
  "use strict";
  const korean = document.documentElement.lang === "ko";

  const duration = (seconds) => {
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
      time.dataset.left = left > 0 ? (korean ? `${duration(left)} 남음` : `${duration(left)} left`) : (korean ? "지났습니다" : "is over");
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
    setTimeout(() => delete form.dataset.sent, 20000); // the idempotency key makes a repeated submit harmless
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
  // Browsers allow six HTTP/1.1 connections to a host: a hidden page closes its event source and reopens it when visible.
  class PausableEventSource {
    constructor(url) {
      this.url = url;
      this.listeners = [];
      this.open();
    }
    get readyState() { return this.source.readyState; }
    open() {
      this.source = new EventSource(this.url);
      this.source.onopen = (event) => this.onopen?.(event);
      this.source.onerror = (event) => this.onerror?.(event);
      for (const [name, listener] of this.listeners) this.source.addEventListener(name, listener);
    }
    close() { this.source.close(); }
    addEventListener(name, listener) {
      this.listeners.push([name, listener]);
      this.source.addEventListener(name, listener);
    }
    removeEventListener(name, listener) {
      this.listeners = this.listeners.filter((one) => one[0] !== name || one[1] !== listener);
      this.source.removeEventListener(name, listener);
    }
  }
  let eventSource;
  if (window.htmx) htmx.createEventSource = (url) => (eventSource = new PausableEventSource(url));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) eventSource?.close();
    else if (eventSource?.readyState === EventSource.CLOSED) eventSource.open();
  });

  const announcement = document.querySelector("[data-news]");
  const states = () => new Map(Array.from(document.querySelectorAll("#live [data-record]"), (record) => [record.dataset.record, record]));
  const stateText = (record) => record?.querySelector(".state")?.textContent;
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
    const changed = Array.from(states()).filter(([id, record]) => before.has(id) && stateText(before.get(id)) !== stateText(record));
    if (changed.length && announcement) announcement.textContent = changed.map(([, record]) => `${record.dataset.name}: ${stateText(record)}`).join(", ");
    before = new Map();
    for (const id of opened.splice(0)) document.getElementById(id)?.setAttribute("open", "");
  });
})();
