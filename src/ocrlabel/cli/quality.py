"""`ocrlabel evaluate`, `agree`, `calibrate`, `filter`: how right labels are, and which to keep."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ocrlabel.cli.report import Open, finder, show_pages, tell_missing
from ocrlabel.cli.settings import ImagesOption, Json, Labels, Seed, output_option
from ocrlabel.errors import ConfigError
from ocrlabel.wording import counted, percent, ratio

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ocrlabel.dataset.labels_table import LabelRow
    from ocrlabel.quality.agreement import Agreement, AgreementCounts, PageAgreement
    from ocrlabel.quality.calibration import CurvePoint, Interval
    from ocrlabel.quality.evaluate import Counts, LevelResult
    from ocrlabel.quality.figures import Comparison, Evaluation
    from ocrlabel.quality.filter import Filtered
    from ocrlabel.quality.pairing import PageStore, Unpaired
    from ocrlabel.quality.probability import Calibration, Cut
    from ocrlabel.quality.signals import Signals
    from ocrlabel.quality.truth import TruthPage

_MOST_GROUPS = 40
_MOST_WRONG = 10


UnicodeForm = Annotated[
    Literal["NFC", "NFKC"], typer.Option(help="NFKC also ignores full and half width.")
]
Case = Annotated[bool, typer.Option("--case", help="Upper and lower case differ.")]
Spaces = Annotated[bool, typer.Option("--spaces", help="Spaces count.")]
Page = Annotated[
    str | Path | None, output_option("An HTML page: both over each other, or side by side.")
]
Worst = Annotated[
    int, typer.Option(help="How many of the pages with the most wrong words are kept.", min=1)
]
NoPunctuation = Annotated[
    bool, typer.Option("--no-punctuation", help="Punctuation does not count.")
]


def evaluate(
    labels: Labels,
    truth: Annotated[
        str | Path,
        typer.Option(
            help="A labels table, JSON Lines, or a folder of FUNSD .json or ICDAR gt_*.txt."
        ),
    ],
    *,
    by: Annotated[
        str, typer.Option(help="Figures by group too: a column of the table or of the truth.")
    ] = "",
    level: Annotated[
        Literal["word", "line"] | None,
        typer.Option(help="What the truth's boxes hold, where it does not say."),
    ] = None,
    precision: Annotated[
        float, typer.Option(help="The share of right labels that a cut has to reach.", min=0, max=1)
    ] = 0.95,
    unicode: UnicodeForm = "NFC",
    case: Case = False,
    spaces: Spaces = False,
    no_punctuation: NoPunctuation = False,
    seed: Seed = 0,
    worst: Worst = 100,
    output: Page = None,
    images: ImagesOption = None,
) -> Evaluation:
    """Measure labels against truth.

    Detection at IoU 0.5 (ICDAR 2015 protocol, do-not-care regions), word accuracy end to end, CER
    and 1-NED of matched words, CLEval, and what confidences are worth: how often they are right,
    and the cut that reaches the wanted precision, chosen on half of the documents and measured on
    the other half. Word-level and line-level truth get tables of their own.

    Then what is wrong: the worst pages, words that were missed, invented or misread there (all of
    them with --json), and which characters are read as which others.

    For example:

        ocrlabel evaluate labels.parquet --truth truth.parquet

        ocrlabel evaluate labels.parquet --truth truth.jsonl --by lang

        ocrlabel evaluate labels.parquet --truth icdar/gt/ --precision 0.98 --json

        ocrlabel evaluate labels.parquet --truth truth.parquet -o wrong.html --open
    """
    _need_quality()
    page = _page_to_write(output)
    from ocrlabel.cli.tables import need_file, read_labels
    from ocrlabel.dataset.labels_table import score_of
    from ocrlabel.quality.evaluate import evaluate as evaluate_pairs
    from ocrlabel.quality.figures import Evaluation
    from ocrlabel.quality.pairing import PageStore, Unpaired, pair
    from ocrlabel.quality.text import Normalisation
    from ocrlabel.quality.truth import Level, read_truth

    labels, truth = need_file(labels), Path(truth).expanduser()
    rules = Normalisation(unicode, case, spaces, punctuation=not no_punctuation)
    unpaired = Unpaired()
    pages = read_truth(truth, level=Level(level) if level else None)
    with PageStore(pages, str(truth)) as store:
        results = evaluate_pairs(
            pair((row.scored for row in read_labels(labels)), store, unpaired),
            normalise=rules,
            by=by or None,
            wanted=precision,
            seed=seed,
            worst=worst,
        )
    if not results:
        what = f"no page of {labels} has truth in {truth}"
        raise _nothing_paired(what, unpaired, labels, truth)
    if by and not any(any(result.groups) for result in results):
        raise ConfigError(f"--by {by}: neither {labels} nor {truth} has a column of that name")
    done = Evaluation(rules, unpaired, tuple(results), page, score_of(labels))
    if page:
        from ocrlabel.report.compare import write_evaluation

        title, reader = " against ".join(_told_apart(labels, truth)), finder(images, labels)
        write_evaluation(done, page, title=title, images=reader)
        tell_missing(reader)
    return done


def agree(
    labels: Annotated[str | Path, typer.Argument(help="The labels table whose words are judged.")],
    other: Annotated[
        str | Path, typer.Argument(help="A table of another engine on the same images.")
    ],
    *,
    by: Annotated[str, typer.Option(help="By group too: a column of the table.")] = "",
    truth: Annotated[
        str | Path | None,
        typer.Option(help="Word-level truth: shows which sign is worth more, and how much."),
    ] = None,
    details: Annotated[
        str | Path | None,
        typer.Option(help="Write each page's agreement and each word's partner (JSON Lines)."),
    ] = None,
    unicode: UnicodeForm = "NFC",
    case: Case = False,
    spaces: Spaces = False,
    no_punctuation: NoPunctuation = False,
    seed: Seed = 0,
    output: Page = None,
    images: ImagesOption = None,
) -> Comparison:
    """Compare two tables of the same images, word by word.

    Two engines rarely invent the same word: what both say is right more often than what one is
    sure of. Agreement is told by script and by group; with --truth, precision against the share
    kept is shown for confidence, for agreement and for both together.

    For example:

        ocrlabel agree upstage.parquet rapidocr.parquet

        ocrlabel agree upstage.parquet rapidocr.parquet --truth truth.jsonl

        ocrlabel agree upstage.parquet rapidocr.parquet --details agreement.jsonl

        ocrlabel agree upstage.parquet rapidocr.parquet -o differences.html --open
    """
    _need_quality()
    page = _page_to_write(output)
    from ocrlabel.cli.tables import need_file, read_labels
    from ocrlabel.dataset.labels_table import score_of
    from ocrlabel.quality.agreement import agree as agree_pairs
    from ocrlabel.quality.figures import Comparison
    from ocrlabel.quality.pairing import PageStore, Unpaired, pair
    from ocrlabel.quality.signals import signals
    from ocrlabel.quality.text import Normalisation
    from ocrlabel.quality.truth import as_truth, read_truth

    labels, other = need_file(labels), need_file(other)
    truth = Path(truth).expanduser() if truth is not None else None
    rules = Normalisation(unicode, case, spaces, punctuation=not no_punctuation)
    unpaired = Unpaired()
    found: Signals | None = None
    with ExitStack() as stores:
        second = (as_truth(row) for row in read_labels(other))
        others = stores.enter_context(PageStore(second, str(other)))
        agreement = agree_pairs(
            pair((row.scored for row in read_labels(labels)), others, unpaired),
            normalise=rules,
            by=by or None,
            each=stores.enter_context(_writing(Path(details))) if details is not None else None,
        )
        if truth is not None:
            others.give_back()
            truths = stores.enter_context(PageStore(read_truth(truth), str(truth)))
            found = signals(_triples(labels, others, truths), normalise=rules, seed=seed)
    if not agreement.total.pages:
        what = f"{labels} and {other} have no page in common"
        raise _nothing_paired(what, unpaired, labels, other)
    if truth is not None and found is None:
        raise ConfigError(
            f"no word of {labels} can be judged by {truth}: it takes pages that both tables and the"
            " truth have, and truth of words with their texts, not of lines\n"
            f"  see what pairs: ocrlabel evaluate {labels} --truth {truth}"
        )
    done = Comparison(rules, unpaired, agreement, found, page, score_of(labels))
    if page:
        from ocrlabel.report.compare import write_agreement

        sides, reader = _told_apart(labels, other), finder(images, labels)
        write_agreement(done, page, sides=sides, images=reader)
        tell_missing(reader)
    return done


def _told_apart(*files: Path) -> tuple[str, str]:
    """The names of two files, with so much of their paths before them that they are not one."""
    paths = [Path(os.path.abspath(file)).parts for file in files]  # noqa: PTH100 - no link is followed
    deep = next((n for n in range(1, max(map(len, paths))) if len({p[-n:] for p in paths}) > 1), 1)
    first, second = (Path(*parts[-deep:]).as_posix() for parts in paths)
    return first, second


def tell_figures(
    done: Evaluation | Comparison, *, as_json: Json = False, open_: Open = False
) -> None:
    """The figures as tables, or as JSON: how texts were compared and what was left out first."""
    from rich.console import Console

    from ocrlabel.quality.figures import Evaluation

    if as_json:
        typer.echo(json.dumps(done.to_json(), ensure_ascii=False, indent=2))
    else:
        console = Console()
        console.print(f"Texts are compared so: {done.normalisation.describe()}.")
        console.print(f"How sure a word is: its {done.score}.")
        for line in _unpaired_lines(done.unpaired):
            console.print(line, markup=False)
        if isinstance(done, Evaluation):
            for result in done.levels:
                _show_level(console, result)
        else:
            _show_agreement(console, done.agreement, done.against_truth)
    show_pages([done.page] if done.page else [], open_=open_, aside=as_json)


def calibrate(
    labels: Labels,
    *,
    truth: Annotated[
        str | Path,
        typer.Option(help="The table that `ocrlabel import` made, or what else `evaluate` takes."),
    ],
    output: Annotated[
        str | Path | None, output_option("The file to write; by default LABELS_calibration.json.")
    ] = None,
    unicode: UnicodeForm = "NFC",
    case: Case = False,
    spaces: Spaces = False,
    no_punctuation: NoPunctuation = False,
    seed: Seed = 0,
) -> tuple[Path, Calibration]:
    """Learn from reviewed pages how often a word of some confidence is right.

    By engine and script, each document with the same weight, from the pages that a person reviewed
    (else corrected; all of a truth that no engine wrote). `ocrlabel filter` lays what was learned
    on as p_correct, the probability that a word is right; filter, agree, evaluate, report and view
    go by it wherever a table has it. There is none to start with: what is right depends on your
    images.

    For example:

        ocrlabel calibrate labels.parquet --truth reviewed.parquet -o cal.json

        ocrlabel filter labels.parquet --calibration cal.json --precision 0.95
    """
    _need_quality()
    from ocrlabel.cli.tables import need_file, read_labels, refuse_to_replace
    from ocrlabel.quality.pairing import PageStore, Unpaired, pair
    from ocrlabel.quality.probability import judged, learn, write_calibration
    from ocrlabel.quality.text import Normalisation
    from ocrlabel.quality.truth import read_reviewed

    labels, truth = need_file(labels), Path(truth).expanduser()
    target = Path(output or labels.with_name(f"{labels.stem}_calibration.json")).expanduser()
    refuse_to_replace(target)
    if truth.exists() and labels.samefile(truth):
        raise ConfigError(f"{labels} is both the labels and the truth: give what was reviewed")
    rules = Normalisation(unicode, case, spaces, punctuation=not no_punctuation)
    unpaired = Unpaired()
    with PageStore(read_reviewed(truth), str(truth)) as store:
        words = judged(pair(read_labels(labels), store, unpaired), rules)
    if not len(words.right):
        what = (
            f"no word of {labels} can be judged by {truth}: it takes pages as the engine read them,"
            " with confidences, and truth of words with their texts, not of lines"
        )
        raise _nothing_paired(what, unpaired, labels, truth)
    learned = learn(words, normalisation=rules.describe(), seed=seed)
    write_calibration(learned, target)
    return target, learned


def tell_calibration(done: tuple[Path, Calibration], *, as_json: Json = False) -> None:
    """What was learned of, how far off confidences were, and which cuts have a name."""
    from ocrlabel.dataset.labels_table import CONFIDENCE, P_CORRECT

    path, learned = done
    if as_json:
        typer.echo(path.read_text(encoding="utf-8"))
        return
    from rich.console import Console

    console = Console()
    documents, words = len(learned.documents), counted(learned.words, "word")
    console.print(f"{path}: {words} of {counted(documents, 'document')}", markup=False)
    table = _plain_table("Learned by", "engine", "script", "documents", "words", "from")
    for one in learned.functions:
        own = "all scripts" if one.pooled else "its own"
        table.add_row(one.engine, one.script, f"{one.documents:,}", f"{one.words:,}", own)
    console.print(table)
    for engine in learned.of_lines:
        console.print(f"{engine} gives lines, not words: what is learned, kept and cut is lines")
    errors = {CONFIDENCE: learned.error_before, P_CORRECT: learned.error_after}
    for name, error in errors.items():
        console.print(f"{name} is off by {percent(error)} on average")
    for wanted in (0.99, 0.98, 0.95, 0.9):
        cut = learned.cut(wanted)
        told = _cut_sentence(cut) if cut else _missing(learned.documents_missing(wanted))
        console.print(f"--precision {wanted}: {told}")


def _cut_sentence(cut: Cut) -> str:
    return (
        f"from {ratio(cut.p_correct)} on keeps {percent(cut.kept_share)} of the words,"
        f" {percent(cut.precision)} of them right (at least {percent(cut.at_least)})"
    )


def _missing(documents: int | None) -> str:
    if documents is None:
        return "no cut is that right, and more pages like these would not change it: ask for less"
    number = "more than 10,000" if documents > 10_000 else f"about {documents:,}"
    return (
        f"{number} reviewed document{'' if documents == 1 else 's'} missing before a cut has a name"
    )


def filter_(
    labels: Labels,
    *,
    output: Annotated[
        str | Path | None, output_option("The table to write; by default LABELS_filtered.parquet.")
    ] = None,
    min_confidence: Annotated[
        float | None,
        typer.Option(help="Doubt words below it, and those without any.", min=0, max=1),
    ] = None,
    calibration: Annotated[
        str | Path | None,
        typer.Option(help="What `ocrlabel calibrate` wrote: lay p_correct on, and go by it."),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            help="Keep as much as is right to this share, by --calibration.", min=0.5, max=0.999
        ),
    ] = None,
    agreed_with: Annotated[
        str | Path | None,
        typer.Option(help="Doubt words that this table does not say at the same place."),
    ] = None,
    review: Annotated[
        str | Path | None,
        typer.Option(help='Write pages with doubtful words (class "uncertain"), worst first.'),
    ] = None,
    drop: Annotated[
        bool,
        typer.Option("--drop/--mark", help="Remove doubtful words, or mark them as do-not-care."),
    ] = False,
    unicode: UnicodeForm = "NFC",
    case: Case = False,
    spaces: Spaces = False,
    no_punctuation: NoPunctuation = False,
) -> Filtered:
    """Write a table in which only words that can be trusted are labels.

    Doubtful words are marked as do-not-care (class "ignore"): the ink is still in the image, and
    a detector trained on words without labels learns that text is background. --drop removes them
    instead, which suits recognition sets. Both conditions together: a word has to meet both.

    --precision chooses the cut of p_correct that keeps most and whose precision, by document, is
    sure to reach it. Where none is, it ends with status 2, says how many reviewed documents are
    missing, and writes the pages that would teach most to --review (by default
    LABELS_review.parquet).

    For example:

        ocrlabel filter labels.parquet --calibration cal.json --precision 0.95

        ocrlabel filter labels.parquet --min-confidence 0.9

        ocrlabel filter upstage.parquet --agreed-with rapidocr.parquet

        ocrlabel filter labels.parquet --min-confidence 0.95 --drop -o sure.parquet
    """
    _need_quality()
    from ocrlabel.cli.tables import need_file, refuse_to_replace

    labels = need_file(labels)
    review = Path(review).expanduser() if review is not None else None
    if all(one is None for one in (min_confidence, agreed_with, calibration, precision)):
        raise ConfigError(
            "nothing to filter by: give --min-confidence, --precision (see `ocrlabel calibrate`),"
            " --agreed-with, or several"
        )
    if min_confidence is not None and precision is not None:
        raise ConfigError("--precision chooses the cut: leave --min-confidence out")
    if agreed_with is not None:
        agreed_with = need_file(agreed_with)
    from ocrlabel.quality.filter import Rule, filter_table
    from ocrlabel.quality.probability import read_calibration
    from ocrlabel.quality.text import Normalisation

    target = (
        Path(output).expanduser() if output else labels.with_name(f"{labels.stem}_filtered.parquet")
    )
    inputs = {path.resolve() for path in (labels, agreed_with) if path is not None}
    written = [path.resolve() for path in (target, review) if path is not None]
    if inputs & set(written) or len(set(written)) < len(written):
        raise ConfigError("the tables that are read and written must be different files")
    for path in filter(None, (target, review)):
        refuse_to_replace(path)
    known = read_calibration(Path(calibration).expanduser()) if calibration is not None else None
    cut = None
    if precision is not None:
        cut = _named_cut(labels, known, precision, review)
        min_confidence = cut.p_correct
    done = filter_table(
        labels,
        target,
        Rule(min_confidence, agreed=agreed_with is not None),
        normalise=Normalisation(unicode, case, spaces, punctuation=not no_punctuation),
        other=agreed_with,
        review=review,
        drop=drop,
        calibration=known,
    )
    done.at_least = cut.at_least if cut is not None else None
    return done


def _named_cut(
    labels: Path, known: Calibration | None, precision: float, review: Path | None
) -> Cut:
    """The cut of p_correct. Raises ConfigError, with the pages to review written, without one."""
    from ocrlabel.cli.tables import refuse_to_replace
    from ocrlabel.quality.filter import write_lessons
    from ocrlabel.quality.probability import least_documents

    if known is not None and (cut := known.cut(precision)) is not None:
        return cut
    queue = review or labels.with_name(f"{labels.stem}_review.parquet")
    refuse_to_replace(queue)
    pages = write_lessons(labels, queue, precision, known)
    missing = least_documents(precision) if known is None else known.documents_missing(precision)
    reviewed = 0 if known is None else len(known.documents)
    raise ConfigError(
        f"--precision {precision}: no cut is sure to be that right, by {reviewed} reviewed"
        f" documents; {_missing(missing)}\n"
        f"  {queue}: {counted(pages, 'page')} to review, those that teach most first"
        f"{' (ocrlabel export, then import)' if pages else ': all are reviewed, label more'}\n"
        f"  then: ocrlabel calibrate {labels} --truth REVIEWED, and filter --calibration with it"
    )


def tell_filtered(done: Filtered, *, review: str, drop: bool, as_json: Json = False) -> None:
    """How many words were doubtful, and what became of them."""
    if as_json:
        typer.echo(json.dumps(done.to_json(), indent=2))
        return
    share = done.doubtful / done.words if done.words else 0.0
    what = "removed" if drop else "marked as do-not-care"
    typer.echo(
        f"{done.output}: {done.pages:,} pages; {done.doubtful:,} of {done.words:,} words "
        f"({percent(share)}) {what}"
    )
    if done.threshold is not None:
        typer.echo(f"  below {done.threshold:g}, by {done.score}")
    if done.at_least is not None:
        typer.echo(f"  {percent(done.at_least)} or more of the others are right")
    if done.of_reviewed == 0 and done.pages:
        typer.echo(
            "  careful: no page is of a reviewed document, and what the calibration says holds for"
            " pages that are like those"
        )
    if done.unknown:
        words = counted(done.unknown, "word")
        why = "nobody reviewed their engine or script, or a person wrote them"
        typer.echo(f"  without p_correct: {words}; {why}")
    for model, pages in done.other_models.items():
        read = f"{counted(pages, 'page')} read by {model}, and the calibration is of other models"
        typer.echo(f"  {read}: review some, and calibrate again")
    for line in _unpaired_lines(done.unpaired):
        typer.echo(f"  {line}: all of its words are doubtful")
    if review:
        typer.echo(f"{review}: {done.pages_to_review:,} pages to look at, the most doubtful first")


def _page_to_write(output: str | Path | None) -> Path | None:
    """The page that was asked for; refused at once where it cannot be written."""
    from ocrlabel.cli.tables import refuse_to_replace
    from ocrlabel.report.write import need_jinja

    if not output:
        return None
    need_jinja()
    refuse_to_replace(Path(output))
    return Path(output)


def _need_quality() -> None:
    missing = [name for name in ("numpy", "rapidfuzz", "shapely") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"this command needs {', '.join(missing)}: in the clone, pip install '.[quality]'"
        )


def _unpaired_lines(unpaired: Unpaired) -> list[str]:
    """What found no partner, a line a reason."""
    return [
        f"{count} {reason}, such as {', '.join(unpaired.examples[reason][:3])}"
        for reason, count in sorted(unpaired.counts.items())
    ]


def _nothing_paired(what: str, unpaired: Unpaired, table: Path, other: Path) -> ConfigError:
    """What is raised where not one page found its partner."""
    from ocrlabel.quality.pairing import NO_ROW

    lines = "".join(
        f"\n  {other if reason == NO_ROW else table}: {line}"
        for reason, line in zip(sorted(unpaired.counts), _unpaired_lines(unpaired), strict=True)
    )
    return ConfigError(
        f"{what}{lines}\n"
        "  they are paired by sha256, id or path: give pages the same id or file name in both"
    )


def _show_level(console: Console, result: LevelResult) -> None:
    noun = result.level.value
    counts = result.counts
    console.print()
    console.print(
        f"{noun}s: {counted(counts.pages, 'page')}, {counts.truth:,} in the truth,"
        f" {counts.read:,} read"
    )
    table = _plain_table(
        f"Against {noun}-level truth", "", "recall", "precision", "h-mean", "CER", "1-NED"
    )
    for row in _rows(counts):
        table.add_row(*row)
    console.print(table)
    if result.groups:
        console.print(_groups(result))
    if result.worst:
        _show_wrong(console, result)
    if result.bins:
        _show_confidence(console, result)


def _rows(counts: Counts) -> Iterator[tuple[str, ...]]:
    scores = [("detection", counts.detection)]
    if counts.truth_with_text:
        scores.append(("end to end", counts.end_to_end))
        scores.append(("CLEval detection", counts.characters.detection.score))
        scores.append(("CLEval end to end", counts.characters.end_to_end.score))
    for name, score in scores:
        shares = (_share(share) for share in (score.recall, score.precision, score.hmean))
        of_texts = (_share(counts.cer), _share(counts.ned)) if name == "end to end" else ()
        yield (name, *shares, *of_texts)


def _groups(result: LevelResult) -> Table:
    table = _plain_table(
        "By group", "group", "pages", "truth", "det. h", "e2e recall", "e2e precision", "CER"
    )
    for name, counts in list(result.groups.items())[:_MOST_GROUPS]:
        table.add_row(
            name or "(none)",
            f"{counts.pages:,}",
            f"{counts.truth:,}",
            ratio(counts.detection.hmean),
            ratio(counts.end_to_end.recall),
            ratio(counts.end_to_end.precision),
            _share(counts.cer),
        )
    if len(result.groups) > _MOST_GROUPS:
        table.caption = f"{len(result.groups) - _MOST_GROUPS} more groups: --json has them"
    return table


def _show_wrong(console: Console, result: LevelResult) -> None:
    from ocrlabel.quality.faults import INVENTED, MISREAD, MISSED, RIGHT
    from ocrlabel.quality.truth import name_of

    kinds = (MISREAD, MISSED, INVENTED)
    pages = _plain_table("The worst pages", "page", *kinds, "right")
    for page in result.worst[:_MOST_WRONG]:
        counts = [len(page.of_kind(kind)) for kind in (*kinds, RIGHT)]
        pages.add_row(_safe(str(name_of(page.row))), *(f"{number:,}" for number in counts))
    words = _plain_table("Words on them", "", "times", "truth", "read")
    for kind in kinds:
        found = Counter(one.texts for page in result.worst for one in page.of_kind(kind))
        for texts, times in found.most_common(_MOST_WRONG):
            words.add_row(kind, f"{times:,}", *map(_safe, texts))
    if result.wrong_pages > _MOST_WRONG:
        kept = f"--json has {len(result.worst):,} of them"
        pages.caption = f"{result.wrong_pages:,} pages have wrong words: {kept}"
    console.print(pages)
    console.print(words)
    if result.confusions:
        table = _plain_table("Most frequent confusions", "truth", "read", "times")
        for truth, read, times in result.confusions[:_MOST_WRONG]:
            table.add_row(_safe(truth or "(nothing)"), _safe(read or "(nothing)"), f"{times:,}")
        console.print(table)


def _safe(text: str) -> Text:
    """A text of somebody's as it may be shown: no markup, nothing hidden, not too long."""
    from rich.text import Text

    from ocrlabel.report.facts import visible

    return Text(visible(text, 60))


def _show_confidence(console: Console, result: LevelResult) -> None:
    table = _plain_table(
        "How right a confidence is", "confidence", "words", "mean", "right", "95 %"
    )
    for one in result.bins:
        table.add_row(
            f"{one.low:.2f}-{one.high:.2f}",
            f"{one.words:,}",
            ratio(one.mean_score),
            percent(one.precision),
            _span(one.interval),
        )
    console.print(table)
    console.print(_curve_table("Keep the most confident", result.curve))
    console.print(_threshold_sentence(result))


def _threshold_sentence(result: LevelResult) -> str:
    from ocrlabel.quality.calibration import AT_LEAST

    found = result.threshold
    if not found.documents_chosen_on:
        return (
            "No cut is chosen: documents go into halves by chance, and the half to choose on has"
            " none. Give more documents, or another --seed."
        )
    chosen_on, wanted = counted(found.documents_chosen_on, "document"), percent(found.wanted, 0)
    if found.chosen is None:
        return (
            f"No confidence reaches {wanted} right on the half that it is chosen on ("
            f"{chosen_on}, and a cut has to keep {AT_LEAST} words)."
        )
    chosen = f"--min-confidence {found.chosen.threshold:.4f} reaches {wanted} on {chosen_on}"
    if found.measured is None or not found.measured.kept:
        return f"{chosen}; the other half has no words to measure it on."
    measured = found.measured
    kept, right = percent(measured.kept_share, 0), percent(measured.precision)
    return (
        f"{chosen}; on the other {found.documents_measured_on} it keeps {kept} "
        f"of the words, {right} of them right (95 %: {_span(measured.interval)})."
    )


def _triples(
    labels: Path, others: PageStore, truths: PageStore
) -> Iterator[tuple[LabelRow, TruthPage, TruthPage]]:
    """Rows that both the other table and the truth have; the others were counted before."""
    from ocrlabel.dataset.labels_table import read_labels
    from ocrlabel.quality.pairing import Unpaired, partner

    ignored = Unpaired()
    for row in read_labels(labels):
        second, true = partner(row, others, ignored), partner(row, truths, ignored)
        if second is not None and true is not None:
            yield row.scored, second, true


@contextmanager
def _writing(path: Path) -> Iterator[Callable[[LabelRow, PageAgreement], None]]:
    """A function that writes pages as JSON Lines; the file appears when all went well."""
    from ocrlabel.dataset.parquet_io import whole_file
    from ocrlabel.quality.agreement import page_line

    with whole_file(path) as file:

        def write(row: LabelRow, page: PageAgreement) -> None:
            line = json.dumps(page_line(row, page), ensure_ascii=False)
            file.write(line.encode("utf-8", "replace") + b"\n")

        yield write


def _show_agreement(console: Console, agreement: Agreement, found: Signals | None) -> None:
    console.print()
    console.print(_agreement_table("By script", {"all": agreement.total, **agreement.scripts}))
    if agreement.groups:
        console.print(_agreement_table("By group", agreement.groups))
    if found is None:
        return
    console.print(
        f"\nAgainst truth: {counted(found.words, 'word')} of the first table,"
        f" {counted(found.documents, 'document')}."
    )
    for signal in found.signals:
        title = (
            f"Keep by {signal.name}: mean precision {ratio(signal.area)} ({_span(signal.interval)})"
        )
        console.print(_curve_table(title, signal.curve))
    for name, (gain, spread) in found.gains.items():
        chance = (
            f"{counted(found.documents, 'document')} cannot tell how far that is chance"
            if spread is None
            else f"95 %: {ratio(spread.low, sign='+')} to {ratio(spread.high, sign='+')}"
        )
        console.print(
            f"{name} against confidence: {ratio(gain, sign='+')} mean precision ({chance})"
        )


def _agreement_table(title: str, by_name: dict[str, AgreementCounts]) -> Table:
    table = _plain_table(
        title, "", "pages", "first", "second", "same place", "same text", "agreement"
    )
    for name, counts in by_name.items():
        numbers = (counts.pages, counts.first, counts.second, counts.matched, counts.same)
        cells = [f"{number:,}" for number in numbers]
        table.add_row(name or "(none)", *cells, ratio(counts.agreement))
    return table


def _curve_table(title: str, points: tuple[CurvePoint, ...]) -> Table:
    table = _plain_table(title, "keep from", "share kept", "words", "right", "95 %")
    for point in points:
        table.add_row(
            f"{point.threshold:.4f}",
            percent(point.kept_share),
            f"{point.kept:,}",
            percent(point.precision),
            _span(point.interval),
        )
    return table


def _plain_table(title: str, *columns: str) -> Table:
    """A table without lines: the first column to the left, numbers to the right."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for at, column in enumerate(columns):
        table.add_column(column, justify="left" if at == 0 else "right")
    return table


def _span(interval: Interval | None) -> str:
    """An interval in per cent, "-" where there is none."""
    return "-" if interval is None else f"{percent(interval.low)}-{percent(interval.high)}"


def _share(value: float | None) -> str:
    return "-" if value is None else ratio(value)
