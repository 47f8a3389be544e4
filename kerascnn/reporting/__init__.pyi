from .context import Skipped as Skipped
from .context import Subject as Subject
from .page import Section as Section
from .page import block_row as block_row
from .page import box as box
from .page import cards as cards
from .page import data_table as data_table
from .page import definition_list as definition_list
from .page import details as details
from .page import figure as figure
from .page import heading as heading
from .page import page as page
from .page import paragraph as paragraph
from .page import photo_grid as photo_grid
from .page import picture as picture
from .page import svg_figure as svg_figure
from .report import report as report
from .results import Report as Report
from .sections import SECTIONS as SECTIONS

PUBLIC: dict[str, str]
