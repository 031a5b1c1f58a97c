# SPDX-License-Identifier: GPL-3.0-or-later
# From nothing to a running spectrum encoder on Debian 12 or 13: `make demo`, `make test`. `make help` lists the targets.
# Everything lands in .venv (made from /usr/bin/python3, the one that sees GNU Radio) and needs no environment variable.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

ROOT := $(CURDIR)
PYTHON := $(ROOT)/.venv/bin/python
CLI := $(ROOT)/.venv/bin/spectrumencoder
PACKAGE = $(wildcard $(ROOT)/.venv/lib/python3*/site-packages)/gnuradio/spectrumencoder
JOBS ?= $(shell nproc)
CXX_SOURCES = $(shell find lib include python/spectrumencoder/bindings -name '*.cc' -o -name '*.h')
EXTRAS := digital_rf display web push hub archive cluster experiments dev
SCENE := examples/recordings/demo_scene

# A shell that was set up for another GNU Radio or another venv must not leak into this one.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV GRC_BLOCKS_PATH SPECTRUMENCODER_MODELS

.PHONY: help setup setup-test build install demo test check soak sanitize lint format grc package deb clean distclean

help:            ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: .make/venv ## apt packages, .venv, pip packages: what a run needs

# setup-test: what tests, training and experiments need besides
setup-test: .make/venv-test

PIP_INSTALL = $(PYTHON) -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)
# GNU Radio is built for one major version of NumPy, that of the system's Python.
CONSTRAINTS = constraints-numpy$(shell /usr/bin/python3 -c "import numpy; print(numpy.__version__.split('.')[0])").txt

.make/apt: tools/apt_packages.txt tools/install_system_packages
	@mkdir -p .make
	tools/install_system_packages apt_packages.txt
	@touch $@

.make/apt-test: .make/apt tools/apt_packages_test.txt
	tools/install_system_packages apt_packages_test.txt
	@touch $@

.make/venv: .make/apt requirements.txt constraints-numpy1.txt constraints-numpy2.txt
	$(PYTHON) -m pip --version >/dev/null 2>&1 || /usr/bin/python3 -m venv --system-site-packages --clear .venv
	$(PIP_INSTALL) -r requirements.txt
	$(PYTHON) tools/check_python.py
	@touch $@

# PyTorch of the distribution, if it has one: PyPI's for new Pythons brings gigabytes of CUDA.
.make/venv-test: .make/apt-test .make/venv requirements-train.txt $(EXTRAS:%=requirements-%.txt)
	$(PYTHON) -c "import torch" 2>/dev/null || $(PIP_INSTALL) -r requirements-train.txt
	$(PIP_INSTALL) -r requirements.txt $(EXTRAS:%=-r requirements-%.txt)
	$(PYTHON) tools/check_python.py --torch
	@touch $@

build: .make/venv ## configure and compile
	@test -f build/CMakeCache.txt || cmake -S . -B build -DCMAKE_BUILD_TYPE=Release \
	    -DCMAKE_INSTALL_PREFIX=$(ROOT)/.venv -DPYTHON_EXECUTABLE=$(PYTHON) -Wno-dev
	cmake --build build -j $(JOBS)

install: build   ## install into .venv
	@test ! -L $(PACKAGE) || { echo "$(PACKAGE) is a link into the sources: remove it to install" >&2; exit 2; }
	@rm -rf $(PACKAGE)
	cmake --install build >build/install.log || { cat build/install.log >&2; exit 1; }
	@$(PYTHON) -c "from gnuradio import spectrumencoder; spectrumencoder.tokenize"

demo: install    ## calibrate on a clean scene, find the anomaly in the bundled one; see demo/
	$(PYTHON) tools/demo.py --recording $(SCENE).sigmf-meta --out demo

test: .make/venv-test install lint ## build, lint and run every test
	$(MAKE) --no-print-directory check

check:           ## run the tests on what is installed
	cmake --build build -j $(JOBS) --target tests
	ctest --test-dir build --output-on-failure --timeout 120
	$(PYTHON) -m pytest -q

soak: .make/venv-test install ## the tests that take minutes
	$(PYTHON) -m pytest -q -m soak --timeout 1800

sanitize: .make/venv-test ## C++ tests, bindings and a run under ASan and UBSan; SANITIZER=thread: under TSan
	PYTHON=$(PYTHON) JOBS=$(JOBS) tools/sanitize $(or $(SANITIZER),address)

lint: .make/venv-test ## ruff, mypy and clang-format
	$(PYTHON) -m ruff check --quiet .
	$(PYTHON) -m mypy --no-error-summary
	$(ROOT)/.venv/bin/clang-format --dry-run -Werror $(CXX_SOURCES)

format: .make/venv-test ## let the linters repair what they can
	$(PYTHON) -m ruff check --fix .
	$(ROOT)/.venv/bin/clang-format -i $(CXX_SOURCES)

grc: install     ## open GNU Radio Companion with the blocks in it
	GRC_BLOCKS_PATH=$(ROOT)/.venv/share/gnuradio/grc/blocks $(PYTHON) "$$(command -v gnuradio-companion)" \
	    examples/recording_analysis.grc

.make/apt-deb: .make/apt tools/apt_packages_deb.txt
	tools/install_system_packages apt_packages_deb.txt
	@touch $@

# The sources go to a folder of their own: dpkg-buildpackage writes beside the folder that it builds. The version ends with the
# distribution (0.1.0~debian12): the packages differ in what they depend on.
# The project has no mail address. Its library is for its own blocks: one package holds both.
LINTIAN_IGNORED := bogus-mail-host,bogus-mail-host-in-debian-changelog,package-name-doesnt-match-sonames

package: .make/venv .make/apt-deb ## build the Debian package into package/
	rm -rf package
	mkdir -p package/src
	git ls-files -z | xargs -0 cp --parents --target-directory=package/src
	PIP="$(PYTHON) -m pip" tools/vendor_packages package/src/debian/vendor package/src/debian/vendor.depends
	. /etc/os-release && sed -i "1s/)/~$$ID$$VERSION_ID)/" package/src/debian/changelog
	cd package/src && DEB_BUILD_OPTIONS='noautodbgsym parallel=$(JOBS)' dpkg-buildpackage --build=binary --no-sign >../build.log 2>&1 || \
	    { tail -n 40 ../build.log >&2; exit 1; }
	rm -rf package/src
	! command -v lintian >/dev/null || lintian --fail-on error --suppress-tags $(LINTIAN_IGNORED) package/*.changes
	@ls package/*.deb

deb: package     ## the same, and try it in a clean system (as root, with debootstrap)
	tools/check_on --package package

clean:           ## remove what was built
	rm -rf build demo package

distclean: clean ## remove the venv too
	rm -rf .venv .make
