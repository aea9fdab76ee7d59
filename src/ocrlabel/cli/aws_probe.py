"""The doctor's one paid request: a page of one word."""

from __future__ import annotations

import asyncio
import io
import time

from PIL import Image, ImageDraw

from ocrlabel.aws.ready import NEW_KEY, Check, well, wrong
from ocrlabel.engines.upstage import BASE_URL, UpstageEngine
from ocrlabel.engines.upstage_keys import keys_of_secret
from ocrlabel.errors import ImageError, KeyRefused
from ocrlabel.labels import Document


def one_call(secret: str, base_url: str) -> Check:
    """Send one page with the secret's first key, and say what came of it."""
    client = UpstageEngine(
        keys_of_secret(secret)[:1],
        wall=time.time,
        clock=time.monotonic,
        base_url=base_url or BASE_URL,
    )
    return asyncio.run(_call(client))


async def _call(client: UpstageEngine) -> Check:
    await client.start()
    try:
        answer = await client.recognise(_page(), client.lanes[0].name)
    except KeyRefused as error:
        return wrong("OCR call", error.message, NEW_KEY)
    except ImageError as error:
        return wrong("OCR call", error.message, "try again in some minutes")
    finally:
        await client.close()
    why = f"{answer.model_version} answered, {answer.billed_pages} page billed"
    return well("OCR call", why)


def _page() -> Document:
    page = Image.new("RGB", (640, 200), "white")
    ImageDraw.Draw(page).text((40, 60), "ocrlabel", fill="black", font_size=64)
    held = io.BytesIO()
    page.save(held, "PNG")
    return Document(held.getvalue(), "png", page_count=1, page_sizes_px=(page.size,))
