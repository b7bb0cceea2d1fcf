"""Asks a GPT Server for its models and for a chat answer: `python ask.py URL [CHAT_MODEL]`. Exit code 0: both came.

The API key, if there is one, is the first of the file that GPT_SERVER_TEST_KEYS names.
"""

import json
import os
import sys
import urllib.request
from pathlib import Path

TIMEOUT_S = 300


def key() -> str:
    """Returns the first key of the file; its lines are `name:key` or `key`."""
    file = os.environ.get("GPT_SERVER_TEST_KEYS")
    lines = Path(file).read_text(encoding="utf-8").splitlines() if file else []
    found = (line.split("#")[0].strip() for line in lines)
    return next((line.partition(":")[2] or line for line in found if line), "none")


def ask(url: str, body: object = None) -> dict:
    """Returns the JSON that the edge answers."""
    headers = {"Authorization": f"Bearer {key()}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.load(answer)


def main(url: str, chat_model: str = "") -> None:
    """Prints what came; anything else than 200 raises."""
    models = [model["id"] for model in ask(f"{url}/v1/models")["data"]]
    print("models:", ", ".join(models))
    if chat_model:
        messages = [{"role": "user", "content": "Say hello."}]
        body = {"model": chat_model, "messages": messages, "max_completion_tokens": 16}
        answer = ask(f"{url}/v1/chat/completions", body)
        print(f"{chat_model}:", answer["choices"][0]["message"]["content"])
        assert answer["usage"]["completion_tokens"] > 0
    assert chat_model or models, "no model is ready"


if __name__ == "__main__":
    main(*sys.argv[1:])
