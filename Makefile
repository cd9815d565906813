# Every target sets up what it needs (.venv, once); nothing but Python >= 3.11, make and a network.

VENV ?= .venv
PYTHON ?=
PAPER ?=
SCALE ?= quick
ARGS ?=

export VENV PYTHON
bin = $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help reproduce test test-all lint format bench kernels-aot dist clean setup setup-dev

help:
	@echo "make reproduce  reproduce the papers and write results/report/index.html"
	@echo "                PAPER=introduction_to_bandits[/FIGURE]  SCALE=smoke|quick|paper  ARGS='--until-settled'"
	@echo "make test       the tests, without the slow ones (make test-all: those too); ARGS='-k ucb'"
	@echo "make lint       ruff check, ruff format --check, pyright (make format: mend what can be mended)"
	@echo "make bench      speed beside other libraries, NumPy and C; ARGS as in: regrax bench bandits --help"
	@echo "make kernels-aot  compile the kernels for TPU v5e, v6e and the H200, without one; ARGS='--only decode'"
	@echo "make dist       build a wheel and an sdist, and try both in a clean environment"
	@echo "make clean      remove what was built and cached; keeps $(VENV) and results/"
	@echo
	@echo "All of them set up $(VENV) on first use. PYTHON=/path/to/python3.11 chooses the Python, VENV=DIR the place."

setup:
	@tools/setup.sh run

setup-dev:
	@tools/setup.sh dev

reproduce: setup
	$(bin)/regrax reproduce $(PAPER) --scale $(SCALE) $(ARGS)

test: setup-dev
	$(bin)/python -m pytest -n 2 -m "not slow and not gpu and not tpu" $(ARGS)

test-all: setup-dev
	$(bin)/python -m pytest -n 2 -m "not gpu and not tpu" $(ARGS)

lint: setup-dev
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/pyright

format: setup-dev
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

bench: setup
	$(bin)/regrax bench bandits $(ARGS)

kernels-aot:
	@tools/kernels_aot.sh $(ARGS)

dist: setup-dev
	@tools/check_dist.sh

clean:
	rm -rf build dist regrax.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
