# qkv's targets. Bare `make` explains them. Only Go and make are needed: the tools are built by Go from .ci/tools/go.mod.

GO        ?= go
PKG       ?= ./...
SEEDS     ?= 500
FUZZTIME  ?= 10s
TOOL       = $(GO) tool -modfile=.ci/tools/go.mod
# The commit in `qkv version`; nothing where this is no repository.
COMMIT     = $(addprefix -X qkv/cli/form.builtFrom=,$(shell git describe --always --dirty --abbrev=12 2>/dev/null))
# The programs of CI, which ./... leaves out.
OWN        = ./.ci/home ./.ci/house ./.ci/monitoring ./.ci/mutants
# The packages whose tests take longest begin first.
LONGEST    = $(if $(filter ./...,$(PKG)),./node ./cli ./index ./net/peer)
# Most tests wait, so that more packages run at a time than there are processors.
AT_ONCE    = $$(($$(getconf _NPROCESSORS_ONLN) + 2))
# One seed is replayed with its trace; many are a campaign, a process a core.
SIMFLAGS   = $(if $(SEED),-sim.seed=$(SEED),-sim.seeds=$(SEEDS))

.DEFAULT_GOAL := help
.PHONY: help run build packages packaged monitoring test check compat browser upgrade kube lab path home race sim adverse hosts fuzz lint fmt full house vuln pictures

help: ## this list
	@echo 'qkv: a distributed, revisioned key-value store. Targets:'
	@sed -n 's/^\([a-z][a-z]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r target text; do printf '%-14s %s\n' "$$target" "$$text"; done

run: build ## build ./qkv and run three members on loopback: ./qkv demo
	./qkv demo

build: ## build ./qkv, without libc: it starts in an image that has nothing else
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w $(COMMIT)' -o qkv .

lab: build ## build ./qkv-lab, which measures ./qkv beside etcd, under the load of Kubernetes and under failures (qkv-lab kube -h)
	$(GO) build -C bench/lab -trimpath -o ../../qkv-lab .

packages: ## static programs, SBOMs, deb, rpm and images for all systems, in dist/ (PACKAGESFLAGS=-quick: amd64 of Linux alone)
	@$(GO) run -C .ci/packages . $(PACKAGESFLAGS)

packaged: ## tests of the packages: the deb on this host's root folder as a copy, its unit, the image
	$(GO) vet -C .ci/packages . && $(GO) test -C .ci/packages -count=1 -timeout 20m -v .

monitoring: ## write docs/metrics.md, and the rules and dashboards in deploy/, from the tables in .ci/monitoring and a running member
	@$(GO) run ./.ci/monitoring

home: ## write the addresses of .ci/home/home.json (repository, image, security contact, documentation) into the files that name them
	@$(GO) run ./.ci/home

path: ## rename the module everywhere: MODULE=host/owner/qkv; refuses while changes are not committed
	@$(GO) run ./.ci/home -path '$(MODULE)'

test: ## the first look: unit tests, models, 30 simulated clusters, three real processes that are killed (PKG=./index/... for a part)
	@$(GO) test -short -vet=off -p $(AT_ONCE) -timeout 10m $(LONGEST) $(PKG)

check: lint ## all that a change must pass: format, vet, staticcheck, every test; says what was skipped
	@$(TOOL) gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg -- -vet=off -p $(AT_ONCE) -timeout 30m -skip '^TestSimulation$$' $(LONGEST) $(OWN) $(PKG)
	$(GO) test ./node -run '^TestSimulation$$' -count=1 -timeout 20m

compat: ## etcd's clients with qkv, qkv beside etcd 3.7.3, and backups on versitygw, built from their modules (COMPATFLAGS='-seed 7 -requests 200000')
	@.ci/compat $(COMPATFLAGS)

upgrade: ## the program of the commit in .ci/frozen, or LAST=PROGRAM, beside this one under load; says why if it cannot run
	@LAST='$(LAST)' .ci/upgrade

browser: ## the dashboard in headless Chromium on three members; skipped by name without Chromium (PICTURES=DIR writes screenshots)
	$(GO) test -C net/web/browser -count=1 -timeout 10m -v . $(if $(PICTURES),-args -pictures $(PICTURES))

kube: ## kube-apiserver 1.36.3, built from its module (minutes, 2 GB of Go's cache), on three members; what it relies on, long
	cd net/etcd/compat && QKV_FULL=1 $(GO) test -count=1 -timeout 60m -v ./kube

race: ## the tests under the race detector (PKG=./actor/... for a part)
	QKV_TEST_LONG=1 $(GO) test -race -short -timeout 90m $(PKG)

sim: ## simulated clusters with faults: SEEDS=500 many, or SEED=n for one, replayed with its trace
	$(GO) test ./node -run '^TestSimulation$$' -count=1 -timeout 0 -v $(SIMFLAGS)

adverse: ## real processes on slow, full and rotten disks, cut networks, hostile clients: a line of figures each
	QKV_FULL=1 $(GO) test ./cli -run '^TestAdverse' -count=1 -timeout 0 -v

hosts: ## members that come and go, move and are replaced, on hosts of their own (as root: networks), a line of figures each
	QKV_FULL=1 $(GO) test ./cli -run '^TestHosts' -count=1 -timeout 0 -v

fuzz: ## every fuzz target for FUZZTIME=10s each (PKG=./net/wire for a part)
	@set -e; for p in $$($(GO) list $(PKG)); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "fuzz $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; \
		done; \
	done

lint: ## gofumpt, vet, staticcheck, dead code, and that the mutants fit, without changing anything
	@unformatted=$$($(TOOL) gofumpt -l .); if [ -n "$$unformatted" ]; then \
		echo 'not formatted (run `make fmt`):'; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./... $(OWN)
	$(TOOL) staticcheck ./... $(OWN)
	$(GO) vet -C net/web/browser ./... && cd net/web/browser && $(GO) tool -modfile=../../../.ci/tools/go.mod staticcheck ./...
	cd net/etcd/compat && $(GO) vet ./... && $(GO) tool -modfile=../../../.ci/tools/go.mod staticcheck ./...
	$(GO) vet -C bench/lab ./... && cd bench/lab && $(GO) tool -modfile=../../.ci/tools/go.mod staticcheck ./...
	$(GO) run ./.ci/house -dead
	$(GO) run ./.ci/home -check
	$(GO) run ./.ci/mutants -check

fmt: ## format the code with gofumpt
	$(TOOL) gofumpt -w .

house: ## how easy it is to find one's way in the code: files a Put crosses, sizes, arrows that run back up (HOUSEFLAGS=-list)
	@$(GO) run ./.ci/house $(HOUSEFLAGS)

vuln: ## known vulnerabilities in what is linked in (asks vuln.go.dev)
	$(TOOL) govulncheck ./...

full: ## the full variant of everything (about an hour), one line of figures each
	@.ci/full

pictures: ## draw docs/pictures/*.svg from the .d2 texts beside them (minutes the first time: it builds d2)
	$(GO) run oss.terrastruct.com/d2@v0.7.1 --layout elk --theme 0 --dark-theme 200 --pad 20 docs/pictures/member.d2 docs/pictures/member.svg
	$(GO) run oss.terrastruct.com/d2@v0.7.1 --theme 0 --dark-theme 200 --pad 20 docs/pictures/put.d2 docs/pictures/put.svg
	chmod 644 docs/pictures/*.svg
