"""Figures of shifts: drawing only, from the numbers in `convolution`."""

import numpy as np


def draw_equivariance(result):
    """Image, shifted image, and the responses in both orders, with their difference on its own scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    axes = figure.subplots(2, 3)
    most = max(np.abs(result.response).max(), np.abs(result.response_of_shifted).max(), 1e-12)
    response, of_shifted, shifted = (
        array[..., 0] for array in (result.response, result.response_of_shifted, result.shifted_response)
    )
    dy, dx = result.shift
    for axis, image, title in (
        (axes[0, 0], result.image, "image"),
        (axes[1, 0], result.shifted_image, f"image, shifted by ({dy}, {dx}) pixels"),
    ):
        _show_image(axis, image, title)
    _show_signed(axes[0, 1], response, most, "response to the image")
    _show_signed(axes[1, 1], of_shifted, most, "shift, then respond")
    drawn = _show_signed(axes[0, 2], shifted, most, "respond, then shift")
    figure.colorbar(drawn, ax=axes[0, 2], shrink=0.85, label="response")
    gap = np.abs(result.response_of_shifted - result.shifted_response).max(-1)
    gap = np.where(result.interior, gap, np.nan)
    axes[1, 2].set_facecolor("0.85")
    largest = np.nanmax(gap) if np.isfinite(gap).any() else 0.0
    drawn = axes[1, 2].imshow(gap, cmap="viridis", vmin=0, vmax=max(largest, most * 1e-3), interpolation="nearest")
    figure.colorbar(drawn, ax=axes[1, 2], shrink=0.85, label="|difference|")
    _bare(axes[1, 2], f"difference in the interior: at most {result.difference:.2g}\n(gray: reached by the border)")
    figure.suptitle("Is shifting, then responding, the same as responding, then shifting?", fontsize=13)
    return figure


def draw_invariance(result):
    """Two lines: the response itself, and after max pooling."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    lines = (
        (result.before, "#d55e00", "s--", "the response itself"),
        (result.pooled, "#0072b2", "o-", f"after {result.pool}x{result.pool} max pooling"),
    )
    for values, colour, style, label in lines:
        axis.plot(result.shifts, 100 * values, style, color=colour, label=label, linewidth=2, markersize=6)
    axis.set(xlabel="shift of the image (pixels)", ylabel="change of the response (% of its norm)")
    axis.set_title("Pooling makes small shifts matter less", fontsize=12)
    axis.set_xticks(result.shifts)
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    return figure


def _show_image(axis, image, title):
    low, high = float(image.min()), float(image.max())
    image = (image - low) / (high - low or 1)
    axis.imshow(image if image.shape[-1] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
    _bare(axis, title)


def _show_signed(axis, values, most, title):
    drawn = axis.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
    _bare(axis, title)
    return drawn


def _bare(axis, title):
    axis.set_title(title, fontsize=11)
    axis.set_xticks([])
    axis.set_yticks([])
