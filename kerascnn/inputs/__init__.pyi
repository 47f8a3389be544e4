from .decode import ImageError as ImageError
from .decode import decode as decode
from .gather import gather as gather

PUBLIC: dict[str, str]
