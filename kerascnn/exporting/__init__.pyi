from .export import Exported as Exported
from .export import export as export
from .verify import Check as Check
from .verify import ExportError as ExportError
from .verify import verify as verify

PUBLIC: dict[str, str]
