"""Orchestration: claims, steps and processes. The one place that knows both the node and the models."""
