// What the browser remembers: localStorage for all tabs, sessionStorage for this one. Either may
// be forbidden or full; the page then works without it.

function open(name) {
  const get = (key, fallback) => {
    try {
      return JSON.parse(window[name].getItem(`wspy-chat-${key}`)) ?? fallback;
    } catch {
      return fallback;
    }
  };
  const set = (key, value) => {
    try {
      window[name].setItem(`wspy-chat-${key}`, JSON.stringify(value));
    } catch {}
  };
  return { get, set };
}

export const everywhere = open("localStorage");
export const thisTab = open("sessionStorage");

// 128 random bits. crypto.randomUUID is missing where a page comes over plain HTTP.
export function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
