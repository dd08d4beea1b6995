"""`python -m schema` prints the schema as it is served; `make schema` keeps that in `schema.graphql`."""

import sys

from schema import build_schema

if __name__ == "__main__":
    sys.stdout.write(build_schema().as_str() + "\n")
