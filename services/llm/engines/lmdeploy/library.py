"""How LMDeploy is told to behave inside a service. Imported before anything of LMDeploy's."""

import logging


def _quietly() -> None:
    """Imports LMDeploy's logging, and lets our own handlers write what it says, warnings and worse.

    It takes the level of the root logger's handlers away and writes to standard output, which is not its own here.
    """
    handlers = logging.getLogger().handlers
    levels = [handler.level for handler in handlers]
    from lmdeploy.utils import get_logger

    logger = get_logger("lmdeploy")
    for handler, level in zip(handlers, levels, strict=True):
        handler.setLevel(level)
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.WARNING)


_quietly()
