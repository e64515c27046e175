"""What can be trained: name to ``module:Class``. Importing this loads no model library."""

from typing import Final

TASKS: Final = {
    "porcelain": "models.training.porcelain:PorcelainTask",
    "gtrnet": "models.training.gtrnet:GtrnetTask",
    "segmenter": "models.training.segmenter:SegmenterTask",
}
"""Subclasses of ``models.training.learner.Task``."""

PHANTOMS: Final = {
    "porcelain": "models.training.phantom_cohort:pancreatic",
    "gtrnet": "models.training.phantom_cohort:gastric",
    "segmenter": "models.training.segmenter_cohort:phantoms",
}
"""The phantoms that a task learns from: from a number and a seed to a cohort."""
