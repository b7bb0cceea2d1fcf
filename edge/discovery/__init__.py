"""Who the replicas are: one interface, one file per source."""

from gpt_server.edge.config import EdgeSettings
from gpt_server.edge.discovery.base import Discovery
from gpt_server.edge.discovery.merged import MergedDiscovery
from gpt_server.edge.discovery.static import StaticDiscovery

MODALITIES = ("llm", "embed", "audio", "image")


def discovery_for(settings: EdgeSettings) -> Discovery:
    """Returns the sources that the settings ask for."""
    static = StaticDiscovery(settings.discovery, settings.expected_models)
    if settings.consul is None:
        return static
    from gpt_server.edge.discovery.consul import ConsulDiscovery  # half a second of imports, where they are needed

    names = [f"{settings.consul.prefix}-{modality}" for modality in MODALITIES]
    return MergedDiscovery([static, *(ConsulDiscovery(settings.consul, name) for name in names)])
