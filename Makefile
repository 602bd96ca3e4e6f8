# SPDX-License-Identifier: MIT
# Thin: what is built, and how, stands in Cargo.toml and build.rs.

CARGO ?= cargo
CYCLES ?= 100000
MODULE = target/release/libpam_keyinit.so

# Where libpam looks for modules: beside the C module, else the usual place.
SECURITYDIR ?= $(or $(patsubst %/pam_unix.so,%,$(firstword $(wildcard \
	/usr/lib/*-linux-gnu*/security/pam_unix.so /usr/lib64/security/pam_unix.so /usr/lib/security/pam_unix.so))),/usr/lib/security)

all:
	$(CARGO) build --release --locked

demo: all
	$(CARGO) run --release --locked --quiet --example demo

check:
	tests/needs
	$(CARGO) fmt --check
	$(CARGO) clippy --release --locked --quiet --all-targets -- --deny warnings
	$(CARGO) test --release --locked
	PAM_KEYINIT_MEMCHECK=1 $(CARGO) test --release --locked --test module

# The load of `make check`, in full, with the figures that docs/reliability.md has.
soak:
	tests/needs
	PAM_KEYINIT_CYCLES=$(CYCLES) $(CARGO) test --release --locked --test module -- load::

# The behaviour tests with the system's C module: all but what docs/differences.md lists has to hold for it as well.
check-reference:
	tests/needs
	PAM_KEYINIT_REFERENCE=1 $(CARGO) test --release --locked --test module

# Both in Debian 13, whose Linux-PAM is 1.7.0: with this module as built here, and with the C module of there.
IN_TRIXIE = $(CARGO) test --release --locked --test module --config 'target."cfg(unix)".runner = "tests/trixie"'
check-trixie: all
	$(IN_TRIXIE)
	PAM_KEYINIT_REFERENCE=1 $(IN_TRIXIE)

# Written beside its place and renamed: a login finds the old module or the new one, whole.
install: all
	install -D -m 644 $(MODULE) $(DESTDIR)$(SECURITYDIR)/.pam_keyinit.so.new
	mv $(DESTDIR)$(SECURITYDIR)/.pam_keyinit.so.new $(DESTDIR)$(SECURITYDIR)/pam_keyinit.so

# The picture in docs/choosing.md, by Graphviz.
docs: docs/keyrings.svg

docs/keyrings.svg: docs/keyrings.dot
	dot -Tsvg $< -o $@

.PHONY: all demo check check-reference check-trixie soak install docs
