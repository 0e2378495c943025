# `make demo` and `make test` need Python 3.11 to 3.13, pip and make; the rest they install into .venv.

SOURCES_OF_INSTALL := setup.py setup.cfg pyproject.toml constraints.txt
EXTRAS := sim,atari,tune,test

# What a sourced ROS 2, or a Python that has the ROS 2 wheels, leaves behind would mix two rclpy.
unexport PYTHONPATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport AMENT_PREFIX_PATH RMW_IMPLEMENTATION ROS_DISTRO

.PHONY: help demo demo-finetune test test-all lint type docs unit jazzy long long-ros jazzy-all jazzy-long browser pins audit clean
.NOTPARALLEL:

help:
	@echo "make demo    train inverted_pendulum, run it over ROS 2, film it (4 minutes after the install)"
	@echo "make demo-finetune   a policy meets another robot than its simulator, and learns there"
	@echo "make test    every property that can be shown quickly: lint, type, docs, unit, jazzy"
	@echo "make test-all   the rest: long, long-ros, jazzy-all, jazzy-long, browser"
	@echo
	@echo "make lint    ruff: rules and format"
	@echo "make type    mypy --strict"
	@echo "make docs    the documentation, to build/docs; a warning is an error"
	@echo "make unit    the quick tests, with the ROS 2 Kilted wheels; PYTEST_OPTIONS='-k resume'"
	@echo "make jazzy   the quick tests of what differs between ROS 2 distributions, with the Jazzy wheels"
	@echo "make long    the long tests without ROS 2"
	@echo "make long-ros    the long tests of ROS 2, one after the other, with the Kilted wheels"
	@echo "make jazzy-all   the quick tests of ROS 2, with the Jazzy wheels"
	@echo "make jazzy-long  the long tests of ROS 2, one after the other, with the Jazzy wheels"
	@echo "make browser the page of sac-ros report in a headless Chromium, where there is one"
	@echo
	@echo "make pins    renew constraints*.txt from the newest releases"
	@echo "make audit   pip-audit of the pins; asks PyPI for known vulnerabilities, so it needs the network"
	@echo "make clean   remove .venv, .venv-jazzy, .venv-audit, caches and build outputs; runs/ stays"
	@echo
	@echo "PYTHON=python3.12 chooses the Python. PyPI's torch brings CUDA (several GB); where pip knows an"
	@echo "index with CPU builds of torch (PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS), it takes those instead."
	@echo "Videos need OpenGL without a screen: sudo apt install libegl1"

demo: .venv/installed
	.venv/bin/sac-ros demo $(DEMO_OPTIONS)

demo-finetune: .venv/installed
	.venv/bin/sac-ros demo-finetune $(DEMO_OPTIONS)

test: lint type docs unit jazzy

test-all: long long-ros jazzy-all jazzy-long browser

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

type: .venv/installed
	.venv/bin/mypy

docs: .venv/installed
	@mkdir -p build
	flock build/docs.lock .venv/bin/sphinx-build -W --keep-going -b html docs build/docs

# One worker more than processors: a test of nodes waits for them most of the time. More than four
# meet in the same few ports and files for no gain.
WORKERS ?= $(shell processors=$$(nproc); echo $$((processors > 3 ? 4 : processors + 1)))
PYTEST := python -m pytest -n $(WORKERS) --dist worksteal

unit: .venv/installed
	SAC_ROS_REQUIRE_ROS=1 .venv/bin/$(PYTEST) $(PYTEST_OPTIONS)

jazzy: .venv-jazzy/installed
	SAC_ROS_REQUIRE_ROS=1 .venv-jazzy/bin/$(PYTEST) -m "distro and not long" $(PYTEST_OPTIONS)

long: .venv/installed
	.venv/bin/$(PYTEST) -m "long and not ros" $(PYTEST_OPTIONS)

# Robots in real time beside learners at full load: these tests need the processors for themselves.
long-ros: .venv/installed
	SAC_ROS_REQUIRE_ROS=1 .venv/bin/python -m pytest -m "long and ros" $(PYTEST_OPTIONS)

jazzy-all: .venv-jazzy/installed
	SAC_ROS_REQUIRE_ROS=1 .venv-jazzy/bin/$(PYTEST) -m "ros and not long" $(PYTEST_OPTIONS)

jazzy-long: .venv-jazzy/installed
	SAC_ROS_REQUIRE_ROS=1 .venv-jazzy/bin/python -m pytest -m "long and ros" $(PYTEST_OPTIONS)

# Chromium is no Python package. Everything else about the page is tested without it, in `unit`.
BROWSER := $(firstword $(foreach name,chromium chromium-browser google-chrome google-chrome-stable,\
	$(shell command -v $(name))))

browser: .venv/installed
ifdef BROWSER
	.venv/bin/python -m pytest -m browser $(PYTEST_OPTIONS)
else
	@echo "make: NOT RUN, the tests of the report in a browser: no Chromium here; sudo apt install chromium"
	@test "$(SAC_ROS_REQUIRE_BROWSER)" != 1
endif

.venv/installed: $(SOURCES_OF_INSTALL) constraints-kilted.txt
	@SOURCES="$^" .ci/install_venv .venv -c constraints.txt -c constraints-kilted.txt -e '.[$(EXTRAS),docs,ros]'

.venv-jazzy/installed: $(SOURCES_OF_INSTALL) constraints-jazzy.txt
	@SOURCES="$^" .ci/install_venv .venv-jazzy -c constraints.txt -c constraints-jazzy.txt -e '.[$(EXTRAS),ros-jazzy]'

# What both ROS distributions agree on goes to constraints.txt, the rest to a file for each. torch
# stays where it is: it is the one package whose newest release may not have a CPU build yet.
pins:
	.ci/install_venv .venv-pins-kilted $(TORCH_PIN) -e '.[$(EXTRAS),docs,ros]'
	.ci/install_venv .venv-pins-jazzy $(TORCH_PIN) -e '.[$(EXTRAS),docs,ros-jazzy]'
	$(call freeze,.venv-pins-kilted)
	$(call freeze,.venv-pins-jazzy)
	@{ echo "# What CI and make install beside ROS 2; Python 3.11; renewed by make pins."; \
	 $(COMM) -12 $(FREEZES); } > constraints.txt
	@{ echo "# ROS 2 Kilted from PyPI; goes with constraints.txt."; \
	 $(COMM) -23 $(FREEZES) | grep '^ros-'; } > constraints-kilted.txt
	@{ echo "# ROS 2 Jazzy from PyPI; goes with constraints.txt."; \
	 $(COMM) -13 $(FREEZES) | grep '^ros-'; } > constraints-jazzy.txt
	rm -rf .venv-pins-kilted .venv-pins-jazzy

# In a venv of its own: the auditor is no dependency. --strict, because a package that the service
# does not know would else pass for clean.
audit: .venv-audit/bin/pip-audit
	@for pins in constraints.txt constraints-kilted.txt constraints-jazzy.txt; do \
	 grep -v '^ros-' $$pins > .venv-audit/pins.txt; \
	 if grep -q '^[^\#]' .venv-audit/pins.txt; then \
	 .venv-audit/bin/pip-audit --strict --disable-pip --no-deps -r .venv-audit/pins.txt || exit 1; fi; done

.venv-audit/bin/pip-audit:
	.ci/install_venv .venv-audit pip-audit

TORCH_PIN = $(shell grep '^torch==' constraints.txt)
COMM := LC_ALL=C comm
FREEZES := .venv-pins-kilted/freeze .venv-pins-jazzy/freeze

# A local version such as +cpu exists on one index only.
define freeze
	@$(1)/bin/python -m pip freeze --all --exclude-editable | sed 's/+[a-z0-9.]*$$//' \
	 | grep -v '^pip==' | LC_ALL=C sort > $(1)/freeze
endef

clean:
	rm -rf .venv .venv-jazzy .venv-audit .mypy_cache .pytest_cache .ruff_cache .hypothesis build install log *.egg-info
