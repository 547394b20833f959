"""Continual learning: HALRP beside simpler ways to learn ten tasks."""
