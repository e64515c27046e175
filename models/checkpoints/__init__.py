"""Checkpoints that others published in torch's own format, and how each becomes a bundle."""
