"""The HTTP routes, one file per URL. They know no other route."""
