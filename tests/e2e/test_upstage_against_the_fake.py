"""The engine and the fake, over real sockets: what goes wrong on one side has its name on the other."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import socket
import ssl
import threading
import traceback
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import httpx2
import pypdfium2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

from ocrlabel.engines.upstage import UpstageEngine
from ocrlabel.engines.upstage_answer import read_answer
from ocrlabel.engines.upstage_keys import parse_keys
from ocrlabel.errors import BadAnswer, ConfigError, KeyRefused, Rejected, Throttled, Unavailable
from ocrlabel.fake.answers import recorded_in
from ocrlabel.fake.settings import LIMITS, FakeSettings, Latency, Refusal, parse_faults
from ocrlabel.labels import Document, FailureClass
from tests.support.fake_upstage import running

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "upstage-recorded"
KEYS = parse_keys("up_first@100,up_second@100", pages_per_minute=None)
K1, K2 = (key.name for key in KEYS)


NEUTRAL = {"wall": lambda: 0.0, "clock": lambda: 0.0}


@asynccontextmanager
async def engine_at(base_url, **options):
    engine = UpstageEngine(base_url=base_url, **{"keys": KEYS, **NEUTRAL, **options})
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def image(size=(60, 80), kind="png", colour="white", **more) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind, **more)
    return out.getvalue()


def document(data=None, *, kind="png", pages=1, sizes=((60, 80),)) -> Document:
    return Document(image(kind=kind) if data is None else data, kind, pages, sizes)


def recognised(base_url, doc=None, lane=K1, **options):
    async def once():
        async with engine_at(base_url, **options) as engine:
            return await engine.recognise(doc or document(), lane)

    return asyncio.run(once())


def pdf(pages: int) -> bytes:
    out = io.BytesIO()
    with pypdfium2.PdfDocument.new() as made:
        for _ in range(pages):
            made.new_page(595, 842)
        made.save(out)
    return out.getvalue()


def test_a_document_becomes_pages_and_one_line_in_the_log():
    doc = document()
    with running(FakeSettings(keys=KEYS)) as fake:
        answer = recognised(fake.base_url, doc)
        (entry,) = fake.entries
    assert (answer.status, answer.billed_pages, answer.model_version) == (200, 1, "ocr-250904")
    assert (answer.pages[0].width_px, answer.pages[0].height_px) == (60, 80)
    assert json.loads(answer.raw)["numBilledPages"] == 1
    assert (entry.key, entry.status, entry.billed, entry.pages, entry.cause) == (K1, 200, 1, 1, "")
    assert entry.sha256 == sha256(doc.data).hexdigest()


@pytest.mark.skipif(
    not RECORDED.is_dir(), reason="no recorded answers at ../shared/data/upstage-recorded"
)
@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.json")), ids=lambda path: path.stem)
def test_a_recorded_answer_served_by_the_fake_becomes_labels_equal_to_the_file(path):
    truth = json.loads(path.read_bytes())
    data = next(p for p in RECORDED.glob(f"{path.stem}.*") if p != path).read_bytes()
    sizes = tuple((p["width"], p["height"]) for p in truth["pages"])
    kind = "pdf" if data.startswith(b"%PDF") else "jpeg" if data.startswith(b"\xff\xd8") else "png"
    doc = Document(data, kind, len(sizes), () if kind == "pdf" else sizes)
    with running(FakeSettings(keys=KEYS), recorded_in(RECORDED)) as fake:
        answer = recognised(fake.base_url, doc)
        assert fake.stats()["billed_pages"] == truth["numBilledPages"] == answer.billed_pages

    def shown(answer):
        return [
            (page.number, page.width_px, page.height_px, page.confidence,
             [(w.text, w.polygon, w.confidence) for w in page.words])
            for page in answer.pages
        ]  # fmt: skip

    assert shown(answer) == [
        (i, p["width"], p["height"], p["confidence"], [
            (w["text"], tuple((v["x"], v["y"]) for v in w["boundingBox"]["vertices"]), w["confidence"])
            for w in p["words"] if w["text"]
        ])
        for i, p in enumerate(truth["pages"], start=1)
    ]  # fmt: skip
    assert shown(read_answer(answer.raw, doc)) == shown(answer)


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp", "tiff"])
def test_every_format_is_sent_under_its_own_name_and_read(kind):
    with running(FakeSettings(keys=KEYS)) as fake:
        assert recognised(fake.base_url, document(kind=kind)).billed_pages == 1


def test_pages_of_pdf_and_tiff_are_counted_billed_and_sized():
    frames = [Image.new("RGB", size) for size in [(10, 20), (30, 40), (50, 60)]]
    tiff = io.BytesIO()
    frames[0].save(tiff, "tiff", save_all=True, append_images=frames[1:])
    with running(FakeSettings(keys=KEYS)) as fake:
        of_pdf = recognised(fake.base_url, document(pdf(2), kind="pdf", pages=2, sizes=()))
        of_tiff = recognised(
            fake.base_url, document(tiff.getvalue(), kind="tiff", pages=None, sizes=())
        )
    assert [(p.width_px, p.height_px) for p in of_pdf.pages] == [(1240, 1755)] * 2
    assert [(p.width_px, p.height_px) for p in of_tiff.pages] == [(10, 20), (30, 40), (50, 60)]
    assert [entry.billed for entry in fake.entries] == [2, 3]


def test_a_document_cut_off_at_the_page_limit_is_incomplete_and_says_what_it_cost():
    limits = replace(LIMITS["2025"], max_pages=2)
    with (
        running(FakeSettings(keys=KEYS, limits=limits)) as fake,
        pytest.raises(BadAnswer) as caught,
    ):
        recognised(fake.base_url, document(pdf(3), kind="pdf", pages=3, sizes=()))
    assert (caught.value.failure, caught.value.billed_pages) == (FailureClass.INCOMPLETE, 2)
    assert fake.entries[0].billed == 2


@pytest.mark.parametrize(
    ("fault", "kind", "failure", "status", "billed"),
    [
        ("429", Throttled, FailureClass.UNAVAILABLE, 429, 0),
        ("500", Unavailable, FailureClass.UNAVAILABLE, 500, 0),
        ("503", Unavailable, FailureClass.UNAVAILABLE, 503, 0),
        ("504-after", Unavailable, FailureClass.UNAVAILABLE, 504, 1),
        ("drop-before", Unavailable, FailureClass.UNAVAILABLE, None, 0),
        ("drop-after", Unavailable, FailureClass.UNAVAILABLE, None, 1),
        ("cut-body", Unavailable, FailureClass.UNAVAILABLE, None, 1),
        ("cut-json", BadAnswer, FailureClass.BAD_ANSWER, 200, 1),
        ("html", BadAnswer, FailureClass.BAD_ANSWER, 200, 0),
        ("hang", Unavailable, FailureClass.TIMED_OUT, None, 0),
        ("401", KeyRefused, None, 401, 0),
        ("403", KeyRefused, None, 403, 0),
        ("400", Rejected, FailureClass.REJECTED, 400, 0),
        ("413", Rejected, FailureClass.REJECTED, 413, 0),
    ],
)
@pytest.mark.parametrize("shape", ["nested", "flat"])
def test_what_goes_wrong_has_its_own_error_and_the_log_says_what_was_billed(
    fault, kind, failure, status, billed, shape
):
    settings = FakeSettings(keys=KEYS, faults=parse_faults(f"{fault}:1"), error_shape=shape)
    with running(settings) as fake:
        with pytest.raises(kind) as caught:
            recognised(fake.base_url, read_s=0.3 if fault == "hang" else 30.0)
        assert type(caught.value) is kind
        assert caught.value.status == status
        assert getattr(caught.value, "failure", None) == failure
        assert getattr(caught.value, "sent", True) is (fault != "html")
        requests = fake.stats()["requests"] or _after_the_client_left(fake)
    assert requests == 1, "a POST was sent again by itself"
    assert [(e.billed, e.cause, e.key) for e in fake.entries] == [(billed, fault, K1)]


def _after_the_client_left(fake):
    """A hang is over once the server has seen the client go."""
    for _ in range(3000):
        if fake.stats()["requests"]:
            break
        threading.Event().wait(0.01)
    return fake.stats()["requests"]


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [(b"no image at all", "png", 415), (image()[:-20], "png", 422), (b"%PDF-1.7 broken", "pdf", 422),
     (b"", "png", 400), (image(kind="gif"), "png", 415), (image(kind="webp"), "webp", 415)],
)  # fmt: skip
def test_a_document_that_cannot_be_read_is_rejected_and_not_billed(data, kind, status):
    with running(FakeSettings(keys=KEYS)) as fake, pytest.raises(Rejected) as caught:
        recognised(fake.base_url, document(data, kind=kind))
    assert caught.value.status == status
    assert [entry.billed for entry in fake.entries] == [0]


@pytest.mark.parametrize(("limits", "answered"), [("2025", 1), ("2026", 413)])
def test_the_two_generations_differ_in_what_happens_over_the_page_limit(limits, answered):
    settings = FakeSettings(keys=KEYS, limits=replace(LIMITS[limits], max_pages=1))
    doc = document(pdf(2), kind="pdf", pages=None, sizes=())
    with running(settings) as fake:
        try:
            outcome = recognised(fake.base_url, doc).billed_pages
        except Rejected as error:
            outcome = error.status
    assert outcome == answered


def test_a_file_over_the_size_limit_is_rejected():
    settings = FakeSettings(keys=KEYS, limits=replace(LIMITS["2025"], max_bytes=50))
    with running(settings) as fake, pytest.raises(Rejected) as caught:
        recognised(fake.base_url)
    assert caught.value.status == 413


def test_another_model_is_a_rejection_and_a_snapshot_is_echoed():
    with running(FakeSettings(keys=KEYS)) as fake:
        assert recognised(fake.base_url, model="ocr-2.2.1").model_version == "ocr-2.2.1"
        with pytest.raises(Rejected, match="invalid model"):
            recognised(fake.base_url, model="gpt")


def test_each_key_is_sent_on_its_own_lane_and_an_unknown_one_is_refused():
    with running(FakeSettings(keys=KEYS)) as fake:
        recognised(fake.base_url, lane=K2)
        stranger = parse_keys("up_stranger")
        with pytest.raises(KeyRefused):
            recognised(fake.base_url, lane=stranger[0].name, keys=stranger)
    assert [entry.key for entry in fake.entries] == [K2, stranger[0].name]


def test_a_key_that_dies_midway_is_refused_from_then_on_and_the_other_lives():
    with running(FakeSettings(keys=KEYS, refusals=(Refusal(K1, 1, 401),))) as fake:
        recognised(fake.base_url)
        with pytest.raises(KeyRefused):
            recognised(fake.base_url)
        recognised(fake.base_url, lane=K2)


def test_credit_that_ends_is_never_overdrawn():
    async def three_at_once(base_url):
        async with engine_at(base_url) as engine:
            sent = [
                engine.recognise(document(image(colour=c)), K1) for c in ("red", "green", "blue")
            ]
            return await asyncio.gather(*sent, return_exceptions=True)

    with running(FakeSettings(keys=KEYS, credit_pages=2, latency=Latency(0.05))) as fake:
        outcomes = asyncio.run(three_at_once(fake.base_url))
        assert fake.stats()["billed_pages"] == 2
    assert [o.status for o in outcomes if isinstance(o, KeyRefused)] == [403]


@pytest.mark.parametrize("limiter", ["bucket", "fixed", "sliding"])
def test_requests_over_the_rate_are_throttled_with_the_wait_in_a_header_where_it_is_on(limiter):
    settings = FakeSettings(keys=parse_keys("up_first@0.01"), limiter=limiter, headers=True)
    with running(settings, clock=lambda: 1000.0) as fake:
        recognised(fake.base_url)
        with pytest.raises(Throttled) as caught:
            recognised(fake.base_url)
        assert caught.value.retry_after_s == 100
        fake.control({"headers": False})
        with pytest.raises(Throttled) as caught:
            recognised(fake.base_url)
        assert caught.value.retry_after_s is None
        rate = fake.stats()["rates"][K1]
    assert (rate["passed"], rate["throttled"]) == (1, 2)
    assert [entry.cause for entry in fake.entries] == ["", "rps", "rps"]


def test_pages_over_the_pages_per_minute_are_throttled():
    keys = parse_keys("up_first@100/3")
    doc = document(pdf(2), kind="pdf", pages=2, sizes=())
    with running(FakeSettings(keys=keys)) as fake:
        recognised(fake.base_url, doc)
        with pytest.raises(Throttled):
            recognised(fake.base_url, doc)
    assert [entry.cause for entry in fake.entries] == ["", "ppm"]


def test_an_outage_is_switched_on_and_off_while_it_runs():
    with running(FakeSettings(keys=KEYS)) as fake:
        httpx2.post(
            f"{fake.base_url.removesuffix('/v1')}/control", json={"outage": "503"}, trust_env=False
        )
        with pytest.raises(Unavailable):
            recognised(fake.base_url)
        fake.control({"outage": None})
        assert recognised(fake.base_url).billed_pages == 1


def test_stats_are_served_and_count_what_was_billed():
    doc = document()
    with running(FakeSettings(keys=KEYS)) as fake:
        recognised(fake.base_url, doc)
        recognised(fake.base_url, doc, lane=K2)
        stats = httpx2.get(f"{fake.base_url.removesuffix('/v1')}/stats", trust_env=False).json()
    assert stats["billed_pages_by_key"] == {K1: 1, K2: 1}
    assert stats["times_billed_by_document"] == {sha256(doc.data).hexdigest(): 2}
    assert stats["statuses"] == {"200": 2}


def test_what_is_asked_of_the_fake_in_the_wrong_way_is_told():
    with running(FakeSettings()) as fake:
        root = fake.base_url.removesuffix("/v1")
        with httpx2.Client(trust_env=False, headers={"Authorization": "Bearer up_any"}) as client:
            assert client.post(f"{root}/control", json={"speed": 1}).status_code == 400
            assert client.post(f"{root}/control", content=b"{").status_code == 400
            assert client.post(f"{root}/v1/elsewhere").status_code == 404
            assert client.get(f"{root}/v1/document-digitization").status_code == 405
            empty = client.post(f"{root}/v1/document-digitization", data={"model": "ocr"}, files={})
            assert (empty.status_code, empty.json()["error"]["message"]) == (
                400,
                "document is missing",
            )
            part = {"document": ("p.png", image()), "model": (None, "ocr")}
            assert client.post(f"{root}/v1/document-digitization", files=part).status_code == 200


def test_a_wrong_path_names_the_setting_to_look_at():
    with (
        running(FakeSettings(keys=KEYS)) as fake,
        pytest.raises(Unavailable, match="UPSTAGE_BASE_URL") as caught,
    ):
        recognised(f"{fake.base_url}/wrong")
    assert caught.value.ends is ConfigError  # of all images, if nothing was ever read


def test_a_server_that_is_not_there_was_never_sent_anything():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unavailable, match="UPSTAGE_BASE_URL") as caught:
        recognised(f"http://127.0.0.1:{port}/v1")
    assert not caught.value.sent


def test_a_certificate_that_nobody_vouches_for_ends_at_once_and_names_the_remedy(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    dates = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, *dates)
    pem = tmp_path / "own.pem"
    pem.write_bytes(
        made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def story():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
        async with (
            server,
            engine_at(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1") as engine,
        ):
            await engine.recognise(document(), K1)

    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        asyncio.run(story())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080"), ("https_proxy", "socks5h://user:pw-secret@h:1"),
        ("HTTPS_PROXY", "ftp://user:pw-secret@h"), ("HTTP_PROXY", "::::"), ("SSL_CERT_FILE", "/nowhere/ca.pem"),
        ("SSL_CERT_FILE", "/etc"), ("SSL_CERT_FILE", "/etc/hostname"),
    ],
)  # fmt: skip
def test_a_variable_that_no_connection_can_be_made_with_is_named(monkeypatch, variable, value):
    for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"^{variable} cannot be used") as caught:
        recognised("https://ocr.example/v1", environment={variable: value})
    assert "pw-secret" not in str(caught.value)


@pytest.fixture
def no_proxy_of_this_machine(monkeypatch):
    for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def unreachable(monkeypatch, base_url, **environment):
    """What is said of a service that cannot be reached with these variables set."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((Unavailable, ConfigError)) as caught:
        recognised(base_url, environment=environment)
    return str(caught.value)


@pytest.mark.parametrize("proxy", ["http://me:pw-secret@127.0.0.1:9", "http://no-such-proxy.test"])
@pytest.mark.parametrize(
    ("variable", "base_url"),
    [
        ("HTTPS_PROXY", "https://ocr.test/v1"), ("https_proxy", "https://ocr.test/v1"),
        ("ALL_PROXY", "https://ocr.test/v1"), ("HTTP_PROXY", "http://ocr.test/v1"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("no_proxy_of_this_machine")
def test_a_proxy_that_does_not_answer_is_named_with_its_variable(
    monkeypatch, variable, base_url, proxy
):
    said = unreachable(monkeypatch, base_url, **{variable: proxy})
    assert f"{variable}={proxy.replace('me:pw-secret@', '')} (" in said
    assert "NO_PROXY" in said
    assert "pw-secret" not in said
    assert "is UPSTAGE_BASE_URL right" not in said


@pytest.mark.parametrize(
    ("variable", "base_url"),
    [("HTTPS_PROXY", "https://ocr.test/v1"), ("HTTP_PROXY", "http://ocr.test/v1")],
)
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\n<p>no</p>",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
@pytest.mark.usefixtures("no_proxy_of_this_machine")
def test_a_proxy_that_refuses_or_is_none_is_named_with_its_variable(
    monkeypatch, variable, base_url, answer
):
    with a_server_that_says(answer) as there:
        proxy = there.removesuffix("/v1")
        assert f" {variable}={proxy}" in unreachable(monkeypatch, base_url, **{variable: proxy})


@pytest.mark.usefixtures("no_proxy_of_this_machine")
def test_a_proxy_that_is_not_on_the_way_is_not_named(monkeypatch):
    dead = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "ocr.test"}
    assert "PROXY" not in unreachable(monkeypatch, "https://ocr.test/v1", **dead)
    assert "PROXY" not in unreachable(monkeypatch, "https://127.0.0.1:1/v1", **dead)


@contextmanager
def a_server_that_says(*parts: bytes, wait_s=0.0):
    """Answers every request with these bytes, `wait_s` apart, and closes."""

    def serve(listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                got = b""
                while b"--\r\n" not in got[-8:] and not got.startswith(b"CONNECT "):
                    got += connection.recv(65536)
                try:
                    for part in parts:
                        connection.sendall(part)
                        threading.Event().wait(wait_s)
                except OSError:
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ([b"garbage\r\n\r\n"], Unavailable),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"], Unavailable),
        (
            [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"],
            Unavailable,
        ),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], BadAnswer),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], BadAnswer),
        (
            [b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"],
            BadAnswer,
        ),
        (
            [
                b"HTTP/1.1 307 Moved\r\nLocation: /v1/document-digitization\r\nContent-Length: 0\r\n\r\n"
            ],
            BadAnswer,
        ),
        ([b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 11\r\n\r\nBad Gateway"], Unavailable),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"], Unavailable),
        ([], Unavailable),
    ],
)
def test_whatever_a_server_says_is_one_of_our_errors(said, kind):
    with a_server_that_says(*said) as base_url, pytest.raises(kind):
        recognised(base_url)


def test_a_body_without_end_is_given_up_at_the_size_limit():
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with (
        a_server_that_says(head, b"x" * 5000) as base_url,
        pytest.raises(BadAnswer, match="no OCR answer"),
    ):
        recognised(base_url, max_body_bytes=1000)


def test_a_small_body_that_unpacks_to_a_huge_one_is_given_up_too():
    body = gzip.compress(b"x" * 100_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
    with (
        a_server_that_says(head, body) as base_url,
        pytest.raises(BadAnswer, match="no OCR answer"),
    ):
        recognised(base_url, max_body_bytes=1000)


def test_an_answer_that_trickles_in_is_given_up_at_the_whole_time_limit():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    slow = a_server_that_says(head, *[b"x"] * 20, wait_s=0.1)
    with slow as base_url, pytest.raises(Unavailable) as caught:
        recognised(base_url, read_s=10, whole_s=0.4)
    assert caught.value.failure is FailureClass.TIMED_OUT


@contextmanager
def a_server_that_reads_when_told():
    """Gives its address, the headers' arrival, leave to read on, and all that then arrived."""
    came, read_on, got = threading.Event(), threading.Event(), bytearray()

    def serve(listener):
        connection, _ = listener.accept()
        with connection:
            while b"\r\n\r\n" not in got:
                got.extend(connection.recv(1024))
            came.set()
            assert read_on.wait(30)
            while part := connection.recv(65536):
                got.extend(part)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        # or the system grows its buffers until they hold the document
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", came, read_on, got
        finally:
            read_on.set()
            thread.join()


def test_nothing_more_of_a_document_leaves_once_its_request_is_over():
    now_s = [0.0]
    large = document(b"x" * 30_000_000)

    async def send(base_url, came, read_on):
        async with engine_at(base_url, clock=lambda: now_s[0], whole_s=20) as engine:
            sending = asyncio.create_task(engine.recognise(large, K1))
            await asyncio.to_thread(came.wait)
            now_s[0] = 20.0  # stopped meanwhile, as by SIGSTOP
            read_on.set()
            with pytest.raises(Unavailable) as caught:
                await sending
            return caught.value

    with a_server_that_reads_when_told() as (base_url, came, read_on, got):
        error = asyncio.run(send(base_url, came, read_on))
    assert error.failure is FailureClass.TIMED_OUT
    assert len(got) < 30_000_000, "most of it had not left when the time was over"


def test_no_error_repeats_a_key_even_when_the_service_does():
    body = b'{"error": {"message": "bad key up_first", "type": "x", "code": "y"}}'
    for status in (b"401 No", b"400 No", b"500 No", b"200 OK"):
        head = b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
        server = a_server_that_says(head, body)
        with server as base_url, pytest.raises((KeyRefused, Rejected, Unavailable)) as caught:
            recognised(base_url)
        assert "bad key" in caught.value.message
        assert "up_first" not in caught.value.message
        assert "up_first" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("status", "cut_at"), [("401 No", 300), ("503 No", 300), ("200 OK", 80), ("302 Go", 200)]
)
def test_a_key_is_taken_out_before_a_message_is_cut(status, cut_at):
    for before in range(cut_at - 40, cut_at + 1, 3):
        text = f"{'x' * before}UP_FIRST"
        location, body = "", f'{{"error": {{"message": "{text}", "code": "y"}}}}'
        if status == "200 OK":
            body = f"<p>{text}</p>"
        if status == "302 Go":
            location = f"Location: /{text}\r\n"
        head = f"HTTP/1.1 {status}\r\n{location}Content-Length: {len(body)}\r\n\r\n".encode()
        server = a_server_that_says(head, body.encode())
        with server as base_url, pytest.raises((KeyRefused, Unavailable, ConfigError)) as caught:
            recognised(base_url)
        assert "xxx" in str(caught.value)
        assert "UP_F" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.upstage.ai",
        "ftp://host/v1",
        "http://",
        "https://user:pw@host/v1",
        "http://h:99999/",
        f"http://{'x' * 70}.example/v1",
        "http://a..b/v1",
        "https://h/v1?key=1",
    ],
)
def test_an_address_that_cannot_be_one_is_refused_at_once(base_url):
    with pytest.raises(ConfigError, match="UPSTAGE_BASE_URL"):
        UpstageEngine(KEYS, **NEUTRAL, base_url=base_url)


def test_answers_of_another_address_are_never_taken_for_the_services_own():
    def options(**more):
        return UpstageEngine(KEYS, **NEUTRAL, **more).options

    assert options() == options(base_url="https://api.upstage.ai/v1/") == {"model": "ocr"}
    assert options(base_url="http://127.0.0.1:9/v1") != options()


def test_an_engine_without_a_key_says_what_to_do():
    with pytest.raises(ConfigError, match="UPSTAGE_API_KEY"):
        UpstageEngine((), **NEUTRAL)


def test_what_is_sent_is_neutral_and_complete():
    seen = []

    def answer(request):
        seen.append((request, request.read()))
        return httpx2.Response(500)

    with pytest.raises(Unavailable):
        recognised(
            "https://ocr.example/v1", document(kind="jpeg"), transport=httpx2.MockTransport(answer)
        )
    request, body = seen[0]
    assert (request.method, str(request.url)) == (
        "POST",
        "https://ocr.example/v1/document-digitization",
    )
    assert request.headers["authorization"] == "Bearer up_first"
    assert b'name="document"; filename="page.jpg"' in body
    assert b"Content-Type: image/jpeg" in body
    assert b'name="model"\r\n\r\nocr\r\n' in body
