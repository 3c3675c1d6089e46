"""Invoke finds its tasks here; they live in pipeline/tasks."""
