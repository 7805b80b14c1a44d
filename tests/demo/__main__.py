"""The demo: real messages through a real Postfix, judged and reported before your eyes.

python -m tests.demo [--keep] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..lab import mta
from ..lab.dns import DnsServer
from ..lab.serve import Serve
from . import outgoing
from .looking_back import Collect, command, free_port, short, shown
from .play import METHODS, Played, play
from .scenarios import SCENARIOS, zone, zone_text

_COLUMNS = (
    ("message", 33), ("client", 13), ("iprev", 9), ("spf", 5), ("dkim", 9), ("arc", 5), ("dmarc", 9),
    ("verdict", 8), ("SMTP reply", 11), ("Postfix", 9),
)  # fmt: skip
_SPOOF = "spoof of p=reject"
_REPORTED = "bank.example"
_REPORTS = {
    "from": "dmarc@reports.receiver.example",
    "org_name": "Receiver Example",
    "contact": "https://receiver.example/postmaster",
    "egress": ["192.0.2.25"],
}
_ROOT = Path(__file__).parents[2]
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_COLOURS = {"pass": 32, "delivered": 32, "fail": 31, "refused": 31, "held": 33, "temperror": 33, "permerror": 33}


def main() -> int:
    """Play every scenario; 1 where one did not come out as expected."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument(
        "--output",
        type=Path,
        default=_ROOT / "build/demo",
        metavar="FOLDER",
        help="where the report and other files are written (default: build/demo)",
    )
    arguments = parser.parse_args()
    if why := mta.missing():
        print(f"make demo: {why}", file=sys.stderr)
        return 1
    try:
        with ExitStack() as stack:
            try:
                return _run(stack, arguments.output, keep=arguments.keep)
            finally:
                # a second Ctrl-C must not break off the cleaning up
                _on_signal(signal.SIG_IGN)
    except KeyboardInterrupt as interrupt:
        print("\nstopped; everything is cleaned up")
        return 128 + int(interrupt.args[0])


def _interrupt(number: int, _frame: object) -> None:
    _on_signal(signal.SIG_IGN)
    raise KeyboardInterrupt(number)


def _on_signal(handler: Callable[[int, object], object] | signal.Handlers) -> None:
    for number in _SIGNALS:
        signal.signal(number, handler)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Signals wait until what is being started is there to be stopped."""
    caught: list[int] = []
    _on_signal(lambda number, _: caught.append(number))
    yield
    _on_signal(_interrupt)
    if caught:
        _interrupt(caught[0], None)


def _run(stack: ExitStack, output: Path, *, keep: bool) -> int:
    with _uninterrupted():
        folder = Path(tempfile.mkdtemp(prefix="mailassay-demo-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        own = outgoing.own(folder / "keys")
        dns = stack.enter_context(DnsServer(zone(own.zone)))
        print(f"DNS server on {dns.address}:{dns.port}, UDP and TCP")
        policy = folder / "policy.yaml"
        shutil.copyfile(_ROOT / "policies/standard.yaml", policy)
        history, pages = folder / "history", f"127.0.0.1:{free_port()}"
        history.mkdir(mode=0o700)
        serve = Serve(
            folder,
            dns,
            trusted_networks=["127.0.0.0/8", "::1/128"],
            policy=str(policy),
            history={"directory": str(history)},
            web={"listen": pages},
            reports=_REPORTS,
            sign=own.sign,
        )
        stack.enter_context(serve)
        print(f"mailassay serve on {serve.socket}")
        collect = stack.enter_context(Collect(serve.config, history, folder / "collect.log"))
        print(f"mailassay collect into {collect.database}")
        postfix = stack.enter_context(mta.Mta([f"unix:{serve.socket}"]))
        print(f"Postfix {postfix.run('postconf', '-h', 'mail_version').strip()} on 127.0.0.1:{postfix.port}\n")
    print(" ".join(f"{name:<{width}}" for name, width in _COLUMNS).rstrip())
    print(" ".join("-" * width for _, width in _COLUMNS))
    played = []
    for scenario in SCENARIOS:
        played.append(play(scenario, postfix, serve))
        print(_row(played[-1]), flush=True)
    wrong = [each for each in played if each.differences]
    for each in wrong:
        print(f"\nWRONG: {each.scenario.name}")
        for difference in each.differences:
            print(f"  {difference}")
    print(f"\n{len(played) - len(wrong)} of {len(played)} messages had the expected outcome.")
    output.mkdir(parents=True, exist_ok=True)
    is_verified = _verify(postfix, played[-1], own, dns, output)
    collect.wait_for(len(played))
    _look_back(serve, played, output)
    if keep:
        _stay(folder, serve, postfix, pages)
    else:
        _go_on(output)
    return 1 if wrong or not is_verified else 0


def _verify(postfix: mta.Mta, played: Played, own: outgoing.Own, dns: DnsServer, output: Path) -> bool:
    """What other programs say of the message of a client that logged in."""
    keys = " and ".join(played.entry.get("signed_by", ["nobody"]))
    print(f"\nThe message of the {played.scenario.name} was signed by {keys}. Others say:\n")
    message = postfix.delivered(played.reply.queue_id or "")
    said, agree = outgoing.verified(message, own, dns, output / "signed.eml")
    print(said, end="" if agree else "WRONG: not every signature passes\n", flush=True)
    return agree


def _row(played: Played) -> str:
    values = [
        played.scenario.name,
        played.scenario.client,
        *(played.found[method] for method in METHODS),
        played.verdict,
        # the code, and the enhanced code where it says why
        " ".join(str(played.reply).split()[: 2 if played.reply.code >= 400 else 1]),
        played.fate,
    ]
    cells = [_coloured(value, width) for value, (_, width) in zip(values, _COLUMNS, strict=True)]
    return " ".join(cells).rstrip() + (" <-- WRONG" if played.differences else "")


def _coloured(value: str, width: int) -> str:
    text = f"{value:<{width}}"
    colour = _COLOURS.get(value)
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and sys.stdout.isatty() else text


def _material(folder: Path) -> tuple[str, str]:
    """Put the zone and a message into a folder; the commands that judge the message and look up its author."""
    (folder / "demo.zone").write_text(zone_text())
    sample = next(scenario for scenario in SCENARIOS if scenario.name == _SPOOF)
    (folder / "sample.eml").write_bytes(sample.message())
    program, zone_file = short(Path(sys.executable).with_name("mailassay")), short(folder / "demo.zone")
    client = f"--ip {sample.client} --helo {sample.helo} --mail-from {sample.mail_from}"
    author = sample.message().partition(b"From: ")[2].split(b"\r\n")[0].decode().rpartition("@")[2].rstrip(">")
    return (
        f"{program} check {short(folder / 'sample.eml')} --zone {zone_file} {client}",
        f"{program} lookup {author} --zone {zone_file}",
    )


def _look_back(serve: Serve, played: list[Played], output: Path) -> None:
    """The history of what was played, also as report.html, and what a domain is told: as XML, and here."""
    spoof = next(each for each in played if each.scenario.name == _SPOOF)
    page, xml = short(output / "report.html"), short(output / f"{_REPORTED}.xml")
    print("\nThe same, looked at afterwards:\n")
    for words in (["history", "-n", "5"], ["why", spoof.entry["queue_id"]], ["report", "--html", page]):
        print(shown(command(serve.config, *words)))
    print(f"What {_REPORTED} is told about it, once the day is over:\n")
    preview = command(serve.config, "reports", "preview", _REPORTED)
    print(shown(f"{preview} --xml > {shlex.quote(xml)}"))
    print(shown(preview))


def _go_on(output: Path) -> None:
    """What to try next; each line works as it stands."""
    check, lookup = _material(output)
    print(
        f"""
Now try:

  {check}
  {lookup}
  make demo KEEP=1      # leaves it running, and says how to change its policy under it"""
    )


def _stay(folder: Path, serve: Serve, postfix: mta.Mta, pages: str) -> None:
    """Say how to talk to what runs, and wait for Ctrl-C."""
    check, lookup = _material(folder)
    print(
        f"""
Running until Ctrl-C. To talk to it:

  telnet 127.0.0.1 {postfix.port}           XCLIENT ADDR=192.0.2.10 makes you another client (then EHLO again)
  ls {postfix.folder}/mail/inbox/new
  postqueue -c {postfix.folder}/etc -p         what is held
  tail -f {postfix.folder}/maillog {serve.log}

The history as pages: http://{pages}/

Now try:

  {check}
  {lookup}
  sed -i 's/^  reject: reject/  reject: hold/' {folder}/policy.yaml && kill -HUP {serve.pid}   # then send a spoof again
""",
        flush=True,
    )
    with suppress(KeyboardInterrupt):
        signal.pause()
    print("\nstopped; everything is cleaned up")


if __name__ == "__main__":
    sys.exit(main())
