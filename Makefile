# Every target does all of its own set-up. `make demo` installs no torch.
VENV := .venv
BIN := $(VENV)/bin
# What is imported is compiled then, and kept; compiling everything first costs a minute.
unexport PYTHONDONTWRITEBYTECODE
# setuptools warns of every editable install, in ten lines that look like an error.
PIP := PYTHONWARNINGS=ignore $(BIN)/pip --disable-pip-version-check install --quiet --no-compile -c constraints.txt
DEMO_EXTRAS := robot,server,sim,report,ros
ROBOT_EXTRAS := $(DEMO_EXTRAS),piper
DEV_EXTRAS := $(DEMO_EXTRAS),train,dev

.PHONY: help demo robots test test-all coverage lint style docs colcon clean
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo  ## a policy drives a simulated Stretch through ROS 2, and a report says how well
	@$(BIN)/ferry doctor --only gl --only ros
	@$(BIN)/ferry demo

robots: $(VENV)/.robots  ## install what every robot, twin and fake needs: the SDKs of the Stretch and the Piper, arm kinematics
	@$(BIN)/ferry doctor

test: $(VENV)/.dev style  ## lint, the test suite without what is slow, and the robot side under Python 3.10 where there is one
	@$(BIN)/ferry doctor --only gl
	@scripts/test --quick

test-all: $(VENV)/.dev style  ## the same with every test, as before a merge
	@$(BIN)/ferry doctor --only gl
	@scripts/test

coverage: $(VENV)/.dev  ## the whole test suite, with the branches that it covers: fails below the floor in pyproject.toml
	@scripts/test_lanes --cov --cov-report= --cov-fail-under=0
	@$(BIN)/coverage combine --quiet build/computing/.coverage* build/real_time/.coverage*
	@$(BIN)/coverage report

lint: $(VENV)/.dev style  ## ruff, mypy --strict, codespell and the walls between the rooms
	$(BIN)/mypy

style: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports

docs: $(VENV)/.dev  ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

colcon: $(VENV)/.dev  ## build the ROS 2 packages
	cd ros2_ws && ../$(BIN)/colcon build

$(VENV)/.demo: pyproject.toml constraints.txt scripts/venv
	@scripts/venv $(VENV)
	@echo "installing ferry for the demo (no torch) ..."
	@$(PIP) -e '.[$(DEMO_EXTRAS)]'
	@touch $@

$(VENV)/.robots: pyproject.toml constraints.txt scripts/venv scripts/stretch_sdk
	@scripts/venv $(VENV)
	@echo "installing ferry with the SDKs of the robots ..."
	@$(PIP) -e '.[$(ROBOT_EXTRAS)]'
	@scripts/stretch_sdk $(VENV)
	@touch $@ $(VENV)/.demo

$(VENV)/.dev: pyproject.toml constraints.txt scripts/venv scripts/stretch_sdk scripts/libero scripts/openpi_client
	@scripts/venv $(VENV)
	@echo "installing ferry for development ..."
	@$(PIP) -e '.[$(DEV_EXTRAS)]'
	@scripts/stretch_sdk $(VENV)
	@scripts/libero $(VENV)
	@scripts/openpi_client $(VENV)
	@touch $@ $(VENV)/.demo $(VENV)/.robots

clean:  ## remove the environment and everything that runs wrote
	rm -rf $(VENV) .venv310 runs build ros2_ws/build ros2_ws/install ros2_ws/log
