"""What is printed when the stack is ready: the address, the models, and two examples that work when pasted."""

import importlib.util
import os
import sys

from gpt_server.launcher.config import StackConfig


def url(config: StackConfig, port: int) -> str:
    """Returns the address for someone on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.edge.host, config.edge.host)  # noqa: S104 (compared)
    return f"http://{f'[{host}]' if ':' in host and '[' not in host else host}:{port}"


def text(config: StackConfig, port: int, ready_s: float) -> str:
    """Returns the whole text; `ready_s`: how long the start took."""
    address = url(config, port)
    served = {key: model for key, model in config.models.items() if model.replicas}
    return "\n".join(
        [
            "",
            f"Ready after {ready_s:.0f} s: {address}/v1   (docs: {address}/docs)",
            *(f"  model  {', '.join(config.served_names(key))}" for key in served),
            "",
            *_examples(config, list(served), address),
            "",
            "Ctrl-C drains and stops everything.",
            "",
        ]
    )


def _examples(config: StackConfig, served: list[str], address: str) -> list[str]:
    """Returns requests to the first model that chats, else to the first that draws, else for what there is."""
    keys = bool(config.edge.api_keys_file or os.environ.get("GPT_SERVER_API_KEYS"))
    first = {config.models[key].service: config.served_names(key)[0] for key in reversed(served)}
    if "llm" in first:
        return [*curl(address, first["llm"], keys), "", *sdk(address, first["llm"], keys)]
    if "image" in first:
        return picture(address, first["image"], keys)
    return [f"curl {address}/v1/models{_auth(keys)}"] if served else []


def _auth(keys: bool) -> str:
    return " -H 'Authorization: Bearer YOUR-KEY'" if keys else ""


def curl(address: str, model: str, keys: bool) -> list[str]:
    """Returns a chat request for a shell."""
    return [
        f"curl {address}/v1/chat/completions -H 'Content-Type: application/json'{_auth(keys)} \\",
        f'  -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}\'',
    ]


def picture(address: str, model: str, keys: bool) -> list[str]:
    """Returns a request for an image, which lies in a file afterwards, for a shell."""
    return [
        f"curl -s {address}/v1/images/generations -H 'Content-Type: application/json'{_auth(keys)} \\",
        f'  -d \'{{"model": "{model}", "prompt": "a red circle on a blue background"}}\' \\',
        "  | python3 -c 'import base64, json, sys; "
        'open("image.png", "wb").write(base64.b64decode(json.load(sys.stdin)["data"][0]["b64_json"]))\'',
    ]


def sdk(address: str, model: str, keys: bool) -> list[str]:
    """Returns the same with the openai SDK, for a shell too."""
    return [
        f"{_python()} - <<'END'",
        "from openai import OpenAI",
        f'client = OpenAI(base_url="{address}/v1", api_key="{"YOUR-KEY" if keys else "none"}")',
        'messages = [{"role": "user", "content": "Hello!"}]',
        f'for chunk in client.chat.completions.create(model="{model}", messages=messages, stream=True):',
        '    print(chunk.choices[0].delta.content or "", end="", flush=True)',
        "print()",
        "END",
    ]


def _python() -> str:
    """Returns a Python that has the openai SDK: this one if it does, by the shortest name."""
    if importlib.util.find_spec("openai") is None:
        return "python3"
    near = os.path.relpath(sys.executable)
    return sys.executable if near.startswith("..") else near
