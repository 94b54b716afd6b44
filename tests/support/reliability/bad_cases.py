"""The catalogue: 136 cases of bad input, in their order, some of them in several forms."""

from support.reliability.bad_case import Case
from support.reliability.bad_folders import FOLDERS
from support.reliability.bad_images import IMAGES
from support.reliability.bad_networks import NETWORKS
from support.reliability.bad_settings import SETTINGS
from support.reliability.bad_stored import STORED

COUNT = 136
CASES: tuple[Case, ...] = tuple(
    sorted(
        (*IMAGES, *FOLDERS, *NETWORKS, *STORED, *SETTINGS), key=lambda case: (case.at, case.number)
    )
)
