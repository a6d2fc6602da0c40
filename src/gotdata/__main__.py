"""``python -m gotdata``: the command line where no script is on the PATH."""

import sys

from gotdata.cli.main import main

sys.exit(main())
