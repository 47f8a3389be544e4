from .advice import Advice as Advice
from .advice import advise as advise
from .finetune import finetune as finetune
from .heads import HEADS as HEADS
from .networks import Head as Head
from .networks import fit_head as fit_head
from .networks import head_model as head_model
from .networks import truncate_at_stages as truncate_at_stages
from .probes import ProbeTable as ProbeTable
from .probes import train_probes as train_probes
from .study import Study as Study
from .study import transfer as transfer
from .taps import CROPS as CROPS
from .taps import Taps as Taps
from .taps import taps as taps

PUBLIC: dict[str, str]
