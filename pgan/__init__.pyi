from .api import Model, open_model, train

__all__ = ["Model", "open_model", "train"]
__version__: str
