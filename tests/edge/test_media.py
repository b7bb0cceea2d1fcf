"""Files of requests: what is loaded, and that no URL leads where it must not."""

import asyncio
import base64
from collections.abc import AsyncIterator

import httpx2
import pytest
from aiohttp import web

from gpt_server.edge.config import MediaSettings
from gpt_server.edge.errors import ApiError
from gpt_server.edge.media import MediaLoader, is_public
from tests.edge.asking import chat
from tests.edge.stub import stub_service
from tests.support.edge import edge_server

PNG = b"\x89PNG and more"
FILES = {
    "/png": (PNG, "image/png"),
    "/bytes": (PNG, "application/octet-stream"),
    "/untyped": (PNG, ""),
    "/html": (b"<html>", "text/html"),
    "/empty": (b"", "image/png"),
}
PARAM = "messages[0].content[0].image_url.url"


class Site:
    """A web server of this machine.

    Attributes:
        requests: the requests that have reached it.
        slow: holds `/slow` until it is set.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[web.Request] = []
        self.slow = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answers by path."""
        self.requests.append(request)
        if request.path.startswith("/to/"):
            raise web.HTTPFound(request.path_qs.removeprefix("/to/"))
        match request.path:
            case "/round":
                raise web.HTTPFound("/round")
            case "/twice":
                raise web.HTTPFound("/to//png")
            case "/large":
                return await self._large(request)
            case "/slow":
                await self.slow.wait()
        try:
            content, kind = FILES[request.path]
        except KeyError:
            raise web.HTTPNotFound from None
        return web.Response(body=content, headers={"content-type": kind})

    async def _large(self, request: web.Request) -> web.StreamResponse:
        """Says nothing of its size and does not end."""
        response = web.StreamResponse(headers={"content-type": "image/png"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * 1024)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """The site, on a free port."""
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield site
    site.slow.set()
    await runner.cleanup()


@pytest.fixture
async def media() -> AsyncIterator[MediaLoader]:
    """A loader that may fetch from this machine."""
    loader = MediaLoader(MediaSettings(allow_private_addresses=True, max_bytes=4096, timeout_s=5, max_redirects=2))
    yield loader
    await loader.close()


@pytest.fixture
async def guarded() -> AsyncIterator[MediaLoader]:
    """A loader as it is by default."""
    loader = MediaLoader(MediaSettings())
    yield loader
    await loader.close()


async def refusal(loader: MediaLoader, url: str, kind: str = "image") -> str:
    """Returns why a URL is not loaded."""
    with pytest.raises(ApiError) as caught:
        await loader.load(url, kind, PARAM)
    assert (caught.value.reason, caught.value.param) == ("INVALID_MEDIA", PARAM)
    return str(caught.value)


@pytest.mark.parametrize(("path", "media_type"), [("/png", "image/png"), ("/bytes", ""), ("/untyped", "")])
async def test_a_url(media: MediaLoader, site: Site, path: str, media_type: str) -> None:
    loaded = await media.load(site.url + path, "image", PARAM)
    assert (loaded.content, loaded.media_type) == (PNG, media_type)


async def test_redirects(media: MediaLoader, site: Site) -> None:
    assert (await media.load(f"{site.url}/twice", "image", PARAM)).content == PNG
    assert len(site.requests) == 3
    assert "redirects more than 2 times" in await refusal(media, f"{site.url}/round")


async def test_no_cookies_and_no_credentials(media: MediaLoader, site: Site) -> None:
    await media.load(f"{site.url}/png", "image", PARAM)
    assert not {"cookie", "authorization", "referer"} & {name.lower() for name in site.requests[0].headers}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/missing", "HTTP status 404"),
        ("/html", "It is text/html, not image/"),
        ("/empty", "nothing in it"),
        ("/large", "larger than 4096 bytes"),
        ("/to/ftp://example.org/x", "must start with"),
        ("/to/file:///etc/passwd", "must start with"),
    ],
)
async def test_a_url_that_is_no_use(media: MediaLoader, site: Site, path: str, words: str) -> None:
    assert words in await refusal(media, site.url + path)


async def test_a_url_that_takes_too_long(site: Site) -> None:
    loader = MediaLoader(MediaSettings(allow_private_addresses=True, timeout_s=0.05))
    assert "within 0.05 s" in await refusal(loader, f"{site.url}/slow")
    await loader.close()


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "gopher://x",
        "/etc/passwd",
        "x",
        "http://",
        "http://user:pw@127.0.0.1/",
    ],
)
async def test_other_schemes(guarded: MediaLoader, url: str) -> None:
    assert await refusal(guarded, url)


async def test_nothing_of_this_machine_is_reached(guarded: MediaLoader, site: Site) -> None:
    port = site.url.rpartition(":")[2]
    hosts = ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433", "0x7f000001")
    for host in hosts:
        assert await refusal(guarded, f"http://{host}:{port}/png")
    assert "does not fetch from" in await refusal(guarded, f"{site.url}/png")
    assert site.requests == []


async def test_a_name_that_leads_home(guarded: MediaLoader, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is the address of the connection, not the name, nor what the name meant a moment before."""
    port = int(site.url.rpartition(":")[2])
    loop = asyncio.get_running_loop()

    async def rebound(host: str, port: int, **how: object) -> list[object]:
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", rebound)
    assert "does not fetch from" in await refusal(guarded, f"http://innocent.example:{port}/png")
    assert site.requests == []


async def test_redirects_are_checked_again(site: Site) -> None:
    """The first address is allowed here, the second is not."""
    loader = MediaLoader(MediaSettings(allow_private_addresses=True))
    settings = MediaSettings()

    class OnlyOnce(MediaLoader):
        def _make_socket(self, address):  # type: ignore[no-untyped-def]
            self._settings = settings if site.requests else loader._settings
            return super()._make_socket(address)

    once = OnlyOnce(MediaSettings(allow_private_addresses=True))
    assert "does not fetch from" in await refusal(once, f"{site.url}/to//png")
    assert len(site.requests) == 1
    await once.close()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "239.1.1.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::",
        "2002:a00:1::",
        "2001:db8::1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


async def test_data_urls(guarded: MediaLoader) -> None:
    text = base64.b64encode(PNG).decode()
    loaded = await guarded.load(f"data:image/png;base64,{text}", "image", PARAM)
    assert (loaded.content, loaded.media_type) == (PNG, "image/png")
    assert (await guarded.load(f"DATA:Image/PNG;charset=x;base64,{text}", "image", PARAM)).media_type == "image/png"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("data:image/png,plain", "must look like data:"),
        ("data:image/png;base64", "must look like data:"),
        ("data:image/png;base64,", "nothing in it"),
        ("data:image/png;base64,a", "not valid base64"),
        ("data:image/png;base64,....", "not valid base64"),
        ("data:text/html;base64,AAAA", "It is text/html, not image/"),
        ("data:image/png;base64," + "A" * 8192, "larger than 4096 bytes"),
    ],
)
async def test_data_urls_that_are_no_use(media: MediaLoader, url: str, words: str) -> None:
    assert words in await refusal(media, url)


async def test_a_refused_file_is_a_400_that_names_it() -> None:
    content = [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": "http://127.0.0.1/x"}},
    ]
    async with (
        stub_service() as stub,
        edge_server([stub.address]) as edge,
        httpx2.AsyncClient(base_url=edge.url) as client,
    ):
        body = chat(model="m", messages=[{"role": "user", "content": content}])
        response = await client.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_media"
    assert response.json()["error"]["param"] == "messages[0].content[1].image_url.url"
    assert stub.requests == []
