"use strict";
// The page's own script: the token in every request, live rows, the slices. Without it everything but these works.

const csrf = () => document.querySelector('meta[name="csrf"]')?.content ?? "";

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF-Token"] = csrf();
  // What the page asks for by itself keeps nobody signed in.
  if (event.detail.triggeringEvent?.type === "celadon:changed") event.detail.headers["X-Unattended"] = "1";
});

// Rows that somebody has opened further down, or is working in, are not pulled away from under them: neither when they
// are asked for, nor when they come.
function spare(event) {
  const trigger = event.detail.requestConfig?.triggeringEvent;
  if (trigger?.type !== "celadon:changed") return;
  const rows = document.getElementById("rows");
  if (!rows) return;
  const isInUse = rows.contains(document.activeElement) || rows.matches(":active") || rows.dataset.extended;
  if (isInUse || document.hidden) event.preventDefault();
}
document.addEventListener("htmx:beforeRequest", spare);
document.addEventListener("htmx:beforeSwap", spare);
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target.id === "more") document.getElementById("rows").dataset.extended = "yes";
});

function follow(live) {
  let due = 0;
  const source = new EventSource(live.dataset.events);
  source.addEventListener("open", () => { live.textContent = "live"; });
  source.addEventListener("error", () => {
    const over = source.readyState === EventSource.CLOSED; // signed out, or too many pages are open
    live.textContent = over ? "not connected: load the page again" : "not connected, trying again";
  });
  source.addEventListener("changed", () => {
    if (due) return;
    due = setTimeout(() => { due = 0; document.body.dispatchEvent(new Event("celadon:changed")); }, 1500);
  });
  window.addEventListener("pagehide", () => source.close());
}

function scroll(viewer) {
  const state = JSON.parse(viewer.dataset.state);
  const outlined = new Set(state.outlined);
  const explained = new Set(state.explained);
  const at = (id) => document.getElementById(id);
  const [ct, outline, evidence] = ["ct", "outline", "evidence"].map((name) => viewer.querySelector(`img.${name}`));
  const slider = at("slice");
  const pictures = new Map(); // path to a promise of an object URL
  const MOST = 600;
  let now = state.first;
  let shown = 0;

  function picture(path) {
    let found = pictures.get(path);
    if (!found) {
      found = fetch(viewer.dataset.base + path, { credentials: "same-origin" })
        .then((answer) => (answer.ok ? answer.blob() : Promise.reject(new Error(answer.status))))
        .then((blob) => URL.createObjectURL(blob));
      found.catch(() => pictures.delete(path));
      pictures.set(path, found);
      if (pictures.size > MOST) {
        const [oldest, url] = pictures.entries().next().value;
        pictures.delete(oldest);
        url.then((one) => URL.revokeObjectURL(one), () => {});
      }
    }
    return found;
  }

  const ctPath = (index) => `${index}.png?window=${at("window").value}`;

  // What lies over one slice is gone before the next slice is there: it says nothing of that one.
  async function lay(image, slices, name, index, ticket) {
    image.hidden = true;
    if (!slices.has(index)) return;
    try {
      const url = await picture(`${index}/${name}.png`);
      if (ticket !== shown) return;
      image.src = url;
      await image.decode(); // until then a browser shows what was there before
      if (ticket === shown) image.hidden = false;
    } catch { /* it stays hidden */ }
  }

  async function show(index) {
    now = Math.max(0, Math.min(state.count - 1, index));
    const ticket = ++shown;
    slider.value = now;
    const height = state.heights[now];
    const words = `${now + 1} of ${state.count}${height === null ? "" : `, z ${height.toFixed(1)} mm`}`;
    at("place").textContent = words;
    slider.setAttribute("aria-valuetext", words);
    try {
      const url = await picture(ctPath(now));
      if (ticket !== shown) return;
      ct.src = url;
      ct.hidden = false;
      viewer.querySelector(".missing").hidden = true;
    } catch {
      if (ticket !== shown) return;
      ct.hidden = true;
      viewer.querySelector(".missing").hidden = false;
    }
    viewer.querySelector(".place").textContent = words;
    lay(outline, outlined, "outline", now, ticket);
    lay(evidence, explained, "evidence", now, ticket);
    for (const step of [1, -1, 2, -2, 3, -3]) {
      const near = now + step;
      if (near >= 0 && near < state.count) picture(ctPath(near)).catch(() => {});
    }
  }

  function fade(image, id) {
    const control = at(id);
    if (!control) return;
    const set = () => { image.style.opacity = control.value / 100; };
    control.addEventListener("input", set);
    set();
  }

  fade(outline, "outline");
  fade(evidence, "evidence");
  slider.addEventListener("input", () => show(Number(slider.value)));
  at("window").addEventListener("change", () => show(now));
  let turned = 0;
  viewer.addEventListener("wheel", (event) => {
    if (event.ctrlKey) return;
    event.preventDefault();
    turned += event.deltaMode === 1 ? event.deltaY * 20 : event.deltaY;
    const steps = Math.trunc(turned / 40);
    if (steps) { turned -= steps * 40; show(now + steps); }
  }, { passive: false });
  const KEYS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10 };
  viewer.addEventListener("keydown", (event) => {
    const step = KEYS[event.key] ?? { Home: -state.count, End: state.count }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(now + step);
  });
  let from = null;
  viewer.addEventListener("pointerdown", (event) => { from = { y: event.clientY, slice: now }; viewer.setPointerCapture(event.pointerId); });
  viewer.addEventListener("pointermove", (event) => { if (from) show(from.slice + Math.round((event.clientY - from.y) / 6)); });
  for (const end of ["pointerup", "pointercancel"]) viewer.addEventListener(end, () => { from = null; });
  for (const key of document.querySelectorAll("[data-slice]")) key.addEventListener("click", () => show(Number(key.dataset.slice)));
  show(now);
}

function offer(variable) {
  const fill = (id, values) => {
    document.getElementById(id).replaceChildren(...values.map((value) => new Option(value, value)));
  };
  variable.addEventListener("change", () => {
    const chosen = variable.selectedOptions[0];
    fill("words", JSON.parse(chosen.dataset.words ?? "[]"));
    fill("units", JSON.parse(chosen.dataset.units ?? "[]"));
    document.getElementById("unit").value = chosen.dataset.unit ?? "";
  });
}

document.addEventListener("DOMContentLoaded", () => {
  const live = document.getElementById("live");
  if (live) follow(live);
  const viewer = document.getElementById("viewer");
  if (viewer) scroll(viewer);
  const variable = document.getElementById("variable");
  if (variable) offer(variable);
});
