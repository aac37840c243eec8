# The front doors. Each one installs what it needs by itself, once, and says what.

.PHONY: demo test docs console screenshots soak simulate bench deb rpm sbom deny clean-lab build-tools lab-tools

# Steps follow each other: the machine has few cores, and their output is read by people.
.NOTPARALLEL:

LAB := target/debug/tandem-lab

# For the C parts of two dependencies (SQLite, cryptography).
build-tools:
	@scripts/need gcc libc6-dev

# For the test hosts.
lab-tools:
	@scripts/need systemd-container mmdebstrap iproute2 iputils-arping nftables procps e2fsprogs util-linux mount dpkg binutils rpm curl

# For the page. Debian's npm belongs to its nodejs; other nodejs packages bring their own.
console-tools:
	@scripts/need nodejs
	@command -v npm >/dev/null || scripts/need npm
	@node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)' || \
	  { echo "node 18 or newer is needed for the page" >&2; exit 1; }

# Builds the page anew into the crate that embeds it.
console: console-tools
	cd console && npm ci --ignore-scripts && npm run build

# Pictures of each screen of a pair on the test hosts, into docs/screenshots.
screenshots: build-tools lab-tools console-tools
	@scripts/need chromium pngquant
	cargo build -q -p tandem -p tandem-lab
	cd console && npm ci --ignore-scripts
	$(LAB) console --pictures

demo: build-tools
	@scripts/need iproute2 e2fsprogs sqlite3
	cargo build -q -p tandem
	target/debug/tandem demo

test: build-tools lab-tools console-tools
	@scripts/need chromium
	@scripts/need sqlite3 openssl python3 python3-venv fio util-linux postgresql-15 postgresql-client-15
	scripts/test

# The handbook, as pages in target/handbook. Debian 12 has no mdBook, so it is built once, at a fixed
# version, without what serves and watches (a quarter of an hour on one busy core). Nothing else needs
# it: `make test` looks at the links and the messages in the texts themselves.
MDBOOK := 0.5.4
docs: build-tools
	@scripts/need python3
	scripts/cargo-tool mdbook@$(MDBOOK) --no-default-features --features search
	scripts/links --test
	scripts/links
	scripts/messages
	target/tools/bin/mdbook build docs
	scripts/links target/handbook

# All end-to-end cases again and again, the longest ones too, with longer trials: SOAK rounds, in
# each trial SOAK_SECONDS of writing before anything happens, and SOAK_POINTS instants at which a
# copy is looked at, and points at which a database's stream is cut, by a seed that is printed; and
# SOAK_FILES small files through one mirror.
SOAK := 3
SOAK_SECONDS := 20
SOAK_POINTS := 200
SOAK_FILES := 200000
soak: build-tools lab-tools console-tools
	@scripts/need chromium
	cd console && npm ci --ignore-scripts
	scripts/sabotage-build
	cargo build -q -p tandem -p tandem-lab
	scripts/posix-tests
	@scripts/need postgresql-15 postgresql-client-15
	TANDEM_SEED=$$$$ TANDEM_CRASH_POINTS=$(SOAK_POINTS) \
	  cargo test -p tandem-mirror --test crash_points -- --nocapture
	TANDEM_FILES=$(SOAK_FILES) cargo test -p tandem-mirror --test many_files -- --nocapture
	$(LAB) e2e --long --rounds $(SOAK) --before $(SOAK_SECONDS) --points $(SOAK_POINTS)

# The simulator far beyond what `make test` plays; a failing seed is replayed with --seed N --trace.
simulate: build-tools
	cargo run -q --release -p tandem-sim -- --seeds 0..100000 --keep-going

bench: build-tools lab-tools
	cargo build -q --release -p tandem -p tandem-lab
	TANDEM_BIN=target/release/tandem target/release/tandem-lab bench

# The packages of a release, below target/packages. The program carries the list of everything that
# it was made of (cargo-auditable), and the same list lies beside the package as JSON.
deb: build-tools
	@scripts/need dpkg binutils python3
	scripts/release deb

rpm: build-tools
	@scripts/need rpm binutils python3
	scripts/release rpm

# The list of everything that a program was made of.
sbom: deb
	@cat target/packages/tandem-*.json

# Licences, sources and doubles of all dependencies.
deny: build-tools
	scripts/cargo-tool cargo-deny@0.20.2 --no-default-features
	target/tools/bin/cargo-deny check licenses bans sources

clean-lab: build-tools
	@if [ -x $(LAB) ]; then $(LAB) clean; fi
	rm -rf --one-file-system target/lab target/lab-root target/lab-root.* target/lab-packages
