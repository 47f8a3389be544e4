from .fetch import DownloadError as DownloadError
from .formats import WeightsError as WeightsError
from .formats.read import count_nonfinite as count_nonfinite
from .formats.read import group_by_layer as group_by_layer
from .formats.read import read_weights as read_weights
from .load import load_pretrained as load_pretrained
from .load import load_weights as load_weights
from .load import open_weights as open_weights
from .match import LoadReport as LoadReport
from .save import save_weights as save_weights

PUBLIC: dict[str, str]
