"""Who speaks: the identifiers by which Celadon names its implementation in associations and files (PS3.7 D.3.3.2)."""

from importlib.metadata import version
from typing import Final

from node.domain.identifiers import Uid

IMPLEMENTATION_CLASS_UID: Final = Uid.derived("implementation", "celadon")
IMPLEMENTATION_VERSION_NAME: Final = f"CELADON_{version('celadon')}"[:16]
