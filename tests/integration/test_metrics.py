"""Figures for monitoring: those of health, in nobody's words, and one for when all is silent."""

import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from outgoing_samples import approve, cancellation
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from store_samples import NOW, email, key, outcome

import pipeline
from review.health import health_of
from review.metrics import registry_of
from settings import Settings
from store import Store, open_store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


def figures(settings: Settings) -> dict[str, float]:
    """Every sample as it is written, by its name and labels."""
    text = generate_latest(registry_of(settings, lambda: NOW)).decode()
    return {
        f"{sample.name}{sorted(sample.labels.items()) or ''}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_figures_are_those_of_health(store: Store, store_url: str) -> None:
    settings = Settings(database_url=store_url)
    with store.batch(now=NOW) as batch:
        batch.add(key(1), "d1", email(1), [outcome(), outcome(queue="referral")])
        batch.quarantine(key(2), "d2", "empty")
    approve(store, cancellation("77"))

    found = figures(settings)

    report = health_of(store.counts(), settings, NOW)
    assert found["fit_triage_up"] == 1
    assert found["fit_triage_healthy"] == 0
    assert found["fit_triage_issues"] == len(report["issues"])
    assert found["fit_triage_quarantined"] == report["quarantined"] == 1
    for queue, count in report["backlog_by_queue"].items():
        assert found[f"fit_triage_open_cases[('queue', '{queue}')]"] == count
    assert found["fit_triage_outbox[('state', 'waiting')]"] == 1
    assert found[f"fit_triage_model[('version', '{report['model']}')]"] == 1
    assert found["fit_triage_oldest_open_case_timestamp_seconds"] == NOW.timestamp()


def test_nobody_is_named_in_the_figures(store: Store, store_url: str) -> None:
    with store.batch(now=NOW) as batch:
        batch.add(key(1), "d1", email("canary", sender="canary@practice.example"), [outcome()])

    text = generate_latest(registry_of(Settings(database_url=store_url), lambda: NOW)).decode()

    assert "fit_triage_messages 1.0" in text
    assert "canary" not in text
    assert "@" not in text


def test_a_database_that_cannot_be_asked_is_a_figure_itself(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/no/such/folder.sqlite3")

    assert figures(settings) == {"fit_triage_up": 0}


def test_each_alert_watches_a_figure_that_there_is_and_names_what_to_do(
    store: Store, store_url: str
) -> None:
    rules = yaml.safe_load((ROOT / "docs/alerts.yaml").read_text())["groups"][0]["rules"]
    source = (ROOT / "review/metrics.py").read_text()
    headings = re.findall(r"^#+ (.*)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
    approve(store, cancellation("77"))
    with store.batch(now=NOW) as batch:
        batch.add(key(90), "d90", email(90), [outcome()])
    shown = {name.split("[")[0] for name in figures(Settings(database_url=store_url))}

    for rule in rules:
        for name in re.findall(r"fit_triage_\w+", rule["expr"]):
            plain = name.removeprefix("fit_triage_").removesuffix("_timestamp_seconds")
            assert name in shown or f'"{plain}"' in source, name
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/operations.md"
        assert anchor in anchors, anchor


def test_the_file_for_node_exporter_is_replaced_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "fit-triage.prom"
    target.write_text("half a fi")
    monkeypatch.setattr(sys, "argv", ["fit-triage", "metrics", "--to", str(target)])

    with pytest.raises(SystemExit) as ended:
        pipeline.main()

    assert not ended.value.code
    assert list(text_string_to_metric_families(target.read_text()))
    assert [path.name for path in tmp_path.glob("*.prom*")] == ["fit-triage.prom"]


def test_figures_are_served_on_this_machine_alone_until_stopped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [Path(sys.executable).parent / "fit-triage", "metrics", "--port", port]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        with urllib.request.urlopen(address, timeout=30) as answer:
            text = answer.read().decode()
        process.terminate()

    assert address.startswith("http://127.0.0.1:")
    assert "fit_triage_up 1.0" in text
