"""A hostile client's handshakes: every way to write a request wrong, and what it gets for it.

Each case is one row: what is sent and which status answers it, 101 included: a row that looks wrong
and is right is there too. "{host}" in a request stands for the server's address, "{port}" for its
port.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from handshakes import REQUEST, also, edited, field_is, start, target_is, version_is, without
from server_process import ServerProcess
from support import KEY, PING, Client, close_frame, frame, text, upgrade_request

MAX_SIZE = 8192  # max_header_size
MAX_HEADERS = 64  # max_headers; REQUEST has 5

Cases = dict[str, tuple[int, bytes]]


# -- requests --


def padded(size: int) -> bytes:
    """A good request of exactly that size."""
    empty = also(b"X: ").replace(b"{host}", b"127.0.0.1:12345")
    return also(b"X: " + b"x" * (size - len(empty))).replace(b"{host}", b"127.0.0.1:12345")


# -- the rows --

METHODS: Cases = {
    "POST": (405, start(b"POST / HTTP/1.1\r\n")),
    "PUT": (405, start(b"PUT / HTTP/1.1\r\n")),
    "DELETE": (405, start(b"DELETE / HTTP/1.1\r\n")),
    "OPTIONS": (405, start(b"OPTIONS / HTTP/1.1\r\n")),
    "TRACE": (405, start(b"TRACE / HTTP/1.1\r\n")),
    "PATCH": (405, start(b"PATCH / HTTP/1.1\r\n")),
    "CONNECT and a path": (405, start(b"CONNECT / HTTP/1.1\r\n")),
    "CONNECT and an authority": (400, start(b"CONNECT {host} HTTP/1.1\r\n")),
    "OPTIONS and an asterisk": (405, start(b"OPTIONS * HTTP/1.1\r\n")),
    "GET and an asterisk": (400, start(b"GET * HTTP/1.1\r\n")),
    "a method in lower case": (405, start(b"get / HTTP/1.1\r\n")),
    "a method of marks": (405, start(b"!#$%&'*+-.^_`|~ / HTTP/1.1\r\n")),
    "a method that is no token": (400, start(b"GE@T / HTTP/1.1\r\n")),
    "a method with a NUL": (400, start(b"G\0ET / HTTP/1.1\r\n")),
    "a method of 8-bit characters": (400, start(b"G\xc9T / HTTP/1.1\r\n")),
    "a long method": (414, start(b"G" * 9000 + b" / HTTP/1.1\r\n")),
    "no method": (400, start(b" / HTTP/1.1\r\n")),
}

LINES: Cases = {
    "an empty line first": (400, b"\r\n" + REQUEST),
    "a line feed first": (400, b"\n" + REQUEST),
    "a space first": (400, b" " + REQUEST),
    "a byte order mark first": (400, b"\xef\xbb\xbf" + REQUEST),
    "two spaces before the target": (400, start(b"GET  / HTTP/1.1\r\n")),
    "two spaces behind the target": (400, start(b"GET /  HTTP/1.1\r\n")),
    "a tab before the target": (400, start(b"GET\t/ HTTP/1.1\r\n")),
    "a tab behind the target": (400, start(b"GET /\tHTTP/1.1\r\n")),
    "a space behind the version": (400, start(b"GET / HTTP/1.1 \r\n")),
    "no target": (400, start(b"GET HTTP/1.1\r\n")),
    "an empty target": (400, start(b"GET  HTTP/1.1\r\n")),
    "no version": (400, start(b"GET /\r\n")),
    "two versions": (400, start(b"GET / HTTP/1.1 HTTP/1.1\r\n")),
    "a bare LF behind the request line": (400, start(b"GET / HTTP/1.1\n")),
    "a bare CR behind the request line": (400, start(b"GET / HTTP/1.1\r")),
    "two CR behind the request line": (400, start(b"GET / HTTP/1.1\r\r\n")),
    "LF CR behind the request line": (400, start(b"GET / HTTP/1.1\n\r")),
    "a NUL behind the request line": (400, start(b"GET / HTTP/1.1\0\r\n")),
    "bare LF everywhere": (400, REQUEST.replace(b"\r\n", b"\n")),
    "a bare LF at the end": (400, REQUEST[:-2] + b"\n"),
    "a bare CR everywhere": (400, REQUEST.replace(b"\r\n", b"\r")),
}

VERSIONS: Cases = {
    "HTTP/1.0": (505, version_is(b"HTTP/1.0")),
    "HTTP/0.9": (505, version_is(b"HTTP/0.9")),
    "HTTP/1.2": (101, version_is(b"HTTP/1.2")),
    "HTTP/1.9": (101, version_is(b"HTTP/1.9")),
    "HTTP/2.0": (505, version_is(b"HTTP/2.0")),
    "HTTP/9.9": (505, version_is(b"HTTP/9.9")),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/1.10": (400, version_is(b"HTTP/1.10")),
    "HTTP/1.1.1": (400, version_is(b"HTTP/1.1.1")),
    "HTTP/11": (400, version_is(b"HTTP/11")),
    "HTTP/1,1": (400, version_is(b"HTTP/1,1")),
    "HTTP/-1.1": (400, version_is(b"HTTP/-1.1")),
    "HTTP/ 1.1": (400, version_is(b"HTTP/ 1.1")),
    "http/1.1": (400, version_is(b"http/1.1")),
    "HTTPS/1.1": (400, version_is(b"HTTPS/1.1")),
    "WS/1.1": (400, version_is(b"WS/1.1")),
    "ICY": (400, version_is(b"ICY")),
}

TARGETS: Cases = {
    "no slash": (400, target_is(b"chat")),
    "two slashes": (101, target_is(b"//")),
    "a way up": (101, target_is(b"/../../etc/passwd")),
    "a backslash": (101, target_is(b"/\\..\\x")),
    "HTML": (101, target_is(b"/<script>'\"`{}|^")),
    "a percent sign alone": (101, target_is(b"/%")),
    "percent and no hex": (101, target_is(b"/%zz%1")),
    "an escaped NUL": (101, target_is(b"/%00%0d%0a")),
    "escapes that are no UTF-8": (101, target_is(b"/%ff%fe%c0%af")),
    "many question marks": (101, target_is(b"/????&=&=%&")),
    "a fragment": (400, target_is(b"/a#b")),
    "a NUL in the target": (400, target_is(b"/a\0b")),
    "a DEL in the target": (400, target_is(b"/a\x7fb")),
    "an escape in the target": (400, target_is(b"/a\x1b[2J")),
    "UTF-8 in the target": (400, target_is("/é".encode())),
    "a space in the target": (400, target_is(b"/a b")),
    "a CR in the target": (400, target_is(b"/a\rb")),
    "an LF in the target": (400, target_is(b"/a\nb")),
    "absolute": (101, target_is(b"http://{host}/")),
    "absolute of a WebSocket": (101, target_is(b"ws://{host}/")),
    "absolute in capitals": (101, target_is(b"HTTP://{host}/")),
    "absolute with TLS": (101, target_is(b"https://{host}/")),
    "absolute without a path": (101, target_is(b"http://{host}")),
    "absolute with a query alone": (101, target_is(b"http://{host}?x")),
    "absolute of another host": (421, target_is(b"http://evil.example/")),
    "absolute of another host behind ours": (421, target_is(b"http://{host}.evil.example/")
                                             .replace(b"{host}.", b"127.0.0.1.", 1)),
    "absolute with a user": (400, target_is(b"http://user@{host}/")),
    "absolute with our host as the user": (400, target_is(b"http://{host}@evil.example/")),
    "absolute with a backslash": (400, target_is(b"http://{host}\\@evil.example/")),
    "absolute with two ports": (400, target_is(b"http://{host}:80/")),
    "absolute with a port too large": (400, target_is(b"http://127.0.0.1:65536/")),
    "absolute with half a bracket": (400, target_is(b"http://[::1/")),
    "absolute of nobody": (400, target_is(b"http://")),
    "absolute of nobody with a path": (400, target_is(b"http:///x")),
    "absolute with one slash": (400, target_is(b"http:/x")),
    "absolute of another scheme": (400, target_is(b"ftp://{host}/")),
    "a script": (400, target_is(b"javascript:alert(1)")),
    "a file": (400, target_is(b"file:///etc/passwd")),
    "a query alone": (400, target_is(b"?x")),
    "two asterisks": (400, target_is(b"**")),
}  # fmt: skip

FIELDS: Cases = {
    "a fold with a space": (400, also(b"X: a", b" b")),
    "a fold with a tab": (400, also(b"X: a", b"\tb")),
    "a fold of nothing": (400, also(b"X: a", b" ")),
    "a fold of Upgrade": (400, edited(b"Upgrade: websocket", b"Upgrade:\r\n websocket")),
    "a space before the first field": (400, edited(b"Host:", b" Host:")),
    "a space before a colon": (400, edited(b"Host:", b"Host :")),
    "a tab before a colon": (400, edited(b"Host:", b"Host\t:")),
    "a space in a name": (400, also(b"X Y: z")),
    "no colon": (400, also(b"X")),
    "an empty name": (400, also(b": x")),
    "a name with a NUL": (400, also(b"X\0: x")),
    "a name with a slash": (400, also(b"X/Y: x")),
    "a name with a parenthesis": (400, also(b"X(: x")),
    "a name of 8-bit characters": (400, also("É: x".encode())),
    "a name of a soft hyphen": (400, also(b"Ho\xadst: evil.example")),
    "a value with a NUL": (400, also(b"X: a\0b")),
    "a value with a CR": (400, also(b"X: a\rb")),
    "a value with an LF": (400, also(b"X: a\nb")),
    "a value with a smuggled field": (400, also(b"X: a\nHost: evil.example")),
    "a value with an escape": (400, also(b"X: \x1b]0;x\x07")),
    "a value with a vertical tab": (400, also(b"X: a\x0bb")),
    "a value with a DEL": (400, also(b"X: \x7f")),
    "a value with two CR at its end": (400, also(b"X: a\r")),
    "no value": (101, also(b"X:")),
    "a value of white space": (101, also(b"X: \t ")),
    "a value of 8-bit characters": (101, also(b"X: \x80\x9b\xff")),
    "a value of UTF-8": (101, also("X: Grüße".encode())),
    "a value without a space before it": (101, also(b"X:y")),
    "a name of marks": (101, also(b"!#$%&'*+-.^_`|~: x")),
    "colons": (101, also(b"X::::")),
    "a name of digits": (101, also(b"1: x")),
}

SIZES: Cases = {
    "a head of the largest size": (101, padded(MAX_SIZE)),
    "a head one byte larger": (431, padded(MAX_SIZE + 1)),
    "a head of 64 KiB": (431, padded(65_536)),
    "a long name": (431, also(b"X" * 9000 + b": x")),
    "a name without an end": (431, REQUEST[:-2] + b"X" * 9000),
    "a value without an end": (431, REQUEST[:-2] + b"X: " + b"x" * 9000),
    "a long target": (414, target_is(b"/" + b"a" * MAX_SIZE)),
    "a target without an end": (414, b"GET /" + b"a" * 9000),
    "the most fields": (101, also(*[b"X: y"] * (MAX_HEADERS - 5))),
    "one field more": (431, also(*[b"X: y"] * (MAX_HEADERS - 4))),
    "two thousand empty fields": (431, also(*[b"X:"] * 2000)),
    "a cookie of 7 KB": (101, also(b"Cookie: " + b"a=b; " * 1400)),
    "7 KB of commas in Connection": (101, field_is(b"Connection", b"," * 7000 + b"Upgrade")),
    "7 KB of spaces": (101, also(b"X:" + b" " * 7000)),
}

UPGRADES: Cases = {
    "no upgrade": (426, without(b"Upgrade")),
    "another upgrade": (426, field_is(b"Upgrade", b"h2c")),
    "xwebsocket": (426, field_is(b"Upgrade", b"xwebsocket")),
    "websocketx": (426, field_is(b"Upgrade", b"websocketx")),
    "web socket": (426, field_is(b"Upgrade", b"web socket")),
    "websocket with a version": (426, field_is(b"Upgrade", b"websocket/13")),
    "websocket with a parameter": (426, field_is(b"Upgrade", b"websocket;q=1")),
    "websocket in quotes": (426, field_is(b"Upgrade", b'"websocket"')),
    "websocket behind a semicolon": (426, field_is(b"Upgrade", b"h2c; websocket")),
    "an empty upgrade": (426, field_is(b"Upgrade", b"")),
    "WEBSOCKET": (101, field_is(b"Upgrade", b"WEBSOCKET")),
    "websocket in a list": (101, field_is(b"Upgrade", b",, h2c ,\twebsocket\t,")),
    "websocket in the second field": (101, field_is(b"Upgrade", b"h2c", b"websocket")),
    "no Connection": (400, without(b"Connection")),
    "Connection: close": (400, field_is(b"Connection", b"close")),
    "Connection: keep-alive": (400, field_is(b"Connection", b"keep-alive")),
    "Connection: notupgrade": (400, field_is(b"Connection", b"notupgrade")),
    "Connection: upgrade-insecure": (400, field_is(b"Connection", b"upgrade-insecure")),
    "Connection in quotes": (400, field_is(b"Connection", b'"Upgrade"')),
    "Connection with a parameter": (400, field_is(b"Connection", b"Upgrade;q=1")),
    "Connection of two words": (400, field_is(b"Connection", b"keep-alive Upgrade")),
    "an empty Connection": (400, field_is(b"Connection", b"")),
    "Connection: uPGRADE": (101, field_is(b"Connection", b"uPGRADE")),
    "Connection with empty members": (101, field_is(b"Connection", b",,\t, Upgrade,,")),
    "Connection: close, Upgrade": (101, field_is(b"Connection", b"close, Upgrade")),
    "two Connections": (101, field_is(b"Connection", b"keep-alive", b"Upgrade")),
    "the key and the version alone": (426, b"GET / HTTP/1.1\r\nHost: {host}\r\n"
                                           b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\n"
                                           b"Sec-WebSocket-Version: 13\r\n\r\n"),
    "an extension": (101, also(b"Sec-WebSocket-Extensions: permessage-deflate")),
    "an extension that is out of range":
        (101, also(b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=999")),
    "extensions that are garbage": (101, also(b'Sec-WebSocket-Extensions: ;=",\\;;,"=')),
    "a subprotocol that nobody speaks": (101, also(b"Sec-WebSocket-Protocol: chat")),
    "subprotocols that are garbage": (400, also(b'Sec-WebSocket-Protocol: ,;"=\\,, chat')),
    "7 KB of subprotocols": (101, also(b"Sec-WebSocket-Protocol: " + b"a, " * 2300)),
}  # fmt: skip

VERSION = b"Sec-WebSocket-Version"
WEBSOCKET_VERSIONS: Cases = {
    "no WebSocket version": (426, without(VERSION)),
    "version 0": (426, field_is(VERSION, b"0")),
    "version 7": (426, field_is(VERSION, b"7")),
    "version 8": (426, field_is(VERSION, b"8")),
    "version 12": (426, field_is(VERSION, b"12")),
    "version 14": (426, field_is(VERSION, b"14")),
    "version 255": (426, field_is(VERSION, b"255")),
    "version 269, 13 in eight bits": (426, field_is(VERSION, b"269")),
    "version 013": (426, field_is(VERSION, b"013")),
    "version +13": (426, field_is(VERSION, b"+13")),
    "version 13.0": (426, field_is(VERSION, b"13.0")),
    "version 0xd": (426, field_is(VERSION, b"0xd")),
    "version 1 3": (426, field_is(VERSION, b"1 3")),
    "version 13, 8": (426, field_is(VERSION, b"13, 8")),
    "version 13 in quotes": (426, field_is(VERSION, b'"13"')),
    "an empty version": (426, field_is(VERSION, b"")),
    "version 13 twice": (426, field_is(VERSION, b"13", b"13")),
    "versions 8 and 13": (426, field_is(VERSION, b"8", b"13")),
    "version 13 among white space": (101, field_is(VERSION, b"\t 13 \t")),
    "the draft's two keys": (426, (b"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: WebSocket\r\n"
                                  b"Connection: Upgrade\r\nSec-WebSocket-Key1: 18x 6]8vM;54 *(5:\r\n"
                                  b"Sec-WebSocket-Key2: 1_ tx7X d  <  nw  334J702) 7]o}` 0\r\n\r\n"
                                  b"Tm[K T2u")),
}  # fmt: skip

NAME = b"Sec-WebSocket-Key"
KEYS: Cases = {
    "no key": (400, without(NAME)),
    "an empty key": (400, field_is(NAME, b"")),
    "two keys": (400, field_is(NAME, KEY.encode(), KEY.encode())),
    "two keys in one field": (400, field_is(NAME, KEY.encode() + b", " + KEY.encode())),
    "a key of 15 bytes": (400, field_is(NAME, b"A" * 20)),
    "a key of 17 bytes": (400, field_is(NAME, b"A" * 23 + b"=")),
    "a key of 18 bytes": (400, field_is(NAME, b"A" * 24)),
    "a key of 32 bytes": (400, field_is(NAME, b"A" * 43 + b"=")),
    "a key of 3 KB": (400, field_is(NAME, b"A" * 4000)),
    "a key without padding": (400, field_is(NAME, KEY.encode().rstrip(b"="))),
    "a key with more padding": (400, field_is(NAME, KEY.encode() + b"====")),
    "a key of padding": (400, field_is(NAME, b"=" * 24)),
    "a key with padding inside": (400, field_is(NAME, b"AAAA=AAAAAAAAAAAAAAAAA==")),
    "a key in the URL's alphabet": (400, field_is(NAME, b"-_-_AAAAAAAAAAAAAAAAAA==")),
    "a key with a space": (400, field_is(NAME, b"AAAA AAAAAAAAAAAAAAAAA==")),
    "a key with bits behind its end": (101, field_is(NAME, KEY.encode()[:-3] + b"x==")),
    "a key of 8-bit characters": (400, field_is(NAME, b"\xff" * 22 + b"==")),
    "a key in quotes": (400, field_is(NAME, b'"' + KEY.encode() + b'"')),
    "a key of zeros": (101, field_is(NAME, b"A" * 22 + b"==")),
    "a key with the two last characters": (101, field_is(NAME, b"+/" * 11 + b"==")
                                           .replace(b"+/==", b"+w==")),
}  # fmt: skip

HOSTS: Cases = {
    "no Host": (400, without(b"Host")),
    "two Hosts": (400, field_is(b"Host", b"{host}", b"evil.example")),
    "twice the same Host": (400, field_is(b"Host", b"{host}", b"{host}")),
    "an empty Host": (400, field_is(b"Host", b"")),
    "a Host of two words": (400, field_is(b"Host", b"a b")),
    "a Host with a user": (400, field_is(b"Host", b"user@{host}")),
    "a Host with a path": (400, field_is(b"Host", b"{host}/")),
    "a Host with a query": (400, field_is(b"Host", b"{host}?x")),
    "a Host with a fragment": (400, field_is(b"Host", b"{host}#x")),
    "a Host with a scheme": (400, field_is(b"Host", b"http://{host}")),
    "a Host with a backslash": (400, field_is(b"Host", b"{host}\\evil.example")),
    "a Host with two ports": (400, field_is(b"Host", b"localhost:80:80")),
    "a Host with a port too large": (400, field_is(b"Host", b"localhost:65536")),
    "a Host with a port of 64 bits": (400, field_is(b"Host", b"localhost:18446744073709551616")),
    "a Host with a negative port": (400, field_is(b"Host", b"localhost:-1")),
    "a Host with a port of letters": (400, field_is(b"Host", b"localhost:http")),
    "a Host with half a bracket": (400, field_is(b"Host", b"[::1")),
    "a Host with something behind the bracket": (400, field_is(b"Host", b"[::1]x")),
    "a Host of IPv6 without brackets": (400, field_is(b"Host", b"::1")),
    "a Host with a zone": (400, field_is(b"Host", b"[fe80::1%25lo]")),
    "a Host with a name in brackets": (400, field_is(b"Host", b"[localhost]")),
    "a Host with a NUL": (400, field_is(b"Host", b"127.0.0.1\0.evil.example")),
    "a Host of two in a list": (400, field_is(b"Host", b"localhost, evil.example")),
    "a Host with half an escape": (400, field_is(b"Host", b"localhost%6")),
    "a Host of 8-bit characters": (400, field_is(b"Host", "lócalhost".encode())),
    "a foreign Host": (421, field_is(b"Host", b"evil.example")),
    "a foreign Host that ends like ours": (421, field_is(b"Host", b"evil-localhost")),
    "a foreign Host that begins like ours": (421, field_is(b"Host", b"127.0.0.1.evil.example")),
    "a Host with a comma": (421, field_is(b"Host", b"localhost,evil.example")),
    "a Host with a dot at its end": (421, field_is(b"Host", b"localhost.")),
    "a Host with an escape": (421, field_is(b"Host", b"local%68ost")),
    "a short form of our address": (421, field_is(b"Host", b"127.1")),
    "our address as one number": (421, field_is(b"Host", b"2130706433")),
    "our address in hexadecimal": (421, field_is(b"Host", b"0x7f000001")),
    "our address in octal": (421, field_is(b"Host", b"0177.0.0.1")),
    "our address in IPv6": (421, field_is(b"Host", b"[::ffff:127.0.0.1]")),
    "another loopback address": (421, field_is(b"Host", b"127.0.0.2")),
    "any address": (421, field_is(b"Host", b"0.0.0.0")),
    "a long Host": (421, field_is(b"Host", b"a" * 7000)),
    "a Host in capitals": (101, field_is(b"Host", b"LOCALHOST")),
    "a Host with an empty port": (101, field_is(b"Host", b"localhost:")),
    "a Host with another port": (101, field_is(b"Host", b"localhost:1")),
    "a Host among white space": (101, field_is(b"Host", b"\t {host} \t")),
}

ORIGINS: Cases = {
    "our origin": (101, also(b"Origin: http://{host}")),
    "our origin in capitals": (101, also(b"Origin: HTTP://{host}")),
    "our origin through TLS": (101, also(b"Origin: https://{host}")),
    "our origin among white space": (101, also(b"Origin:\t http://{host} \t")),
    "a foreign origin": (403, also(b"Origin: http://evil.example")),
    "a foreign origin in the draft's field": (101, also(b"Sec-WebSocket-Origin: http://evil.example")),
    "null": (403, also(b"Origin: null")),
    "an empty origin": (403, also(b"Origin:")),
    "a file's origin": (403, also(b"Origin: file://")),
    "an extension's origin": (403, also(b"Origin: chrome-extension://abcdef")),
    "a data URL": (403, also(b"Origin: data:text/html,x")),
    "another scheme": (403, also(b"Origin: ftp://{host}")),
    "another port": (403, also(b"Origin: http://127.0.0.1:1")),
    "no port": (403, also(b"Origin: http://127.0.0.1")),
    "another name of ours": (403, also(b"Origin: http://localhost:{port}")),
    "another address of ours": (403, also(b"Origin: http://[::1]:{port}")),
    "our origin behind a user": (403, also(b"Origin: http://user@{host}")),
    "our origin as a user": (403, also(b"Origin: http://{host}@evil.example")),
    "our origin as a subdomain": (403, also(b"Origin: http://127.0.0.1.evil.example:{port}")),
    "our origin as the end": (403, also(b"Origin: http://evil127.0.0.1:{port}")),
    "our origin with a dot": (403, also(b"Origin: http://127.0.0.1.:{port}")),
    "our origin in octal": (403, also(b"Origin: http://0177.0.0.1:{port}")),
    "our origin as one number": (403, also(b"Origin: http://2130706433:{port}")),
    "our origin with an escaped NUL": (403, also(b"Origin: http://127.0.0.1%00:{port}")),
    "our origin with a path": (403, also(b"Origin: http://{host}/")),
    "our origin with a query": (403, also(b"Origin: http://{host}?")),
    "our origin with a fragment": (403, also(b"Origin: http://{host}#")),
    "our origin with a backslash": (403, also(b"Origin: http:\\\\{host}")),
    "our origin without slashes": (403, also(b"Origin: http:{host}")),
    "our origin without a scheme": (403, also(b"Origin: //{host}")),
    "our host alone": (403, also(b"Origin: {host}")),
    "our origin and a foreign one in one field": (403, also(b"Origin: http://{host} http://evil.example")),
    "two origins in a list": (403, also(b"Origin: http://{host}, http://{host}")),
    "our origin and a foreign one": (400, also(b"Origin: http://{host}", b"Origin: http://evil.example")),
    "our origin twice": (400, also(b"Origin: http://{host}", b"Origin: http://{host}")),
}  # fmt: skip

BODY = b"Content-Length: "
BODIES: Cases = {
    "a body of 5 bytes": (400, also(BODY + b"5") + b"hello"),
    "a body that never comes": (400, also(BODY + b"1000000000")),
    "a length of 0": (101, also(BODY + b"0")),
    "a length of 00": (400, also(BODY + b"00")),
    "a length of +0": (400, also(BODY + b"+0")),
    "a length of -0": (400, also(BODY + b"-0")),
    "a length of -1": (400, also(BODY + b"-1")),
    "a length of 0x0": (400, also(BODY + b"0x0")),
    "a length of 2**64": (400, also(BODY + b"18446744073709551616")),
    "a length of letters": (400, also(BODY + b"zero")),
    "an empty length": (400, also(BODY)),
    "a list of lengths": (400, also(BODY + b"0, 0")),
    "two lengths": (400, also(BODY + b"0", BODY + b"5") + b"hello"),
    "twice a length of 0": (400, also(BODY + b"0", BODY + b"0")),
    "a length with a vertical tab": (400, also(b"Content-Length\x0b: 0")),
    "chunks": (400, also(b"Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    "chunks with an upgrade behind them": (400, also(b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + REQUEST),
    "chunks and a length of 0": (400, also(BODY + b"0", b"Transfer-Encoding: chunked")),
    "chunks behind a tab": (400, also(b"Transfer-Encoding:\tchunked")),
    "chunks in capitals": (400, also(b"TRANSFER-ENCODING: CHUNKED")),
    "chunks of a wrong name": (400, also(b"Transfer-Encoding: xchunked")),
    "chunks behind a space": (400, also(b"Transfer-Encoding : chunked")),
    "chunks behind a bare LF": (400, also(b"X: y\nTransfer-Encoding: chunked")),
    "chunks behind a fold": (400, also(b"Transfer-Encoding:", b" chunked")),
    "the identity": (400, also(b"Transfer-Encoding: identity")),
    "an empty encoding": (400, also(b"Transfer-Encoding:")),
    "trailers are fine": (101, also(b"TE: trailers")),
    "a hundred that is expected": (101, also(b"Expect: 100-continue")),
    "a plain request with a body":
        (400, b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello"),
    "a plain GET with a body that is an upgrade":
        (400, b"GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 200\r\n\r\n" + REQUEST),
    "a plain POST": (405, b"POST / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a plain GET": (426, b"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a plain GET and an upgrade": (426, b"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n" + REQUEST),
    "a refused upgrade and a good one": (426, without(VERSION) + REQUEST),
    "a refused upgrade and frames": (426, without(VERSION) + text("hello") + close_frame()),
}  # fmt: skip

STRANGERS: Cases = {
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)),
    "SSH": (400, b"SSH-2.0-OpenSSH_9.9\r\n"),
    "SMTP": (400, b"EHLO evil.example\r\n"),
    "FTP": (400, b"USER anonymous\r\n"),
    "Redis": (400, b"*1\r\n$4\r\nPING\r\n"),
    "memcached": (400, b"stats\r\n"),
    "SOCKS": (400, b"\x05\x01\x00"),
    "the PROXY protocol": (400, b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + REQUEST),
    "the PROXY protocol, version 2": (400, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + REQUEST),
    "a frame": (400, text("hello")),
    "a close frame": (400, close_frame()),
    "zeros": (400, bytes(100)),
    "0xff": (400, b"\xff" * 100),
    "line feeds": (400, b"\n" * 100),
    "an answer": (400, b"HTTP/1.1 200 OK\r\n\r\n"),
    "a request of one line": (400, b"GET /\r\n"),
    "RTSP": (400, b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
    "a shell": (400, b"() { :;}; /bin/false\r\n\r\n"),
}  # fmt: skip

TABLES = (METHODS, LINES, VERSIONS, TARGETS, FIELDS, SIZES, UPGRADES, WEBSOCKET_VERSIONS, KEYS,
          HOSTS, ORIGINS, BODIES, STRANGERS)  # fmt: skip
CASES = {name: case for table in TABLES for name, case in table.items()}


def test_every_case_has_a_name_of_its_own() -> None:
    assert len(CASES) == sum(map(len, TABLES))


# -- each row, in pieces --


def in_pieces(data: bytes) -> Iterator[list[bytes]]:
    """Whole, in two, and one byte a segment if that is not too many."""
    yield [data]
    yield [data[: len(data) // 2], data[len(data) // 2 :]]
    if len(data) < 1000:
        yield [data[i : i + 1] for i in range(len(data))]


def check_answer(client: Client, status: int, *, head_only: bool = False) -> None:
    if status == 101:
        check_upgrade(client)
        return
    response = client.response(head_only=head_only)
    assert response.status == status
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert ("Sec-WebSocket-Version" in response.headers) == (status == 426)
    assert ("Allow" in response.headers) == (status == 405)


def check_upgrade(client: Client) -> None:
    status, _, headers = client.read_head()
    assert status == 101
    assert {name.lower() for name in headers} == {"upgrade", "connection", "sec-websocket-accept"}
    client.echo("hello")
    assert client.close() == (1000, "")


@pytest.mark.parametrize("name", CASES)
def test_a_handshake(target: ServerProcess, name: str) -> None:
    status, request = CASES[name]
    data = request.replace(b"{host}", target.host.encode())
    data = data.replace(b"{port}", str(target.port).encode())
    for pieces in in_pieces(data):
        with target.client() as client:
            for piece in pieces:
                client.send_raw(piece)
            check_answer(client, status)


def test_head_is_answered_without_a_body(target: ServerProcess) -> None:
    for request in (start(b"HEAD / HTTP/1.1\r\n"), b"HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n"):
        with target.client() as client:
            client.send_raw(request.replace(b"{host}", target.host.encode()))
            check_answer(client, 405 if b"Upgrade" in request else 426, head_only=True)


# -- what follows the head --


def test_a_second_upgrade_is_no_frame(target: ServerProcess) -> None:
    with target.client() as client:
        client.send_raw(client.request() * 2)
        client.check_upgrade()
        assert client.expect_close() == (1002, "a reserved bit is set")
        client.expect_end()


@pytest.mark.parametrize("size", [60_000, 3_000_000])
def test_much_behind_a_refused_request(target: ServerProcess, size: int) -> None:
    """A little is read and thrown away. Who sends without an end is cut off, the answer sent."""
    with target.client() as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.send_raw(b"garbage\r\n\r\n", bytes(size))
        assert client.read_head()[0] == 400
        with (
            contextlib.suppress(ConnectionResetError) if size > 65_536 else contextlib.nullcontext()
        ):
            client.read_all()


def test_a_head_without_an_end(target: ServerProcess) -> None:
    """The head is given up at max_header_size, however much comes behind it."""
    with target.client() as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.send_raw(client.request()[:-2])
            for _ in range(300):
                client.send_raw(b"X: " + b"x" * 10_000 + b"\r\n")
        assert client.read_head()[0] == 431


# -- handshakes that are broken off --


@pytest.mark.parametrize("how", ["close", "reset", "shutdown"])
def test_a_handshake_broken_off_at_every_byte(target: ServerProcess, how: str) -> None:
    size = len(upgrade_request(target.host))
    for cut in range(size):
        with target.client() as client:
            client.send_raw(client.request()[:cut])
            if how == "reset":
                client.reset()
            elif how == "shutdown":
                client.shutdown()
                client.expect_end()  # not a byte


def test_a_refused_client_that_ended_its_side_gets_the_answer(target: ServerProcess) -> None:
    for name in ("SSH", "a foreign Host", "a plain GET", "a key of 15 bytes"):
        status, request = CASES[name]
        with target.client() as client:
            client.send_raw(request.replace(b"{host}", target.host.encode()))
            client.shutdown()
            check_answer(client, status)


def test_an_upgrade_with_the_end_behind_it(target: ServerProcess) -> None:
    """What came before the end is answered, then the server ends its side too."""
    expected = {
        b"": b"",
        text("hello"): b"\x81\x05hello",
        frame(PING, b"x"): b"\x8a\x01x",
        text("hello")[:-1]: b"",
    }
    for data, answer in expected.items():
        with target.client() as client:
            client.send_raw(client.request(), data)
            client.shutdown()
            client.check_upgrade()
            assert client.read_all() == answer


def test_a_reset_behind_an_upgrade(target: ServerProcess) -> None:
    for data in (b"", text("hello"), text("x" * 100_000), close_frame()):
        for _ in range(20):
            client = target.client()
            client.send_raw(client.request(), data)
            client.reset()
