"""The matplotlib style and colors that all figures share."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

# Okabe and Ito's blue and vermilion first; each is dark enough for small text on white (4.5:1).
PALETTE = (
    *("#00639c", "#b34700", "#00785a", "#8f3a76", "#7a5c00"),
    *("#3b4cc0", "#b3002d", "#3f6b00", "#5e5e5e", "#007a87"),
)
COLORS = {"teacher": PALETTE[0], "student": PALETTE[1]}
MARKERS = {"teacher": "s", "student": "o"}
INK, MUTED, RULE, PAGE = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"
STYLE: Any = {
    **{f"axes.spines.{side}": False for side in ("top", "right", "left")},
    **{f"{axis}tick.major.size": 0 for axis in "xy"},
    **{f"{axis}tick.labelcolor": MUTED for axis in "xy"},
    **{f"{axis}tick.labelsize": 9 for axis in "xy"},
    **{"axes.axisbelow": True, "axes.edgecolor": RULE},
    **{"axes.labelcolor": MUTED, "axes.labelsize": 9},
    **{"axes.grid": True, "axes.grid.axis": "y", "grid.color": RULE, "grid.linewidth": 0.6},
    **{"axes.titlelocation": "left", "axes.titlesize": 10},
    **{"axes.titleweight": "bold", "axes.titlecolor": INK},
    **{"figure.dpi": 160, "figure.facecolor": PAGE, "legend.frameon": False, "legend.fontsize": 8},
    "text.parse_math": False,  # a dollar sign in a name is not math
}
SLIDE: Any = STYLE | {  # for a 16 × 9 inch slide
    **{"axes.titlesize": 21, "axes.titlepad": 14, "axes.labelsize": 18},
    **{"xtick.labelsize": 16, "ytick.labelsize": 16, "legend.fontsize": 16},
    **{"grid.linewidth": 0.8, "figure.dpi": 120},
}


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, deterministic for equal data."""
    image = io.BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})
    return image.getvalue()
