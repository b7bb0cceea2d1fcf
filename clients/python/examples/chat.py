"""Streams an answer: chat.py ADDRESS MODEL TEXT [TEMPERATURE].

GPT_SERVER_CA names a file with the authority of a service that speaks TLS, GPT_SERVER_TOKEN is a token.
"""

import os
import sys
from pathlib import Path

from gpt_server.client import ErrorReason, GPTServerError, connect, user
from gpt_server.llm.v1.chat_pb2 import Chat
from gpt_server.llm.v1.llm_service_pb2 import FinishReason, GenerateRequest
from gpt_server.llm.v1.sampling_pb2 import Sampling

address, model, text, *temperature = sys.argv[1:]
ca, token = os.environ.get("GPT_SERVER_CA"), os.environ.get("GPT_SERVER_TOKEN")
request = GenerateRequest(
    model=model,
    chat=Chat(messages=[user(text)]),
    sampling=Sampling(temperature=float(temperature[0]) if temperature else 0, max_tokens=200),
)
try:
    with (
        connect(address, ca_file=Path(ca) if ca else None, token=token) as client,
        client.generate(request, timeout_s=60) as answer,
    ):
        for piece in answer:
            print(piece, end="", flush=True)
        finished = answer.finished
except GPTServerError as error:
    sys.exit(f"{error.code.name} {ErrorReason.Name(error.reason)} {error.field or '-'}: {error}")
print(f"\n{FinishReason.Name(finished.choices[0].finish_reason)}, {finished.usage.completion_tokens} tokens")
