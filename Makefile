# `make demo` and `make test` install what is missing, on a fresh Debian 12 or newer with git, make and Python.

PYTHON := $(shell tools/find-python)
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
# another one, with the lowest versions that setup.cfg allows, for the tests of what the libraries decide
LOWEST := .venv-lowest
# others' programs that read our reports: their libraries are not those that mailassay is tested with
PEERS := .venv-peers
OF_LIBRARIES := $(patsubst %,tests/test_%.py,arc author authres config dkim dkim_body dmarc domain limits messages \
    nameservers sender_domain spf) tests/standards
# likewise of the history: its database, reports, pages and metrics
OF_LIBRARIES += $(patsubst %,tests/test_%.py,collector metrics pages pages_server postgresql reader reading report \
    store)
# The tests that start Postfix or the program wait more than they compute; those within one process wait little. Each
# worker first collects all tests, so one more than there are processors is enough for the latter.
processes = -n $(shell nproc | awk '{ print ($$1 + $1 < 8 ? $$1 + $1 : 8) }') --dist loadgroup
PARALLEL := $(call processes,2)

# where the program goes; the folders of systemd are those it looks into with the PREFIX /usr or /usr/local
DESTDIR :=
PREFIX := /usr/local
SYSCONFDIR := /etc
BINDIR := $(PREFIX)/bin
LIBDIR := $(PREFIX)/lib
DATADIR := $(PREFIX)/share
MANDIR := $(DATADIR)/man
UNITDIR := $(LIBDIR)/systemd/system
# the system's, which the user of the service can reach too
SYSTEM_PYTHON := /usr/bin/python3

.PHONY: help demo test peers test-lowest test-deb test-trees lint unit coverage mutation conformance fuzz bench reference \
    screenshots install install-program install-files uninstall deb clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo          messages through a throw-away Postfix, judged and reported before your eyes (needs root)'
	@echo 'make demo KEEP=1   the same, left running until Ctrl-C'
	@echo 'make test          lint, types and all tests; what needs root skips without it'
	@echo 'make peers         programs that nobody here wrote, which read our reports in tests; part of make test'
	@echo 'make test-lowest   those that concern libraries, with the lowest versions setup.cfg allows; part of make test'
	@echo 'make lint          ruff and mypy'
	@echo 'make unit          the tests within one process: without root, Postfix, or the program as a daemon'
	@echo 'make unit T=FILE   some tests, also those that start the program; T="-k walk" by name'
	@echo 'make coverage      the same, and the lines and branches of milter/ that they do not reach'
	@echo 'make mutation      changes to the checks, the policy and the session that no test notices (hours);'
	@echo '                   ROOM=dmarc for one room, PROCESSES=1 for fewer processes than processors'
	@echo 'make conformance   public test suites through the real milter; SUITES=FOLDER for others'
	@echo 'make fuzz          ten minutes of fuzzing; SECONDS=3600 for an hour'
	@echo 'make bench         cost of the most expensive input, and loads on mailassay and other filters (needs root)'
	@echo 'make bench QUICK=1 the same, in a few minutes; PNG=FILE for a plot'
	@echo 'make reference     JSON Schemas, manual pages and docs/reference.md, from what the program takes'
	@echo 'make screenshots   docs/overview.png, by Chromium'
	@echo 'make install       program, units and manual below PREFIX=/usr/local, configuration in /etc where there is none'
	@echo 'make uninstall     the reverse; configuration and user stay'
	@echo 'make deb           a Debian package in build/'
	@echo 'make test-deb      its life in clean Debian trees: installed, used, upgraded, purged (needs root; minutes)'
	@echo 'make test-trees    demo, unit tests and that life on bare trees of three Debian releases (needs root; an hour);'
	@echo '                   RELEASES=trixie for one, TESTS=all for the whole make test; part of each release'
	@echo 'make clean         remove the virtual environment and caches'

demo: $(READY)
	@$(RUN) -m tests.demo $(if $(KEEP),--keep)

test: lint
	@$(MAKE) --no-print-directory peers || echo 'tests/test_peers.py skips: the programs did not install'
	@$(RUN) -m pytest $(PARALLEL)
	@$(MAKE) --no-print-directory test-lowest

peers: $(PEERS)/.ready

test-lowest: $(LOWEST)/.ready
	@$(LOWEST)/bin/python -m pytest $(PARALLEL) $(OF_LIBRARIES)

test-deb: $(READY) deb
	@tools/packages '$(PYTHON)' debootstrap=debootstrap
	@$(RUN) -m pytest -m package

# what a release of this project needs, on each release of Debian
RELEASES := bookworm trixie forky
test-trees: $(READY)
	@tools/packages '$(PYTHON)' debootstrap=debootstrap
	@$(RUN) -m tests.trees $(TESTS:%=--tests %) $(RELEASES)

lint: $(READY)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

# pytest keeps the asserts that it rewrites in __pycache__. Without that, each process rewrites them each time, which
# takes longer than the rest of its start.
test test-lowest unit coverage: export PYTHONDONTWRITEBYTECODE :=

# everything in tests/e2e needs Postfix (its conftest.py), so there is no need to read it
WITHIN_ONE := -m 'not postfix and not process' --ignore=tests/e2e
# T: what else pytest takes; then in one process, which starts sooner, and with the tests that start the program
unit: $(READY)
	@$(RUN) -m pytest $(if $(T),-m 'not postfix' $(T),$(WITHIN_ONE) $(call processes,1))

# also what the tests start (setup.cfg); each process writes a file of its own. A failed test still has its report.
coverage: $(READY)
	@rm -rf build/coverage && mkdir -p build/coverage
	@$(RUN) -m coverage run -m pytest -m 'not postfix' $(or $(T),$(PARALLEL)); status=$$?; \
	    $(RUN) -m coverage combine --quiet && $(RUN) -m coverage report && exit $$status

# not part of the tests' own packages, as few need it
mutation: $(READY)
	@$(RUN) -c 'import mutmut' 2>/dev/null || $(RUN) -m pip install --quiet --editable '.[serve,test,mutation]'
	@$(RUN) -m tools.mutation $(PROCESSES:%=--processes %) $(ROOM)

# atheris is not part of the tests' own packages: there is no wheel of it for every Python
fuzz: $(READY)
	@$(RUN) -c 'import atheris' 2>/dev/null || $(RUN) -m pip install --quiet --editable '.[serve,test,fuzz]'
	@$(RUN) -m tests.fuzz --seconds $(or $(SECONDS),600)

bench: $(READY)
	@$(RUN) -c 'import pytest_benchmark, matplotlib' 2>/dev/null || $(RUN) -m pip install --quiet --editable '.[serve,test,bench]'
	@$(RUN) -m pytest --benchmark-only --benchmark-sort=name --benchmark-columns=median,max,rounds \
	    --benchmark-time-unit=ms $(if $(QUICK),--benchmark-max-time=0.1 )tests/bench/bench_*.py
	@$(RUN) -m tests.bench --if-possible $(if $(QUICK),--quick )--png $(or $(PNG),build/bench.png)
	@$(RUN) -m tests.bench.outbound --if-possible$(if $(QUICK), --messages 100 --turns 1)

conformance: $(READY)
	@$(RUN) -m tests.conformance $(if $(SUITES),'$(SUITES)')

reference: $(READY)
	@$(RUN) -m tools.reference

screenshots: $(READY)
	@tools/packages - chromium=chromium
	@$(RUN) -m tests.screenshots

# a virtual environment of another Python, or of another state of setup.cfg, is made anew
$(READY): setup.cfg tools/install
	@tools/install "$(PYTHON)" "$(VENV)"
	@touch $@

$(PEERS)/.ready: setup.cfg
	@echo 'installing Python packages into $(PEERS)'
	@'$(PYTHON)' -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
	    $$(sed -n '/^peers =/,/^[a-z]/s/^    \([a-z].*\)/\1/p' setup.cfg)
	@touch $@

$(LOWEST)/.ready: setup.cfg tools/install
	@tools/install "$(PYTHON)" "$(LOWEST)" lowest
	@touch $@

UNITS := mailassay.service mailassay.socket mailassay-collector.service mailassay-held.service mailassay-held.timer \
    mailassay-keys.service mailassay-keys.timer mailassay-reports.service mailassay-reports.timer
MANUAL := $(notdir $(wildcard man/*.[58]))
CONFIGURATION := $(DESTDIR)$(SYSCONFDIR)/mailassay
FOR_HERE := sed -e 's,/usr/bin/mailassay,$(BINDIR)/mailassay,' -e 's,/etc/mailassay,$(SYSCONFDIR)/mailassay,' \
    -e 's,/usr/share/mailassay,$(DATADIR)/mailassay,'

install: install-program install-files
	@[ -n '$(DESTDIR)' ] || printf '%s\n' 'Installed. Next:' '    systemd-sysusers && systemd-tmpfiles --create' \
	    '    systemctl daemon-reload' \
	    '    systemctl enable --now mailassay mailassay-collector mailassay-held.timer mailassay-keys.timer mailassay-reports.timer' \
	    'and the lines for Postfix, which $(SYSCONFDIR)/mailassay/mailassay.yaml has.'

install-program:
	tools/private-venv '$(SYSTEM_PYTHON)' '$(DESTDIR)' '$(LIBDIR)/mailassay'
	install -d '$(DESTDIR)$(BINDIR)'
	ln -sf '$(LIBDIR)/mailassay/bin/mailassay' '$(DESTDIR)$(BINDIR)/mailassay'

# all that is not Python
install-files:
	install -d '$(DESTDIR)$(UNITDIR)' '$(DESTDIR)$(LIBDIR)/sysusers.d' '$(DESTDIR)$(LIBDIR)/tmpfiles.d' \
	    '$(DESTDIR)$(DATADIR)/mailassay/policies' '$(CONFIGURATION)'
	for file in policies/*; do \
	    $(FOR_HERE) "$$file" >'$(DESTDIR)$(DATADIR)/mailassay/'"$$file" || exit 1; done
	for file in mailassay.yaml mailassay.schema.json postfix-main.cf grafana-dashboard.json prometheus-alerts.yaml; do \
	    $(FOR_HERE) "conf/$$file" >'$(DESTDIR)$(DATADIR)/mailassay/'"$$file" || exit 1; done
	for unit in $(UNITS); do \
	    $(FOR_HERE) "systemd/$$unit" >'$(DESTDIR)$(UNITDIR)/'"$$unit" || exit 1; done
	for kind in sysusers.d tmpfiles.d; do \
	    install -m 644 "systemd/$$kind/mailassay.conf" '$(DESTDIR)$(LIBDIR)/'"$$kind" || exit 1; done
	for page in $(MANUAL); do \
	    install -d '$(DESTDIR)$(MANDIR)/'"man$${page##*.}" && \
	    $(FOR_HERE) "man/$$page" >'$(DESTDIR)$(MANDIR)/'"man$${page##*.}/$$page" || exit 1; done
	[ -e '$(CONFIGURATION)/mailassay.yaml' ] || $(FOR_HERE) conf/start.yaml >'$(CONFIGURATION)/mailassay.yaml'
	[ -e '$(CONFIGURATION)/policy.yaml' ] || $(FOR_HERE) policies/standard.yaml >'$(CONFIGURATION)/policy.yaml'

uninstall:
	@[ -n '$(DESTDIR)' ] || ! [ -x '$(BINDIR)/mailassay' ] || '$(BINDIR)/mailassay' doctor --removal || true
	rm -rf '$(DESTDIR)$(LIBDIR)/mailassay' '$(DESTDIR)$(DATADIR)/mailassay'
	rm -f '$(DESTDIR)$(BINDIR)/mailassay' $(UNITS:%='$(DESTDIR)$(UNITDIR)/%') \
	    '$(DESTDIR)$(LIBDIR)/sysusers.d/mailassay.conf' '$(DESTDIR)$(LIBDIR)/tmpfiles.d/mailassay.conf' \
	    $(foreach page,$(MANUAL),'$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(page)')
	@echo 'Left as they are: $(SYSCONFDIR)/mailassay and the user mailassay.'

deb:
	@tools/deb '$(SYSTEM_PYTHON)'

clean:
	rm -rf $(VENV) $(LOWEST) $(PEERS) build milter/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
