from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from ocrlabel.dataset.labels_table import LabelsWriter, read_labels, score_of
from ocrlabel.errors import ConfigError, DatasetError
from ocrlabel.quality.probability import (
    Calibration,
    Cut,
    Rising,
    Words,
    across,
    cuts_of,
    fitted,
    isotonic,
    judged,
    laid_on,
    learn,
    least_documents,
    lower_bounds,
    read_calibration,
    write_calibration,
)
from ocrlabel.quality.text import Normalisation
from ocrlabel.quality.truth import read_reviewed
from tests.support.quality_pages import row, true, truth, word

SAME = Normalisation()


def words(*documents, engine="e", script="latin"):
    """Of each document the confidences and whether they are right."""
    found = [
        (f"d{number}", engine, "m", script, sure, right, False)
        for number, document in enumerate(documents)
        for sure, right in document
    ]
    return Words(*map(np.array, zip(*found, strict=True)))


def drawn(documents, seed, *, spread):
    """Documents of 40 words; how much more or less is right than confidences say differs."""
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(documents):
        sure = chance.uniform(0.3, 1, 40).round(3)
        odds = np.log(sure / (1.0005 - sure)) * 2 + chance.normal(0, spread)
        found.append(list(zip(sure, chance.random(40) < 1 / (1 + np.exp(-odds)), strict=True)))
    return words(*found)


def test_isotonic_pools_what_falls_and_keeps_what_rises():
    scores, right = np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, True, False, True])
    middles, shares = isotonic(scores, right, np.ones(4))
    assert middles.tolist() == pytest.approx([0.1, 0.25, 0.4])
    assert shares.tolist() == [0.0, 0.5, 1.0]


def test_equal_scores_are_one_and_weights_count():
    scores, right = np.array([0.5, 0.5]), np.array([True, False])
    middles, shares = isotonic(scores, right, np.array([3.0, 1.0]))
    assert (middles.tolist(), shares.tolist()) == ([0.5], [0.75])


def test_a_document_counts_once_however_many_words_it_has():
    long = [(0.9, False)] * 500
    (rising,) = fitted(words(long, *([[(0.9, True)]] * 9)))
    assert rising.p_correct == pytest.approx((0.9,))
    assert (rising.documents, rising.words) == (10, 509)


def test_words_keep_the_order_of_their_confidences():
    learned = drawn(40, 1, spread=0.5)
    (rising,) = fitted(learned)
    given = np.linspace(0, 1, 200)
    assert (np.diff(rising(given)) >= 0).all()


def test_a_script_in_few_documents_takes_what_all_scripts_have():
    many, few = drawn(20, 1, spread=0), drawn(5, 2, spread=0)
    both = Words(
        *(np.concatenate([getattr(many, name), getattr(few, name)]) for name in Words.__slots__)
    )
    both = replace(both, script=np.array(["latin"] * 800 + ["hangul"] * 200))
    found = {one.script: one for one in fitted(both)}
    assert [one.pooled for one in found.values()] == [True, False]
    pooled, own = found["hangul"], found["latin"]
    assert pooled.documents == 5
    assert pooled.p_correct != own.p_correct


def test_nothing_is_known_of_a_script_that_nobody_reviewed():
    learned = drawn(12, 1, spread=0)
    other = replace(learned, script=np.full(len(learned.right), "han"))
    assert np.isnan(laid_on(other, fitted(learned))).all()


def test_no_document_says_what_its_own_words_are_worth():
    """All but one document are right throughout; that one is wrong, and others do not know it."""
    right = [(0.9, True)] * 10
    learned = words(*([right] * 19), [(0.9, False)] * 10)
    scores = across(learned, 0)
    assert scores[learned.document == "d19"].tolist() == [1.0] * 10
    assert fitted(learned)[0].p_correct == pytest.approx((0.95,))


def bound(kept, right):
    return lower_bounds(np.array(kept, float)[:, None], np.array(right, float)[:, None])[0]


def test_the_bound_goes_by_document_and_never_trusts_a_few():
    alike = bound([100] * 40, [97] * 40)
    apart = bound([100] * 40, [100] * 38 + [40, 40])
    assert 0.9 < alike < 0.97
    assert apart < alike
    assert bound([1000] * 10, [1000] * 10) < 0.9
    assert bound([10] * 400, [10] * 400) > 0.99
    assert bound([0] * 5, [0] * 5) == 0


def test_the_fewest_documents_are_those_from_which_all_right_is_enough():
    least = least_documents(0.95)
    assert bound([1] * least, [1] * least) >= 0.95 > bound([1] * (least - 1), [1] * (least - 1))


@pytest.mark.parametrize("spread", [0.5, 1.5])
def test_a_named_precision_is_kept_on_other_documents(spread):
    """Of sixty calibrations at most one in twenty may be wrong, and a few at least have a cut."""
    world = drawn(1_500, 99, spread=spread)
    named = broken = 0
    for seed in range(60):
        learned = drawn(60, seed, spread=spread)
        reached = [
            one for one in cuts_of(learned, across(learned, 0)) if one.at_least >= 0.9
        ]  # by rising cut
        if not reached:
            continue
        named += 1
        kept = laid_on(world, fitted(learned)) >= reached[0].p_correct
        broken += world.right[kept].mean() < 0.9
    assert named >= 30
    assert broken <= 3


def test_p_correct_is_nearer_to_what_is_right_than_confidence():
    learned = learn(drawn(60, 4, spread=0.3), normalisation="n", seed=0)
    assert learned.error_after < learned.error_before / 2


def test_an_engine_that_gives_lines_is_named():
    some = drawn(12, 1, spread=0)
    assert not learn(some, normalisation="n", seed=0).of_lines
    of_lines = replace(some, spaced=np.arange(len(some.right)) % 3 > 0)
    assert learn(of_lines, normalisation="n", seed=0).of_lines == ("e",)


def test_too_few_documents_are_refused_with_how_many_it_takes():
    with pytest.raises(ConfigError, match=r"9 reviewed documents with words.* it takes 10"):
        learn(drawn(9, 1, spread=0), normalisation="n", seed=0)


KNOWN = Calibration(
    functions=(Rising("e", "latin", 12, 100, False, (0.5, 0.9), (0.2, 1.0)),),
    documents=("a", "b"),
    words=100,
    cuts=(Cut(0.5, 100, 1.0, 0.8, 0.7), Cut(0.8, 60, 0.6, 0.97, 0.93), Cut(0.9, 9, 0.1, 1.0, 0.99)),
    error_before=0.1,
    error_after=0.05,
    normalisation="n",
)


def test_a_cut_has_a_name_where_its_bound_reaches_the_precision_and_enough_is_kept():
    assert KNOWN.cut(0.7) == KNOWN.cuts[0]
    assert KNOWN.cut(0.75) == KNOWN.cuts[1]
    assert KNOWN.cut(0.95) is None


def test_how_many_documents_are_missing_follows_from_the_nearest_cut():
    assert KNOWN.documents_missing(0.95) == least_documents(0.95) - 2
    assert KNOWN.documents_missing(0.98) is None
    many = replace(KNOWN, documents=tuple(map(str, range(100))))
    assert many.documents_missing(0.95) == 300


def test_p_correct_is_laid_on_by_engine_and_script():
    page = row([word("abc", conf=0.7), word("한글", conf=0.7), word("x", conf=None)])
    laid = KNOWN.lay_on(replace(page, engine="e"))
    assert laid.p_correct == (pytest.approx(0.6), None, None)
    assert KNOWN.lay_on(replace(page, engine="other")).p_correct == (None, None, None)
    assert [one.confidence for one in laid.scored.words] == [pytest.approx(0.6), None, None]
    assert page.scored is page


def test_a_calibration_comes_back_as_it_was_written(tmp_path):
    write_calibration(KNOWN, tmp_path / "cal.json")
    assert read_calibration(tmp_path / "cal.json") == KNOWN


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"written_by": "ocrlabel calibrate, version 2"}']
)
def test_another_file_is_no_calibration(tmp_path, content):
    (tmp_path / "cal.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"cal\.json is no calibration that can be read"):
        read_calibration(tmp_path / "cal.json")


def test_only_what_the_engine_read_and_words_can_judge_is_judged():
    page = replace(row([word("abc", conf=0.7), word("x", 40, conf=None)]), engine="e")
    true_page = truth([true("abd"), true("x", 40)])
    found = judged([(page, true_page)], SAME)
    assert (found.confidence.tolist(), found.right.tolist()) == ([0.7], [False])
    seen = replace(page, reviewed_at=datetime(2026, 11, 1, tzinfo=UTC))
    assert len(judged([(seen, true_page)], SAME).right) == 0
    assert len(judged([(replace(page, source="coco:me"), true_page)], SAME).right) == 0


def test_p_correct_stands_in_the_table_and_says_what_its_score_is(tmp_path):
    page = KNOWN.lay_on(replace(row([word("abc", conf=0.7), word("한", conf=0.7)]), engine="e"))
    for name, rows in (("laid", [row([]), page]), ("plain", [replace(page, p_correct=())])):
        with LabelsWriter(tmp_path / name) as table:
            for one in rows:
                table.add(one)
    assert list(read_labels(tmp_path / "laid"))[1].p_correct == page.p_correct
    assert score_of(tmp_path / "laid") == "p_correct"
    assert score_of(tmp_path / "plain") == "confidence"
    with (
        pytest.raises(ValueError, match="1 p_correct for 2 words"),
        LabelsWriter(tmp_path / "bad") as table,
    ):
        table.add(replace(page, p_correct=(0.5,)))


def test_of_a_table_that_came_home_only_what_a_person_saw_is_truth(write_table, tmp_path):
    seen = replace(row([word("abc")], key="seen"), reviewed_at=datetime(2026, 11, 1, tzinfo=UTC))
    unseen = row([word("abc")], key="unseen")
    home = write_table("home.parquet", [seen, unseen])
    assert [page.name.id for page in read_reviewed(home)] == ["seen"]
    corrected = replace(row([word("abd")], key="corrected"), source="coco")
    sent_back = write_table("sent_back.parquet", [corrected, unseen])  # nobody said who saw it
    assert [page.name.id for page in read_reviewed(sent_back)] == ["corrected"]
    with pytest.raises(DatasetError, match=r"no page of it was reviewed.*\n.*--reviewed-by"):
        read_reviewed(write_table("unseen.parquet", [unseen]))
    by_hand = write_table("by_hand.parquet", [row([word("abc", conf=None)], key="by hand")])
    assert [page.name.id for page in read_reviewed(by_hand)] == ["by hand"]
