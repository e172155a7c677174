"""The documents have narrow lines and working links, and describe every setting, subject and metric."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from deploy.local.settings import StackSettings
from shared.contract.operations import OPERATIONS
from shared.process.concerns import CONCERNS

ROOT = Path(__file__).parents[2]
LONGEST_LINE = 120
LINK = re.compile(r"\]\(([^()\s]+)\)")
ALARM = re.compile(r"\blog\.(?:warning|error|exception)\(\s*\"(\w+)\"")
METRIC = re.compile(r"\b(Counter|Gauge|Histogram)(?:MetricFamily)?\(\s*\"(\w+)\"")
SERVICES = ("gateway", "booking_worker", "hold_worker", "shared")


def documents() -> list[Path]:
    """Return every document of the tree; installed and built ones lie in folders that begin with a dot."""
    return [*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md")]


def long_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > LONGEST_LINE]


def broken_links(folder: Path, text: str) -> list[str]:
    """Return the relative links of a document in `folder` that lead to no file."""
    paths = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link]
    return [path for path in paths if path and not (folder / path).is_file()]


def names_in_tables(text: str) -> set[str]:
    """Return the code names in the first cells of table rows."""
    first_cells = re.findall(r"^\| *([^|]*)\|", text, re.MULTILINE)
    return {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}


def sources() -> Iterator[str]:
    """Yield the code of the services, one file at a time."""
    for service in SERVICES:
        for path in (ROOT / service).rglob("*.py"):
            yield path.read_text()


def alarms() -> Iterator[str]:
    """Yield the events that services log as warnings or errors."""
    for source in sources():
        yield from ALARM.findall(source)


def metrics() -> Iterator[str]:
    """Yield the metrics of the services by their Prometheus names."""
    for source in sources():
        for kind, name in METRIC.findall(source):
            yield f"{name}_total" if kind == "Counter" else name


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_document_has_narrow_lines_and_working_links(path: Path) -> None:
    """No line is longer than 120 characters, and every relative link leads to an existing file."""
    text = path.read_text()
    assert not long_lines(text)
    assert not broken_links(path.parent, text)


def test_way_of_a_request_names_existing_files() -> None:
    """Every file in the block "The way of a request" of gateway/README.md exists."""
    block = (ROOT / "gateway" / "README.md").read_text().split("```")[1]
    files = re.findall(r"[\w/]+\.py", block)
    assert "http/middleware.py" in files
    for file in files:
        assert (ROOT / file).is_file() or (ROOT / "gateway" / file).is_file(), file


def test_part_has_a_readme() -> None:
    """Every part has a README in its folder."""
    for folder in (*SERVICES, "deploy", "tests"):
        assert (ROOT / folder / "README.md").is_file(), folder


def test_setting_is_in_the_readme() -> None:
    """Every variable of the services and the local stack is a row of the README's table."""
    concerns: tuple[type[BaseSettings], ...] = (*CONCERNS, StackSettings)
    settings = {name.upper() for concern in concerns for name in concern.model_fields}
    assert not settings - names_in_tables((ROOT / "README.md").read_text())


def test_default_in_the_readme_is_that_of_the_code() -> None:
    """A row of the settings' table with one number as the default has the number of the code."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    concerns: tuple[type[BaseSettings], ...] = (*CONCERNS, StackSettings)
    defaults = {
        name.upper(): field.default for concern in concerns for name, field in concern.model_fields.items()
    }
    assert {"HOLDS_PER_CLIENT", "BOOKINGS_PER_CLIENT_A_DAY", "SLOT_MINUTES"} <= dict(rows).keys()
    assert {name: int(shown) for name, shown in rows} == {name: defaults[name] for name, _ in rows}


def test_subject_is_in_the_shared_readme() -> None:
    """Every subject of NATS is a row of the table in shared/README.md."""
    known = {each.subject for each in OPERATIONS} | {each.many_subject for each in OPERATIONS if each.batched}
    assert known
    assert not known - names_in_tables((ROOT / "shared" / "README.md").read_text())


def test_alarm_is_in_the_deploy_readme() -> None:
    """Every warning and error that a service logs is a row of the table in deploy/README.md."""
    known = set(alarms())
    assert "holds_unreachable" in known
    assert not known - names_in_tables((ROOT / "deploy" / "README.md").read_text())


def test_metric_is_in_the_deploy_readme() -> None:
    """Every metric of a service is a row of a table in deploy/README.md."""
    known = set(metrics())
    assert {"booking_build_info", "booking_commands_total"} <= known
    assert not known - names_in_tables((ROOT / "deploy" / "README.md").read_text())


def test_control_faults_of_a_document_are_found() -> None:
    """A line of 121 characters, a dead link, and a name outside a first cell are found."""
    assert long_lines("short\n" + "x" * 121) == ["x" * 121]
    text = "[a](README.md#start) [b](https://example.org/c.md) ![d](nowhere.png)"
    assert broken_links(ROOT, text) == ["nowhere.png"]
    assert names_in_tables("`NO`\n| `YES`, `TOO` | `NO` |") == {"YES", "TOO"}
