"""Label Studio: tasks.json with pre-annotations to correct, and labeling_config.xml to go with it.

A word is a `polygonlabels` region and a `textarea` with the same id; coordinates are percent of
the page. A region's score is the word's confidence, the prediction's score the page's. Task data
holds the image's URL: what `--image-url` says and the path, which is right for
`/data/local-files/?d=FOLDER/` as for `s3://BUCKET/PREFIX/`; a path that is a URL already stays.

Comes back: its JSON export of the tasks that went out. A task counts once a person has submitted
it, and is a review of the whole page even where nothing was changed. Polygons and rectangles, also
turned ones, with the OCR template's names or ours. Percent of the page become px, rounded to a
millionth.
Source: labelstud.io/guide/predictions and guide/task_format, the OCR template.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

from ocrlabel.dataset.labels_table import IGNORE, LabelRow
from ocrlabel.errors import DatasetError
from ocrlabel.export.export_pages import ExportPage, ExportWord, with_size
from ocrlabel.export.formats import Correction, ExportOptions
from ocrlabel.export.geometry import turned, upright
from ocrlabel.export.import_files import files, number, read_json, saved_at
from ocrlabel.export.output_folder import JsonFile
from ocrlabel.export.session import ExportSession, exporter
from ocrlabel.labels import Polygon, Word

LOCAL_FILES = "/data/local-files/?d="
REGION, TEXT, IMAGE = "label", "transcription", "image"
"""Names of the controls and the object in the labelling configuration."""
_LABELS = ("polygonlabels", "rectanglelabels", "labels")
_NO_IMAGES = (
    "no images: Label Studio has to serve those of the input itself, and no page of a file with"
    " several; --images brings them along, --image-url says where they are"
)
_RULE = ("ignore_below", "keep_untranscribed")  # by which words were sent as do-not-care


@exporter(
    "labelstudio",
    training="For people to correct first: import tasks.json, then `ocrlabel import`, then export "
    "in the trainer's format.",
)
def export(session: ExportSession, rows: Iterator[LabelRow]) -> None:
    """Write tasks.json, labeling_config.xml and, with images, images/*.jpg."""
    session.options = replace(session.options, keep_uncertain=True)  # a person is to see it
    classes: dict[str, None] = {"text": None, IGNORE: None}
    served = quote(f"{session.folder.root.name}/") if session.images else ""
    url = session.options.image_url or LOCAL_FILES + served
    tasks = JsonFile(session.folder.path("tasks.json"), head="[", tail="]")
    session.opened.callback(tasks.close)
    served_by_others = False
    sized = with_size(rows, "Label Studio's coordinates are percent of it")
    for page, name in session.placed(sized, "images"):
        of_image = address(name, url)
        served_by_others |= session.images is None and of_image.startswith(LOCAL_FILES)
        tasks.add(_task(page, of_image, session.options))
        classes.update(dict.fromkeys(_label(word) for word in page.words))
        session.listed(page, name)
    if served_by_others:
        session.counts.warnings += (_NO_IMAGES,)
    path = session.folder.path("labeling_config.xml")
    path.write_text(labeling_config(tuple(classes)), encoding="utf-8", newline="\n")


def address(path: str, url: str) -> str:
    """Return the URL of an image; s3:// paths are left as they are, Label Studio signs them."""
    if "://" in path:
        return path
    if url.startswith(("s3://", "gs://", "azure-blob://")):
        return url + path
    return url + quote(path)


def labeling_config(classes: tuple[str, ...]) -> str:
    """Return the labelling interface that the tasks are made for."""
    colours = ("#2e7d32", "#9e9e9e", "#1565c0", "#ef6c00", "#6a1b9a", "#c62828")
    labels = "".join(
        f"    <Label value={quoteattr(name)} background={quoteattr(colours[i % len(colours)])}/>\n"
        for i, name in enumerate(classes)
    )
    return (
        "<View>\n"
        f'  <Image name="{IMAGE}" value="$image" zoom="true" zoomControl="true"/>\n'
        f'  <PolygonLabels name="{REGION}" toName="{IMAGE}" strokeWidth="2" pointSize="small">\n'
        f"{labels}"
        "  </PolygonLabels>\n"
        f'  <TextArea name="{TEXT}" toName="{IMAGE}" editable="true" perRegion="true"'
        ' maxSubmissions="1" rows="2" placeholder="Text" displayMode="region-list"/>\n'
        "</View>\n"
    )


def _task(page: ExportPage, url: str, options: ExportOptions) -> dict[str, object]:
    row = page.row
    rule = {key: value for key in _RULE if (value := getattr(options, key)) not in {None, False}}
    data = {
        "image": url,
        "ocrlabel_id": row.id,
        "ocrlabel_page": row.page,
        "split": page.split,
        **{f"ocrlabel_{key}": value for key, value in rule.items()},
    }
    prediction = {
        "model_version": f"{row.engine} {row.model_version}".strip(),
        "score": row.page_confidence,
        "result": [part for i, word in enumerate(page.words) for part in _results(i, word, row)],
    }
    return {"data": data, "predictions": [prediction]}


def _results(number: int, word: ExportWord, row: LabelRow) -> Iterator[dict[str, object]]:
    points = [[x * 100 / row.width_px, y * 100 / row.height_px] for x, y in word.polygon]
    common: dict[str, object] = {
        "id": f"w{number:05d}",
        "to_name": IMAGE,
        "original_width": row.width_px,
        "original_height": row.height_px,
        "image_rotation": 0,
    }
    if word.confidence is not None:
        common["score"] = word.confidence
    shape = {"points": points, "closed": True}
    of_shape = {**shape, "polygonlabels": [_label(word)]}
    yield {**common, "from_name": REGION, "type": "polygonlabels", "value": of_shape}
    if word.text:
        of_text = {**shape, "text": [word.text]}
        yield {**common, "from_name": TEXT, "type": "textarea", "value": of_text}


def _label(word: ExportWord) -> str:
    return IGNORE if word.ignored else word.label


def corrections(folder: Path) -> Iterator[Correction]:
    """Read every JSON. Raises DatasetError that names file and task."""
    for path in files(folder, "*.json"):
        tasks = read_json(path)
        if not isinstance(tasks, list):
            raise DatasetError(f"{path} is no list of tasks\n  export JSON from Label Studio")
        for at, task in enumerate(tasks):
            try:
                found = _correction(task, saved_at(path))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DatasetError(
                    f"{path}, task {at + 1}: {error!r}\n"
                    "  export JSON from Label Studio (not JSON-MIN, which has no data)"
                ) from error
            yield found


def _correction(task: dict[str, Any], saved: datetime) -> Correction:
    data = task["data"]
    file = _path(str(data.get("image") or data.get("ocr") or ""))
    # before version 1 they were completions
    made = [*(task.get("annotations") or ()), *(task.get("completions") or ())]
    done = [a for a in made if not (a.get("was_cancelled") or a.get("skipped"))]
    not_taken = ("draft",) * len(task.get("drafts") or ())
    not_taken += ("skipped annotation",) * (len(made) - len(done))
    if not done:
        return Correction(file, (), (), "labelstudio", not_taken=not_taken, is_done=False)
    newest = max(done, key=lambda a: str(a.get("updated_at") or a.get("created_at") or ""))
    words, classes, passed_over = _words(newest["result"])
    rule = {key: data[f"ocrlabel_{key}"] for key in _RULE if f"ocrlabel_{key}" in data}
    return Correction(
        file=file,
        words=words,
        classes=classes,
        source=_source(newest.get("completed_by")),
        id=str(data.get("ocrlabel_id", "")),
        page=int(data.get("ocrlabel_page", 1)),
        size_px=_size_px(newest["result"]),
        reviewed_at=_done_at(newest, saved),
        passed_over=passed_over,
        not_taken=("older annotation",) * (len(done) - 1) + not_taken,
        rule=ExportOptions(**rule) if rule else None,
    )


def _size_px(results: list[dict[str, Any]]) -> tuple[float, float]:
    shown = next((one for one in results if one.get("original_width")), {})
    return number(shown.get("original_width", 0)), number(shown.get("original_height", 0))


def _done_at(annotation: dict[str, Any], otherwise: datetime) -> datetime:
    with suppress(ValueError, KeyError, TypeError):
        at = datetime.fromisoformat(annotation.get("updated_at") or annotation["created_at"])
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    return otherwise


def _words(
    results: list[dict[str, Any]],
) -> tuple[tuple[Word, ...], tuple[str, ...], tuple[str, ...]]:
    """Return one word a region, its class, and the types of the regions that are no word.

    A region's shape, label and text are results with the same id.
    """
    foreign: dict[str, str] = {}
    polygons: dict[str, Polygon] = {}
    labels: dict[str, str] = {}
    texts: dict[str, str] = {}
    for result in results:
        if "value" not in result:
            continue  # a relation
        region, value = str(result.get("id")), result["value"]
        if "points" in value or {"x", "y", "width", "height"} <= value.keys():
            polygons.setdefault(region, _polygon(result, value))
        elif "text" in value or "original_width" in result:  # else a choice about the page
            foreign.setdefault(region, str(result.get("type", "region")))
        for key in _LABELS:
            if value.get(key):
                labels[region] = str(value[key][0])
        if "text" in value:
            text = value["text"]
            texts[region] = text if isinstance(text, str) else "\n".join(text)
    words = tuple(Word(texts.get(r, ""), polygon, None) for r, polygon in polygons.items())
    passed_over = tuple(kind for region, kind in foreign.items() if region not in polygons)
    return words, tuple(labels.get(region, "") for region in polygons), passed_over


def _polygon(result: dict[str, Any], value: dict[str, Any]) -> Polygon:
    width, height = number(result["original_width"]), number(result["original_height"])
    if "points" in value:
        points = tuple(
            (number(x) * width / 100, number(y) * height / 100) for x, y in value["points"]
        )
    else:
        # Label Studio turns a rectangle about its top left corner
        left, top = number(value["x"]) * width / 100, number(value["y"]) * height / 100
        w, h = number(value["width"]) * width / 100, number(value["height"]) * height / 100
        rectangle = upright(left, top, w, h)
        points = turned(rectangle, number(value.get("rotation", 0)), (left, top))
    return tuple((round(x, 6), round(y, 6)) for x, y in points)


def _path(url: str) -> str:
    """Return the image's path in the storage: of a local-files URL what `d` says."""
    parts = urlsplit(url)
    if "d" in (query := parse_qs(parts.query)):
        return query["d"][0]
    return unquote(parts.path)


def _source(person: object) -> str:
    if isinstance(person, dict):
        person = person.get("email") or person.get("username") or person.get("id")
    return "labelstudio" if person is None else f"labelstudio:{person}"
