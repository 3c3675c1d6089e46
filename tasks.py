"""Invoke finds its tasks here; they live in pipeline/tasks."""

from pipeline.tasks import namespace

__all__ = ["namespace"]
