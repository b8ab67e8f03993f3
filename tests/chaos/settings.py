"""The production settings with a channel layer that can be told to misbehave. The product knows nothing of it."""

from config.settings import *  # noqa: F403
from config.settings import CHANNEL_LAYERS

CHAOS_LAYER_BENEATH = CHANNEL_LAYERS["default"]["BACKEND"]
CHANNEL_LAYERS = {"default": {**CHANNEL_LAYERS["default"], "BACKEND": "tests.chaos.layer.FaultyLayer"}}
