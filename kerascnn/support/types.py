"""The types of public signatures: one name for each thing that many functions take.

Type checkers read the definitions; at run time the names stand for anything, so that nothing is imported for them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import keras
    import numpy as np
    from PIL import Image

    class ImageBatch(Protocol):
        """Images as `kerascnn.data.Batch` and the parts of a dataset hold them."""

        @property
        def items(self) -> Any: ...

        @property
        def labels(self) -> Any: ...

        def __len__(self) -> int: ...

    class Dataset(Protocol):
        """What `kerascnn.load` gives: images in their parts."""

        @property
        def train(self) -> Any: ...

        @property
        def valid(self) -> Any: ...

        @property
        def test(self) -> Any: ...

    Array: TypeAlias = np.ndarray[Any, Any]
    Model: TypeAlias = keras.Model
    _Image: TypeAlias = str | PathLike[str] | bytes | Image.Image | Array
    Images: TypeAlias = _Image | Iterable[_Image] | ImageBatch
    Labels: TypeAlias = Sequence[int] | Sequence[str] | Array
    Classes: TypeAlias = int | str | Labels
else:
    Array = Dataset = Images = Labels = Classes = Model = Any

FilePath: TypeAlias = str | PathLike[str]
DataSource: TypeAlias = FilePath | Sequence[Any]  # a path or a name; arrays (x, y) or ((x, y), (x_test, y_test))
ClassNames: TypeAlias = Sequence[str] | Literal[False]
Layers: TypeAlias = str | Sequence[str]
Units: TypeAlias = int | Sequence[int]
Size: TypeAlias = int | tuple[int, int]
Options: TypeAlias = Mapping[str, Any]
OnProgress: TypeAlias = Callable[[int, int | None, str], object]
Verbose: TypeAlias = Literal["auto", 0, 1, 2]
