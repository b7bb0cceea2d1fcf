"""Client libraries, each in an environment of its own, against a stack of real processes."""
