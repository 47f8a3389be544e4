"""What an audit can find, as rows: how grave it is, and what it means."""

from typing import NamedTuple


class Kind(NamedTuple):
    severity: str  # "bad": left out; "warning": kept, look at it; "note": dealt with; "ignored": no image of a class
    meaning: str


KINDS = {
    "empty": Kind("bad", "no bytes: a copy or a download that failed"),
    "HTML": Kind("bad", "a web page that a server sent instead of the image"),
    "truncated": Kind("bad", "cut off or damaged: the pixels cannot be read"),
    "unreadable format": Kind("bad", "HEIC, SVG, camera's raw files: convert them to JPEG or PNG"),
    "no image": Kind("bad", "called an image, and is something else"),
    "encrypted": Kind("bad", "locked with a password in its archive"),
    "too large": Kind("bad", "more pixels or bytes than memory should be given for: an attack, or a map"),
    "no access": Kind("bad", "may not be opened: look at its permissions"),
    "missing": Kind("bad", "listed, and not there"),
    "one pixel": Kind("bad", "one pixel high or wide"),
    "unsafe path": Kind("bad", "a name that leads out of its archive"),
    "conflicting labels": Kind("warning", "the same image in two classes"),
    "leakage": Kind("warning", "the same image in two parts of the data"),
    "exact duplicate": Kind("warning", "the same pixels as another file"),
    "near duplicate": Kind("warning", "almost the same pixels as another file: saved again, resized"),
    "listed twice": Kind("warning", "one file in two lines"),
    "extreme aspect": Kind("warning", "more than 5 times as long as wide: cutting loses most of it"),
    "single class": Kind("warning", "nothing to tell apart"),
    "empty class": Kind("warning", "a class without a readable image"),
    "similar classes": Kind("warning", "names that differ only in capitals or blanks"),
    "small class": Kind("warning", "fewer than 5 images: neither learnt nor measured"),
    "imbalance": Kind("warning", "the largest class has over 3 times the images of the smallest: weigh them"),
    "wrong suffix": Kind("note", "named as another format; its first bytes count"),
    "CMYK": Kind("note", "inks, read as RGB"),
    "grey": Kind("note", "one channel, read as three equal ones"),
    "palette": Kind("note", "colours from a table, read as RGB"),
    "16-bit": Kind("note", "the upper 8 bits are read"),
    "alpha": Kind("note", "transparent pixels lie on white"),
    "rotated": Kind("note", "turned as its EXIF says"),
    "animated": Kind("note", "several images in a file: the first is read"),
    "no class": Kind("ignored", "beside the folders of classes, or without a label"),
    "junk": Kind("ignored", "left behind by a system or a program"),
    "other file": Kind("ignored", "no image, and not called one"),
}
SEVERITIES = ("bad", "warning", "note", "ignored")
RAW = ("3fr", "arw", "cr2", "cr3", "dng", "erf", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "srw", "x3f")
UNREADABLE = {*RAW, "heic", "heif", "svg", "svgz", "psd", "eps", "ai", "pdf", "jxl", "exr", "xcf"}
SUFFIXES = {  # of images that can be read, and what may be in such a file
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), ("JPEG", "MPO")),
    **dict.fromkeys(("tif", "tiff"), ("TIFF",)),
    **dict.fromkeys(("ppm", "pgm", "pbm", "pnm"), ("PPM",)),
    **dict.fromkeys(("jp2", "j2k", "jpf", "jpx"), ("JPEG2000",)),
    **{name: (name.upper(),) for name in ("png", "gif", "bmp", "webp", "avif")},
    "apng": ("PNG",),
    "mpo": ("JPEG", "MPO"),
}
