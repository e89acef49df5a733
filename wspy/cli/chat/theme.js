// Dark or light: the system's setting, until the switch says otherwise. A classic script in the
// head, so that the first picture has the right colours.
"use strict";

(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

  // Storage may be forbidden: the choice then lasts as long as the page.
  function load() {
    try {
      const theme = localStorage.getItem("wspy-chat-theme");
      if (theme === "dark" || theme === "light") root.dataset.theme = theme;
    } catch {}
  }

  function save() {
    try {
      if (root.dataset.theme) localStorage.setItem("wspy-chat-theme", root.dataset.theme);
      else localStorage.removeItem("wspy-chat-theme");
    } catch {}
  }

  load();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => button.setAttribute("aria-pressed", String(isDark()));
    system.addEventListener("change", show);
    button.addEventListener("click", () => {
      const wanted = isDark() ? "light" : "dark";
      // Back at what the system has: follow it again.
      if ((wanted === "dark") === system.matches) delete root.dataset.theme;
      else root.dataset.theme = wanted;
      save();
      show();
    });
    show();
  });
})();
