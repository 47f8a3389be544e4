"""`python -m kerascnn.exporting FOLDER`: check an export again, on the machine that is to run it."""

import sys

from .verify import ExportError, verify


def main(words):
    if len(words) != 1:
        print("usage: python -m kerascnn.exporting FOLDER", file=sys.stderr)
        return 2
    try:
        checks, status = verify(words[0]), 0
    except ValueError as error:
        print(error, file=sys.stderr)
        return 4
    except ExportError as error:
        checks, status = error.checks, 1
    for check in checks:
        print(f"{'ok  ' if check.passed else 'FAIL'}  {check.file}: {check.what}: {check.found}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
