"""The documents: lines that can be read anywhere, links that lead somewhere, and nothing left out."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from deploy.local.settings import StackSettings
from shared.contract.operations import OPERATIONS
from shared.process.settings import CONCERNS

ROOT = Path(__file__).parents[2]
LONGEST_LINE = 120
LINK = re.compile(r"\]\(([^()\s]+)\)")
ALARM = re.compile(r"\blog\.(?:warning|error|exception)\(\s*\"(\w+)\"")
METRIC = re.compile(r"\b(Counter|Gauge|Histogram)(?:MetricFamily)?\(\s*\"(\w+)\"")
SERVICES = ("gateway", "booking_worker", "hold_worker", "shared")


def documents() -> list[Path]:
    """Every document of the tree; what is installed or built lies in folders that begin with a dot."""
    return [*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md")]


def long_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > LONGEST_LINE]


def broken_links(folder: Path, text: str) -> list[str]:
    """The relative links of a document in `folder` that lead to no file of this tree."""
    paths = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link]
    return [path for path in paths if path and not (folder / path).is_file()]


def names_in_tables(text: str) -> set[str]:
    """What stands as code in the first cell of a table's row."""
    first_cells = re.findall(r"^\| *([^|]*)\|", text, re.MULTILINE)
    return {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}


def sources() -> Iterator[str]:
    """The code of the services, a file at a time."""
    for service in SERVICES:
        for path in (ROOT / service).rglob("*.py"):
            yield path.read_text()


def alarms() -> Iterator[str]:
    """The events that services log as warnings or errors."""
    for source in sources():
        yield from ALARM.findall(source)


def metrics() -> Iterator[str]:
    """The metrics that services tell, by the names that Prometheus has of them."""
    for source in sources():
        for kind, name in METRIC.findall(source):
            yield f"{name}_total" if kind == "Counter" else name


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_is_narrow_and_its_links_lead_somewhere(path: Path) -> None:
    """No line is longer than 120 characters, and every relative link leads to a file that is there."""
    text = path.read_text()
    assert not long_lines(text)
    assert not broken_links(path.parent, text)


def test_every_part_has_its_document() -> None:
    """Whoever changes or operates a part finds its README beside it."""
    for folder in (*SERVICES, "deploy", "tests"):
        assert (ROOT / folder / "README.md").is_file(), folder


def test_every_setting_stands_in_the_readme() -> None:
    """Each variable that services and the local stack read is a row of the README's table."""
    concerns: tuple[type[BaseSettings], ...] = (*CONCERNS, StackSettings)
    settings = {name.upper() for concern in concerns for name in concern.model_fields}
    assert not settings - names_in_tables((ROOT / "README.md").read_text())


def test_every_subject_is_described() -> None:
    """Each subject of NATS is a row of the table in shared/README.md."""
    known = {each.subject for each in OPERATIONS} | {each.many_subject for each in OPERATIONS if each.batched}
    assert known
    assert not known - names_in_tables((ROOT / "shared" / "README.md").read_text())


def test_every_alarm_is_explained() -> None:
    """Each warning and error that a service logs is a row of the table in deploy/README.md."""
    known = set(alarms())
    assert "holds_unreachable" in known
    assert not known - names_in_tables((ROOT / "deploy" / "README.md").read_text())


def test_every_metric_is_explained() -> None:
    """Each metric of a service is a row of a table in deploy/README.md."""
    known = set(metrics())
    assert {"booking_build_info", "booking_commands_total"} <= known
    assert not known - names_in_tables((ROOT / "deploy" / "README.md").read_text())


def test_control_what_is_wrong_is_found() -> None:
    """A line of 121 characters, a link to nothing, and a name outside of a table's first cell are found."""
    assert long_lines("short\n" + "x" * 121) == ["x" * 121]
    text = "[a](README.md#start) [b](https://example.org/c.md) ![d](nowhere.png)"
    assert broken_links(ROOT, text) == ["nowhere.png"]
    assert names_in_tables("`NO`\n| `YES`, `TOO` | `NO` |") == {"YES", "TOO"}
