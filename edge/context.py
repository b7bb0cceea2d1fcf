"""What a request needs to find: the edge it came to, and its own record."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import Request
from starlette.types import Scope

from gpt_server.edge.config import EdgeSettings
from gpt_server.edge.image_files import FileStore
from gpt_server.edge.limits import Limits
from gpt_server.edge.media import MediaLoader
from gpt_server.edge.replicas import ReplicaSet
from gpt_server.edge.telemetry import Exchange, Telemetry


@dataclass
class Edge:
    """Everything that lives as long as the edge does. `draining`: it is about to stop."""

    settings: EdgeSettings
    replicas: ReplicaSet
    media: MediaLoader
    files: FileStore
    telemetry: Telemetry
    limits: Limits
    draining: bool = False

    @property
    def ready(self) -> bool:
        """Whether it can do its work; that one model is missing does not change it."""
        return self.replicas.synced.is_set() and not self.draining

    def began(self, exchange: Exchange, model: str) -> None:
        """Notes which model a request is for, if there is such a model. Raises `ApiError`: the key may not use it."""
        if self.replicas.is_known(model):
            self.telemetry.began(exchange, model)
        self.limits.check_model(exchange.key_name, model)


def edge_of(request: Request) -> Edge:
    """Returns the edge that a request came to."""
    return cast("Edge", request.app.state.edge)


def exchange_of(scope: Scope) -> Exchange:
    """Returns the record of a request."""
    return cast("Exchange", scope["exchange"])
