"""Composition to model: load a base, check an adapter against it, put compositions to work.

Torch starts in this room.
"""
