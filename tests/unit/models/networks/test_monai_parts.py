"""MONAI without what it would load besides, in processes of their own: here it has long been imported."""

import subprocess
import sys

from models.networks.monai_parts import NOT_NEEDED

LISTED = f"import sys; print(*sorted(set({NOT_NEEDED!r}) & set(sys.modules)))"


def said(program: str) -> list[str]:
    """The words that a Python of its own prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.split()


def test_a_process_that_loads_models_loads_nothing_to_draw_with() -> None:
    """Networks, segmenter and predictors are there; what MONAI would have loaded besides is not."""
    imports = "import models.segmenters.shipped, models.predictors.gtrnet, models.predictors.porcelain; "
    assert said(imports + LISTED) == []


def test_what_was_forbidden_can_be_imported_afterwards() -> None:
    """Each of the libraries, by whoever needs it."""
    later = "; ".join(f"import {name}" for name in NOT_NEEDED)
    assert said(f"import models.networks.gtrnet; {later}; {LISTED}") == sorted(NOT_NEEDED)


def test_what_is_loaded_already_stays() -> None:
    """The same modules before and after."""
    first = f"import sys, {', '.join(NOT_NEEDED)}; before = [sys.modules[name] for name in {NOT_NEEDED!r}]; "
    then = f"import models.networks.gtrnet; print(before == [sys.modules[name] for name in {NOT_NEEDED!r}])"
    assert said(first + then) == ["True"]
