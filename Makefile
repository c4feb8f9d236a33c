# Most targets run ops/bootstrap.sh first, which returns at once when everything is installed.
YEYAK := .venv/bin/yeyak
.DEFAULT_GOAL := help
ifdef processes
export YEYAK_PROCESSES := $(processes)
endif
.PHONY: help demo up down run dev status logs reset test test-faults test-deploy test-laptop test-scale bench drill check manifests lock bootstrap python test-polyglot test-plain test-rabbitmq4 test-console test-openapi test-new

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: bootstrap ## start the system, play the stories over HTTP, leave it running
	@$(YEYAK) up
	@$(YEYAK) demo

up: bootstrap ## start the system; returns when all of it is ready; processes=each: one for each context
	@$(YEYAK) up

down: python ## stop the system; its data stays
	@$(YEYAK) down

run: bootstrap ## run the system in the foreground
	@exec $(YEYAK) run

dev: bootstrap ## run of=CONTEXT in the foreground, restarted when a file changes, the rest of the system beside it
	@exec $(YEYAK) dev $(of)

status: python ## processes, queues, backlogs
	@$(YEYAK) status

logs: python ## follow the logs, of=NAME for one process
	@exec $(YEYAK) logs $(of)

reset: python ## stop the system and delete its data; asks first, unless force=1
	@$(YEYAK) reset $(if $(force),--yes)

CRASH_WALKS := $(filter-out tests/video_rental/%,$(wildcard tests/*/test_crash_walk*.py))

test: bootstrap ## run the whole suite; crash tests of one business (all: test-faults)
	@ops/kustomize.sh
	@ops/localstripe.sh
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(CRASH_WALKS:%=--ignore=%) $(args)

test-faults: bootstrap ## kill processes and servers at every step of every business
	@.venv/bin/python -m pytest -n 2 --dist loadfile tests/faults tests/live tests/*/test_crash_walk*.py $(args)

test-scale: bootstrap ## run two replicas of each context on a cluster of three brokers
	@.venv/bin/python -m pytest tests/scale $(args)

test-laptop: bootstrap ## measure an idle local system, and run every command on both layouts of its processes
	@.venv/bin/python -m pytest tests/laptop $(args)

test-deploy: bootstrap ## start every pod and service of the deployments as processes
	@ops/kustomize.sh
	@.venv/bin/python -m pytest tests/deploy/exercised $(args)

VIEWS := $(notdir $(basename $(shell grep -l '= ViewTables' storage/*/*.py)))
VIEW_SUITES := tests/polyglot $(foreach suite,$(VIEWS) rebuilding,$(wildcard tests/*/test_$(suite).py))

test-polyglot: ## run the suites of the views on PostgreSQL, MariaDB and SQLite
	@ops/bootstrap.sh polyglot
	@for kind in postgresql mariadb sqlite; do \
	  echo "views on $$kind" && .venv/bin/python -m pytest -n 2 --dist loadfile --views $$kind $(VIEW_SUITES) $(args) || exit 1; done

test-plain: export YEYAK_AMQP_ACCELERATOR := off
test-plain: bootstrap ## run the delivery, fault and flow tests without the AMQP accelerator
	@.venv/bin/python -m pytest -n 2 --dist loadfile tests/live tests/faults tests/runtime tests/flows tests/journal $(args)

test-rabbitmq4: bootstrap ## run the delivery tests on RabbitMQ 4
	@ops/debian13.sh
	@.venv/bin/python -m pytest -n 2 --dist loadfile --broker 4 tests/live tests/faults/test_killed_processes.py $(args)

test-new: bootstrap ## write a business with `yeyak new` in a copy of the tree, and run its tests there
	@ops/kustomize.sh
	@.venv/bin/python -m pytest tests/scaffold $(args)

test-console: bootstrap ## click through the console in headless Chromium
	@ops/bootstrap.sh browser
	@.venv/bin/python -m pytest -o addopts="--strict-markers --strict-config -ra" tests/console $(args)

test-openapi: bootstrap ## lint the OpenAPI and AsyncAPI documents, generate clients, and try on a running system all that is said
	@ops/bootstrap.sh openapi
	@ops/openapi_tools.sh
	@.venv/bin/python -m pytest tests/openapi $(args)

bench: bootstrap ## measure the system against a minimal program
	@.venv/bin/python -m bench $(args)

drill: export YEYAK_ENGINE := private
drill: export YEYAK_PROCESSES ?= each
drill: ## cause failures on a system with replicas and print a pass table (stops a running system)
	@ops/bootstrap.sh drill
	@$(YEYAK) down
	@YEYAK_GATEWAY_RATE=0 $(YEYAK) up --replicas 2
	@$(YEYAK) drill $(of); code=$$?; $(YEYAK) down; exit $$code

check: python ## check style, types, imports, deployments, completeness; of=SYSTEM for one business
	@ops/kustomize.sh
	@.venv/bin/python -m ops.checks $(of)

manifests: python ## generate what lists contexts: manifests, services, tables, import rules
	@.venv/bin/python -m ops.deployment write

lock: python ## pin every requirement with its hashes
	@ops/lock.sh

bootstrap:
	@ops/bootstrap.sh

python:
	@ops/bootstrap.sh python
