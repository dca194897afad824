# What a person types. `make` alone prints this help, made from the comments behind the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= python3
LAB := $(BIN)/lstm-lab

.PHONY: help setup demo test test-all fuzz check docs train sweep cluster-local cluster-local-stop resume evaluate predict leaderboard report compare sync tui doctor bench results atlas schema cite clean

##@ Start here

help: ## This help
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Installed again only when what is installed has changed.
$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(READY) ## Create .venv and install into it, if that is not done

demo: $(READY) ## Tune LSTM against GRU on real speech and real electricity demand (under five minutes)
	@$(LAB) sweep sweeps/vowels_cells.yaml sweeps/demand_cells.yaml --test

##@ Developing

test: $(READY) ## The tests and the checks, seven to eight minutes on two cores
	@$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: $(READY) ## The slow tests too, and those for a GPU where there is one; measures coverage
	@$(BIN)/python -m pytest -m '' -n 2 --dist loadfile --cov --cov-report=term:skip-covered

fuzz: $(READY) ## 5,000 random inputs for the command: make fuzz N=5000 SEED=0; one of them again: make fuzz ONLY=17
	@cd tests && ../$(BIN)/python -m fuzzing --number $(or $(N),5000) --seed $(or $(SEED),0) $(if $(ONLY),--only $(ONLY))

check: $(READY) ## Lint, types and layers alone
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

$(VENV)/.docs: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(VENV)/.docs ## The documentation site, built strictly from docs/ and the docstrings into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs --quiet build --strict && echo "open site/index.html"

##@ Training and sweeps

train: $(READY) ## One experiment: make train CONF=conf/vowels_lstm.yaml SET="optimizer.lr=3e-3 model.cell=gru"
	@$(LAB) train $(or $(CONF),conf/vowels_lstm.yaml) $(SET)

sweep: $(READY) ## One sweep: make sweep SWEEP=sweeps/vowels_cells.yaml
	@$(LAB) sweep $(or $(SWEEP),sweeps/vowels_cells.yaml) $(SET)

cluster-local: $(READY) ## Two real Ray nodes on this machine, recorded in .cluster-local, to try a cluster
	@$(BIN)/python benchmarks/local_cluster.py start .cluster-local

cluster-local-stop: $(READY) ## End exactly the processes that cluster-local started
	@$(BIN)/python benchmarks/local_cluster.py stop .cluster-local

resume: $(READY) ## Resume an interrupted run or sweep: make resume RUN=runs/vowels_cells-1
	@$(LAB) resume $(RUN)

##@ Results

evaluate: $(READY) ## Evaluate on the held-out test split: make evaluate RUN=runs/vowels_cells-1
	@$(LAB) evaluate $(RUN)

predict: $(READY) ## Predictions for new data: make predict RUN=runs/my_csv-1 DATA=new.csv
	@$(LAB) predict $(RUN) $(DATA)

leaderboard: $(READY) ## Configurations of a sweep, best first: make leaderboard SWEEP=runs/vowels_cells-1
	@$(LAB) leaderboard $(SWEEP)

report: $(READY) ## Write the page again: make report RUN=runs/vowels_cells-1
	@$(LAB) report $(RUN)

compare: $(READY) ## Several runs or sweeps on one page: make compare RUNS="runs/a-1 runs/b-1"
	@$(LAB) compare $(RUNS)

sync: $(READY) ## Upload to W&B from the record, each run once: make sync SWEEP=runs/vowels_cells-1, or all
	@$(LAB) sync $(SWEEP)

tui: $(READY) ## W&B's own view in the terminal: make tui SWEEP=runs/vowels_cells-1, or all
	@$(LAB) tui $(SWEEP)

##@ Maintenance

doctor: $(READY) ## What this machine offers, and what is missing
	@$(LAB) doctor

bench: $(READY) ## Speed of the cells against torch's own layers, written to benchmarks/cells.md
	@$(BIN)/python benchmarks/cells.py --write

results: $(READY) ## Train the named sets (LSTM_LAB_DATA) over three seeds and write benchmarks/results.md (hours)
	@$(BIN)/python benchmarks/results.py --write

atlas: $(READY) ## Train what the atlas of configurations lacks (hours; resumes), and write it into the package
	@$(BIN)/python benchmarks/atlas.py --write

schema: $(READY) ## Write the JSON schemas that let an editor complete conf/ and sweeps/
	@$(LAB) schema experiment > conf/schema.json
	@$(LAB) schema sweep > sweeps/schema.json

cite: ## How to cite
	@cat CITATION.cff

clean: ## Remove .venv and caches; runs stay
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage build site *.egg-info
