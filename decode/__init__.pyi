from .api import Report, check_codec, compare, decode, select, write_like_source

__all__ = ["Report", "check_codec", "compare", "decode", "select", "write_like_source"]
__version__: str
