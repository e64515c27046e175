"""``python -m models.bundles``: record the digests of the bundles that ship, once one was changed on purpose."""

import json
from typing import Final

from models.bundle import shipped
from models.bundle_files import digest
from models.bundle_store import SHIPPED
from models.segmenters.shipped import BUNDLE

_INDENT: Final = 4


def main() -> None:
    """Write ``digests.json``."""
    digests = {name: digest(shipped(name)) for name in (*SHIPPED, BUNDLE)}
    shipped("digests.json").write_text(json.dumps(digests, indent=_INDENT) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
