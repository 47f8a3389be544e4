"""`kerascnn see`: visualize what a network sees in photos."""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from kerascnn.support.files import escape_surrogates
from kerascnn.support.text import clip_line, pluralize

from ..backend import load_keras
from ..errors import PARTIAL, BadFile, Misuse, raise_as, writing
from ..methods import (
    METHOD_OPTIONS,
    OPTIONS,
    call_method,
    check_options,
    find_method,
    general_help,
    image_requirement,
    is_attack,
    is_evaluation,
    keyword_arguments,
    method_options,
    method_parameters,
    methods_called,
    option_flag,
    option_of_parameter,
)
from ..models import complete_names_and_files, find_model, weights_option
from ..options import COUNT, PICTURES, Command, check_output_file, class_names_option, common_options, save_result
from ..output import (
    bold,
    collect_warnings,
    dim,
    format_pairs,
    json_number,
    json_rows,
    json_value,
    print_result,
    terminal_width,
    verbosity,
    waiting,
)
from ..photos import check_exists, default_figure, files_in_folder, list_photos

EVERY = 10  # seconds between lines of progress without a terminal
SYNTHESIZED = ("maximize", "facets", "dream", "unrecognizable")  # methods whose images are saved without a frame
ONLY = {"frames": ("dream",), "other_weights": ("side_by_side",)}  # options of the command for some methods
FILE = click.Path(dir_okay=False)
METHOD = "kerascnn.see"  # where a context holds the rows of the method in the command line


class See(Command):
    """A command with the options of all methods; its help and near names are those of the method in the line."""

    def __init__(self, name, *, params=None, **rest):
        super().__init__(name, params=[*(params or ()), *METHOD_OPTIONS], **rest)

    def get_params(self, context):
        return [*super().get_params(context), *self.extra_options()]

    def extra_options(self):
        """Options of the arguments that have no explicit option."""
        return [option_of_parameter(parameter) for parameter in method_parameters().values()]

    def parse_args(self, context, args):
        rows = context.meta[METHOD] = methods_in_line(args)
        try:
            return super().parse_args(context, args)
        except click.NoSuchOption as error:
            flags = [flag for option in self.get_params(context) if is_taken(rows, option) for flag in option.opts]
            near = click.NoSuchOption(error.option_name, possibilities=flags)
            raise Misuse(
                near.format_message(), f"kerascnn see {rows[0].name} --help" if rows else "kerascnn see --help"
            ) from error

    def format_usage(self, context, formatter):
        rows = context.meta[METHOD]
        if not rows:
            super().format_usage(context, formatter)
            return
        images = {"needed": " IMAGE...", "optional": " [IMAGE...]", "none": ""}[image_requirement(rows[0])]
        formatter.write_usage(context.command_path, f"{rows[0].name} NAME|FILE{images} [OPTIONS]")

    def format_help_text(self, context, formatter):
        rows = context.meta[METHOD]
        if not rows:
            super().format_help_text(context, formatter)
            return
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(f"{rows[0].title}. {rows[0].what}")
            if len(rows) > 1:
                formatter.write_paragraph()
                formatter.write_text(methods_note(rows))

    def format_options(self, context, formatter):
        rows, options = context.meta[METHOD], self.get_params(context)
        everywhere = {option.name for option in (*common_options(), self.get_help_option(context))}
        sections = {f"Options of {row.name}": [] for row in rows}
        sections |= {"Options of every method": [], "Options of methods": [], "Common options": []}
        for option in options:
            record = option.get_help_record(context)
            if record is None or option.param_type_name == "argument" or not is_for(rows, option):
                continue
            if option.name in everywhere:
                sections["Common options"].append(record)
            elif not is_method_option(option):
                sections["Options of every method"].append(record)
            elif not rows:
                sections["Options of methods"].append(record)
            else:
                taker = next((row for row in rows if option_flag(option.name) in method_options(row)), None)
                if taker:
                    text = method_options(taker)[option_flag(option.name)]
                    sections[f"Options of {taker.name}"].append((record[0], as_sentence(text) or record[1]))
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def methods_in_line(args):
    """The rows of the method in a command line, and of those that it calls; none if no method is named."""
    from kerascnn.visualize.registry import ROWS

    pairs = [*zip(["", *args], args, strict=False)]
    name = next((word for before, word in pairs if word in ROWS and before != "--method"), None)
    if name is None:
        return []
    called = [word for before, word in pairs if before == "--method"]
    called += [word.removeprefix("--method=") for word in args if word.startswith("--method=")]
    return [ROWS[name], *methods_called(ROWS[name], {"method": called})]


def is_for(rows, option):
    """Whether an option of the command does anything for a method."""
    methods = ONLY.get(option.name)
    return not rows or methods is None or rows[0].name in methods


def is_method_option(option):
    """Whether an option sets an argument of methods, rather than of the command."""
    return option.name in OPTIONS or option.name in method_parameters()


def is_taken(rows, option):
    """Whether a method, or one of those that it calls, has a use for an option; all do without a method."""
    if not rows or not is_method_option(option):
        return is_for(rows, option)
    return any(option_flag(option.name) in method_options(row) for row in rows)


def methods_note(rows):
    """Which methods --method names, in a sentence."""
    names = ", ".join(row.name for row in rows[1:])
    return f"Uses {names}, whose options are accepted too; --method names others."


def as_sentence(text):
    """The description of an argument as the help of an option."""
    return text[:1].upper() + text[1:]


@click.command("see", cls=See)
@click.argument("name", metavar="[METHOD]", required=False)
@click.argument("model", metavar="NAME|FILE", required=False, shell_complete=complete_names_and_files)
@click.argument("images", metavar="IMAGE...", nargs=-1, type=click.Path())
@click.option("--list", "listing", is_flag=True, help="List all methods by kind; with METHOD, explain its options.")
@weights_option
@class_names_option
@click.option("--other-weights", metavar="W", help="Weights of the second network, as for --weights.")
@click.option(
    "--frames",
    metavar="N",
    type=COUNT,
    help="Number of frames of a zoom into the dream, saved as PNG files in --images-dir.",
)
@click.option("--out", metavar="FILE.png", type=FILE, help="Output file. [METHOD-PHOTO.png]")
@click.option(
    "--images-dir",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Save one file per photo in this folder, METHOD-PHOTO.png; or each synthesized image, besides the figure.",
)
@click.option("--values", metavar="FILE.npz", type=FILE, help="Also save the values behind the figure.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def see_command(
    name,
    model,
    images,
    listing,
    weights,
    other_weights,
    class_names,
    frames,
    out,
    images_dir,
    values,
    force,
    **settings,
):
    """Visualize what a network sees in photos.

    METHOD is one of `kerascnn see --list`; `kerascnn see METHOD --help` explains its options. The methods segment,
    curves, choose and sanity evaluate the maps of another method, named by --method, and accept its options too. NAME
    is a network listed by `kerascnn list`, used with its published weights. FILE is any Keras model, .keras or .h5,
    that takes pixels 0..255. IMAGE is an image file or a folder of them.
    """
    if listing:
        print_result("see", *list_methods(name))
        return 0
    missing = [word for word, value in (("METHOD", name), ("NAME|FILE", model)) if not value]
    if missing:
        raise Misuse(f"missing argument {missing[0]}", "kerascnn see METHOD NAME|FILE IMAGE..., kerascnn see --list")
    row = find_method(name)
    options = given_options(row, settings)
    check_options(row, images, options)
    check_images_dir(row, images, images_dir, frames, out, values)
    if other_weights and "other" not in options:
        raise Misuse("--other-weights needs --other")
    photos = list_photos(images)
    if "guide" in options:
        check_exists(options["guide"])
    source = find_model(model, weights)
    other = find_model(options["other"], other_weights) if "other" in options else None
    files = files_in_folder(name, photos, images_dir, frames, force)
    by_photo = images_dir is not None and row.name not in SYNTHESIZED
    out = None if by_photo else out or default_figure(name, images)
    check_output_file(out, f"--out {name}.png", PICTURES, force)
    check_output_file(values, f"--values {name}.npz", (".npz",), force)
    load_keras()
    skipped = {}
    with collect_warnings() as warnings:
        network = source.open()
        if other:
            options["other"] = other.open()
        if by_photo:
            parts, skipped = save_figure_of_each(row, network, photos, files, options, class_names)
        else:
            with method_runner(row, network, options, class_names) as run:
                picture = run([*images])
            parts = [summarize(picture)]
    if by_photo:
        files = [file for photo, file in zip(photos, files, strict=True) if photo not in skipped]
    else:
        save_result(picture, out)
        if values:
            with writing(values):
                write_values(picture, values)
    if images_dir and frames:
        files = write_zoom_frames(network, images[0], images_dir, frames, options)
    elif images_dir and not by_photo:
        names = [Path(file).stem for file in files] or [f"{name}-{i:04d}" for i in range(len(picture))]
        with writing(images_dir):
            files = picture.save_images(images_dir, names)
    result = {
        "method": name,
        "model": network.name,
        "score": parts[0].score,
        "images": [facts for part in parts for facts in part.images],
        "table": None if parts[0].table is None else [line for part in parts for line in part.table],
        "picture": out,
        "values": values,
        "files": [*map(str, files)],
    }
    lines = [line for part in parts for line in part.lines]
    print_result("see", result, [*lines, *file_lines(result, images_dir)], [*warnings, *skipped.values()])
    return PARTIAL if skipped else 0


@click.pass_context
def given_options(context, row, settings):
    """The options of methods that are set; those of variables and files only if the method takes them."""
    options = {name: value for name, value in settings.items() if value not in (None, ())}
    takers = [row, *methods_called(row, options)]
    flags = {flag for taker in takers for flag in method_options(taker)}
    line = click.core.ParameterSource.COMMANDLINE
    return {
        name: value
        for name, value in options.items()
        if option_flag(name) in flags or context.get_parameter_source(name) is line
    }


def check_images_dir(row, images, images_dir, frames, out, values):
    """Refuse combinations of output options that contradict each other."""
    if frames and row.name != "dream":
        raise Misuse("--frames is only for dream")
    if frames and images_dir is None:
        raise Misuse("--frames needs --images-dir")
    if images_dir is None or row.name in SYNTHESIZED:
        return
    if not images:
        raise Misuse(f"--images-dir needs photos or one of {', '.join(SYNTHESIZED)}. Received: {row.name}")
    for flag, value in (("--out", out), ("--values", values)):
        if value is not None:
            raise Misuse(f"{flag} and --images-dir cannot be combined for {row.name}", f"one of {flag}, --images-dir")


@contextmanager
def method_runner(row, network, options, class_names=None, count=1):
    """Yield a function of images that runs a method on them; it is called ``count`` times."""
    from kerascnn.inputs.classifier import resolve_class_names
    from kerascnn.support.progress import progress, stage_progress
    from kerascnn.visualize import lens

    with raise_as(BadFile, f"cannot visualize {network.name}: "):
        opened = lens(network)
    with raise_as(Misuse):
        names = resolve_class_names(class_names, max(opened.output.shape[-1] or 2, 2), network)
    help_and_layers = f"kerascnn see {row.name} --help, kerascnn show --layers {network.name}"
    advice = lambda error: None if "class name" in str(error) else help_and_layers  # noqa: E731
    stages = iter(range(count))

    def run(images):
        hook = stage_progress(count_only(shown), next(stages), count)
        with raise_as(Misuse, advice=advice):
            for layer in options["layer"].split(",") if "layer" in options else ():
                opened.tap(layer)
            return call_method(row, network, images, options, {"class_names": names, "on_progress": hook})

    with waiting("computing ..."), progress(verbosity(), every=EVERY) as shown:
        yield run


def save_figure_of_each(row, network, photos, files, options, class_names):
    """Save a figure of each photo to its file: (a `PictureSummary` of each, {photo: why it was skipped})."""
    parts, skipped = [], {}
    with writing(os.path.dirname(files[0])):
        os.makedirs(os.path.dirname(files[0]), exist_ok=True)
    with method_runner(row, network, options, class_names, len(photos)) as run:
        for photo, file in zip(photos, files, strict=True):
            try:
                picture = run([photo])
            except BadFile as error:
                skipped[photo] = f"skipped: {error.message}"
                if len(skipped) == len(photos):
                    raise
                continue
            save_result(picture, file)
            parts.append(summarize(picture, photo))
    return parts, skipped


def count_only(shown):
    """A progress hook that drops the messages."""
    return lambda done, total, what: shown(done, total)


def write_zoom_frames(network, image, images_dir, frames, options):
    """Write the frames of a zoom into a dream, and return their paths."""
    from kerascnn.support.progress import progress
    from kerascnn.visualize import dream_frames
    from kerascnn.visualize.registry import ROWS

    named = keyword_arguments(ROWS["dream"], options, {})
    named = {name: named[name] for name in ("layer", "units", "size", "guide", "octaves", "steps") if name in named}
    with progress(verbosity(), every=EVERY) as shown:
        return dream_frames(network, image, images_dir, frames, on_progress=count_only(shown), **named)


def write_values(picture, path):
    """Write the values of a result: its arrays, array metadata and table columns."""
    import numpy as np

    held = vars(picture) | getattr(picture, "metadata", {})
    arrays = {name: value for name, value in held.items() if isinstance(value, np.ndarray)}
    more = {"map": getattr(picture, "map", None), "names": held.get("names"), "classes": held.get("classes")}
    arrays |= {name: np.asarray(value) for name, value in more.items() if value is not None}
    table = result_table(picture)
    if table is not None:
        numbers = table.select_dtypes(("number", "bool"))
        arrays |= {f"table_{name}": column.to_numpy() for name, column in numbers.items()}
    np.savez_compressed(path, **arrays)


def result_table(picture):
    """The DataFrame of a result, with a named index as a column."""
    table = getattr(picture, "table", None)
    return table if table is None or table.index.name is None else table.reset_index()


def image_facts(picture):
    """One row of plain data per image; none if a result is not about single images."""
    classes, class_names = getattr(picture, "classes", None), getattr(picture, "class_names", None)
    facts = {
        name: values for name, values in getattr(picture, "metadata", {}).items() if getattr(values, "ndim", 0) == 1
    }
    rows = []
    for i, name in enumerate(picture.names if hasattr(picture, "title") else ()):
        row = {"image": name}
        if classes is not None:
            row |= {"class": int(classes[i]), "label": class_names[classes[i]] if class_names else None}
        row["score"] = json_number(picture.scores[i])
        rows.append(row | {fact: json_value(values[i]) for fact, values in facts.items()})
    return rows


@dataclass(frozen=True, kw_only=True)
class PictureSummary:
    """What is printed of a result: rows of its images and of its table as plain data, lines of text."""

    score: object
    images: list
    table: list | None
    lines: list


def summarize(picture, photo=None):
    """The `PictureSummary` of a result, which may be that of one photo alone."""
    table, images = result_table(picture), image_facts(picture)
    return PictureSummary(
        score=getattr(picture, "score", None),
        images=images,
        table=None if table is None else json_rows(table),
        lines=[*picture_lines(picture, images, photo)],
    )


def picture_lines(picture, images, photo):
    """Each image with its class and score; a result without these in words, below its photo if that is known."""
    room = terminal_width()
    if not hasattr(picture, "title"):
        yield from [str(picture)] if photo is None else [bold(escape_surrogates(photo)), f"  {picture}"]
    for i, row in enumerate(images):
        title = picture.title(i)
        if not title.startswith(row["image"]):
            yield bold(row["image"])
            title = f"  {title}"
        facts = [f"{name} {value:.3g}" for name, value in row.items() if isinstance(value, float) and name != "score"]
        yield clip_line(", ".join([title, *facts]), room)


def file_lines(result, images_dir):
    """The paths of what was written."""
    if result["picture"]:
        yield f"figure: {result['picture']}"
    if result["values"]:
        yield f"values: {result['values']}"
    if result["files"]:
        yield f"{pluralize(len(result['files']), 'file')}: {images_dir}"


def list_methods(name=None):
    """(data, lines) of all methods, or of one with the help of its options."""
    from kerascnn.visualize.registry import ROWS

    known = [find_method(name)] if name else [*ROWS.values()]
    data = [
        {"method": row.name, "kind": row.kind, "title": row.title, "what": row.what, "options": [*method_options(row)]}
        for row in known
    ]
    if not name:
        return data, method_list_lines(known)
    data[0]["help"] = method_options(known[0])
    return data, method_help_lines(known[0])


def method_list_lines(rows):
    """All methods by kind, with their options."""
    from kerascnn.visualize.registry import KINDS

    room = terminal_width()
    wide = max(len(row.name) for row in rows) + 2
    for kind, heading in KINDS.items():
        yield clip_line(bold(f"{heading} ({kind})"), room)
        for row in rows:
            if row.kind != kind:
                continue
            yield clip_line(f"  {bold(row.name)}{' ' * (wide - len(row.name))}{row.title}", room)
            words = " ".join(
                [*method_options(row), *(["and those of its method"] if is_evaluation(row) or is_attack(row) else [])]
            )
            for text in (row.what, words):
                yield from map(dim, wrap_indented(text, wide + 2, room))


def method_help_lines(row):
    """One method and the help of its options."""
    room = terminal_width()
    yield clip_line(f"{bold(row.name)}  {row.title}", room)
    yield from wrap_indented(row.what, 0, room)
    general = general_help()
    yield from format_pairs(
        {option: says or general.get(option, "") for option, says in method_options(row).items()}, room=room
    )


def wrap_indented(text, indent, room):
    """Lines of a text, wrapped to the terminal."""
    from textwrap import wrap

    return [" " * indent + line for line in wrap(text, max((room or 120) - indent, 20), break_on_hyphens=False)]
