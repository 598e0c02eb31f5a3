"""What adapters exist, and where their weights are.

Importing this package imports SQLAlchemy; import it where it is used.
"""

from adapterhub_lite.registry.database import Database
from adapterhub_lite.registry.objects import ObjectStore, Problem
from adapterhub_lite.registry.registry import Registry
from adapterhub_lite.registry.rows import Addition, BaseEntry

__all__ = ["Addition", "BaseEntry", "Database", "ObjectStore", "Problem", "Registry"]
