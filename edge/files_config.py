"""Settings of the files that answers refer to by URL."""

from pathlib import Path

from pydantic import Field, FilePath, model_validator

from gpt_server.edge.section import Section


class S3Settings(Section):
    """A bucket of S3, or of a store that speaks as S3 does (MinIO, Ceph, R2, …). All edges may share it."""

    bucket: str = Field(min_length=1, description="Its name. It must be there; nothing else may be below `prefix`.")
    prefix: str = Field(default="", description="Folder in the bucket.")
    endpoint: str | None = Field(
        default=None, pattern=r"^https?://\S+$", description="Where the store is, `https://host:port`. Unset: AWS."
    )
    region: str | None = Field(default=None, description="Region. Unset: what AWS's own settings say.")
    virtual_hosted_style: bool = Field(
        default=False, description="Whether the bucket stands in the host's name and not in the path."
    )
    access_key_id: str | None = Field(
        default=None,
        description="Key. Unset: what AWS's libraries find: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or the "
        "role of the pod or the machine.",
    )
    secret_access_key_file: FilePath | None = Field(default=None, description="File with the key's secret.")

    @model_validator(mode="after")
    def _has_whole_key(self) -> "S3Settings":
        if (self.access_key_id is None) != (self.secret_access_key_file is None):
            raise ValueError("access_key_id and secret_access_key_file must be set together, or neither")
        return self


class FileSettings(Section):
    """Image files that answers refer to by URL."""

    folder: Path | None = Field(
        default=None,
        description="Where they lie; edges that answer for one address share it. Unset: a folder of this user's "
        "below the system's temporary one.",
    )
    s3: S3Settings | None = Field(default=None, description="A bucket instead of the folder. Unset: the folder.")
    expires_s: float = Field(default=3600.0, gt=0, description="How long a file is there, in seconds.")
    max_total_bytes: int = Field(
        default=1024 * 1024 * 1024, ge=1024, description="All files together, in bytes; the oldest go first."
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="Start of the URLs, `https://api.example.org`. Empty: the host that the caller has named.",
    )

    @model_validator(mode="after")
    def _is_one_place(self) -> "FileSettings":
        if self.folder is not None and self.s3 is not None:
            raise ValueError("folder and s3 cannot both be set")
        return self
