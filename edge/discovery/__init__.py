"""Who the replicas are: one interface, one file per source."""

from gpt_server.edge.config import EdgeSettings
from gpt_server.edge.discovery.base import Discovery
from gpt_server.edge.discovery.static import StaticDiscovery


def discovery_for(settings: EdgeSettings) -> Discovery:
    """Returns the source that the settings ask for."""
    return StaticDiscovery(settings.discovery, settings.expected_models)
