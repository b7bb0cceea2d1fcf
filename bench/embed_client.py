"""A load client for OpenAI's embeddings: one text in each request, in base64 as the SDKs ask for it."""

from bench.client import ask_all, main
from bench.embed_texts import texts
from bench.http_client import Answer, connections, request_bytes
from bench.load import Load, Seen


class Vectors(Answer):
    """An answer with vectors."""

    @property
    def tokens(self) -> int:
        """How many vectors it has."""
        if not self.body.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"answered with {bytes(self.body[-2000:])!r}")
        return self.body.count(b'"object":"embedding"')


async def run(load: Load) -> Seen:
    """Asks over as many connections as wished. `load.extra`: `mixed` and `path`."""
    opened = await connections(load, Vectors)
    bodies = [
        {"model": load.model, "input": text, "encoding_format": "base64"}
        for text in texts(load.requests, mixed=load.extra["mixed"])
    ]
    requests = [request_bytes(load.extra["path"], body) for body in bodies]
    return await ask_all(load, [connection.ask for connection in opened], requests)


if __name__ == "__main__":
    main(run)
