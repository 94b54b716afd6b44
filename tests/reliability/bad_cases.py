"""The catalogue: 136 cases of bad input, in their order, some of them in several forms."""

from bad_case import Case
from bad_folders import FOLDERS
from bad_images import IMAGES
from bad_networks import NETWORKS
from bad_settings import SETTINGS
from bad_stored import STORED

COUNT = 136
CASES: tuple[Case, ...] = tuple(
    sorted(
        (*IMAGES, *FOLDERS, *NETWORKS, *STORED, *SETTINGS), key=lambda case: (case.at, case.number)
    )
)
