"""``symdiscover``: derive, verify, layers, survey, catalogue. Results on stdout, progress on stderr, errors as one sentence."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symdiscover.console import Parser, Progress, complain, output, read_loss, run, seconds

if TYPE_CHECKING:
    from symdiscover.catalogue import TestFunction
    from symdiscover.derive import Derivation

PROGRAM = "symdiscover"
#: Images of variables longer than this are not shown.
SHOWN = 400
#: What `derive --plot` can write.
PICTURES = (".png", ".pdf", ".svg")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status.

    Examples
    --------
    >>> main(["derive", "x**2 +"])
    2
    """
    return run(_parser(), arguments)


def _parser() -> Parser:
    from symdiscover import __version__

    parser = Parser(
        prog=PROGRAM, description="Derive and prove the group actions that leave a loss unchanged."
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)

    derive = commands.add_parser("derive", help="find and prove the symmetries of an expression")
    derive.add_argument("expression", metavar="EXPR", help="an expression, or a name of the catalogue")
    derive.add_argument(
        "--variables", metavar="x,y", help="the variables in order; all free names by default"
    )
    derive.add_argument(
        "--positive", metavar="a,b", help="names that are positive constants and stay symbolic"
    )
    derive.add_argument("--budget", type=seconds, default=30.0, metavar="SECONDS", help="for everything (30)")
    form = derive.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--latex", action="store_true", help="print the actions in LaTeX")
    form.add_argument(
        "--algebra", action="store_true", help="print vector fields, commutator tables and invariants"
    )
    derive.add_argument(
        "--save",
        type=output,
        metavar="FILE.py",
        help="write the first action as a module that needs torch alone",
    )
    derive.add_argument(
        "--plot",
        type=_picture,
        metavar="FILE.png",
        help="draw level sets, three orbits and the domain (two variables)",
    )
    derive.set_defaults(command=_derive)

    verify = commands.add_parser("verify", help="prove a saved action again, without running the file")
    verify.add_argument("file", metavar="FILE.py", help="a file written by derive --save")
    verify.add_argument("--budget", type=seconds, default=30.0, metavar="SECONDS", help="for the proof (30)")
    verify.set_defaults(command=_verify)

    _add_layers(commands)

    survey = commands.add_parser(
        "survey", help="derive over a whole collection and look at every claim again"
    )
    survey.add_argument(
        "--functions",
        type=_collection,
        metavar="FILE.json",
        help='{"name": {"variables": ["x"], "expression": "x**2", "bounds": [[-1, 1]]}}; the catalogue by default',
    )
    survey.add_argument("--only", metavar="name,name", help="these functions alone")
    survey.add_argument(
        "--out",
        type=_folder,
        default="runs/survey",
        metavar="DIR",
        help="where the tables go, and where an interrupted survey goes on (runs/survey)",
    )
    survey.add_argument(
        "--budget", type=seconds, default=30.0, metavar="SECONDS", help="for each function (30)"
    )
    survey.add_argument(
        "--jobs", type=_jobs, default=_processors(), metavar="N", help="processes (one a processor)"
    )
    survey.set_defaults(command=_survey)

    listing = commands.add_parser("catalogue", help="list the named test functions with their sources")
    listing.add_argument("name", metavar="NAME", nargs="?", help="show one function")
    listing.add_argument("--json", action="store_true", help="print one JSON object")
    listing.set_defaults(command=_catalogue)
    return parser


def _add_layers(commands: argparse._SubParsersAction[Parser]) -> None:
    layers = commands.add_parser("layers", help="find the symmetries of the weights of a model")
    layers.add_argument(
        "model",
        metavar="MODEL",
        help="MODULE:FACTORY, a function that returns an nn.Module (or a model itself) in a Python module, which is "
        "imported; or a program saved by torch.export.save, FILE.pt2",
    )
    layers.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="SHAPE",
        help="an example input, [NAME=]SHAPE[:DTYPE[:HIGH]], such as 32x784, 2x5:int64:11 (whole numbers below 11) or "
        "mask=2x5:bool; once for each input",
    )
    layers.add_argument(
        "--dtype", default="float32", metavar="DTYPE", help="of inputs that name none (float32)"
    )
    form = layers.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument(
        "--explain", action="store_true", help="say of each layer what may be done to it, or why nothing"
    )
    layers.add_argument("--draw", type=_picture, metavar="FILE.png", help="draw the layer graph")
    layers.set_defaults(command=_layers)


def _picture(text: str) -> Any:
    path = output(text)
    if path.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(
            f"a picture ends in {', '.join(PICTURES)}, not {path.suffix or path.name}"
        )
    return path


def _collection(text: str) -> dict[str, Any]:
    from symdiscover.survey import UnreadableCollection, read_collection

    try:
        return read_collection(text)
    except UnreadableCollection as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except (OSError, ValueError) as error:  # a NUL in the name, say
        raise argparse.ArgumentTypeError(f"{text} cannot be read: {error}") from None


def _folder(text: str) -> Path:
    if "\0" in text or not text.strip():
        raise argparse.ArgumentTypeError("a folder needs a name")
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file")
    return path


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _jobs(text: str) -> int:
    if not text.strip().isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError("the number of processes is between 1 and 256")
    return int(text)


def _derive(options: argparse.Namespace) -> int:
    from symdiscover.derive import derive
    from symdiscover.errors import SymmetryError

    loss = read_loss(
        options.expression, options.variables, options.positive, lambda note: complain(PROGRAM, note)
    )
    if options.plot and loss.dimension != 2:
        raise SymmetryError(f"--plot draws losses of two variables; this one has {loss.dimension}")
    with Progress(PROGRAM) as progress:
        derivation = derive(
            loss, options.budget, progress=lambda route: progress(f"trying the route {route}")
        )
        if options.json:
            print(json.dumps(derivation.as_dict(), allow_nan=False))
        elif options.algebra:
            from symdiscover.symmetry_algebra import derivation_algebra_text

            print(derivation_algebra_text(derivation))
        else:
            print(_latex(derivation) if options.latex else _described(derivation))
        if not (options.save or options.plot):
            return 0
        if not derivation.certificates:
            raise SymmetryError("no symmetry in the families tried: nothing to save or to draw")
        first = derivation.certificates[0]
        if options.save:
            progress(f"writing {options.save}")
            from symdiscover.generate import to_torch

            complain(PROGRAM, f"wrote {to_torch(first).save(options.save)}")
        if options.plot:
            progress(f"drawing {options.plot}")
            from symdiscover.plot import plot_symmetry

            plot_symmetry(first).savefig(options.plot, dpi=200)
            complain(PROGRAM, f"wrote {options.plot}")
    return 0


def _described(derivation: Derivation) -> str:
    """The derivation, with the image of each variable under each of its symmetries."""
    loss = derivation.loss
    lines = [f"L({', '.join(s.name for s in loss.variables)}) = {loss}"]
    for certificate in derivation.certificates:
        lines += ["", str(certificate)]
        images = certificate.symmetry.map or ()
        if sum(len(str(image)) for image in images) <= SHOWN:
            lines += [f"  {x} -> {image}" for x, image in zip(loss.variables, images, strict=False)]
    lines += [""] if derivation.certificates else ["no symmetry in the families tried"]
    lines += [f"tried {a.route}: {a.outcome} ({a.seconds:.2f} s)" for a in derivation.tried]
    return "\n".join(lines)


def _latex(derivation: Derivation) -> str:
    from symdiscover.latex import symmetry_latex

    lines = [symmetry_latex(symmetry) for symmetry in derivation]
    return "\n".join(lines) or r"$\text{no symmetry in the families tried}$"


def _verify(options: argparse.Namespace) -> int:
    from symdiscover.saved import verify_file

    with Progress(PROGRAM) as progress:
        progress(f"proving {options.file}")
        certificate = verify_file(options.file, options.budget)
    print(certificate)
    return 0


def _layers(options: argparse.Namespace) -> int:
    from symdiscover.errors import ExpressionError

    with Progress(PROGRAM) as progress:
        progress("loading torch")
        from symdiscover.network import draw, explain, find_pairs, refusals, trace
        from symdiscover.network.report import as_dict, table
        from symdiscover.network.target import example_input, load_model

        made = [example_input(text, options.dtype, seed) for seed, text in enumerate(options.input)]
        given = {name: tensor for name, tensor in made if name}
        if len(given) < sum(bool(name) for name, _ in made):
            raise ExpressionError("an input is named twice")
        if not made and not options.model.endswith(".pt2"):
            raise ExpressionError("a model needs an example input: --input 32x784, say")
        with contextlib.redirect_stdout(sys.stderr):  # what the model prints is no result
            progress(f"loading {options.model}")
            model = load_model(options.model)
            started = time.perf_counter()
            progress("tracing")
            graph = trace(model, *(tensor for name, tensor in made if not name), **given)
            progress("looking for pairs")
            pairs = find_pairs(graph)
            refused = refusals(graph, pairs)
            seconds = time.perf_counter() - started
        if options.json:
            print(json.dumps(as_dict(pairs, refused, round(seconds, 3)), allow_nan=False))
        else:
            print(explain(graph, pairs) if options.explain else table(pairs, refused))
        if options.draw:
            progress(f"drawing {options.draw}")
            draw(graph, options.draw)
            complain(PROGRAM, f"wrote {options.draw}")
    return 0


def _survey(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from symdiscover.survey import Row, catalogue_collection, survey
    from symdiscover.survey_report import false_claims, printable, summary

    collection = options.functions or catalogue_collection()
    if options.only is not None:
        collection = _selected(collection, options.only)
    with tqdm(
        total=len(collection),
        file=sys.stderr,
        disable=sys.stderr is None,
        desc="survey",
        unit="function",
        leave=False,
    ) as bar:

        def begun(count: int) -> None:
            bar.update(count)

        def progress(row: Row) -> None:
            bar.set_postfix_str(printable(row.name[:40]), refresh=False)
            bar.update()

        try:
            rows = survey(collection, options.out, options.budget, options.jobs, begun, progress)
        except KeyboardInterrupt:
            bar.close()
            complain(PROGRAM, f"what is done is in {options.out}; the same command goes on from there")
            raise
    print(summary(rows))
    complain(PROGRAM, f"wrote {options.out / 'survey.md'}")
    return int(bool(false_claims(rows)))


def _selected(collection: Mapping[str, Any], names: str) -> dict[str, Any]:
    import difflib

    from symdiscover.catalogue import UnknownFunction

    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name not in collection:
            near = difflib.get_close_matches(name, collection, n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise UnknownFunction(f"the collection has no function {name!r}{hint}")
    if not chosen:
        raise UnknownFunction("--only names no function")
    return {name: entry for name, entry in collection.items() if name in chosen}


def _catalogue(options: argparse.Namespace) -> int:
    from symdiscover import catalogue

    if options.name is None and not options.json:
        print(catalogue.table())
        return 0
    chosen = catalogue.names() if options.name is None else [options.name.strip()]
    functions = [catalogue.load(name) for name in chosen]
    if options.json:
        print(json.dumps({f.name: catalogue_entry(f) for f in functions}, allow_nan=False))
        return 0
    for key, value in catalogue_entry(functions[0]).items():
        print(f"{key + ':':19} {_readable(value)}")
    return 0


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} = {entry}" for name, entry in value.items()) or "none"
    if isinstance(value, tuple):
        return (
            ", ".join(f"({', '.join(entry)})" if isinstance(entry, tuple) else str(entry) for entry in value)
            or "none"
        )
    return {"True": "yes", "False": "no", "None": "none", "": "not stated"}.get(str(value), str(value))


def catalogue_entry(function: TestFunction) -> dict[str, Any]:
    """One function of the catalogue as plain data.

    Examples
    --------
    >>> from symdiscover import catalogue
    >>> catalogue_entry(catalogue.load("booth"))["minimisers"]
    (('1', '3'),)
    """
    return {field.name: getattr(function, field.name) for field in fields(function)}
