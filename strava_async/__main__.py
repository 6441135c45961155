"""``python -m strava_async`` is ``strava-async``."""

import sys

from strava_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
