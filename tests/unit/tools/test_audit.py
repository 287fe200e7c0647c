"""What the audit says of pip-audit's findings."""

import audit

GOOD = {"name": "numpy", "version": "2.4.6", "vulns": []}
BAD = {
    "name": "aiohttp",
    "version": "3.9.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.9.4"]}, {"id": "PYSEC-2", "fix_versions": []}],
}
OURS = {"name": "malle-rt", "skip_reason": "not found"}
UNKNOWN = {"name": "pillow", "skip_reason": "not found on the index"}


def test_nothing_found(capsys):
    assert audit.verdict([GOOD, OURS]) == 0
    assert capsys.readouterr().out == "1 of 2 packages looked up, 0 known to be vulnerable\n"


def test_what_is_vulnerable_is_named_with_what_mends_it(capsys):
    assert audit.verdict([GOOD, BAD, UNKNOWN]) == 1
    out = capsys.readouterr().out
    assert "aiohttp 3.9.0: PYSEC-1, mended in 3.9.4\n" in out
    assert "PYSEC-2, mended in no version\n" in out


def test_packages_that_could_not_be_looked_up_are_not_passed(capsys):
    assert audit.verdict([UNKNOWN, OURS]) == 2
    told = capsys.readouterr()
    assert told.out.startswith("0 of 2 packages looked up")
    assert "1 could not be looked up" in told.err and "pillow" in told.err
