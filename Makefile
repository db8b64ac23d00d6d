# SPDX-License-Identifier: MIT
# Thin on purpose: what is built and tested is said in meson.build. This file installs what a job lacks (tools/setup) and
# calls Meson, so that a clone and `make` are enough.

BUILD      ?= build
PREFIX     ?= /usr/local
DESTDIR    ?=
# Words for `meson setup`, used when BUILD is made: `make MESON_ARGS=-Dwerror=true`.
MESON_ARGS ?=
TAP_COUNT  ?= $(PYTHON) tools/tap-count

# The system's own Python: a version manager's may lack Debian's modules.
PYTHON := $(firstword $(wildcard /usr/bin/python3) python3)
# bpftool lives in /usr/sbin, which is not in every user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin
MAKEFLAGS += --no-print-directory

C_FILES = $(shell find src include tests bench examples -name '*.[ch]' -o -name '*.cpp')

# $(call prepare,GROUPS): install the groups' packages and build. Meson looks for tools once; it looks again when
# tools/setup has brought new ones.
define prepare
	@tools/setup --stamp $(BUILD)/.setup $(1)
	@if [ ! -e $(BUILD)/build.ninja ]; then \
		meson setup --prefix='$(PREFIX)' $(MESON_ARGS) $(BUILD); \
	elif [ $(BUILD)/.setup -nt $(BUILD)/build.ninja ]; then \
		meson setup --reconfigure $(BUILD); \
	fi
	@ninja -C $(BUILD)
endef

# $(call run_tests,MESON TEST ARGUMENTS): run, then count the subtests; fails if either does.
define run_tests
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs $(1); status=$$?; \
	$(TAP_COUNT) $(BUILD)/meson-logs/testlog.json && exit $$status
endef

.PHONY: all check check-long soak bench demo install format lint clean help

all: ## build into build/ (the default); the tool is build/tocsin
	$(call prepare,build)

check: ## run the tests: unit, golden, truth, end to end, lint; as root, or the kernel's are skipped
	$(call prepare,build test)
	$(call run_tests,--no-suite long --no-suite soak)

check-long: ## the same and the long ones
	$(call prepare,build test)
	$(call run_tests,--no-suite soak)

soak: ## only the soak tests
	$(call prepare,build test)
	$(call run_tests,--suite soak)

bench: ## what Tocsin costs on this machine
	$(call prepare,build)
	@$(BUILD)/tocsin bench

demo: ## a PostgreSQL with four faults, and Tocsin's word on each; about a minute
	$(call prepare,build demo)
	@TOCSIN='$(BUILD)/tocsin' $(PYTHON) examples/demo/run

install: ## install under PREFIX (/usr/local), into DESTDIR if given
	$(call prepare,build)
	@meson configure $(BUILD) -Dprefix='$(PREFIX)'
	@ninja -C $(BUILD)
	@meson install -C $(BUILD) --no-rebuild $(if $(DESTDIR),--destdir '$(abspath $(DESTDIR))')

format: ## lay out the C files with clang-format
	@tools/setup test
	@clang-format -i $(C_FILES)

lint: ## the lint suite, and clang-tidy over src/
	$(call prepare,build test)
	$(call run_tests,--suite lint)
	@run-clang-tidy -quiet -p $(BUILD) -extra-arg=-Wno-unknown-warning-option '/src/[^.]*\.c$$'

clean: ## remove BUILD
	@rm -rf $(BUILD)

help: ## this list
	@echo "make [TARGET] [BUILD=build] [PREFIX=/usr/local] [DESTDIR=] [MESON_ARGS=]"
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' Makefile | while IFS='	' read -r name text; do \
		printf '  %-11s %s\n' "$$name" "$$text"; \
	done
