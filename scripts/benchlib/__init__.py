"""The rig of scripts/bench: what is measured stands in one module a section, how it is measured in measure.py."""
