"""A small TCP proxy in front of a server, for the faults that only a network has."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit


class TcpProxy:
    """Forwards to a database's address, until it is told to be slow, to hang, to halve or to break."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        credentials = parts.netloc.rsplit("@", 1)[0]
        self.port = int(self._listener.getsockname()[1])
        self.url = urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{self.port}"))
        self.broken = 0
        self.sent = 0
        """Times that a client said something, over all connections."""
        self.answered_bytes = 0
        """What the server said, over all connections."""
        self._hang = threading.Event()
        self._closed = threading.Event()
        self._servers: list[socket.socket] = []
        self._break_after: bytes | None = None
        self._cut_when: Callable[[], bool] | None = None
        self._at_sent: tuple[int, Callable[[], None]] | None = None
        self._bytes_per_s = 0.0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def hang(self) -> None:
        """From now on keep every connection open and let nothing through."""
        self._hang.set()

    def half_open(self) -> None:
        """Hang, and end the server's side of every connection: it forgets clients who believe themselves connected."""
        self.hang()
        for server in self._servers:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

    def slow(self, bytes_per_s: float) -> None:
        """From now on let no more than so many bytes a second through, both directions of a connection together."""
        self._bytes_per_s = bytes_per_s

    def break_after(self, words: bytes) -> None:
        """Once: when a client has sent these words, let the server have them, and cut both before it answers."""
        self._break_after = words

    def cut_after_answers(self, count: int) -> None:
        """Once: cut both sides in mid-stream when the server has said so many bytes more than until now."""
        limit = self.answered_bytes + count
        self._cut_when = lambda: self.answered_bytes >= limit

    def cut_after_sent(self, count: int) -> None:
        """Once: cut both sides when clients have spoken so often more than until now; the last word is lost."""
        limit = self.sent + count
        self._cut_when = lambda: self.sent >= limit

    def at_sent(self, count: int, act: Callable[[], None]) -> None:
        """Once: do something when clients have spoken so often more than until now, before the server hears it."""
        self._at_sent = (self.sent + count, act)

    def __enter__(self) -> TcpProxy:
        self._threads[0].start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._closed.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        self._listener.settimeout(0.1)
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            thread = threading.Thread(target=self._forward, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server, suppress(ConnectionError):
            self._servers.append(server)
            self._forward_both(client, server)

    def _forward_both(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while not self._closed.is_set():
                if self._hang.is_set():
                    self._closed.wait()
                    return
                for key, _ in selector.select(timeout=0.05):
                    source, sink = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    data = source.recv(65536)
                    if self._hang.is_set():
                        break
                    if not data or self._cut_off(data, source is client):
                        return
                    sink.sendall(data)
                    if source is client and self._break_after and self._break_after in data:
                        self._break_after = None
                        server.recv(65536)  # the server's answer: it has done what it was told
                        self.broken += 1
                        return

    def _cut_off(self, data: bytes, by_client: bool) -> bool:
        """Count what was said, wait for it to pass; whether it shall never arrive."""
        self.sent += by_client
        self.answered_bytes += 0 if by_client else len(data)
        if self._bytes_per_s:
            time.sleep(len(data) / self._bytes_per_s)
        if self._at_sent and self.sent >= self._at_sent[0]:
            act, self._at_sent = self._at_sent[1], None
            act()
        if self._cut_when and self._cut_when():
            self._cut_when = None
            self.broken += 1
            return True
        return False
