# SPDX-License-Identifier: MIT
# Thin: what is built, and how, stands in Cargo.toml and build.rs.

CARGO ?= cargo
CYCLES ?= 100000
# Where cargo puts what it builds, as these variables of cargo's own say.
BUILT = $(or $(CARGO_TARGET_DIR),target)/$(if $(CARGO_BUILD_TARGET),$(CARGO_BUILD_TARGET)/)release
MODULE = $(BUILT)/libpam_keyinit.so

# Where libpam looks for modules: beside the C module, else the usual place.
SECURITYDIR ?= $(or $(patsubst %/pam_unix.so,%,$(firstword $(wildcard \
	/usr/lib/*-linux-gnu*/security/pam_unix.so /usr/lib64/security/pam_unix.so /usr/lib/security/pam_unix.so))),/usr/lib/security)

# Packages of distributions whose C module has these names give others.
MODULE_NAME ?= pam_keyinit
PAGE_NAME ?= pam_keyinit

PREFIX ?= /usr/local
PLACE = $(DESTDIR)$(SECURITYDIR)/$(MODULE_NAME).so
PAGE = $(DESTDIR)$(PREFIX)/share/man/man8/$(PAGE_NAME).8

COMMAND = $(BUILT)/pam_keyinit_check
SBINDIR ?= $(PREFIX)/sbin
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
COMMAND_PLACE = $(DESTDIR)$(SBINDIR)/pam_keyinit_check
COMMAND_PAGE = $(DESTDIR)$(PREFIX)/share/man/man8/pam_keyinit_check.8
COMPLETIONS = $(DESTDIR)$(PREFIX)/share/bash-completion/completions/pam_keyinit_check \
	$(DESTDIR)$(ZSHDIR)/_pam_keyinit_check $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/pam_keyinit_check.fish

all: $(MODULE)

# Cargo may find that nothing has changed. Then no later make, by a root who has no cargo, is to ask it again.
$(MODULE): Cargo.toml Cargo.lock build.rs $(wildcard src/*.rs)
	$(CARGO) build --release --locked
	touch -c $@

# Link-time optimisation is for the module: with it, who wants to see this would wait twice as long.
demo: all
	$(CARGO) run --release --locked --quiet --config 'profile.release.lto="off"' --package demo

# Keeps what a check has seen, for `make release`; of a whole one only.
TRIED = tests/tried $@
# Always of the whole workspace: then crates that its packages share are compiled once.
TEST = $(CARGO) test --workspace --locked

check:
	tests/needs
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --locked --quiet --all-targets -- --deny warnings
	$(TRIED) $(TEST) --no-fail-fast

# The behaviour tests under valgrind's memcheck, all but those into which it does not look.
memcheck:
	tests/needs
	PAM_KEYINIT_MEMCHECK=1 $(TRIED) $(TEST) --test module

# The load of `make check`, in full, with the figures that docs/reliability.md has.
soak:
	tests/needs
	PAM_KEYINIT_CYCLES=$(CYCLES) $(TEST) --test module -- load::

# What a login costs beside the C module: prints the tables of docs/cost.md, and writes them and their pictures to docs.
bench:
	tests/needs
	$(CARGO) run --release --locked --package bench

# The behaviour tests with the system's C module: all but what docs/differences.md lists has to hold for it as well.
check-reference:
	tests/needs
	PAM_KEYINIT_REFERENCE=1 $(TRIED) $(TEST) --test module

# Both in Debian 13, whose Linux-PAM is 1.7.0.
check-trixie: all
	PAM_KEYINIT_SO='$(abspath $(MODULE))' $(TRIED) tests/trixie

# Both on i686, in Debian 12, where the module is built too.
check-i686:
	$(TRIED) tests/ports/i686

# Each change that cargo-mutants makes to src, or to FILE=src/session.rs alone, before the tests: takes hours.
mutants:
	tests/needs
	tests/mutants $(FILE)

# A release, whole but for the signature, with what the checks above have seen of this commit.
release:
	tests/needs --packages
	packaging/release

# Debian's packages, source and binary. The compiler need not be Debian's, hence -d.
deb:
	tests/needs --packages
	packaging/deb target/deb -d

rpm:
	tests/needs --packages
	packaging/rpm/build target/rpm --nodeps

# The packages of each distribution, built, and in clean systems: installed, replaced, removed, with failures half way, while somebody logs in
# all the time.
check-packages:
	tests/needs --packages
	$(TRIED) tests/packages/check

# Other architectures and musl: built, looked at, and run by qemu-user. PORTS="arm64 musl" takes these of tests/ports/list only.
check-ports:
	$(if $(PORTS),,$(TRIED)) tests/ports/check $(PORTS)

# Whole machines in qemu: Debian's kernels, systemd, SELinux. VM="linux-6.1 systemd-12" takes these of tests/vm/list only.
check-vm: all
	MODULE='$(MODULE)' $(if $(VM),,$(TRIED)) tests/vm/check $(VM)

# This module has its name in it, and the C module has not.
IS_OURS = grep -qs 'pam_keyinit\.rs'

# Written beside its place and renamed: a login finds the old module or the new one, whole, also after a power failure. The C module, if
# it is there, is kept.
install: $(MODULE)
	install -d '$(DESTDIR)$(SECURITYDIR)'
	! [ -e '$(PLACE)' ] || $(IS_OURS) '$(PLACE)' || [ '$(PLACE)' -ef '$(PLACE).orig' ] || ln -f '$(PLACE)' '$(PLACE).orig'
	install -m 644 $(MODULE) '$(PLACE).new'
	sync '$(PLACE).new'
	mv -f '$(PLACE).new' '$(PLACE)'
	install -D -m 644 man/pam_keyinit.8 '$(PAGE)'

# What install kept comes back, unless the distribution has put a module of its own there since.
uninstall:
	if [ -e '$(PLACE)' ] && ! $(IS_OURS) '$(PLACE)'; then rm -f '$(PLACE).orig'; \
	elif [ -e '$(PLACE).orig' ]; then mv -f '$(PLACE).orig' '$(PLACE)'; \
	else rm -f '$(PLACE)'; fi
	rm -f '$(PAGE)'

# The command that looks at /etc/pam.d, which nothing of the module needs: docs/check.md. As for the demonstration, without link-time
# optimisation.
command: $(COMMAND)

$(COMMAND): Cargo.lock check/Cargo.toml $(wildcard check/src/*.rs check/src/*/*.rs)
	$(CARGO) build --release --locked --config 'profile.release.lto="off"' --package pam_keyinit_check
	touch -c $@

# Its page and completions are made by its tests, and kept.
install-command: $(COMMAND)
	install -D -m 755 $(COMMAND) '$(COMMAND_PLACE)'
	install -D -m 644 check/man/pam_keyinit_check.8 '$(COMMAND_PAGE)'
	install -D -m 644 check/completions/pam_keyinit_check.bash '$(word 1,$(COMPLETIONS))'
	install -D -m 644 check/completions/_pam_keyinit_check '$(word 2,$(COMPLETIONS))'
	install -D -m 644 check/completions/pam_keyinit_check.fish '$(word 3,$(COMPLETIONS))'

uninstall-command:
	rm -f '$(COMMAND_PLACE)' '$(COMMAND_PAGE)' $(COMPLETIONS:%='%')

# The picture in docs/choosing.md, by Graphviz.
docs: docs/keyrings.svg

docs/keyrings.svg: docs/keyrings.dot
	dot -Tsvg $< -o $@

.PHONY: all demo check memcheck bench check-reference check-trixie check-i686 check-packages check-ports check-vm soak mutants release deb rpm install uninstall command install-command uninstall-command docs
