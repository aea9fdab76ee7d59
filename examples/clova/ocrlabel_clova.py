"""Naver CLOVA OCR General V2 as an engine of ocrlabel. Not run against the real service.

README.md says which page of its documentation each fact is from.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import os
import socket
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

from PIL import Image, ImageOps

from ocrlabel import engine

_MOST_BYTES = 50_000_000
_TOO_FAST = {"0023", "0025"}
_SETTINGS = {"0001", "0021", "0022"}
_AS_IT_IS = {"JPEG": "jpg", "PNG": "png"}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would be a second request, and bring the secret to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Clova:
    """url: else CLOVA_OCR_URL. lang: "ko", "ko,ja", ... price_usd: a page. rate: requests/s."""

    name, max_pages, parallel, request_timeout_s = "clova", 1, None, 60.0
    languages = "Korean, English, Japanese, Chinese (traditional)"
    needs = "CLOVA_OCR_URL, CLOVA_OCR_SECRET"
    tried = "no: against a fake that speaks its documentation's format"

    def __init__(self, url: str = "", lang: str = "ko", price_usd: str = "0.003", rate: str = "1"):
        self._url = url or os.environ.get("CLOVA_OCR_URL", "")
        self._secret = os.environ.get("CLOVA_OCR_SECRET", "")
        self._lang = lang
        self.options = {"api": "general-v2", "lang": lang}
        self.price_per_page_usd = float(price_usd)
        self.lanes = (engine.Lane("secret", requests_per_s=float(rate)),)
        self._opener = urllib.request.build_opener(_NoRedirect)

    async def start(self) -> None:
        if not self._url.startswith(("http://", "https://")) or not self._secret:
            raise engine.ConfigError("engine clova: set CLOVA_OCR_URL and CLOVA_OCR_SECRET")

    async def close(self) -> None: ...

    async def prepare(self, data: bytes) -> engine.Document:
        return await asyncio.to_thread(_prepared, data)

    async def recognise(self, document: engine.Document, lane: str) -> engine.Answer:
        raw = await asyncio.to_thread(self._ask, document)
        return self.parse(raw, document)

    def _ask(self, document: engine.Document) -> bytes:
        data = base64.b64encode(document.data).decode()
        question = {
            "version": "V2",
            "requestId": str(uuid.uuid4()),
            "timestamp": int(time.time() * 1000),
            "lang": self._lang,
            "images": [{"format": document.format, "name": "image", "data": data}],
        }
        headers = {"Content-Type": "application/json", "X-OCR-SECRET": self._secret}
        request = urllib.request.Request(self._url, json.dumps(question).encode(), headers)
        try:
            with self._opener.open(request, timeout=self.request_timeout_s - 5) as reply:
                return bytes(reply.read())
        except urllib.error.HTTPError as error:
            raise _refusal(error) from error
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "reason", error)
            never = isinstance(why, ConnectionRefusedError | socket.gaierror)
            raise engine.Unavailable(f"no answer: {why!r}", sent=not never) from error

    def parse(self, raw: bytes, document: engine.Document) -> engine.Answer:
        try:
            (image,) = json.loads(raw)["images"]
            if image["inferResult"] != "SUCCESS":
                raise engine.Rejected(f"{image['inferResult']}: {image.get('message')}", status=200)
            words = tuple(map(_word, image["fields"]))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise engine.BadAnswer(f"no answer of CLOVA OCR: {error!r}") from error
        page = engine.Page(1, *document.page_sizes_px[0], words)
        return engine.Answer((page,), "general-v2", 1, raw, 200)


def _word(field: dict[str, Any]) -> engine.Word:
    corners = tuple((one["x"], one["y"]) for one in field["boundingPoly"]["vertices"])
    return engine.Word(field["inferText"], corners, field["inferConfidence"])


def _refusal(error: urllib.error.HTTPError) -> Exception:
    """What an HTTP error says of the image, of the key or of the rate."""
    try:
        told = json.loads(error.read())
        code, message = str(told["code"]), str(told.get("message", ""))
    except (ValueError, LookupError, TypeError, AttributeError, OSError, http.client.HTTPException):
        code, message = "", ""
    said = f"HTTP {error.code} {code} {message}".strip()
    wait = error.headers.get("Retry-After", "")
    wait_s = float(wait) if wait.isdigit() else None
    if error.code in {401, 403}:
        return engine.KeyRefused(said, status=error.code)
    if error.code == 429 or (error.code == 400 and code in _TOO_FAST):
        return engine.Throttled(said, status=error.code, retry_after_s=wait_s)
    if error.code == 400 and code in _SETTINGS:
        raise engine.ConfigError(f"CLOVA OCR takes no image with these settings: {said}") from error
    if error.code in {400, 413}:
        return engine.Rejected(said, status=error.code)
    return engine.Unavailable(said, status=error.code, retry_after_s=wait_s)


def _prepared(data: bytes) -> engine.Document:
    """One upright image, as JPEG or PNG."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if getattr(image, "n_frames", 1) > 1:
                many = engine.FailureClass.TOO_MANY_PAGES
                raise engine.Unreadable("several pages: give each as an image", failure=many)
            image.load()
            kind = _AS_IT_IS.get(image.format or "")
            upright = ImageOps.exif_transpose(image)
            if kind is None or image.getexif().get(0x0112, 1) != 1:
                out = io.BytesIO()
                upright.convert("RGB").save(out, "PNG")
                data, kind = out.getvalue(), "png"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise engine.Unreadable(f"no image that Pillow opens: {error}") from error
    if len(data) > _MOST_BYTES:
        large = engine.FailureClass.TOO_LARGE
        raise engine.Unreadable("over the 50 MB of a request", failure=large)
    return engine.Document(data, kind, 1, (upright.size,))
