"""Kept visits of unknown people for review: clustered by person, then named, ignored or erased."""
