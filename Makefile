# make demo   train the digits study, compute every stage, write the report
# make test   run the tests, but the slow ones
# make test-all  run all tests
# make test-oldest test-newest  run them with the oldest versions that pyproject.toml allows, or the newest
# make fuzz   read thousands of damaged inputs with every reader and command
# make lint   check style and types
# make stub   write the types of trajlab.run, after a setting of a stage changed
# make docs   build the documentation into docs/_build/html; its code runs
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test test-all test-oldest test-newest fuzz lint bench stub docs
demo: .venv/installed
	dvc repro
	@echo "The report: $(CURDIR)/data/reports/digits.html"
	@echo "To look around: $(BIN)/trajlab explore data/runs/digits data/results/digits"

test: .venv/installed
	python -m pytest --numprocesses auto --dist worksteal

test-all: .venv/installed
	python -m pytest --numprocesses auto --dist worksteal -m "slow or not slow"

# uv, as pip has no choice of the oldest. Only direct dependencies are: what they depend on may warn that it is newer
# than they expected.
test-oldest: RESOLUTION := lowest-direct
test-newest: RESOLUTION := highest
test-oldest test-newest: test-%: .venv/installed
	uv venv --clear --python 3.11 .venv-$*
	uv pip install --python .venv-$*/bin/python --resolution $(RESOLUTION) --editable \
		'.[distributed,explore,huggingface,keras,lightning,notebook,parquet,s3]'
	uv pip install --python .venv-$*/bin/python --editable '.[tests]'
	NUMBA_CACHE_DIR=$(CURDIR)/.venv-$*/numba .venv-$*/bin/python -m pytest --numprocesses auto --dist worksteal \
		-W default::DeprecationWarning

fuzz: .venv/installed
	python -m tests.fuzz --cases 10000 --seconds 3000

bench: .venv/installed
	python -m tests.benchmarks

lint: .venv/installed
	ruff check
	ruff format --check
	mypy

stub: .venv/installed
	python -m tests.run_stub

docs: .venv/installed
	python -m sphinx -W --keep-going -q -j 2 -b html docs docs/_build/html
	@echo "The documentation: $(CURDIR)/docs/_build/html/index.html"

# uv takes a third of the time of pip, which is asked where uv fails.
.venv/installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $$(grep '^uv==' requirements.lock)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements.lock || \
		$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
