"""A fake of CLOVA OCR General V2: its documented format, its refusals, and a rate of its own."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

SECRET = "of-the-fake"
VERTICES = [{"x": float(x), "y": float(y)} for x, y in ((1, 1), (40, 1), (40, 9), (1, 9))]
FIELD = {"inferText": "합계", "inferConfidence": 0.98, "boundingPoly": {"vertices": VERTICES}}
IMAGE = {"uid": "1", "name": "image", "inferResult": "SUCCESS", "message": "SUCCESS"}
GOOD = json.dumps({"version": "V2", "images": [IMAGE | {"fields": [FIELD]}]}).encode()
FAILURE = GOOD.replace(b'"SUCCESS"', b'"FAILURE"')


def refusal(code: str, message: str) -> bytes:
    return json.dumps({"code": code, "message": message}).encode()


TOO_MANY = refusal("0023", "API request count reach the upper limit.")
TOO_FAST = refusal("0025", "Calls to this api have exceeded the rate limit.")
WRONG_SECRET = refusal("0002", "Secret key validate failed.")
WRONG_BODY = refusal("0011", "Request body invalid.")


class FakeClova:
    """received: requests; answered: those with words. Every `refuses`-th is told to slow down."""

    def __init__(self, refuses: int = 0) -> None:
        self.received = self.answered = 0
        self._lock, fake = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with fake._lock:
                    fake.received += 1
                    is_refused = bool(refuses) and fake.received % refuses == 0
                status, answer = fake._answer(self.headers.get("X-OCR-SECRET"), body, is_refused)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/custom/v1/1/x/general"

    def _answer(self, secret: str | None, body: bytes, is_refused: bool) -> tuple[int, bytes]:
        if secret != SECRET:
            return 401, WRONG_SECRET
        if is_refused:
            return 400, TOO_FAST
        try:
            asked = json.loads(body)
            (image,) = asked["images"]
            base64.b64decode(image["data"], validate=True)
            told = (asked["version"], image["format"] in {"jpg", "png"}, asked["timestamp"] > 0)
            if told != ("V2", True, True) or not (asked["requestId"] and image["name"]):
                raise ValueError(told)
        except (ValueError, LookupError, TypeError):
            return 400, WRONG_BODY
        with self._lock:
            self.answered += 1
        return 200, GOOD

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
