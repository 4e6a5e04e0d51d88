# SPDX-License-Identifier: MIT
"""What tests of `vagus top` share: what its terminal shows, and since when."""


def lines(app):
    """Return what the terminal shows, a line a row."""
    strips = app.screen._compositor.render_strips()
    return ["".join(part.text for part in strip).rstrip() for strip in strips]


async def begun(app, pilot):
    """Wait until the first board is drawn, its footer included."""
    for _ in range(200):
        await pilot.pause(0.05)
        if app._board is not None and "quit" in lines(app)[-1]:
            return


async def settled(app, pilot, ending=""):
    """Wait until the screen stays as it is, whatever else the machine does."""
    before, same = [], 0
    for _ in range(300):
        await pilot.pause(0.05)
        now = lines(app)
        same = same + 1 if now == before and ending in now[-1] else 0
        if same == 5:
            return
        before = now
