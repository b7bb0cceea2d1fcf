"""Compares texts with the first: embed.py ADDRESS MODEL TEXT TEXT…"""

import sys
from operator import mul

from gpt_server.client import connect
from gpt_server.embed.v1.embed_service_pb2 import EmbedRequest
from gpt_server.embed.v1.input_pb2 import Input

address, model, *texts = sys.argv[1:]
with connect(address) as client:
    vectors = client.embed(EmbedRequest(model=model, inputs=[Input(text=text) for text in texts]), timeout_s=60)
print(f"{len(vectors)} vectors of {len(vectors[0])} numbers")
for text, vector in zip(texts[1:], vectors[1:], strict=True):
    print(f"{sum(map(mul, vectors[0], vector)):.4f} {text}")
