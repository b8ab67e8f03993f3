"""A progress bar on the terminal's last line; a line for each step where there is no terminal."""

import sys
import time


class Progress:
    def __init__(self, steps: int) -> None:
        self.steps, self.done, self.began = steps, 0, time.monotonic()

    def step(self, what: str) -> None:
        """Show that one more step is done, and how long the rest may take."""
        self.done += 1
        spent = time.monotonic() - self.began
        left = spent / self.done * (self.steps - self.done)
        filled = round(30 * self.done / self.steps)
        line = f"[{'#' * filled}{'.' * (30 - filled)}] {self.done}/{self.steps}  {left:4.0f} s left  {what}"
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="\n" if self.done == self.steps else "", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)
