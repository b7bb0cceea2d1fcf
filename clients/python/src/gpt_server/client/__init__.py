"""A client of GPT Server's gRPC services. `connect` is where to begin; requests are the generated messages."""

from gpt_server.client.client import Client, Image, Speech, TextStream, connect, user
from gpt_server.client.errors import GPTServerError
from gpt_server.common.v1.error_pb2 import ErrorReason

__all__ = ["Client", "ErrorReason", "GPTServerError", "Image", "Speech", "TextStream", "connect", "user"]
