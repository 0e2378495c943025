# `make demo` and `make test` need Python 3.11 to 3.13, pip and make; the rest they install into .venv.

# The pins were made with 3.11; the ROS 2 wheels end at 3.13.
PYTHON_RANGE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13; do \
	$$python -c '$(PYTHON_RANGE)' 2>/dev/null && echo $$python && break; done)

SOURCES_OF_INSTALL := setup.py setup.cfg pyproject.toml constraints.txt

# What a sourced ROS 2, or a Python that has the ROS 2 wheels, leaves behind would mix two rclpy.
unexport PYTHONPATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport AMENT_PREFIX_PATH RMW_IMPLEMENTATION ROS_DISTRO

.PHONY: help demo demo-finetune test lint type unit jazzy browser pins audit clean
.NOTPARALLEL:

help:
	@echo "make demo    train inverted_pendulum, export it, run it over ROS 2 (about 6 minutes the first time)"
	@echo "make demo-finetune   a policy meets another robot than its simulator, and learns there"
	@echo "make test    every check: lint, type, unit, jazzy, browser"
	@echo "make lint    ruff: rules and format"
	@echo "make type    mypy --strict"
	@echo "make unit    pytest with the ROS 2 Kilted wheels; PYTEST_OPTIONS='-k resume'"
	@echo "make jazzy   the ROS 2 tests again, with the Jazzy wheels"
	@echo "make browser the page of sac-ros report in a headless Chromium, where there is one"
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

test: lint type unit jazzy browser

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

type: .venv/installed
	.venv/bin/mypy

unit: .venv/installed
	SAC_ROS_REQUIRE_ROS=1 .venv/bin/python -m pytest $(PYTEST_OPTIONS)

jazzy: .venv-jazzy/installed
	SAC_ROS_REQUIRE_ROS=1 .venv-jazzy/bin/python -m pytest -m ros $(PYTEST_OPTIONS)

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
	$(call install,.venv,ros,-c constraints.txt -c constraints-kilted.txt)
	@touch $@

.venv-jazzy/installed: $(SOURCES_OF_INSTALL) constraints-jazzy.txt
	$(call install,.venv-jazzy,ros-jazzy,-c constraints.txt -c constraints-jazzy.txt)
	@touch $@

# $(call install,VENV,ROS EXTRA,CONSTRAINTS)
define install
	$(check_machine)
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --disable-pip-version-check $(3) -e '.[sim,atari,tune,$(2),test]'
endef

define check_machine
	@test "$$(uname -sm)" = "Linux x86_64" || { echo "make: this is $$(uname -sm), but PyPI has ROS 2 for\
	 Linux x86_64 only; install ROS 2 with apt and build with colcon, see README.md" >&2; exit 2; }
	@$(or $(PYTHON),false) -c '$(PYTHON_RANGE)' || { echo "make: no Python 3.11 to 3.13 found;\
	 install one (sudo apt install python3.11) or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "make: $(PYTHON) has no venv module;\
	 sudo apt install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; exit 2; }
endef

# What both ROS distributions agree on goes to constraints.txt, the rest to a file for each. torch
# stays where it is: it is the one package whose newest release may not have a CPU build yet.
pins:
	$(call install,.venv-pins-kilted,ros,$(TORCH_PIN))
	$(call install,.venv-pins-jazzy,ros-jazzy,$(TORCH_PIN))
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
	$(check_machine)
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --disable-pip-version-check pip-audit

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
