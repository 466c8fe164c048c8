# Two commands: `make run` and `make test`. Both make the virtual environment first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Processes that share the tests: most of these wait, for time-outs and for other programs.
JOBS ?= 2

.PHONY: run test mta lint audit docs docs-site bench clean

# Serves on 127.0.0.1:11200 with the mailbox alice@example.org; ARGS are for lmtpd.
run: $(VENV)/run.stamp
	@$(BIN)/python lmtpd.py mailbox add alice@example.org $(ARGS) >/dev/null
	@exec $(BIN)/python lmtpd.py serve $(ARGS)

# Real MTAs, Dovecot and swaks are installed or downloaded under CI=true only; elsewhere the tests that want
# what is missing are skipped, and the first lines say what to install for all of them. Under
# CI=true it ends with the CPU for each delivery against the floor, beside the committed figure.
test: lint $(if $(filter true,$(CI)),audit)
	@$(BIN)/python tests/components.py $(if $(filter true,$(CI)),--install,|| true)
	$(BIN)/python -m pytest --cov --numprocesses $(JOBS) --no-loadscope-reorder
	$(if $(filter true,$(CI)),$(BIN)/python bench/cpu_check.py)

lint: $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --follow-imports=skip lmtpd.py
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml lmtpd

# Known vulnerabilities of what is installed here; it asks over the network, so CI alone does each time.
audit: $(VENV)/test.stamp
	$(BIN)/python tests/audit.py

# Prints the tables of the documentation from the code.
docs: $(VENV)/run.stamp
	$(BIN)/python docs/tables.py

# The documentation as a site in build/site.
docs-site: $(VENV)/run.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet -f docs/mkdocs.yml

# Real MTAs only, and the table of tests/mta/README.md from this run; as root.
mta: $(VENV)/test.stamp
	MTA_TABLE=tests/mta/README.md $(BIN)/python -m pytest tests/mta

# Beside Dovecot, aiosmtpd and a floor in C; as root, about a quarter of an hour. bench/README.md
bench: $(VENV)/test.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	$(BIN)/python bench/run.py $(ARGS)

clean:
	rm -rf $(VENV)

$(VENV)/run.stamp: requirements.txt
	@echo "installing what lmtpd needs into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/test.stamp: tests/requirements.txt docs/requirements.txt $(VENV)/run.stamp
	@echo "installing what the tests need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@
