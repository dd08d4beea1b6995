"""The generators, each behind one small protocol."""
