"""Two ways to end a long answer, cancelling and a deadline, and how busy the model is then: stop.py ADDRESS MODEL."""

import sys

from gpt_server.client import GPTServerError, connect, user
from gpt_server.llm.v1.chat_pb2 import Chat
from gpt_server.llm.v1.llm_service_pb2 import GenerateRequest
from gpt_server.llm.v1.sampling_pb2 import Sampling

address, model = sys.argv[1:]
endless = GenerateRequest(
    model=model,
    chat=Chat(messages=[user("Count from 1 to 1000.")]),
    sampling=Sampling(ignore_eos=True),
)
with connect(address) as client:
    with client.generate(endless) as answer:
        print("first piece:", next(answer).strip())
        answer.cancel()
    for picture in client.watch(timeout_s=60):
        running = [status.running for status in picture.models if status.model.name == model]
        if running == [0]:
            print("running: 0")
            break
    try:
        for _ in client.generate(endless, timeout_s=0.5):
            pass
    except GPTServerError as error:
        print(error.code.name)
