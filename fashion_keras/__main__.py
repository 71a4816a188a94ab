"""`python -m fashion_keras COMMAND …`, the same as the console script."""

import sys

from fashion_keras.cli import main

if __name__ == "__main__":
    sys.exit(main())
