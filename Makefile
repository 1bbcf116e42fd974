# PGAN Trips: every stage is one command; a finished stage is not run again. `make` alone shows this page.

TRIPS      ?=
RUN        ?= runs/default
PRESET     ?=
RESOLUTION ?=
K          ?=
RASTER     ?=
TRAIN      ?=
SAMPLE     ?=
DECODE     ?=
JUDGE      ?=
ROWS       ?= 10000
FIDELITY   ?=
COVERAGE   ?=
ABLATION   ?=
NOTEBOOKS  ?=

PYTHON := .venv/bin/python
READY  := .venv/ready
CITY   := runs/demo/simulated-city.csv
IMAGES := $(RUN)/images/spec.json
MODEL  := $(RUN)/model/snapshot.pt
FAKES  := $(RUN)/fakes/spec.json
TABLE  := $(RUN)/synthetic.parquet
JUDGED := $(RUN)/redrawn/verdicts.npy
CHOSEN := $(RUN)/chosen.parquet
REPORT := $(RUN)/report/metrics.json

.DEFAULT_GOAL := help
.PHONY: help demo raster train decode choose report test lint notebooks FORCE \
	bench bench-ablation bench-coverage bench-fidelity bench-train
.DELETE_ON_ERROR:

help:
	@echo 'PGAN Trips: synthetic bike and scooter trips from pictures of real ones'
	@echo
	@echo '  make demo       everything on a simulated city, from nothing; results in runs/demo'
	@echo '  make test       all tests'
	@echo
	@echo '  make raster     trip files -> clean trips, stations, images     TRIPS= RUN= RESOLUTION= K= RASTER='
	@echo '  make train      images -> progressive-growing GAN               RUN= PRESET= TRAIN='
	@echo '  make decode     GAN -> fake images -> synthetic.csv/.parquet    RUN= SAMPLE= DECODE='
	@echo '  make choose     the trips that a jury takes for real -> chosen.csv  RUN= JUDGE= ROWS='
	@echo '  make report     real against synthetic -> report/index.html     RUN='
	@echo
	@echo '  make lint       ruff        make bench      speed of the codec'
	@echo '  make bench-fidelity  our trips beside other generators  FIDELITY="--run RUN"'
	@echo '  make bench-coverage  station pairs that losses reach, at equal time  COVERAGE="--minutes 10 --jobs 2"'
	@echo '  make bench-ablation  drawing, labels, latent, averaging, at equal time  ABLATION="--minutes 4 --jobs 2"'
	@echo '  make notebooks  run the notebooks, compare with their outputs    NOTEBOOKS=--write keeps new ones'
	@echo
	@echo 'Variables and their values now:'
	@echo '  TRIPS=$(TRIPS)        files, a quoted glob, or folders'
	@echo '  RUN=$(RUN)        folder for everything this run makes'
	@echo '  RESOLUTION=$(RESOLUTION)            side of the images in pixels, or auto; nothing: 32'
	@echo '  K=$(K)                 trips per image; nothing: 4, and 1 where trips have waypoints'
	@echo '  PRESET=$(PRESET)                tiny (a CPU, minutes; if nothing is given), default, paper'
	@echo '  ROWS=$(ROWS)          trips to choose from those decoded, of which there should be many more'
	@echo '  RASTER= TRAIN= SAMPLE= DECODE= JUDGE=  more flags of the commands, e.g. SAMPLE="--images 200000"'
	@echo
	@echo "Example: make raster train decode report TRIPS='data/JC-2019*' RUN=runs/jc PRESET=tiny"

$(READY): setup.cfg constraints.txt
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(CITY)
	@$(MAKE) --no-print-directory choose report TRIPS=$(CITY) RUN=runs/demo RESOLUTION=16 TRAIN='--last-kimg 16' \
	    SAMPLE='--images 8000' JUDGE='--jury 1 --kimg 40' ROWS=10000
	@echo
	@echo 'The demo is done. Simulated trips went in; synthetic trips came out:'
	@echo '  runs/demo/chosen.csv              the synthetic trip table: the best of many trips'
	@echo '  runs/demo/synthetic.csv           all of them, as the GAN painted them'
	@echo '  runs/demo/report/index.html       how good both are: open it in a browser'
	@echo '  runs/demo/images/contact_sheet.png, runs/demo/model/timelapse.gif   what the GAN saw and learned'

$(CITY): | $(READY)
	$(PYTHON) -m rasterize --simulate $@

raster: $(IMAGES)
train: $(MODEL)
decode: $(TABLE)
choose: $(CHOSEN)
report: $(REPORT)

# With TRIPS given, the images follow the files and the options; without, what is there is used.
ifneq ($(strip $(TRIPS)),)
$(IMAGES): $(wildcard $(TRIPS)) $(RUN)/raster.options

$(RUN)/raster.options: export OPTIONS = $(TRIPS) $(RESOLUTION) $(K) $(RASTER)
$(RUN)/raster.options: FORCE
	@mkdir -p $(RUN)
	@echo "$$OPTIONS" | cmp -s - $@ || echo "$$OPTIONS" > $@
endif

$(IMAGES): | $(READY)
	$(PYTHON) -m rasterize $(TRIPS) --run $(RUN) $(if $(RESOLUTION),--resolution $(RESOLUTION)) $(if $(K),--trips-per-image $(K)) $(RASTER)

$(MODEL): $(IMAGES)
	$(PYTHON) -m pgan train --run $(RUN) $(if $(PRESET),--preset $(PRESET)) $(TRAIN)
	@touch $@ # a run finished earlier is as new as images that came out the same

$(FAKES): $(MODEL)
	$(PYTHON) -m pgan sample --run $(RUN) $(SAMPLE)

$(TABLE): $(FAKES)
	$(PYTHON) -m decode --run $(RUN) $(DECODE)

$(JUDGED): $(TABLE)
	$(PYTHON) -m pgan judge --run $(RUN) $(JUDGE)

$(CHOSEN): $(JUDGED)
	$(PYTHON) -m decode choose --run $(RUN) --rows $(ROWS)

$(REPORT): $(TABLE) $(wildcard $(CHOSEN))
	$(PYTHON) -m decode compare $(RUN)/trips.parquet $(TABLE) --run $(RUN)

# by name, not by number of tests: the last files are quick ones, so that all cores finish together
test: $(READY)
	$(PYTHON) -m pytest -n logical --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check

bench: $(READY)
	$(PYTHON) -m benchmarks.speed.drawing
	$(PYTHON) -m benchmarks.speed.decoding
	$(PYTHON) -m benchmarks.speed.ingest

bench-train: $(READY)
	$(PYTHON) -m benchmarks.speed.training

bench-coverage: $(READY)
	$(PYTHON) -m benchmarks.learning.coverage $(COVERAGE)

bench-ablation: $(READY)
	$(PYTHON) -m benchmarks.learning.ablation $(ABLATION)

bench-fidelity: $(READY)
	$(PYTHON) -m benchmarks.fidelity $(FIDELITY)

notebooks: $(READY)
	$(PYTHON) notebooks/check.py $(NOTEBOOKS)
