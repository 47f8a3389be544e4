from ..inputs.batch import Batch as Batch
from ..inputs.batch import DataError as DataError
from .audit import Audit as Audit
from .audit import audit as audit
from .batches import batches as batches
from .dataset import Data as Data
from .load import load as load

PUBLIC: dict[str, str]
