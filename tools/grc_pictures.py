# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens flowgraphs in GNU Radio Companion and draws their pictures: tools/grc_pictures.py --out docs/pictures.

Exits 1, with a line for each problem, if a flowgraph is invalid, or GRC opens a dialog or reports a failure. Without
--out nothing is drawn. Without a screen it restarts itself under xvfb-run (apt: xvfb, gir1.2-gtk-3.0). The user's GRC settings
are neither read nor changed.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCREEN = "1500x900x24"
DRAWN_MS = 250  # delay before a page is examined after turning to it
MAX_S = 90
PREFIX = "spectrumencoder_"  # of the project's blocks
SCALE = 2  # pixels of a block's picture per unit of GRC's canvas
WINDOW_OF = "recording_analysis"  # the page that is shown in the picture of the whole window


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flowgraphs", nargs="*", type=Path, help="default: all of examples/")
    parser.add_argument("--out", type=Path, help="folder for grc_NAME.png, grc_window.png and block_NAME.png")
    arguments = parser.parse_args()
    if not os.environ.get("DISPLAY"):
        if shutil.which("xvfb-run") is None:
            sys.exit("no screen and no xvfb-run; apt install xvfb")
        os.execvp("xvfb-run", ["xvfb-run", "-a", "-s", f"-screen 0 {SCREEN}", sys.executable, *sys.argv])
    paths = arguments.flowgraphs or sorted((ROOT / "examples").glob("*.grc"))
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HOME=home, XDG_CONFIG_HOME=home, XDG_CACHE_HOME=home, GTK_USE_PORTAL="0", NO_AT_BRIDGE="1")
        os.environ.setdefault("GRC_BLOCKS_PATH", str(ROOT / "grc"))
        problems = Visit([path.resolve() for path in paths], arguments.out).run()
    for problem in problems:
        print(problem)
    print(f"{len(paths)} flowgraphs opened in GRC, {len(problems)} problems")
    return 1 if problems else 0


class Visit:
    """GRC with its real windows; each page is turned to, checked and drawn; then it is left.

    Args:
        paths: flowgraphs. out: folder of the pictures, or None.
    """

    def __init__(self, paths: list[Path], out: Path | None):
        import gi
        gi.require_version("Gtk", "3.0")
        gi.require_version("PangoCairo", "1.0")
        from gi.repository import GLib, Gtk
        platform = _platform()  # before GRC's Application is imported, or its modules import each other in a circle
        from gnuradio.grc.core import Messages
        from gnuradio.grc.gui.Application import Application

        self._glib, self._gtk, self._paths, self._out = GLib, Gtk, paths, out
        self._problems, self._said, self._next, self._arranged = [], [], 0, False
        Messages.register_messenger(self._said.append)
        self._application = Application([str(path) for path in paths], platform)

    def run(self) -> list[str]:
        """The problems, one line each."""
        self._glib.timeout_add(DRAWN_MS, self._step)
        self._glib.timeout_add_seconds(MAX_S, self._give_up)
        self._application.run()
        said = "".join(self._said)
        self._problems += [f"GRC says: {line}" for line in said.splitlines()
                           if any(word in line for word in ("rror", "ailed", "raceback"))]
        return self._problems

    def _give_up(self):
        self._problems.append(f"GRC was not through with its pages after {MAX_S} s")
        self._application.quit()
        return False

    def _step(self) -> bool:
        """Looks at the page turned to before, and turns to the next one. Runs also while a dialog waits for an answer."""
        dialogs = [window for window in self._gtk.Window.list_toplevels()
                   if isinstance(window, self._gtk.Dialog) and window.get_visible()]
        if dialogs:
            self._problems += [f"GRC opened a dialog: {dialog.get_title() or type(dialog).__name__}" for dialog in dialogs]
            for dialog in dialogs:
                dialog.response(self._gtk.ResponseType.CLOSE)
            return True
        if not getattr(self._application, "init", False):
            return True
        main = self._application.main_window
        if not self._arranged:
            self._arranged = True
            self._arrange(main)
            return True
        if self._next:
            self._look(main, self._paths[self._next - 1])
        if self._next == len(self._paths):
            self._application.quit()
            return False
        pages = {Path(page.file_path): page for page in main.get_pages()}
        page = pages.get(self._paths[self._next])
        self._next += 1
        if page is None:
            self._problems.append(f"{self._paths[self._next - 1].name}: GRC did not open it")
        else:
            main.notebook.set_current_page(main.notebook.page_num(page))
        return True

    def _arrange(self, main):
        """The window fills the screen; the blocks of the project are in sight, the console is not."""
        main.resize(*map(int, SCREEN.split("x")[:2]))
        for panel in (main.CONSOLE, main.VARIABLES):
            main.update_panel_visibility(panel, False)
        tree = main.btwin.treeview
        module = next((row for row in tree.get_model() if row[0] == "SpectrumEncoder"), None)
        if module is None:
            self._problems.append("GRC's tree of blocks has no SpectrumEncoder")
            return
        tree.collapse_all()
        tree.expand_row(module.path, open_all=True)
        tree.scroll_to_cell(module.path, None, True, 0.0, 0.0)

    def _look(self, main, path: Path):
        page = main.current_page
        if page is None or Path(page.file_path) != path:
            return
        graph = page.flow_graph
        self._problems += [f"{path.name}: {element}: {text.splitlines()[0]}" for element, text in graph.iter_error_messages()]
        if self._out is None:
            return
        from gnuradio.grc.gui.Utils import make_screenshot
        self._out.mkdir(parents=True, exist_ok=True)
        graph.unselect()
        make_screenshot(graph, str(self._out / f"grc_{path.stem}.png"))
        if path.stem == WINDOW_OF:
            self._draw_window(main)
            for key in sorted(key for key in graph.parent_platform.blocks if key.startswith(PREFIX)):
                self._draw_block(graph, key)

    def _draw_window(self, main):
        from gi.repository import Gdk
        window = main.get_window()
        pixels = Gdk.pixbuf_get_from_window(window, 0, 0, window.get_width(), window.get_height())
        pixels.savev(str(self._out / "grc_window.png"), "png", [], [])


    def _draw_block(self, graph, key: str):
        """The block as it is when dropped in."""
        import cairo
        block = graph.new_block(key)
        block.coordinate = (0, 0)
        block.rewrite()
        surface = cairo.ImageSurface(cairo.FORMAT_ARGB32, 1, 1)
        block.create_labels(cairo.Context(surface))
        block.create_shapes()
        left, top, right, bottom = block.get_extents()
        surface = cairo.ImageSurface(cairo.FORMAT_ARGB32, *(SCALE * round(n + 16) for n in (right - left, bottom - top)))
        context = cairo.Context(surface)
        context.set_source_rgb(1, 1, 1)
        context.paint()
        context.scale(SCALE, SCALE)
        context.translate(8 - left, 8 - top)
        block.draw(context)
        surface.write_to_png(str(self._out / f"block_{key.removeprefix(PREFIX)}.png"))
        graph.remove_element(block)


def _platform():
    from gnuradio import gr
    from gnuradio.grc.gui.Platform import Platform
    platform = Platform(version=gr.version(), version_parts=(gr.major_version(), gr.api_version(), gr.minor_version()),
                        prefs=gr.prefs(), install_prefix=gr.prefix())
    platform.build_library()
    return platform


if __name__ == "__main__":
    sys.exit(main())
