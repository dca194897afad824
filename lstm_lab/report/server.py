"""`lstm-lab serve-page`: the state of a run or sweep in a browser on this machine, with buttons to stop what runs.

It listens on the loopback address alone. Every address begins with a token that is new each time; a request must name
this host, so that no other site's name can lead here, and one that changes something needs the token in a header of its
own, which a page of another site cannot send.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import ClassVar

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from lstm_lab.config import ConfigError, Fault
from lstm_lab.records.requests import ACTIONS
from lstm_lab.report import parts, write_report
from lstm_lab.report.live import LiveState
from lstm_lab.sweeps.view.requests import ask

HOST = "127.0.0.1"
MAX_BODY = 1000
"""Bytes of a request that asks for something."""


class LiveServer(ThreadingHTTPServer):
    """Serves the page of one run or sweep.

    Args:
        path: of the run or sweep.
        port: 0: a free one.

    Raises:
        ConfigError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, path: Path, port: int = 0) -> None:
        self.path, self.token, self.state = path, secrets.token_urlsafe(24), LiveState(path)
        self.lock = threading.Lock()
        files = resources.files(parts)

        def read(name: str) -> str:
            return files.joinpath(name).read_text(encoding="utf-8")

        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
                                  loader=FunctionLoader(read))  # fmt: skip
        environment.filters["script"] = Markup
        self.page, self.content = (environment.get_template(f"{name}.html.jinja") for name in ("live", "live_content"))
        self.style, self.script = Markup(read("style.css") + read("live.css")), Markup(read("live.js"))
        try:
            super().__init__((HOST, port), LiveHandler)
        except OSError as error:
            raise ConfigError(f"--port {port}: {error.strerror}: leave it out for a free one") from None

    @property
    def url(self) -> str:
        """Of the page, with its token."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def render(self) -> tuple[str, str]:
        """The part of the page that changes, and a hash of it."""
        with self.lock:
            content = self.content.render(live=self.state.read())
        return content, hashlib.sha256(content.encode()).hexdigest()[:16]


class LiveHandler(BaseHTTPRequestHandler):
    """Answers requests to the page."""

    server: LiveServer
    protocol_version = "HTTP/1.1"
    timeout = 30
    HEADERS: ClassVar[dict[str, str]] = {
        "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin",
    }  # fmt: skip

    def do_GET(self) -> None:
        name = self._name()
        try:
            if name == "":
                self._send_page()
            elif name == "state":
                content, version = self.server.render()
                self._send_json(HTTPStatus.OK, {"content": content, "version": version})
            elif name == "report":
                text = write_report(self.server.path).read_text(encoding="utf-8")
                self._send(HTTPStatus.OK, text, "text/html; charset=utf-8")
            else:
                self._send_json(HTTPStatus.NOT_FOUND, {"said": "there is no such page"})
        except Fault as error:
            self._send_json(HTTPStatus.CONFLICT, {"said": str(error)})

    def do_POST(self) -> None:
        name = self._name()
        written = self.headers.get("Content-Length") or ""
        length = int(written) if written.isdecimal() and len(written) < 10 else MAX_BODY + 1
        if name != "ask" or not self._is_own_request() or length > MAX_BODY:
            self.close_connection = True
            return self._send_json(HTTPStatus.FORBIDDEN, {"said": "refused: not a request of this page"})
        try:
            wanted = json.loads(self.rfile.read(length))
            action, trial = wanted["action"], wanted.get("trial")
            if action not in ACTIONS or not isinstance(trial, str | None):
                raise ValueError
        except (ValueError, LookupError, AttributeError, TypeError):
            return self._send_json(HTTPStatus.BAD_REQUEST, {"said": "not a request: action and trial are expected"})
        try:
            return self._send_json(HTTPStatus.OK, {"said": ask(self.server.path, action, trial)})
        except Fault as error:
            return self._send_json(HTTPStatus.CONFLICT, {"said": str(error)})

    def _name(self) -> str | None:
        """The address behind the token; None where the host or the token is not ours."""
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            return None
        _, token, *rest = f"{self.path.partition('?')[0]}/".split("/", 2)
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return None
        return "".join(rest).strip("/")

    def _is_own_request(self) -> bool:
        """Whether a request that changes something was made by the script of the page."""
        port = self.server.server_port
        token = self.headers.get("X-Token") or ""
        origin = self.headers.get("Origin")
        return secrets.compare_digest(token.encode(), self.server.token.encode()) and (
            origin in (None, f"http://{HOST}:{port}", f"http://localhost:{port}")
        )

    def _send_page(self) -> None:
        content, version = self.server.render()
        nonce = secrets.token_urlsafe(16)
        text = self.server.page.render(
            content=Markup(content), version=version, title=self.server.path.name, token=self.server.token, nonce=nonce,
            style=self.server.style, script=self.server.script,
        )  # fmt: skip
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._send(HTTPStatus.OK, text, "text/html; charset=utf-8", {"Content-Security-Policy": policy})

    def _send_json(self, status: HTTPStatus, content: dict[str, str]) -> None:
        self._send(status, json.dumps(content), "application/json")

    def _send(self, status: HTTPStatus, text: str, kind: str, more: dict[str, str] | None = None) -> None:
        body = text.encode(errors="replace")
        self.send_response(status)
        headers = {**self.HEADERS, **(more or {}), "Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal shows the address alone."""
