"""Programs that use a client library as its users do. Each runs in an environment of its own."""
