# Everything here is plain go commands: nothing needs make, it only saves
# typing. "make" lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO ?= go
PKG ?= ./...
# The heavy tools are pinned in a module of their own, so that no user of this
# one downloads their dependencies; the light ones in tools.go.
TOOL := $(GO) tool -modfile=tools/go.mod

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-15s %s\n", $$1, $$2}'

.PHONY: generate
generate: ## write all generated code
	$(GO) generate ./...

.PHONY: generate-check
generate-check: generate ## fail if generated code that is committed is stale
	@git status --porcelain -- '*_gen.go' | (! grep .) || { git --no-pager diff -- '*_gen.go'; exit 1; }

.PHONY: test
test: ## run all tests, with the race detector and real servers (PKG=./gen/... for some)
	tools/test.sh $(PKG)

.PHONY: browser
browser: ## drive a browser over the pages of runtime/web, on each engine, and write docs/pictures
	cd tools/browser && $(GO) test -count=1 -timeout 30m ./... -args -night 50000 -document $(CURDIR)/docs/pictures

.PHONY: short
short: ## run the tests that are quick
	$(GO) test -short $(PKG)

# The newest Go that is tested beside the one of go.mod; the go command fetches
# it. Its version is in one place, for CI and the tests. The other Go vets them.
NEWEST_GO ?= $(shell cat .ci/newest-go)
.PHONY: newest
newest: ## run the tests of what is generated and on the wire with the newest Go, too
	GOTOOLCHAIN=$(NEWEST_GO) $(GO) test -vet=off ./gen/wiretype ./gen/load ./internal/typetable -short
	GOTOOLCHAIN=$(NEWEST_GO) $(GO) test -vet=off ./gen -run TestGoldens -args -texts
	GOTOOLCHAIN=$(NEWEST_GO) $(GO) test -vet=off ./runtime/wire
	GOTOOLCHAIN=$(NEWEST_GO) $(GO) test -vet=off ./runtime -run 'Enqueue_|Valid|Result'

SEED ?= $(shell date +%s)
TYPES ?= 600
.PHONY: types-fuzz
types-fuzz: ## send values of TYPES (600) random types from SEED between workers of two versions of Go
	$(GO) test ./internal/twogo -run RandomTypes -count=1 -v -timeout 60m -args -seed $(SEED) -types $(TYPES) -file
	$(GO) test ./internal/typetable -run TestRandomTypes -count=1 -v -timeout 60m -args -rapid.seed=$(SEED) -rapid.checks=5000

.PHONY: types-modules
types-modules: ## the same for the exported types of large modules and of the standard library
	$(GO) test ./internal/twogo -run ModuleTypes -count=1 -v -timeout 60m -args -modules -file

.PHONY: lint
lint: ## vet and golangci-lint; the first run compiles it, which takes minutes
	$(GO) vet ./...
	cd tools/browser && $(GO) vet ./...
	$(TOOL) golangci-lint run ./...
	$(MAKE) taskvet

# The flag is one that the go command has no results of vet with; what both need of
# other packages is compiled before.
.PHONY: taskvet
taskvet: ## run taskvet on this repository, and print its time beside that of go vet
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	$(GO) build -o "$$dir/taskvet" ./cmd/taskvet; \
	$(GO) list -export -deps -test $(PKG) >/dev/null; \
	TIMEFORMAT="taskvet: %U s of processor time, %R s"; time "$$dir/taskvet" $(PKG); \
	TIMEFORMAT="go vet: %U s of processor time, %R s"; time $(GO) vet -printf.funcs=none$$RANDOM $(PKG)

# The mistakes that mailer is seeded with are ten lines with a want comment.
.PHONY: golangci
golangci: ## build golangci-lint with taskvet in it, and run it on a program with mistakes and on the examples
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	(cd tools/golangci && $(GO) build -o "$$dir/golangci" .) && \
	config="$$PWD/tools/golangci/golangci.yml" && \
	(cd vet/testdata && ! "$$dir/golangci" run -c "$$config" ./mailer >"$$dir/found" 2>&1) && \
	(grep -qx "\* taskvet: $$(grep -c '// want\|/\* want' vet/testdata/mailer/mailer.go)" "$$dir/found" || { cat "$$dir/found"; exit 1; }) && \
	"$$dir/golangci" run -c "$$config" ./examples/...

.PHONY: typescript
typescript: ## compile and run the client in TypeScript; it fetches the compiler with npm
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	npm install --silent --no-fund --no-audit --prefix "$$dir" typescript@5.9.3; \
	TASKCTX_TSC="$$dir/node_modules/.bin/tsc" $(GO) test -count=1 -v ./internal/tsclient ./examples/parcels

.PHONY: cross
cross: ## vet all packages and tests for other systems and for 32 bits
	@for system in darwin/arm64 windows/amd64 freebsd/amd64 linux/arm64 linux/386; do \
		echo "== $$system"; GOOS=$${system%/*} GOARCH=$${system#*/} CGO_ENABLED=0 $(GO) vet ./... || exit 1; \
	done

.PHONY: vuln
vuln: ## look for known vulnerabilities; it asks vuln.go.dev
	$(TOOL) govulncheck ./...

.PHONY: growth
growth: ## run tasks of changed structs before and after, and write docs/changing-tasks.md
	$(GO) test ./internal/growth -update

.PHONY: types
types: ## try every category of Go type and write docs/types.md
	$(GO) test ./internal/typetable -update

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (30s)
	@$(GO) list ./... | while read -r pkg; do \
		$(GO) test -list '^Fuzz' "$$pkg" | { grep '^Fuzz' || true; } | while read -r target; do \
			echo "== $$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s "$$pkg" </dev/null; \
		done; \
	done

BENCH ?= .
COUNT ?= 5
.PHONY: bench
bench: ## run the benchmarks (BENCH=regexp, COUNT=5) and print their medians
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(PKG) | tee bench.out
	$(GO) run golang.org/x/perf/cmd/benchstat bench.out

.PHONY: bench-peers
bench-peers: ## run the same work on taskctx, bare channels and other libraries, and write docs/speed/in-process.md
	cd bench && $(GO) test -run '^$$' -bench Peers -benchtime 1x -args -page $(CURDIR)/docs/speed/in-process.md

.PHONY: bench-durable
bench-durable: ## measure tasks in a file beside an ordinary queue in one, and write docs/speed/sqlite.md
	$(GO) test -run '^$$' -bench 'Durable$$' -benchtime 1x -timeout 30m ./runtime/sqlite -args -page $(CURDIR)/docs/speed/sqlite.md

.PHONY: bench-servers
bench-servers: ## measure tasks on Postgres and Redis beside River and asynq, and print the tables of docs/engines.md
	$(GO) test ./runtime/postgres ./runtime/redis -p 1 -run '^$$' -bench Beside -benchtime 1x -timeout 60m \
		| grep -E '^(\||$$)' | cat -s

.PHONY: million
million: ## run a million tasks, and print what memory, goroutines and files do
	$(GO) test ./runtime -run TestApp_MillionTasks -v -args -tasks 1000000

SCALE ?= 0,100000,500000,1000000
SCALEENGINES ?= memory,sqlite,postgres,redis
.PHONY: scale
scale: ## measure what calls cost beside a backlog (SCALE=0,100000,..., SCALEENGINES=memory,...), and write docs/speed/scale.md
	$(GO) test ./runtime/engines -count=1 -v -run 'TestScale$$' -timeout 120m -args \
		-scale $(SCALE) -scaleengines $(SCALEENGINES) -scalepage $(CURDIR)/docs/speed/scale.md

WEBSCALE ?= 500000
.PHONY: web-scale
web-scale: ## measure how long each page of the dashboard takes with WEBSCALE (500000) tasks, on each of SCALEENGINES, and what live pages cost, and write docs/speed/web.md
	$(GO) test ./internal/webtest -count=1 -v -run 'TestScale$$' -timeout 120m -args \
		-webscale $(WEBSCALE) -webscaleengines $(SCALEENGINES) -webscalepage $(CURDIR)/docs/speed/web.md

KILLS ?= 200
KILLTASKS ?= 100000
.PHONY: kills
kills: ## kill worker processes of each engine again and again, and print what was lost (none) or ran twice
	$(GO) test ./runtime/sqlite -count=1 -v -run 'TestServe_KilledWorkers$$' -timeout 30m -kills $(KILLS) -tasks $(KILLTASKS)
	$(GO) test ./runtime/postgres ./runtime/redis -p 1 -count=1 -v -run 'TestServe_KilledWorkers|TestEngine_EachRequest' \
		-timeout 60m -kills $$(($(KILLS) / 4)) -tasks $$(($(KILLTASKS) / 2)) -faults 1

.PHONY: cluster
cluster: ## the whole suite of engines on a Redis Cluster of three shards, for four apps at once; kill workers and a shard there, and move the slot
	$(GO) test ./runtime/redis -count=1 -v -timeout 60m -run 'Cluster|HashTag|Clients|SlotMoves|UnlistedQueue' \
		-cluster -kills $$(($(KILLS) / 4)) -tasks $$(($(KILLTASKS) / 2)) | { grep -vE '^ *(=== |--- PASS: .*/)' || true; }

DURABLEENGINES ?= memory|sqlite|postgres|redis
DURABLEFAN ?= 10000
.PHONY: durable
durable: ## durable tasks that die, are killed, meet their signals, fan out and wait, by the thousand, on each engine
	$(GO) test ./runtime/engines -count=1 -v -run 'TestDurable/^($(DURABLEENGINES))$$' -timeout 120m -args \
		-parents 1000 -durablekills 50 -races 20000 -fan $(DURABLEFAN) -waiting 10000 -steps 2000

EFFECTS ?= 20000
EFFECTKILLS ?= 60
.PHONY: exactly-once
exactly-once: ## kill workers and Postgres while tasks have effects in the queue's database, and count them; then with a commit apart
	$(GO) test ./runtime/sqlite -count=1 -v -run 'TestCommit_KilledWorkers$$|TestCommit_EachStatement$$' -timeout 60m -effects $(EFFECTS) -effectkills $(EFFECTKILLS)
	$(GO) test ./runtime/postgres -count=1 -v -run 'TestCommit_Killed$$|TestCommit_EachRequest$$' -timeout 60m \
		-effects $$(($(EFFECTS) / 2)) -effectkills $$(($(EFFECTKILLS) / 2))

.PHONY: commit-cost
commit-cost: ## print the rate, and on Postgres the statements and round trips, of tasks that end in their transaction and apart
	$(GO) test ./runtime/sqlite ./runtime/postgres -p 1 -run '^$$' -bench Commit -benchtime 3000x

LIMITKEYS ?= 1000
LIMITKILLS ?= 60
LIMITTASKS ?= 60000
LIMITPROCESSES ?= 8
LIMITWAITING ?= 500000
.PHONY: limits
limits: ## kill workers while tasks of many keys run, two of a key at a time, and print how often a third did (never); what 100,000 that wait cost the others, what letting in takes while LIMITWAITING (500000) wait, and what 30,000 tasks with limits take beside as many without, or in a queue that was paused, and 10,000 children with limits
	$(GO) test ./runtime/sqlite -count=1 -v -run 'TestLimit_KilledWorkers$$' -timeout 30m \
		-limitkeys $(LIMITKEYS) -limitkills $(LIMITKILLS) -limittasks $(LIMITTASKS)
	$(GO) test ./runtime/postgres -count=1 -v -run 'TestLimit_KilledWorkers$$' -timeout 30m -limitprocesses $(LIMITPROCESSES) \
		-limitkeys $(LIMITKEYS) -limitkills $(LIMITKILLS) -limittasks $(LIMITTASKS)
	$(GO) test ./runtime/redis -count=1 -v -run 'TestLimit_KilledWorkers$$' -timeout 30m -limitprocesses $(LIMITPROCESSES) \
		-limitkeys $(LIMITKEYS) -limitkills $(LIMITKILLS) -limittasks $(LIMITTASKS)
	$(GO) test ./runtime/postgres ./runtime/redis -count=1 -v -run 'TestOrder_KilledWorkers$$' -timeout 30m \
		-limitprocesses $(LIMITPROCESSES) -limitkills 20
	$(GO) test ./runtime/engines -count=1 -v -run TestLimit_WaitingCostsOthersNothing -args -limitwaiting 100000
	$(GO) test ./runtime/engines -count=1 -v -timeout 30m -run TestLimit_LettingInIsFlat -args -limitwaiting $(LIMITWAITING)
	$(GO) test ./runtime/engines -count=1 -v -timeout 30m -run 'TestLimit_PausedQueueGoesOn|TestLimit_Cost' -args -limitpaused 30000 -limitrounds 3
	$(GO) test ./runtime/engines -count=1 -v -timeout 30m -run TestDurable_LimitedFan -args -fan 10000

RATEWAITING ?= 0
.PHONY: rates
rates: ## run tasks with rates in 8 processes, pause them, stop them for a minute and kill them, and print which part of the rate was reached, and the most that began in any window
	$(GO) test ./runtime/sqlite -count=1 -v -run 'TestRate_Processes$$' -timeout 30m \
		-rateprocesses 8 -raten 100 -rateper 10s -ratephase 60s -ratedown 60s -rateleast 0.95
	$(GO) test ./runtime/postgres -count=1 -v -run 'TestRate_Processes$$' -timeout 30m \
		-rateprocesses 8 -raten 100 -rateper 10s -ratephase 60s -ratedown 60s -rateleast 0.95 -ratewaiting $(RATEWAITING)
	$(GO) test ./runtime/redis -count=1 -v -run 'TestRate_Processes$$' -timeout 30m \
		-rateprocesses 8 -raten 100 -rateper 10s -ratephase 60s -ratedown 60s -rateleast 0.95 -ratewaiting $(RATEWAITING)

.PHONY: clocks
clocks: ## step the clock of a worker process of each engine by an hour, both ways, while tasks run
	$(GO) test ./runtime/engines -count=1 -v -run TestEngines_ProcessClockSteps -timeout 20m -args -clocks

.PHONY: speed
speed: ## measure taskgen beside other generators (ten minutes), and print docs/speed/taskgen.md
	$(GO) run ./internal/genbench | tee docs/speed/taskgen.md
	$(MAKE) speed-modules

.PHONY: speed-modules
speed-modules: ## measure go generate on 30 packages and a module with heavy dependencies, into docs/speed/taskgen.md
	$(GO) run ./internal/genbench -modules >speed.out
	@sed -i '/^## In a module/,$$d' docs/speed/taskgen.md
	@{ tail -n 1 docs/speed/taskgen.md | grep -q '^$$' || echo; cat speed.out; } | tee -a docs/speed/taskgen.md

.PHONY: speed-compile
speed-compile: ## measure what the compiler takes for generated code, and write docs/speed/compile.md
	$(GO) run ./internal/genbench -compile 100,300,1000,3000 | tee docs/speed/compile.md

.PHONY: cover
cover: ## run the tests and print what they do not cover, package by package
	$(GO) test -coverpkg=./... -coverprofile=cover.out $(PKG)
	$(GO) tool cover -func=cover.out | tail -1

.PHONY: demo
demo: ## index the source of Go itself, and find a word in it
	$(GO) run ./examples/index "$$($(GO) env GOROOT)/src"
	$(GO) run ./examples/index search ErrUnexpectedEOF | head

.PHONY: clean
clean: ## remove what the targets above leave behind
	rm -f *.out index.db index.db-wal index.db-shm
