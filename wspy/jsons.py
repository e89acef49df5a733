"""JSON as send_json(), publish_json() and on_json have it, unless a program brings its own.

The standard library's, without what RFC 8259 does not have: NaN and Infinity are ValueError.
"""

from __future__ import annotations

import json
from typing import NoReturn


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_decoder = json.JSONDecoder(parse_constant=_refuse)

dumps = _encoder.encode
loads = _decoder.decode
