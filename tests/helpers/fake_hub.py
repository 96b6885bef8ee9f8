"""As much of the Hugging Face hub's HTTP interface as its library needs, in memory, on the loopback."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_of_the_tests"


class FakeHub:
    """What it holds, and what it was asked.

    :param repos: files by repository
    :param requests: method and path of each request
    """

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.requests: list[str] = []
        self.url = ""


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Serve one."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            hub.requests.append(format % args)

        def answer(self, code: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
            content = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
            self.send_response(code)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.answer(401, {"error": "Invalid credentials"})
                return
            path = urlparse(self.path).path
            if path == "/api/repos/create":
                asked = json.loads(content)
                name = f"{asked.get('organization') or 'ada'}/{asked['name']}"
                hub.repos.setdefault(name, {})
                self.answer(200, {"url": f"{hub.url}/{name}"})
            elif "/preupload/" in path:
                files = json.loads(content)["files"]
                modes = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in files]
                self.answer(200, {"files": modes})
            elif "/commit/" in path:
                repo = path.removeprefix("/api/models/").partition("/commit/")[0]
                for line in content.splitlines():
                    part = json.loads(line)
                    if part["key"] == "file":
                        hub.repos[repo][part["value"]["path"]] = base64.b64decode(part["value"]["content"])
                self.answer(200, {"commitUrl": f"{hub.url}/{repo}/commit/{COMMIT}", "commitOid": COMMIT})
            else:
                self.answer(200, {})  # a check of the card's metadata

        def do_GET(self) -> None:
            path = unquote(urlparse(self.path).path)
            if path.startswith("/api/models/"):
                repo = "/".join(path.split("/")[3:5])
                if repo not in hub.repos:
                    self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
                    return
                if "/tree/" in path:
                    held = hub.repos[repo].items()
                    oids = {name: hashlib.sha1(content, usedforsecurity=False).hexdigest() for name, content in held}
                    tree = [{"type": "file", "path": n, "size": len(c), "oid": oids[n]} for n, c in held]
                    self.answer(200, tree)
                    return
                siblings = [{"rfilename": name, "size": len(held)} for name, held in hub.repos[repo].items()]
                self.answer(200, {"id": repo, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False})
                return
            repo, _, name = path.lstrip("/").partition(f"/resolve/{COMMIT}/")
            if name not in hub.repos.get(repo, {}):
                self.answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
                return
            content = hub.repos[repo][name]
            etag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            self.answer(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'})

        do_HEAD = do_GET  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
