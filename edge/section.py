"""What the sections of the edge's settings have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the settings: read once, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
