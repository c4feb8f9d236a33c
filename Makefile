# Everything goes through ops/bootstrap.sh, which returns at once when nothing is to be done.
YEYAK := .venv/bin/yeyak
.DEFAULT_GOAL := help
.PHONY: help demo up down run status logs reset test test-console bench check lock bootstrap python

help: ## list what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: bootstrap ## start the town, play the stories over HTTP, leave it running
	@$(YEYAK) up
	@$(YEYAK) demo

up: bootstrap ## start the town; returns when all of it is ready
	@$(YEYAK) up

down: python ## stop the town; its data stays
	@$(YEYAK) down

run: bootstrap ## run the town in the foreground
	@exec $(YEYAK) run

status: python ## processes, queues, backlogs
	@$(YEYAK) status

logs: python ## follow the logs, of=NAME for one process
	@exec $(YEYAK) logs $(of)

reset: python ## stop the town and delete its data
	@$(YEYAK) reset

test: bootstrap ## run the whole suite
	@.venv/bin/python -m pytest -n 2 --dist loadfile $(args)

test-console: bootstrap ## click through the console in headless Chromium
	@ops/bootstrap.sh browser
	@.venv/bin/python -m pytest -o addopts="--strict-markers --strict-config -ra" tests/console $(args)

bench: bootstrap ## measure the town against its floor
	@.venv/bin/python -m bench $(args)

check: python ## style, types and the arrows between packages
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

lock: python ## pin every requirement anew, with hashes
	@ops/lock.sh

bootstrap:
	@ops/bootstrap.sh

python:
	@ops/bootstrap.sh python
