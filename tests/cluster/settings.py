"""The settings, and what can be wrong with a host; the product knows nothing of it.

`CLOCK_AHEAD_SECONDS`: its clock is ahead of this machine's. `CLUSTER_DEAF`: it hears no wake.
"""

import os
from datetime import UTC, datetime, timedelta

import time_machine

from config.settings import *  # noqa: F403
from config.settings import WAKES_BACKEND

if ahead := float(os.environ.get("CLOCK_AHEAD_SECONDS", "0")):
    time_machine.travel(datetime.now(UTC) + timedelta(seconds=ahead), tick=True).start()
if os.environ.get("CLUSTER_DEAF"):
    CLUSTER_WAKES_BENEATH = WAKES_BACKEND
    WAKES_BACKEND = "tests.cluster.deaf.deaf"
