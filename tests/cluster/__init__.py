"""The real Consul, replicas and edges as real processes, and what happens when some of them go."""
