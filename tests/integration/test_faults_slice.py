"""A slice of the fault campaign (`make faults`), and what shows that it can find bugs."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import (
    backups,
    commits,
    disks,
    erasure,
    kills,
    limits,
    lines,
    model_files,
    powercut,
    runs,
    scripts,
)
from faults.bench import MAILS, Bench, Lane, Row, Trial, bench_on, recovered
from faults.oracle import told
from services.dovecot import Dovecot
from services.postgres import Postgres

pytestmark = [pytest.mark.dovecot, pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture(scope="module")
def bench(dovecot: Dovecot, postgres: Postgres) -> Iterator[Bench]:
    memory = Path("/dev/shm")
    parent = memory if memory.is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=parent) as folder,
        bench_on(dovecot, postgres, Path(folder), lanes=2) as ready,
    ):
        yield ready


@pytest.fixture
def lane(bench: Bench) -> Lane:
    return bench.lanes[0]


def done(bench: Bench, row: Row) -> Trial:
    bench.do(row)
    assert row.result.violations == []
    assert row.result.slowest_s < 35
    return row.result


def test_a_run_killed_at_a_system_call_is_carried_on_by_the_next(bench: Bench, lane: Lane) -> None:
    on_sqlite = done(bench, kills.at_system_calls(lane, "sqlite", 24))
    on_postgres = done(bench, kills.at_system_calls(lane, "postgres", 16))

    assert on_sqlite.kills >= 20
    assert on_postgres.kills >= 12


def test_a_run_killed_at_any_stage_is_carried_on_by_the_next(bench: Bench) -> None:
    assert done(bench, kills.at_stages(24)).kills >= 20
    assert done(bench, kills.while_recovering(4)).kills >= 4


def test_a_connection_cut_silent_or_garbled_costs_no_mail(bench: Bench, lane: Lane) -> None:
    done(bench, lines.every_byte_cut(lane, "down", 0.006))
    done(bench, lines.every_byte_cut(lane, "up", 0.04))
    done(bench, lines.stalls(2))
    done(bench, lines.in_pieces(1))
    done(bench, lines.bits_turned(8))
    done(bench, scripts.garbled(100))


def test_servers_that_renumber_forget_or_die_cost_no_mail(bench: Bench) -> None:
    assert done(bench, lines.renumbered(1)).kills == 1
    done(bench, lines.expunged(2))
    done(bench, lines.servers_killed(4))
    done(bench, scripts.misbehaviour())


def test_a_mail_server_killed_and_started_again_costs_no_mail(bench: Bench) -> None:
    done(bench, lines.masters_killed(2))


def test_runs_that_overlap_or_oversleep_double_nothing(bench: Bench) -> None:
    assert done(bench, runs.overlapping(16)).noted["left to another"]
    assert done(bench, runs.stopped(4)).noted["told that it was overtaken"]
    done(bench, runs.stale_owners(2))
    done(bench, runs.wrong_clocks(2))


def test_databases_that_fail_cost_no_mail(bench: Bench) -> None:
    done(bench, runs.backends_ended(4, killed=0))
    done(bench, runs.failing_disks(4, "pwrite64", "ENOSPC", "12"))
    done(bench, runs.failing_disks(4, "fdatasync", "EIO", "14"))


def test_an_erasure_that_is_killed_is_whole_once_done_again(bench: Bench, lane: Lane) -> None:
    assert done(bench, erasure.killed(lane, 4)).kills >= 2


def test_a_commit_whose_answer_is_lost_doubles_and_loses_nothing(bench: Bench) -> None:
    noted = done(bench, commits.lost(14)).noted

    assert noted["reply lost"] >= 6
    assert noted["request lost"] >= 6


def test_another_writer_in_the_way_makes_a_run_wait_and_not_fail(bench: Bench) -> None:
    assert done(bench, commits.deadlocks(2)).noted["done in the same run"] == 2
    done(bench, commits.serialisable(1))


@pytest.mark.skipif(not disks.IS_ROOT, reason="mounts small file systems, as root")
def test_disks_that_fail_fill_up_or_lose_power_cost_no_mail(bench: Bench) -> None:
    assert done(bench, powercut.cuts(8)).kills >= 6
    done(bench, disks.turned_read_only(2))
    done(bench, disks.full(4))
    assert done(bench, powercut.server_cuts(1)).kills == 1


def test_a_database_from_a_backup_goes_on_where_the_mailbox_is(bench: Bench) -> None:
    assert done(bench, backups.restored(2)).noted["restored"] == 2
    done(bench, backups.backups_killed(2))
    done(bench, backups.restorations_killed(2))


def test_a_model_that_is_not_whole_reads_no_mail(bench: Bench) -> None:
    done(bench, Row("", "", [lambda lane: model_files.damage(lane, "weights.npz", "one bit")]))


def test_mail_is_not_blamed_for_what_the_machine_lacks(bench: Bench) -> None:
    done(bench, limits.out_of_memory(2))
    done(bench, limits.out_of_files(1))
    done(bench, limits.nowhere_to_write(2))


def test_mail_that_harms_does_not_hold_up_mail_that_does_not(bench: Bench) -> None:
    assert done(bench, runs.harmful_mail()).noted["set aside"]


# The campaign must catch each of these; see ``faults/planted.py``.


def found(trial: Trial, *invariants: str) -> bool:
    return any(line.startswith(invariants) for line in trial.violations)


def test_it_finds_a_cursor_moved_before_mail_is_stored(lane: Lane) -> None:
    trial = kills.at_stage(lane, "sqlite", "deciding", 1, bug="acknowledge before commit")

    assert "I3 the cursor is past mail that is not stored" in trial.violations
    assert "I1 a mail is lost" in trial.violations


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_it_finds_two_transactions_where_there_must_be_one(lane: Lane, kind: str) -> None:
    trial = kills.at_stage(lane, kind, "flushed", 1, bug="two transactions for one")

    assert "I3 a message is stored without its place" in trial.violations


def test_it_finds_an_empty_mail_made_of_one_that_is_gone(lane: Lane) -> None:
    trial = lines.expunge(lane, "sqlite", 0, bug="None stored as empty mail")

    assert "I1 bytes are kept that never lay in the mailbox" in trial.violations


def test_it_finds_mail_known_by_its_number_alone(lane: Lane) -> None:
    trial = lines.renumber(lane, "sqlite", ("committed", 1), bug="no digest")

    assert "I2 one mail is stored 2 times" in trial.violations


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_it_finds_a_lease_without_fencing(lane: Lane, kind: str) -> None:
    trial = runs.stop_and_go_on(lane, kind, ("kept", 2), bug="no fencing")

    assert "I2 a run stores mail after another has taken over" in trial.violations


def test_it_finds_a_cursor_that_stays_ahead_of_its_server(lane: Lane) -> None:
    trial = scripts.numbers_taken_back(lane, "sqlite", bug="cursor never goes back")

    assert "I1 a mail is lost" in trial.violations


def test_it_finds_losses_without_a_record(lane: Lane) -> None:
    trial = scripts.misbehaves(lane, "sqlite", "one is NIL", bug="losses passed over")

    assert found(trial, "I1", "I3")


def test_it_finds_an_audit_trail_that_is_not_sealed(lane: Lane) -> None:
    job = lane.job(lane.fresh("sqlite"), bug="audit rows not sealed")

    trial = recovered(lane, Trial(), job, lane.mails)

    assert "I7 the audit trail is broken" in trial.violations


@pytest.mark.skipif(not disks.IS_ROOT, reason="mounts small file systems, as root")
def test_it_finds_commits_that_no_power_cut_outlives(lane: Lane) -> None:
    trial = powercut.power_cut(lane, ("committed", 3), 1, bug="commits not synced")

    assert "I1 mail that was called stored is gone with the power" in trial.violations


def test_it_finds_a_restored_database_that_is_not_settled(lane: Lane) -> None:
    trial = backups.an_hour_ago(lane, "sqlite", bug="restored and not settled")

    assert "I2 a restored database may send again what has left" in trial.violations


def test_it_finds_mail_in_the_log(bench: Bench) -> None:
    row = Row("", "", [lambda lane: recovered(lane, Trial(), chatty(lane), lane.mails)])

    bench.do(row)

    assert "I8 the log holds words of a mail" in row.result.violations


def chatty(lane: Lane):
    return lane.job(lane.fresh("sqlite"), bug="mail in the log")


def test_it_finds_mail_marked_as_read(lane: Lane) -> None:
    box = lane.bench.dovecot.mailbox(MAILS)
    before = box.snapshot()

    lane.run(lane.job(lane.fresh("sqlite"), box=box, bug="mail marked as read"))

    assert box.snapshot() != before


def test_the_mailboxes_are_left_as_they_were(lane: Lane) -> None:
    before = lane.box.snapshot()

    trial = recovered(lane, Trial(), lane.job(lane.fresh("sqlite")), lane.mails)

    assert trial.violations + lines.mailbox_untouched(lane, before).violations == []


def test_secrets_of_mail_are_looked_for_in_logs() -> None:
    assert told("read: she cries every evening", ["she cries every evening"])
