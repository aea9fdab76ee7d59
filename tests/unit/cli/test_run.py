"""What the end of an incomplete run advises."""

from __future__ import annotations

from ocrlabel.cli.run import what_helps


def test_another_try_is_advised_for_those_failures_alone_that_may_pass():
    said = what_helps({"timed_out": 2}, {}, from_a_table=True)
    assert said == (
        "  2 timed_out may yet succeed: the same command with --retry-failed timed_out\n"
    )


def test_of_both_kinds_each_has_its_own_classes():
    passing, lasting = {"unavailable": 1, "timed_out": 2}, {"not_found": 1, "corrupt": 1_200}
    first, second = what_helps(passing, lasting, from_a_table=True).splitlines()
    assert first.endswith("--retry-failed timed_out,unavailable")
    assert second.startswith("  1,200 corrupt, 1 not_found will fail again as the files are")
    assert second.endswith("--retry-failed corrupt,not_found")


def test_a_folder_with_mended_files_goes_on_in_the_same_place():
    said = what_helps({}, {"empty": 1}, from_a_table=False)
    assert said.endswith(
        "mend them, then the same command with --grow, which labels only what is new\n"
    )
