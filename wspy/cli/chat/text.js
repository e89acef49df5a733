// Text from others becomes text nodes and links, never markup.

const LINK = /https?:\/\/[^\s<>"]+/gi;
const TRAILING = /[.,;:!?'*_~\]}>…]+$/;

// A sentence may end behind a link, and a link may stand in brackets.
function trim(link) {
  for (;;) {
    let shorter = link.replace(TRAILING, "");
    const opened = shorter.split("(").length;
    if (shorter.endsWith(")") && shorter.split(")").length > opened) shorter = shorter.slice(0, -1);
    if (shorter === link) return link;
    link = shorter;
  }
}

function makeLink(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    return null;
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  const link = document.createElement("a");
  link.href = url.href;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  link.textContent = text;
  return link;
}

export function makeText(text) {
  const result = document.createDocumentFragment();
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const words = trim(match[0]);
    const link = makeLink(words);
    if (!link) continue;
    result.append(text.slice(end, match.index), link);
    end = match.index + words.length;
  }
  result.append(text.slice(end));
  return result;
}

// Isolated, so that a right-to-left name does not reorder what stands around it.
export function makeName(name) {
  const result = document.createElement("bdi");
  result.textContent = name;
  return result;
}
