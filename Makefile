# Two commands are all a newcomer needs: `make train` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
SOURCES := sb3_ddpg_custom wrappers cli zoo_configs tests benchmarks docs examples

.PHONY: train test test-long format lint type check docs pictures campaign tables release-check clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e ".[test]"
	touch $(VENV)/.installed $@

# Once, before as many processes as run tests would each have Numba compile the same.
$(VENV)/.compiled: $(wildcard sb3_ddpg_custom/updates/compiled/*.py) $(VENV)/.installed-test
	PYTHONPATH=tests $(BIN)/python -m helpers.compile_first
	touch $@

train: $(VENV)/.installed  ## install, train Pendulum-v1, evaluate the result
	$(BIN)/ddpg train pendulum --seed 0
	$(BIN)/ddpg evaluate --checkpoint "$$(ls -td runs/Pendulum-v1/*/ | head -n 1)"

PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

test: $(VENV)/.compiled  ## install the test extra and run the tests, but for those that take ten seconds and more
	$(PYTEST) -m "not long"

LONG = $(shell grep -rl --include='*.py' mark.long tests)

test-long: $(VENV)/.compiled  ## run the others: kills, clusters, searches, a new environment
	$(PYTEST) -m long $(LONG)

format: $(VENV)/.installed-test  ## rewrite the sources in the house format
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

type: $(VENV)/.installed-test
	$(BIN)/mypy
	$(BIN)/mypy tests

check: $(VENV)/.installed-test  ## everything CI runs, side by side: much of it waits for something else than a core
	$(MAKE) --jobs 4 $(if $(filter output-sync,$(.FEATURES)),--output-sync) lint type test-long test

docs: $(VENV)/.installed  ## build the site from docs/ into site/; a dead link fails
	$(PIP) install --quiet -c constraints.txt -e ".[docs]"
	$(BIN)/mkdocs build --strict

pictures: $(VENV)/.installed-test  ## make the pictures of README and docs from a real run; needs Chromium
	$(BIN)/python docs/pictures.py

campaign: $(VENV)/.installed  ## train every shipped configuration with five seeds: days; goes on where it stopped
	$(PIP) install --quiet -c constraints.txt -e ".[mujoco,box2d,numba]"
	nice -n 19 $(BIN)/python benchmarks/campaign.py

tables: $(VENV)/.installed  ## write README's table of what was reached, from benchmarks/results
	$(BIN)/python benchmarks/tables.py

release-check: $(VENV)/.installed-test  ## build, check, install into an empty environment, run the command
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(PIP) install --quiet -c constraints.txt twine
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv dist/environment
	dist/environment/bin/python -m pip install --quiet -c constraints.txt dist/*.whl
	cd dist && environment/bin/ddpg train pendulum --steps 300 --video none --out runs

clean:
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
