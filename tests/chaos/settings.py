"""The production settings with wakes that can be told to misbehave. The product knows nothing of it."""

from config.settings import *  # noqa: F403
from config.settings import WAKES_BACKEND

CHAOS_WAKES_BENEATH = WAKES_BACKEND
WAKES_BACKEND = "tests.chaos.layer.faulty"
