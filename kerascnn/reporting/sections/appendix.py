"""Where it all comes from: versions, hashes, times, what each method shows and does not show."""

import pandas as pd

from ..page import Section, facts, heading, paragraph, table

METHODS = {  # section -> (method, paper, what it shows, what it does not show)
    "cards": (
        ("95 % interval", "Wilson 1927", "how far an accuracy may be off by the images drawn", "a shift of the data"),
        (
            "calibration error",
            "Guo et al. 2017",
            "whether probabilities mean what they say",
            "whether answers are right",
        ),
    ),
    "filters": (
        (
            "filters as images",
            "Krizhevsky et al. 2012",
            "what the first layer looks for",
            "what later layers make of it",
        ),
        ("verdict on filters", "Marchenko and Pastur 1967", "structure beyond chance", "whether the network is good"),
    ),
    "units": (
        ("top patches and deconvnet", "Zeiler and Fergus 2014", "what drives a unit most", "what else drives it"),
    ),
    "classes": (
        (
            "activation maximization",
            "Simonyan et al. 2014",
            "what scores highest",
            "what photos of the class look like",
        ),
    ),
    "explanations": (
        ("saliency", "Simonyan et al. 2014", "where small changes matter", "what large changes would do"),
        ("guided backpropagation", "Springenberg et al. 2015", "edges that pass", "the class: it hardly depends on it"),
        ("Grad-CAM", "Selvaraju et al. 2017", "which region speaks for a class", "detail below a cell of the last map"),
        ("occlusion", "Zeiler and Fergus 2014", "what is missed when covered", "what is there twice"),
    ),
    "errors": (("confusion matrix", "", "who is taken for whom", "why"),),
    "fooling": (
        ("adversarial images", "Szegedy et al. 2014", "how near the boundary is", "how often this happens by itself"),
    ),
    "inversion": (
        ("inversion", "Mahendran and Vedaldi 2015", "what a layer still knows", "what the network uses of it"),
    ),
    "health": (
        ("sparsity", "Treves and Rolls 1991", "how selective units are", "for what"),
        ("effective rank", "Roy and Vetterli 2007", "directions that a layer uses", "which of them matter"),
    ),
}


def appendix(subject):
    """Provenance, the sections with their times, methods, remarks."""
    meta, parts = subject.facts["meta"], subject.facts["parts"]
    images = meta["data"]["images"]
    said = {
        "made": meta["date"],
        "command": meta["command"],
        "versions": ", ".join(f"{name} {number}" for name, number in meta["versions"].items()),
        "device": meta["device"],
        "effort and seed": f"{meta['effort']}, {meta['seed']}",
        "weights": f"{meta['model']['weights']}; {meta['model']['hash']} (BLAKE2 of configuration and weights)",
        "data": f"{meta['data']['name']} {meta['data']['hash'] or 'none'}".strip(),
        "images": f"{images.get('judged', 0):,} labeled to judge by, {images.get('statistics', 0):,} for statistics",
        "layers": ", ".join(subject.layers) or "none",
    }
    blocks = [facts(said), table(sections(parts), caption="Sections, and the seconds each took")]
    if subject.remarks:
        blocks += [heading("Remarks"), *map(paragraph, subject.remarks)]
    rows = [
        {"method": name, "after": paper, "shows": shows, "does not show": not_shown}
        for part in parts
        if part.state == "finished"
        for name, paper, shows, not_shown in METHODS.get(part.name, ())
    ]
    if rows:
        blocks += [
            heading("Methods"),
            table(pd.DataFrame(rows), caption="What each method shows, and what it does not"),
        ]
    return Section("Appendix", tuple(blocks), {"images": images, "layers": list(subject.layers)})


def sections(parts):
    """A row for each section: what became of it."""
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
