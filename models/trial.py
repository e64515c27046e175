"""A bundle tried once before it is taken: ``python -m models.trial PATH`` builds its predictor and runs it on noise."""

import argparse
import json
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

from models import child, registry
from models.bundle import Bundle
from node.domain.reasons import BundleFault
from node.errors import BundleError

_WITHIN_S: Final = 300.0


def run(path: Path) -> None:
    """Try the bundle at ``path`` in a process of its own; raises BundleError when it does not do what it is for."""
    try:
        child.ask("models.trial", [str(path.absolute())], within_s=_WITHIN_S)
    except child.Ended as error:
        raise BundleError(f"{path.name}: its predictor could not be tried: {error}") from error


def main() -> int:
    """Build, run, say; 1 with the fault on standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    path: Path = parser.parse_args().path
    warnings.simplefilter("ignore")
    try:
        with redirect_stdout(sys.stderr):  # what is logged on the way is no answer
            bundle = Bundle.open(path)
            predictor = registry.resolve(registry.PREDICTORS[bundle.predictor])(bundle)
            predictor.warm()
    except BundleError as error:
        return _fault(error.fault, error.detail)
    except (RuntimeError, ValueError, ArithmeticError, LookupError) as error:
        return _fault(BundleFault.BUNDLE_UNFIT, f"{path.name}: its predictor fails: {type(error).__name__}")
    print(json.dumps({"predictor": predictor.name}))  # noqa: T201 — the answer
    return 0


def _fault(fault: BundleFault, detail: str) -> int:
    print(json.dumps({"fault": fault.name, "detail": detail}))  # noqa: T201 — the answer
    return 1


if __name__ == "__main__":
    sys.exit(main())
