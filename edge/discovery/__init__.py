"""Who the replicas are: one interface, one file per source."""

from gpt_server.edge.config import EdgeSettings
from gpt_server.edge.discovery.base import Discovery
from gpt_server.edge.discovery.dns import DnsDiscovery
from gpt_server.edge.discovery.merged import MergedDiscovery
from gpt_server.edge.discovery.static import StaticDiscovery

MODALITIES = ("llm", "embed", "audio", "image")


def discovery_for(settings: EdgeSettings) -> Discovery:
    """Returns the sources that the settings ask for."""
    sources: list[Discovery] = [StaticDiscovery(settings.discovery, settings.expected_models)]
    sources += [DnsDiscovery(name, settings.discovery.dns_period_s) for name in settings.discovery.dns]
    if settings.consul is not None:
        from gpt_server.edge.discovery.consul import ConsulDiscovery  # half a second of imports, where they are needed

        names = [f"{settings.consul.prefix}-{modality}" for modality in MODALITIES]
        sources += [ConsulDiscovery(settings.consul, name) for name in names]
    return sources[0] if len(sources) == 1 else MergedDiscovery(sources)
