#!/bin/sh
# Runs a program of the build with the settings of the secret `build`, where it was given; see Dockerfile.
set -ea
if [ -f /run/secrets/build ]; then . /run/secrets/build; fi
UV_CACHE_DIR=/var/cache/uv
UV_LINK_MODE=copy
PATH=/opt/uv/bin:$PATH
exec "$@"
