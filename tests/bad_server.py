"""A web server on loopback that misbehaves on request: what is served, and how it goes wrong."""

import gzip
import hashlib
import json
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Self

STALL_S = 1.0
LOG = "/log"  # what was asked and served so far, for a server in a process of its own


class Fault(Enum):
    """One way for one answer to go wrong."""

    NONE = auto()
    CUT = auto()  # the connection ends in the middle, politely
    RESET = auto()  # ... and rudely
    STALL = auto()  # bytes stop coming
    EMPTY = auto()  # the connection ends before a header
    GARBAGE = auto()  # no HTTP at all
    FLIP = auto()  # one bit is wrong
    LONGER = auto()  # Content-Length states too much
    SHORTER = auto()  # ... or too little
    UNSTATED = auto()  # no Content-Length, and the end comes early
    WHOLE = auto()  # 200 with everything, although a range was asked for
    SHIFTED = auto()  # 206 with another range than was asked for
    UNSATISFIED = auto()  # 416
    RENAMED = auto()  # another ETag, the same bytes
    CIRCLE = auto()  # a redirect to itself
    BUSY = auto()  # 429 with Retry-After
    BROKEN = auto()  # 503
    GZIP_LIE = auto()  # Content-Encoding: gzip over plain bytes
    GZIPPED = auto()  # recompressed although identity was asked for
    GONE = auto()  # 404


# Faults after which the whole file that arrived is wrong, so that it counts as the server's word.
WRONG_BYTES = {Fault.FLIP, Fault.LONGER, Fault.SHORTER, Fault.GZIPPED}


@dataclass(kw_only=True)
class Resource:
    """What stands at one path: its answers go wrong in turn, then stay as the last one says."""

    content: bytes
    faults: Sequence[Fault] = ()
    forever: Fault = Fault.NONE
    content_type: str = "application/octet-stream"
    at: int = 0  # the byte at which CUT, RESET, STALL, FLIP and UNSTATED strike
    etag: str | None = None

    def __post_init__(self) -> None:
        if self.etag is None:
            self.etag = f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'


@dataclass
class Log:
    """What happened: requests and body bytes by path."""

    requests: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    ranges: list[tuple[str, str]] = field(default_factory=list)


class BadServer:
    """Serves `resources` by path on a port of its own, each request in a thread."""

    def __init__(
        self, resources: Mapping[str, Resource], *, pace: Callable[[], None] | None = None
    ) -> None:
        self.resources, self.log, self.pace = dict(resources), Log(), pace
        self._lock = threading.Lock()
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                server.answer(self.request)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve_forever(self) -> None:
        """Serve in this thread, for a server that is a process of its own."""
        self._server.serve_forever(0.02)

    def leave(self) -> None:
        """Close the socket here, when another process serves it."""
        self._server.server_close()

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(self, connection: socket.socket) -> None:
        """Read one request and answer it, well or badly."""
        try:
            request = _request(connection)
            if request is None:
                return
            path, headers = request
            with self._lock:
                nth = self.log.requests[path]
                self.log.requests[path] += 1
                if "range" in headers:
                    self.log.ranges.append((path, headers["range"]))
            resource = self.resources.get(path)
            if path == LOG:
                _send(connection, "200 OK", {}, self._told())
                return
            if resource is None:
                _send(connection, "404 Not Found", {}, b"")
                return
            fault = resource.faults[nth] if nth < len(resource.faults) else resource.forever
            self._serve(connection, path, resource, fault, headers)
        except OSError:  # the client left
            pass

    def _told(self) -> bytes:
        with self._lock:
            return json.dumps([self.log.requests, self.log.served]).encode()

    def _serve(
        self,
        connection: socket.socket,
        path: str,
        resource: Resource,
        fault: Fault,
        asked: Mapping[str, str],
    ) -> None:
        if fault in _STATUS:
            status, extra = _STATUS[fault]
            _send(connection, status, {**extra, "Location": path}, b"")
            return
        if fault is Fault.EMPTY:
            return
        if fault is Fault.GARBAGE:
            connection.sendall(b"\x00\x01 this is no HTTP\r\n\r\n")
            return
        start = 0 if fault is Fault.WHOLE else _start(asked, resource)
        status, headers, body = _reply(resource, fault, start)
        strike = max(resource.at - start, 0)
        whole = body
        if fault in (Fault.CUT, Fault.RESET, Fault.STALL, Fault.UNSTATED):
            body = body[:strike]
        if fault is Fault.UNSTATED:
            headers.pop("Content-Length")
        _send(connection, status, headers, b"")
        for at in range(0, len(body), 1 << 14):
            if self.pace:
                self.pace()
            connection.sendall(body[at : at + (1 << 14)])
        with self._lock:
            self.log.served[path] += len(body)
        if fault is Fault.STALL and len(body) < len(whole):
            time.sleep(STALL_S)
        if fault is Fault.RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()


_STATUS: Mapping[Fault, tuple[str, dict[str, str]]] = {
    Fault.CIRCLE: ("302 Found", {}),
    Fault.BUSY: ("429 Too Many Requests", {"Retry-After": "0"}),
    Fault.BROKEN: ("503 Service Unavailable", {}),
    Fault.UNSATISFIED: ("416 Range Not Satisfiable", {}),
    Fault.GONE: ("404 Not Found", {}),
}


def _reply(resource: Resource, fault: Fault, start: int) -> tuple[str, dict[str, str], bytes]:
    content = resource.content
    if fault is Fault.FLIP and content:
        at = resource.at % len(content)
        content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    if fault is Fault.SHIFTED and start:
        start -= 1
    body = content[start:]
    headers = {"ETag": resource.etag or "", "Content-Type": resource.content_type}
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    if fault is Fault.RENAMED:
        headers["ETag"] = '"another"'
    if fault in (Fault.GZIP_LIE, Fault.GZIPPED):
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body) if fault is Fault.GZIPPED else body
    stated = len(body) + (fault is Fault.LONGER) * 7 - (fault is Fault.SHORTER) * 7
    headers["Content-Length"] = str(max(stated, 0))
    return ("206 Partial Content" if start else "200 OK"), headers, body


def _start(asked: Mapping[str, str], resource: Resource) -> int:
    """Return where a range begins, if it is asked for and its If-Range still holds."""
    if "range" not in asked or asked.get("if-range", resource.etag) != resource.etag:
        return 0
    start = int(asked["range"].removeprefix("bytes=").partition("-")[0])
    return start if start < len(resource.content) else 0


def _request(connection: socket.socket) -> tuple[str, dict[str, str]] | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(1 << 16)
        if not more:
            return None
        data += more
    first, *lines = data.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
    fields = (line.partition(":") for line in lines)
    return first.split(" ")[1], {key.lower(): value.strip() for key, _, value in fields}


def _send(connection: socket.socket, status: str, headers: Mapping[str, str], body: bytes) -> None:
    rows = {"Content-Length": str(len(body)), "Connection": "close"} | dict(headers)
    if status.startswith("2") and "Content-Length" not in headers:
        rows.pop("Content-Length")
    head = "".join(f"{key}: {value}\r\n" for key, value in rows.items())
    connection.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)
