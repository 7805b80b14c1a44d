"""Messages through Postfix into the history: each that has an answer is there once, whatever is killed meanwhile.

``python -m tests.lab.killing --messages 10000`` is a longer trial.
"""

import subprocess

import pytest
from sqlalchemy import select

from mailassay.store import database
from mailassay.store.packed import unpack
from mailassay.store.tables import message
from tests.demo.scenarios import ATTACKER, letter
from tests.lab import mta
from tests.lab.folder import open_folder
from tests.lab.killing import MESSAGES, SENDERS, run
from tests.lab.pages import wait_until
from tests.lab.program import ENVIRONMENT, PROGRAM

LOST_AT_ONCE = 40  # records of a worker that is killed: it writes twenty times a second, for a few senders


def needs_postfix():
    if why := mta.missing():
        pytest.skip(reason=why)


def test_collectors_are_killed():
    """Nothing is missing."""
    needs_postfix()
    with open_folder() as folder:
        found = run(folder, SENDERS, MESSAGES, kill_workers=False)
    print(found)
    assert found.collectors >= 3
    assert found.answered
    assert set(found.rows) == found.answered
    assert set(found.rows.values()) == {1}
    assert found.counted == len(found.rows)


def test_workers_and_collectors_are_killed():
    """What a worker had not written yet is missing, and nothing else."""
    needs_postfix()
    with open_folder() as folder:
        found = run(folder, SENDERS, MESSAGES)
    print(found)
    assert found.workers >= 3
    assert found.collectors >= 3
    assert len(found.missing) <= LOST_AT_ONCE * found.workers
    assert set(found.rows.values()) == {1}
    # the worker was killed between the record and the answer
    assert set(found.rows) - found.answered <= found.deferred
    assert found.counted == len(found.rows)


@pytest.fixture(scope="module")
def kept(make_lab):
    """A lab with a history, and a function that gives the records by queue id."""
    with open_folder() as folder:
        history = folder / "history"
        history.mkdir()
        lab = make_lab(history={"directory": str(history)}, workers=2)

        def records():
            subprocess.run([*PROGRAM, "collect", "--once", "--config", lab.serve.config], check=True, env=ENVIRONMENT)
            with database.connect(database.address(str(history), None), reads_only=True).connect() as connection:
                found = [unpack(each) for each in connection.execute(select(message.c.record)).scalars()]
            assert len({each["queue_id"] for each in found}) == len(found)
            return {each["queue_id"]: each for each in found}

        yield lab, records


def sent(lab, text, client=ATTACKER, login=""):
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become(client, login=login)
        smtp.command("EHLO attacker.example")
        return smtp.send("eve@attacker.example", ["bob@receiver.example", "zoe@receiver.example"], text)


def test_each_message_has_its_record(kept):
    """Accepted, refused, held, not judged: by the queue id of Postfix's log."""
    lab, records = kept
    accepted = sent(lab, letter("Eve <eve@nothing.example>")).queue_id
    held = sent(lab, letter("Shop <info@shop.example>")).queue_id
    unjudged = sent(lab, letter("Eve <eve@nothing.example>"), client="192.0.2.250").queue_id
    reply = sent(lab, letter("Bank <service@bank.example>"))
    assert reply.code == 550
    refused = lab.serve.wait_for('"verdict": "reject"') and next(
        each["queue_id"] for each in lab.serve.entries() if each.get("verdict") == "reject"
    )
    # Postfix answers before its log has the line
    wait_until(lambda: f"{refused}: milter-reject: END-OF-MESSAGE" in lab.postfix.log(), lab.postfix.log)
    for queue_id in (accepted, held, unjudged, refused):
        lab.serve.wait_for(f'"queue_id": "{queue_id}"')
    lab.serve.stop()
    found = records()
    assert {queue_id: (each["verdict"], each["kind_of_rule"]) for queue_id, each in found.items()} == {
        accepted: ("accept", "default"),
        held: ("hold", "setting"),
        unjudged: ("accept", "unjudged"),
        refused: ("reject", "setting"),
    }
    assert found[refused]["reply"] == str(reply)
    assert found[held]["recipients"] == ["bob@receiver.example", "zoe@receiver.example"]
    assert found[held]["added"][0][0] == "Authentication-Results"
