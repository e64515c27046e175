"""``python -m models.bundles``: record the digests of the bundles that ship, once one was changed on purpose."""

import json
from typing import Final

from models.bundle import Bundle, shipped
from models.library import SHIPPED

_INDENT: Final = 4


def main() -> None:
    """Write ``digests.json``."""
    digests = {name: Bundle.open(shipped(name)).digest for name in SHIPPED}
    shipped("digests.json").write_text(json.dumps(digests, indent=_INDENT) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
