"""What people wrote, made safe to show next to what others wrote.

It becomes no markup and no terminal command here or anywhere: nothing is escaped (that is the
matter of whoever shows it), but what is invisible or reaches beyond its own line is taken out.
"""

from __future__ import annotations

import re
import unicodedata

# Embeddings, overrides and isolates of the bidirectional algorithm (Unicode UAX 9): they reorder
# what stands around them. The marks LRM, RLM and ALM do not and stay: right-to-left text has them.
BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
# A JSON escape can name half of a pair, which no UTF-8 can hold.
SURROGATES = re.compile("[\ud800-\udfff]")
# Letters that are blank: a name made of them would look like none.
BLANKS = "\u115f\u1160\u2800\u3164\uffa0"

# The joiners of emoji and of Persian and Indic words: format characters that a name may have.
JOINERS = "\u200c\u200d"

# C0 controls and DEL are shown as their pictures, the C1 controls have none.
PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
PICTURES |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def clean_text(text: str) -> str:
    """A message as all get it: lines end with one newline, controls are pictures, no bidi ones."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = SURROGATES.sub("\ufffd", BIDI.sub("", text))
    return text.translate(PICTURES).strip()


def clean_name(name: str, limit: int) -> str:
    """The name of a person or room: one line of visible characters. Empty: there was none."""
    # Length first: the rest takes time for each character.
    name = unicodedata.normalize("NFC", SURROGATES.sub("", name[: 4 * limit]))
    name = " ".join("".join(c for c in name if may_stand(c)).split())[:limit].strip()
    return name if any(is_visible(c) for c in name) else ""


def skeleton(name: str) -> str:
    """Names with the same skeleton are taken for the same person."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in folded if unicodedata.category(c) not in ("Cf", "Zs"))


def may_stand(character: str) -> bool:
    """Whether a name may have it: no control, format, private or unassigned character."""
    if character in JOINERS or character.isspace():
        return True
    return unicodedata.category(character)[0] != "C" and character not in BLANKS


def is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNPS"
