"""Every message of the demo comes out as it must."""

import json
import subprocess
import sys

import pytest

from tests.demo.play import play
from tests.demo.scenarios import SCENARIOS, zone_text


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario, lab):
    assert play(scenario, lab.postfix, lab.serve).differences == ()


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if not each.login], ids=lambda scenario: scenario.name)
def test_check_says_what_the_milter_said(scenario, lab, tmp_path):
    """The same results, verdict and header field from the command line."""
    played = play(scenario, lab.postfix, lab.serve)
    (tmp_path / "zone").write_text(zone_text())
    (tmp_path / "message.eml").write_bytes(played.message)
    command = [
        sys.executable, "-m", "mailassay", "check", "message.eml", "--zone", "zone", "--config", lab.serve.config,
        "--ip", scenario.client, "--helo", scenario.helo, "--mail-from", scenario.mail_from, "--json",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == (1 if played.verdict == "reject" else 0), done.stderr
    checked = json.loads(done.stdout)
    entry = {key: value for key, value in played.entry.items() if key in checked["results"] and key != "ms"}
    assert entry == {key: value for key, value in checked["results"].items() if key != "ms"}
    if played.fate == "refused":
        assert checked["verdict"]["reply"] == str(played.reply)
    else:
        (field,) = (each["value"] for each in checked["add"] if each["name"] == "Authentication-Results")
        assert f"Authentication-Results: {field}\n".encode() in played.header
