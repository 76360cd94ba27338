"""A small TCP proxy in front of a server, for the faults that only a network has."""

from __future__ import annotations

import selectors
import socket
import threading
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit


class TcpProxy:
    """Forwards to a database's address, until it is told to hang or to break."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        credentials = parts.netloc.rsplit("@", 1)[0]
        address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = urlunsplit(parts._replace(netloc=f"{credentials}@{address}"))
        self.broken = 0
        self._hang = threading.Event()
        self._closed = threading.Event()
        self._break_after: bytes | None = None
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def hang(self) -> None:
        """From now on keep every connection open and let nothing through."""
        self._hang.set()

    def break_after(self, words: bytes) -> None:
        """Once: when a client has sent these words, let the server have them, and cut both before it answers."""
        self._break_after = words

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
        with (
            client,
            socket.create_connection(self._target) as server,
            selectors.DefaultSelector() as selector,
        ):
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
                    if not data or self._hang.is_set():
                        if not data:
                            return
                        break
                    sink.sendall(data)
                    if source is client and self._break_after and self._break_after in data:
                        self._break_after = None
                        server.recv(65536)  # the server's answer: it has done what it was told
                        self.broken += 1
                        return
