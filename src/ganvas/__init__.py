"""Ganvas: classic generative adversarial networks, and the models they are measured against, under one engine."""
