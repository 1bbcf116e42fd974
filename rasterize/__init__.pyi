from .api import open_images, raster, read_trips, simulate_city
from .errors import InputError
from .imageset import ImageSet

__all__ = ["ImageSet", "InputError", "open_images", "raster", "read_trips", "simulate_city"]
__version__: str
