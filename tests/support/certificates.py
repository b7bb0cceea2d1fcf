"""An authority and certificates of it, made with the openssl command."""

import subprocess
from pathlib import Path

from tests.support.needs import need


class Authority:
    """Signs certificates; everything lies in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority", *self._files("ca")
        )

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        return self.folder / "ca.pem"

    def sign(self, name: str) -> tuple[Path, Path]:
        """Returns certificate and key of a new party, valid for `localhost`."""
        key, certificate = self.folder / f"{name}.key", self.folder / f"{name}.pem"
        self._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"),
            *("-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"), *self._files(name)),
        )
        return certificate, key

    def _files(self, name: str) -> tuple[str, ...]:
        return "-keyout", str(self.folder / f"{name}.key"), "-out", str(self.folder / f"{name}.pem")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run([need("openssl"), *arguments], check=True, capture_output=True, timeout=60)
