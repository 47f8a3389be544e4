from .arithmetic import connectivity as connectivity
from .arithmetic import dense_weights as dense_weights
from .arithmetic import equivalent_3x3_depth as equivalent_3x3_depth
from .arithmetic import inception_cost as inception_cost
from .arithmetic import kernel_stack as kernel_stack
from .arithmetic import naive_inception_cost as naive_inception_cost
from .arithmetic import output_size as output_size
from .arithmetic import single_kernel as single_kernel
from .convolution import EXAMPLE as EXAMPLE
from .convolution import equivariance as equivariance
from .convolution import invariance as invariance
from .convolution import toeplitz as toeplitz
from .diagram import Diagram as Diagram
from .diagram import diagram as diagram
from .receptive_field import ReceptiveField as ReceptiveField
from .receptive_field import receptive_field as receptive_field
from .receptive_field import receptive_field_mask as receptive_field_mask
from .table import Anatomy as Anatomy
from .table import LayerRow as LayerRow
from .table import dissect as dissect

PUBLIC: dict[str, str]
