"""gRPC calls over HTTP/2 on the edge's own event loop.

`grpc.aio` hands every message from thread to thread, which costs more than everything else that the edge does for a
token. This is the part of gRPC that the edge needs and no more: calls with one request, many or one response.
Follows RFC 9113 (HTTP/2), RFC 7541 (HPACK) and gRPC's "gRPC over HTTP2". docs/benchmarks.md has what it saves.
"""
