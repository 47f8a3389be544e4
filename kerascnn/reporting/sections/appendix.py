"""Provenance: versions, hashes, times; what each method shows and does not show."""

import pandas as pd

from ..page import Section, data_table, definition_list, heading, paragraph

METHODS = {  # section -> (method, paper, what it shows, what it does not show)
    "cards": (
        (
            "95 % interval",
            "Wilson 1927",
            "how much an accuracy may vary with the choice of images",
            "a shift of the data distribution",
        ),
        (
            "calibration error",
            "Guo et al. 2017",
            "whether confidence matches accuracy",
            "whether a single answer is correct",
        ),
    ),
    "filters": (
        (
            "filters as images",
            "Krizhevsky et al. 2012",
            "which patterns the first layer detects",
            "how later layers use them",
        ),
        (
            "quality of filters",
            "Marchenko and Pastur 1967",
            "structure that random filters do not have",
            "whether the network is accurate",
        ),
    ),
    "units": (
        ("top patches and deconvnet", "Zeiler and Fergus 2014", "what activates a unit most", "what else activates it"),
    ),
    "classes": (
        (
            "activation maximization",
            "Simonyan et al. 2014",
            "what gives the highest score",
            "how photos of the class look",
        ),
    ),
    "explanations": (
        (
            "saliency",
            "Simonyan et al. 2014",
            "where small changes of pixels affect the score",
            "what large changes would do",
        ),
        (
            "guided backpropagation",
            "Springenberg et al. 2015",
            "which edges contribute",
            "which class: it hardly depends on it",
        ),
        (
            "Grad-CAM",
            "Selvaraju et al. 2017",
            "which regions support a class",
            "detail below one cell of the last feature map",
        ),
        ("occlusion", "Zeiler and Fergus 2014", "which regions the prediction depends on", "redundant evidence"),
    ),
    "errors": (("confusion matrix", "", "which classes are confused", "why"),),
    "fooling": (
        (
            "adversarial images",
            "Szegedy et al. 2014",
            "how close the decision boundary is",
            "how often such changes occur naturally",
        ),
    ),
    "inversion": (
        (
            "inversion",
            "Mahendran and Vedaldi 2015",
            "which information a layer preserves",
            "which of it the network uses",
        ),
    ),
    "health": (
        ("sparsity", "Treves and Rolls 1991", "how selective units are", "what they are selective for"),
        ("effective rank", "Roy and Vetterli 2007", "how many directions a layer uses", "which of them matter"),
    ),
}


def appendix_section(subject):
    """Provenance, computing times, methods, notes."""
    meta, parts = subject.metadata["meta"], subject.metadata["parts"]
    images = meta["data"]["images"]
    provenance = {
        "made": meta["date"],
        "command": meta["command"],
        "versions": ", ".join(f"{name} {number}" for name, number in meta["versions"].items()),
        "device": meta["device"],
        "effort and seed": f"{meta['effort']}, {meta['seed']}",
        "weights": f"{meta['model']['weights']}; {meta['model']['hash']} (BLAKE2 hash of configuration and weights)",
        "data": f"{meta['data']['name']} {meta['data']['hash'] or 'none'}".strip(),
        "images": (
            f"{images.get('judged', 0):,} labeled images for evaluation, {images.get('statistics', 0):,} "
            "images for statistics"
        ),
        "layers": ", ".join(subject.layers) or "none",
    }
    blocks = [
        definition_list(provenance),
        data_table(sections_frame(parts), caption="Sections and computing time in seconds"),
    ]
    if subject.notes:
        blocks += [heading("Notes"), *map(paragraph, subject.notes)]
    rows = [
        {"method": name, "after": paper, "shows": shows, "does not show": not_shown}
        for part in parts
        if part.state == "finished"
        for name, paper, shows, not_shown in METHODS.get(part.name, ())
    ]
    if rows:
        blocks += [
            heading("Methods"),
            data_table(pd.DataFrame(rows), caption="What each method shows and does not show"),
        ]
    return Section("Appendix", tuple(blocks), {"images": images, "layers": list(subject.layers)})


def sections_frame(parts):
    """A row per section: its state and computing time."""
    rows = [
        {
            "section": part.title,
            "state": "reused" if part.reused else part.state,
            "seconds": round(part.seconds, 2),
            "why": part.reason,
        }
        for part in parts
    ]
    columns = ["section", "state", "seconds", *(["why"] if any(part.reason for part in parts) else [])]
    return pd.DataFrame(rows, columns=columns)
