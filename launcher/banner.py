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
    names = [", ".join(config.served_names(key)) for key, model in config.models.items() if model.replicas]
    keys = bool(config.edge.api_keys_file or os.environ.get("GPT_SERVER_API_KEYS"))
    return "\n".join(
        [
            "",
            f"Ready after {ready_s:.0f} s: {address}/v1   (docs: {address}/docs)",
            *(f"  model  {name}" for name in names),
            "",
            *([] if not names else curl(address, names[0].split(", ")[0], keys)),
            "",
            *([] if not names else sdk(address, names[0].split(", ")[0], keys)),
            "",
            "Ctrl-C drains and stops everything.",
            "",
        ]
    )


def curl(address: str, model: str, keys: bool) -> list[str]:
    """Returns a chat request for a shell."""
    auth = " -H 'Authorization: Bearer YOUR-KEY'" if keys else ""
    return [
        f"curl {address}/v1/chat/completions -H 'Content-Type: application/json'{auth} \\",
        f'  -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}\'',
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
