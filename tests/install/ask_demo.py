"""Run by the Python of an installed wheel: starts the demo, prints its answer to one question, ends it."""

import re
import signal
import subprocess
import sys
import urllib.request

stack = subprocess.Popen([sys.argv[1], "up", "--port", "0"], stderr=subprocess.PIPE, text=True)
assert stack.stderr
seen = ""
for line in stack.stderr:
    seen += line
    if ready := re.match(r"Ready after \d+ s: (\S+/v1) ", line):
        break
else:
    sys.exit(seen)
body = b'{"model": "demo-chat", "messages": [{"role": "user", "content": "Hello!"}]}'
request = urllib.request.Request(f"{ready[1]}/chat/completions", body, {"Content-Type": "application/json"})  # noqa: S310
print(urllib.request.urlopen(request, timeout=60).read().decode())  # noqa: S310
stack.send_signal(signal.SIGINT)
stack.stderr.read()
sys.exit(stack.wait())
