"""A W&B server on loopback: as much of GraphQL, file stream and file upload as wandb 0.31 asks for, kept in memory.

What it keeps is what a test compares: each run's history row by row, configuration, summary, artifacts, and reports.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

KEY = "0123456789" * 4
ENTITY = "tester"


@dataclass
class Copy:
    """A run as the server has it."""

    id: str
    name: str = ""
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    lines: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Place in the file stream -> a row of the history; sent again, a place is written over."""
    exit_code: int | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    logged: list[str] = field(default_factory=list)
    """Artifacts that it made."""
    used: list[str] = field(default_factory=list)
    """Artifacts that it was made from."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history without W&B's own columns."""
        return [
            {key: value for key, value in self.lines[place].items() if not key.startswith("_")}
            for place in sorted(self.lines)
        ]

    @property
    def ended(self) -> bool:
        return self.exit_code is not None


class Stub(ThreadingHTTPServer):
    """`with Stub() as server`: `server.url`, `server.runs`, `server.reports`, `server.artifacts`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.runs: dict[str, Copy] = {}
        self.reports: list[dict[str, Any]] = []
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        """GraphQL operations in order."""
        self.unknown: list[str] = []
        """Operations that it has no answer to."""
        self.hang = threading.Event()
        """Once set, every request is accepted and never answered."""
        self.key = KEY
        self.mutex = threading.Lock()

    def __enter__(self) -> Stub:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of our business."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def log_message(self, *_: Any) -> None:
        pass

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _answer(self, content: Any, code: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _waits(self) -> None:
        while self.server.hang.is_set():
            time.sleep(0.05)

    def do_GET(self) -> None:
        self._waits()
        self._answer({"status": "ok"})

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._waits()
        match = re.fullmatch(r"/storage/([^/]+)/(.+)", urlsplit(self.path).path)
        if match and match[1] in self.server.runs:
            self.server.runs[match[1]].files[match[2]] = body
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        self._waits()
        path = urlsplit(self.path).path
        if not self._has_key():
            return self._answer({"errors": [{"message": "user is not logged in"}]}, 401)
        content = json.loads(body or b"{}")
        with self.server.mutex:
            if path.endswith("/file_stream"):
                return self._answer(self._stream(path.split("/")[-2], content))
            if path == "/graphql":
                return self._answer(self._graphql(content))
        return self._answer({})

    def _has_key(self) -> bool:
        given = self.headers.get("Authorization", "")
        kind, _, rest = given.partition(" ")
        secret = base64.b64decode(rest).decode().partition(":")[2] if kind == "Basic" else rest
        return secret == self.server.key

    # --- file stream --------------------------------------------------------------------------------------------------

    def _stream(self, run_id: str, content: dict[str, Any]) -> dict[str, Any]:
        run = self.server.runs.setdefault(run_id, Copy(run_id))
        for name, chunk in (content.get("files") or {}).items():
            lines = [json.loads(line) for line in chunk.get("content") or () if line.startswith("{")]
            if name == "wandb-history.jsonl":
                run.lines.update(enumerate(lines, chunk.get("offset", 0)))
            elif name == "wandb-summary.json" and lines:
                run.summary = lines[-1]
        if content.get("complete"):
            run.exit_code = content.get("exitcode", 0)
        return {"exitcode": None, "limits": {}}

    # --- GraphQL ------------------------------------------------------------------------------------------------------

    def _graphql(self, content: dict[str, Any]) -> dict[str, Any]:
        query, given = content.get("query") or "", content.get("variables") or {}
        match = re.search(r"(?:query|mutation)\s+(\w+)", query)
        name = match[1] if match else (re.search(r"\{\s*(\w+)", query) or [None, "?"])[1]
        self.server.asked.append(name)
        answer = getattr(self, f"on_{name}", None)
        if answer is None:
            self.server.unknown.append(name)
            return {"data": {}}
        try:
            return {"data": answer({**(given.get("input") or {}), **given})}
        except Exception as error:  # noqa: BLE001 - left to fly it would make the client ask again for ever
            self.server.unknown.append(f"{name}: {type(error).__name__}: {error} in {sorted(given)}")
            return {"errors": [{"message": "the stub failed"}]}

    def on_Viewer(self, given: Any) -> Any:
        return {"viewer": {
            "id": "VXNlcjox", "entity": ENTITY, "username": ENTITY, "name": ENTITY, "email": "t@example.org",
            "admin": False, "flags": "{}", "deletedAt": None, "teams": {"edges": []}, "apiKeys": {"edges": []},
            "capabilities": [], "features": {"restrictedToTeams": []},
        }}  # fmt: skip

    def on_ServerFeaturesQuery(self, given: Any) -> Any:
        return {"serverInfo": {"features": []}}

    def on_OrganizationCoreWeaveOrganizationID(self, given: Any) -> Any:
        return {"organization": None}

    def on_UpsertBucket(self, given: Any) -> Any:
        name = given["name"]
        run = self.server.runs.setdefault(name, Copy(name))
        inserted = not run.name
        run.name = given.get("displayName") or run.name or name
        run.group, run.job_type = given.get("groupName") or run.group, given.get("jobType") or run.job_type
        run.tags = given.get("tags") or run.tags
        if given.get("config"):
            run.config = json.loads(given["config"])
        run.exit_code = None
        project = {"id": "UHJvamVjdDox", "name": given.get("project") or "p", "entity": {"id": "e", "name": ENTITY}}
        bucket = {
            "id": run.id, "name": run.id, "displayName": run.name, "description": None, "config": "{}",
            "sweepName": None, "project": project, "historyLineCount": 0,
        }  # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def on_CreateRunFiles(self, given: Any) -> Any:
        run = given.get("run") or given.get("runName")
        files = [
            {"name": name, "uploadUrl": f"{self.server.url}/storage/{run}/{name}"} for name in given.get("files") or ()
        ]
        return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": files}}

    # --- artifacts ----------------------------------------------------------------------------------------------------

    def on_ArtifactType(self, given: Any) -> Any:
        return {"project": {"artifact": None}}

    def on_CreateArtifact(self, given: Any) -> Any:
        name = given["artifactCollectionName"]
        kept = self.server.artifacts.setdefault(
            f"{name}:{given['digest']}",
            {"name": name, "type": given["artifactTypeName"], "digest": given["digest"], "files": []},
        )
        kept["metadata"] = json.loads(given.get("metadata") or "{}")
        run = self.server.runs.get(given["runName"])  # One that is only used is no run's.
        if run is not None and name not in run.logged:
            run.logged.append(name)
        return {"createArtifact": {"artifact": {
            "id": f"{name}:{given['digest']}", "state": "PENDING", "artifactSequence": {"latestArtifact": None},
        }}}  # fmt: skip

    def on_CreateArtifactManifest(self, given: Any) -> Any:
        file = {"id": "f", "uploadUrl": f"{self.server.url}/manifest", "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}

    on_UpdateArtifactManifest = on_CreateArtifactManifest

    def on_CreateArtifactFiles(self, given: Any) -> Any:
        edges = []
        for asked in given["artifactFiles"]:
            self.server.artifacts[asked["artifactID"]]["files"].append(asked["name"])
            edges.append({"node": {
                "storagePath": asked["name"], "uploadUrl": f"{self.server.url}/blob", "uploadHeaders": [],
                "uploadMultipartUrls": None, "artifact": {"id": asked["artifactID"]},
            }})  # fmt: skip
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def on_CommitArtifact(self, given: Any) -> Any:
        digest = given["artifactID"].partition(":")[2]
        return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": digest}}}

    def on_UseArtifact(self, given: Any) -> Any:
        name = given["artifactID"].partition(":")[0]
        run = self.server.runs[given["runName"]]
        if name not in run.used:
            run.used.append(name)
        return {"useArtifact": {"artifact": {"id": given["artifactID"]}}}

    def on_ArtifactByID(self, given: Any) -> Any:
        kept = self.server.artifacts[given["id"]]
        project = {"id": "UHJvamVjdDox", "internalId": "1", "name": "lstm-lab", "entity": {"name": ENTITY}}
        sequence = {"__typename": "ArtifactSequence", "name": kept["name"], "project": project}
        return {"artifact": {
            "__typename": "Artifact", "id": given["id"], "artifactSequence": sequence, "versionIndex": 0,
            "artifactType": {"name": kept["type"]}, "description": None, "metadata": json.dumps(kept["metadata"]),
            "ttlDurationSeconds": -1, "ttlIsInherited": False, "tags": [], "historyStep": None, "state": "COMMITTED",
            "size": 1, "digest": kept["digest"], "commitHash": "c", "fileCount": 1, "aliases": [],
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
            "digestAlgorithm": "MANIFEST_MD5",
        }}  # fmt: skip
