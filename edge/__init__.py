"""The edge: OpenAI's JSON and SSE in, typed gRPC out. It knows protos and HTTP, and no engine."""
