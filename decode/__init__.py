"""Images → trips: decoding generated images, and measuring the synthetic trips against real ones."""

from importlib.metadata import version as _version

import lazy_loader as _lazy

__version__ = _version("pgan-trips")
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)  # the public names stand in __init__.pyi
