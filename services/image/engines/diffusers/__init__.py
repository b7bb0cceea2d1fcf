"""Images by diffusers: whatever pipeline a model's folder names."""

from gpt_server.services.image.engines.diffusers.engine import DiffusersEngine

__all__ = ["DiffusersEngine"]
