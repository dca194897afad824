"""lstm-lab serve-page: the state in a browser on this machine, with buttons that another site cannot press."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from http.client import HTTPConnection

import pytest
from browser import CHROMIUM, FLAGS, inspect_pages, needs_browser
from hung import HUNG
from markupsafe import Markup
from test_watch import folder, trial

from lstm_lab.config import ConfigError
from lstm_lab.records import files
from lstm_lab.report.server import LiveServer

__all__ = ["folder"]


@pytest.fixture
def serve():
    """Serves a folder; all that is served ends with the test."""
    servers = []

    def start(path):
        server = LiveServer(path)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(server, method, path, body=None, **headers):
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_the_page_shows_what_runs_what_failed_and_what_is_best(folder, serve):
    trial(folder, [0.9, 0.5], "finished")
    trial(folder, [0.7], "failed")
    running = trial(folder, [0.4])
    server = serve(folder.path)
    assert server.server_address[0] == "127.0.0.1"
    with folder.lock(), running.lock():
        answer, page = ask(server, "GET", f"/{server.token}/")
        _, state = ask(server, "GET", f"/{server.token}/state")
        content = json.loads(state)["content"]
        for part in ("It is running.", "2/5 trials: 1 running, 1 finished, 0 stopped, 1 failed", "t0002", "for a test",
                     'data-action="kill" data-trial="t0002"', "Leaderboard"):  # fmt: skip
            assert part in content
            assert part in page
        running.append({"epoch": 1, folder.sweep.base.monitor: 0.1, "seconds": 60.0})
        _, later = ask(server, "GET", f"/{server.token}/state")
    assert json.loads(later)["version"] != json.loads(state)["version"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    _, ended = ask(server, "GET", f"/{server.token}/state")
    assert "Resume it with: lstm-lab resume" in json.loads(ended)["content"]
    assert "data-action" not in json.loads(ended)["content"]
    _, of_run = ask(page_of_run := serve(running.path), "GET", f"/{page_of_run.token}/")
    assert "2 of at most" in of_run


def test_a_button_works_and_no_other_site_can_press_it(folder, serve):
    running = trial(folder, [0.4])
    server = serve(folder.path)
    path, body = f"/{server.token}/ask", json.dumps({"action": "stop", "trial": "t0000"})
    with folder.lock(), running.lock():
        for headers in (
            {},
            {"X_Token": "guess"},
            {"X_Token": server.token, "Origin": "https://evil.example"},
            {"X_Token": server.token, "Host": "evil.example"},
        ):
            assert ask(server, "POST", path, body, **headers)[0].status == 403, headers
        assert ask(server, "POST", "/guess/ask", body, X_Token=server.token)[0].status == 403
        assert ask(server, "POST", path, "x" * 2000, X_Token=server.token)[0].status == 403
        assert not (folder.path / files.REQUESTS).exists()
        for broken in ("[]", "no json", '{"action": "rm"}', '{"action": "stop", "trial": 3}'):
            assert ask(server, "POST", path, broken, X_Token=server.token)[0].status == 400
        answer, said = ask(
            server, "POST", path, body, X_Token=server.token, Origin=f"http://127.0.0.1:{server.server_port}"
        )
        assert answer.status == 200
        assert "t0000 asked to stop" in said
        unknown = json.dumps({"action": "stop", "trial": "t0009"})
        answer, said = ask(server, "POST", path, unknown, X_Token=server.token)
        assert (answer.status, "has no trial t0009" in said) == (409, True)
    (row,) = files.read_jsonl(folder.path / files.REQUESTS)
    assert (row["action"], row["trial"]) == ("stop", "t0000")
    for host, page in (
        ("evil.example", f"/{server.token}/"),
        (None, "/"),
        (None, "/guess/"),
        (None, f"/{server.token}/x"),
    ):
        assert ask(server, "GET", page, **({"Host": host} if host else {}))[0].status == 404
    with pytest.raises(ConfigError, match=r"--port \d+: Address already in use: leave it out for a free one"):
        LiveServer(folder.path, server.server_port)


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_in_a_browser(folder, serve, tmp_path, dark):
    trial(folder, [0.9, 0.5], "finished")
    trial(folder, [0.7], "failed")
    running = [trial(folder, [0.4, 0.3]), trial(folder, [0.2])]
    server = serve(folder.path)
    # The button is pressed by a line at the end of the page's own script.
    server.script += Markup("document.querySelector('[data-trial=t0003][data-action=stop]').click();")
    with folder.lock(), running[0].lock(), running[1].lock():
        subprocess.run(
            [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", server.url],
            capture_output=True, text=True, timeout=HUNG, check=True,
        )  # fmt: skip
        _, page = ask(server, "GET", f"/{server.token}/")
    assert [row["trial"] for row in files.read_jsonl(folder.path / files.REQUESTS)] == ["t0003"]
    (tmp_path / "live.html").write_text(page)
    for name, found in inspect_pages(tmp_path, {"page": tmp_path / "live.html"}, dark=dark).items():
        assert found["wide"] <= 0, f"{name} scrolls sideways"
        assert (found["cut"], found["overlapping"], found["lowContrast"]) == ([], [], []), name


@pytest.mark.slow
def test_ctrl_c_ends_it(folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_lab", "serve-page", str(folder.path)], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=HUNG) == 130
    assert "Traceback" not in process.stderr.read()
