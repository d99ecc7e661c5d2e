"""How long a survey takes: the seconds of the functions, and of each route over all of them.

    python benchmarks/survey.py [NAME ...]

Over the catalogue, or the functions named, with one process and the default budget of 30 s; proofs are included in the
seconds of their route, re-checks in none. The result of an earlier run is not used.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence

from tqdm import tqdm

from symdiscover.survey import catalogue_collection, survey
from symdiscover.survey_report import quantile, summary


def line(name: str, seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    figures = (statistics.median(ordered), quantile(ordered, 0.95), ordered[-1], sum(ordered))
    return f"{name:14} {len(ordered):5}" + "".join(f" {figure:8.3f}" for figure in figures)


def main() -> None:
    collection = catalogue_collection()
    chosen = {name: collection[name] for name in sys.argv[1:] or collection}
    with (
        tempfile.TemporaryDirectory() as folder,
        tqdm(total=len(chosen), file=sys.stderr, leave=False) as bar,
    ):
        rows = survey(chosen, folder, progress=lambda row: bar.update())
    routes: dict[str, list[float]] = {}
    for row in rows:
        for route, _, seconds in row.tried:
            routes.setdefault(route, []).append(seconds)
    print(f"{'seconds':14} {'count':>5} {'median':>8} {'p95':>8} {'max':>8} {'sum':>8}")
    print(line("functions", [row.seconds for row in rows]))
    for route, taken in routes.items():
        print(line(route, taken))
    print(f"\n{summary(rows)}")


if __name__ == "__main__":
    main()
