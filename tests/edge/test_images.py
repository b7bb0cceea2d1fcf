"""Image routes over the fake engine: forms as clients send them, refusals by name, streams, files by URL, leaving."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from PIL import Image

from tests.services.image_asking import LIMIT_S, png
from tests.support.edge import RunningEdge, edge_server
from tests.support.service import FAKE_IMAGE, RunningService, image_service


@pytest.fixture
async def service() -> AsyncIterator[RunningService]:
    async with image_service(FAKE_IMAGE) as running:
        yield running


@pytest.fixture
async def edge(service: RunningService, tmp_path: Path) -> AsyncIterator[RunningEdge]:
    async with edge_server([service.address], files={"folder": tmp_path / "files"}) as running:
        yield running


@pytest.fixture
async def http(edge: RunningEdge) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=edge.url) as client:
        yield client


async def post(http: httpx2.AsyncClient, what: str, body: Any = None, **more: Any) -> Any:
    """The answer, which is a success."""
    answer = await http.post(f"/v1/images/{what}", json=body, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def picture(item: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(item["b64_json"])))


async def test_images_from_a_text(http: httpx2.AsyncClient) -> None:
    body = {"prompt": "a cat", "n": 2, "size": "128x64", "output_format": "webp", "seed": 5}
    answer = await post(http, "generations", body)
    assert [item["seed"] for item in answer["data"]] == [5, 6]
    assert (picture(answer["data"][0]).format, picture(answer["data"][0]).size) == ("WEBP", (128, 64))
    assert (answer["size"], answer["output_format"], answer["background"]) == ("128x64", "webp", "opaque")
    assert answer["usage"]["input_tokens"] == 2


async def test_forms(http: httpx2.AsyncClient) -> None:
    """As curl and the SDKs send them: single and repeated names, `image[]`, numbers as text."""
    form = {"prompt": "blue", "n": "2", "guidance_scale": "2.5", "stream": "false"}
    file = ("a.png", png(), "image/png")
    for files in ([("image", file)], [("image", file), ("image", file)], [("image[]", file), ("image[]", file)]):
        answer = await post(http, "edits", data=form, files=files)
        assert len(answer["data"]) == 2


async def test_edits_in_json(http: httpx2.AsyncClient) -> None:
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    for images in ({"image": url}, {"image": [url, url]}, {"images": [{"image_url": url}]}):
        assert (await post(http, "edits", {"prompt": "blue", **images}))["data"]


async def test_a_mask(http: httpx2.AsyncClient) -> None:
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    files = {"image": ("a.png", png(), "image/png"), "mask": ("m.png", buffer.getvalue(), "image/png")}
    made = picture((await post(http, "edits", data={"prompt": "blue"}, files=files))["data"][0])
    assert made.getpixel((40, 10)) == (255, 0, 0)
    assert made.getpixel((10, 10)) != (255, 0, 0)


async def test_variations(http: httpx2.AsyncClient) -> None:
    answer = await post(http, "variations", data={"n": "2"}, files={"image": ("a.png", png(80, 40), "image/png")})
    assert [picture(item).size for item in answer["data"]] == [(80, 40)] * 2


@pytest.mark.parametrize(
    ("what", "body", "code", "param"),
    [
        ("generations", {"prompt": "x", "modle": "y"}, "unsupported_parameter", "modle"),
        ("generations", {"prompt": "x", "style": "vivid"}, "unsupported_parameter", "style"),
        ("generations", {"prompt": "x", "size": "big"}, "invalid_value", "size"),
        ("generations", {"prompt": "x", "size": "60x64"}, "invalid_value", "size"),
        ("generations", {"prompt": "x", "n": 11}, "invalid_value", "n"),
        ("generations", {"prompt": "x", "output_format": "gif"}, "invalid_value", "output_format"),
        ("generations", {"prompt": "x", "output_compression": 50}, "invalid_value", "output_compression"),
        ("generations", {"prompt": "x", "background": "transparent"}, "unsupported_parameter", "background"),
        ("generations", {"prompt": "x", "stream": True, "response_format": "url"}, "invalid_value", "response_format"),
        ("generations", {"prompt": "x", "stream": True, "partial_images": 9}, "invalid_value", "partial_images"),
        ("generations", {"prompt": ""}, "invalid_value", "prompt"),
        ("generations", {}, "invalid_value", "prompt"),
        ("generations", {"prompt": "x", "model": "nonsense"}, "model_not_found", "model"),
        ("edits", {"prompt": "x"}, "invalid_value", "image"),
        ("edits", {"prompt": "x", "image": "data:image/png;base64,AAAA"}, "invalid_media", "image[0]"),
        ("edits", {"prompt": "x", "images": ["data:text/plain;base64,AAAA"]}, "invalid_media", "images[0]"),
        ("edits", {"prompt": "x", "image": "http://127.0.0.1:1/x.png"}, "invalid_media", "image[0]"),
    ],
)
async def test_refusals(http: httpx2.AsyncClient, what: str, body: Any, code: str, param: str) -> None:
    answer = await http.post(f"/v1/images/{what}", json=body)
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == (code, param), error
    assert answer.status_code in (400, 404)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"no form", "multipart/form-data"),
        (b"no form", "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="n"\r\n\r\n1', "multipart/form-data; boundary=x"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="a b"\r\n\r\n1\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (b"--x\r\n" * 300, "multipart/form-data; boundary=x"),
    ],
)
async def test_broken_forms(http: httpx2.AsyncClient, content: bytes, kind: str) -> None:
    answer = await http.post("/v1/images/edits", content=content, headers={"content-type": kind})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_a_number_that_is_none_in_a_form(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/v1/images/edits", data={"prompt": "x", "n": "two"}, files={"image": ("a.png", png())})
    assert answer.json()["error"]["param"] == "n"


async def test_streams(http: httpx2.AsyncClient) -> None:
    body = {"prompt": "x", "stream": True, "partial_images": 2, "n": 2}
    async with http.stream("POST", "/v1/images/generations", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = (await answer.aread()).decode()
    events = [orjson.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    partial, completed = "image_generation.partial_image", "image_generation.completed"
    assert [event["type"] for event in events] == [partial, partial, partial, partial, completed, completed] or [
        event["type"] for event in events
    ] == [partial, partial, completed, partial, partial, completed], text
    assert [event["partial_image_index"] for event in events if event["type"] == partial] == [0, 1, 0, 1]
    assert events[-1]["usage"]["output_tokens"] > 0
    assert ": step 8 of 8" in text


async def test_images_by_url(edge: RunningEdge, http: httpx2.AsyncClient, tmp_path: Path) -> None:
    answer = await post(http, "generations", {"prompt": "x", "n": 2, "response_format": "url"})
    urls = [item["url"] for item in answer["data"]]
    assert len({*urls}) == 2
    assert all(url.startswith(f"{edge.url}/v1/images/files/") for url in urls)
    found = await http.get(urls[0])
    assert (found.headers["content-type"], Image.open(io.BytesIO(found.content)).size) == ("image/png", (64, 64))
    for name in ("x.png", "../../etc/passwd", "A" * 32 + ".png"):
        assert (await http.get(f"/v1/images/files/{name}")).status_code == 404


async def test_files_go_when_their_time_is_over(service: RunningService, tmp_path: Path) -> None:
    files = {"folder": tmp_path, "expires_s": 0.000001}
    async with edge_server([service.address], files=files) as edge, httpx2.AsyncClient(base_url=edge.url) as http:
        answer = await post(http, "generations", {"prompt": "x", "response_format": "url"})
        assert (await http.get(answer["data"][0]["url"])).status_code == 404
        assert not [*tmp_path.iterdir()]


async def test_files_take_no_more_room_than_they_may(service: RunningService, tmp_path: Path) -> None:
    files = {"folder": tmp_path, "max_total_bytes": 1024}
    async with edge_server([service.address], files=files) as edge, httpx2.AsyncClient(base_url=edge.url) as http:
        urls = []
        for _ in range(12):
            answer = await post(http, "generations", {"prompt": "x", "response_format": "url"})
            urls.append(answer["data"][0]["url"])
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1024
        assert (await http.get(urls[-1])).status_code == 200
        assert (await http.get(urls[0])).status_code == 404


async def test_a_file_needs_its_name_and_no_key(
    service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPT_SERVER_API_KEYS", "me:secret")
    files = {"folder": tmp_path}
    async with edge_server([service.address], files=files) as edge, httpx2.AsyncClient(base_url=edge.url) as http:
        body = {"prompt": "x", "response_format": "url"}
        assert (await http.post("/v1/images/generations", json=body)).status_code == 401
        answer = await post(http, "generations", body, headers={"authorization": "Bearer secret"})
        assert (await http.get(answer["data"][0]["url"])).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("phase", ["prepare", "step"])
async def test_leaving_frees_the_device(
    service: RunningService, http: httpx2.AsyncClient, stream: bool, phase: str
) -> None:
    engine, admission = service.engines["fake-image"], service.admissions["fake-image"]
    engine.gates[phase].shut()
    asking = asyncio.ensure_future(http.post("/v1/images/generations", json={"prompt": "x", "stream": stream}))
    async with asyncio.timeout(LIMIT_S):
        await engine.gates[phase].reached.wait()
        asking.cancel()
        await admission.changes.until(lambda: admission.running == 0)
        await engine.idle.wait()
    assert engine.steps_done == 0


async def test_a_fault_in_a_stream(http: httpx2.AsyncClient) -> None:
    body = {"prompt": '{"fake": {"fail_after": 2}}', "stream": True}
    text = ""
    async with http.stream("POST", "/v1/images/generations", json=body) as answer:
        with suppress(httpx2.RemoteProtocolError):
            async for piece in answer.aiter_text():
                text += piece
            pytest.fail("the stream has ended as if it were whole")
    assert '"code":"engine_unavailable"' in text
