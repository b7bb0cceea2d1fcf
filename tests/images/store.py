"""Images as buildah makes them from the recipe, on a base that debootstrap makes from the machine's own mirror.

They lie in ${XDG_CACHE_HOME:-~/.cache}/gpt-server/images; the base and what uv has downloaded are kept.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.deploy.test_bake import BAKE, DOCKER, ROOT, TARGETS
from tests.support.needs import need, unavailable

BASE = "localhost/gpt-server-test-base:1"
PYTHON = "python3-venv"
"""Package of Python in the base, which has none: added as the recipe adds packages."""
CANARY = "canary-of-the-build-settings"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def run(*command: str | Path, cwd: Path | None = None, **env: str) -> str:
    """Runs a program to its end and returns what it printed. It must succeed."""
    words = [str(part) for part in command]
    done = subprocess.run(
        words, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=1200, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout[-4000:]}{done.stderr[-8000:]}"
    return done.stdout


@dataclass(frozen=True)
class Image:
    """An image, mounted: `root` is its file system, `inspected` what buildah says of it."""

    name: str
    root: Path
    inspected: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """The part that a runtime reads: `User`, `Env`, `Entrypoint`, `Cmd`, `WorkingDir`, `Labels`."""
        found: dict[str, Any] = self.inspected["OCIv1"]["config"]
        return found


class Store:
    """Where images are made and lie. `close` forgets the containers that showed their files."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.folder = cache / "gpt-server" / "images"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._containers: list[str] = []

    @cached_property
    def _command(self) -> tuple[str, ...]:
        if os.geteuid():
            unavailable("images are built and run by root here")
        places = "--root", str(self.folder / "storage"), "--runroot", str(self.scratch / "run")
        return need("buildah"), *places, "--storage-driver", "overlay"

    def buildah(self, *arguments: str | Path) -> str:
        """Runs buildah and returns what it printed. Caches of builds lie in the store too."""
        return run(*self._command, *arguments, cwd=ROOT, TMPDIR=str(self.folder), BUILDAH_ISOLATION="chroot")

    def build(self, name: str) -> Image:
        """Returns the image of a target of docker-bake.json."""
        self._make_base()
        target = TARGETS[name]
        values = BAKE["target"]["recipe"]["args"] | target["args"] | {"BASE": BASE, "PACKAGES": PYTHON}
        values |= {"VERSION": BAKE["variable"]["VERSION"]["default"], "REVISION": "of-a-test"}
        settings = self.scratch / "build"
        settings.write_text(f"SSL_CERT_FILE=/run/secrets/ca\nPIP_CERT=/run/secrets/ca\nSETTING={CANARY}\n")
        tag = f"localhost/gpt-server-{name}:test"
        self.buildah(
            # Of a stage that lay in its cache buildah 1.28 mounts what it copied, without what it ran: so no cache.
            *("bud", "--quiet", "--layers", "--no-cache", "--pull-never", "--tag", tag, "--target", target["target"]),
            *("--file", DOCKER / "Dockerfile", "--ignorefile", DOCKER / "Dockerfile.dockerignore"),
            *("--secret", f"id=build,src={settings}", "--secret", f"id=ca,src={AUTHORITIES}"),
            *("--volume", "/etc/apt:/etc/apt:ro"),
            *(word for key, value in values.items() for word in ("--build-arg", f"{key}={value}")),
            ".",
        )
        container = self.buildah("from", "--pull-never", tag).strip()
        self._containers.append(container)
        root = Path(self.buildah("mount", container).strip())
        return Image(name, root, json.loads(self.buildah("inspect", "--type", "image", tag)))

    def _make_base(self) -> None:
        """Makes a Debian of the machine's own release, without Python and without a word of its mirror."""
        if BASE in self.buildah("images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
            return
        release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        sites = run("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages").split()
        root = self.scratch / "base"
        run(need("debootstrap"), "--variant=minbase", "--foreign", release["VERSION_CODENAME"], root, sites[0])
        (root / "etc/dpkg/dpkg.cfg.d").mkdir(parents=True, exist_ok=True)
        (root / "etc/dpkg/dpkg.cfg.d/fast").write_text("force-unsafe-io\n")  # each package would wait for the disk
        run("chroot", root, "/debootstrap/debootstrap", "--second-stage")
        (root / "etc" / "apt" / "sources.list").write_text("")
        run("rm", "-rf", root / "var/lib/apt/lists", root / "var/cache/apt", root / "var/log", root / "debootstrap")
        run("mkdir", "-p", root / "var/lib/apt/lists", root / "var/cache/apt/archives/partial", root / "var/log")
        container = self.buildah("from", "scratch").strip()
        self.buildah("add", "--quiet", container, root, "/")
        self.buildah("commit", "--quiet", "--rm", container, BASE)
        run("rm", "-rf", root)

    def close(self) -> None:
        """Unmounts the images and throws away what none of them is made of; they stay until the next time."""
        for container in self._containers:
            self.buildah("rm", container)
        self.buildah("rmi", "--prune", "--force")
