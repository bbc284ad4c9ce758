# Role: the build (PGXS owns the module, cargo makes one archive that is linked into it) and the daily commands.
#
#   make, make install, make installcheck, make clean [PG_CONFIG=...]    as for any extension; need the server's PGXS
#   make demo | test | server | bench | fmt | lint | setup | matrix      scripts/NAME: sets up what is missing, then builds
#   make dist | deb | licenses | reference | drivers                     scripts/NAME: what is handed out, and pages made by tools
#   make assert-server                                                   the tests on a server that checks its own assertions
#   make help                                                            says so
#
# A build outside of the source tree works as for any extension: make -f SOURCE/Makefile VPATH=SOURCE.
# PG_CONFIG= chooses the server. Unset, `make` takes the pg_config on PATH, the daily commands the newest one supported.

.DEFAULT_GOAL := all
DAILY = setup demo test server bench fmt lint matrix assert-server dist deb licenses reference drivers
ASIDE_SCRIPTS = $(dir $(firstword $(MAKEFILE_LIST)))scripts
.PHONY: $(DAILY) help
$(filter-out assert-server,$(DAILY)):
	@$(ASIDE_SCRIPTS)/$@
assert-server:
	@SERVERS=assert $(ASIDE_SCRIPTS)/matrix
help:
	@sed -n 's/^#   //p' $(firstword $(MAKEFILE_LIST))

# Nothing below may be evaluated for a daily command: its set-up is what installs PGXS.
ifneq ($(filter-out help $(DAILY),$(or $(MAKECMDGOALS),all)),)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

ifeq ($(wildcard $(PGXS)),)

.PHONY: all install installcheck uninstall clean
all install installcheck uninstall clean:
	@echo "no PGXS for PG_CONFIG=$(PG_CONFIG): install the server's development files (Debian: postgresql-server-dev-NN)," >&2
	@echo "choose a server with PG_CONFIG=/path/to/pg_config, or run 'make setup'" >&2
	@exit 1

else

# Never define a variable named PROFILE or SCRIPTS here: PGXS adds the one to CFLAGS, and installs the others.
MODULE_big = pg_aside
# PGXS sets srcdir only later.
SOURCE = $(or $(VPATH),.)
ifneq ($(VPATH),)
$(shell mkdir -p $(patsubst $(VPATH)/%,%,$(wildcard $(VPATH)/c-shim/*/)))
endif
# What is named with its directory is installed without it.
CONTROLS := $(patsubst $(SOURCE)/%,%,$(wildcard $(SOURCE)/*.control $(SOURCE)/sql/compat/*.control))
EXTENSION = $(CONTROLS:.control=)
# All extensions have one version. The script of pg_aside is one file for the server, and one file a topic in sql/src, in the order of
# their numbers; those of the others are one file each.
VERSION_NOW := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(SOURCE)/pg_aside.control)
COMPAT := $(patsubst $(SOURCE)/sql/compat/%.sql,sql/%--$(VERSION_NOW).sql,$(wildcard $(SOURCE)/sql/compat/*.sql))
SQL := sql/pg_aside--$(VERSION_NOW).sql
# From each version that was released there is one script to this one.
RELEASED := $(patsubst $(SOURCE)/%,%,$(wildcard $(SOURCE)/sql/released/*.sql))
UPGRADES := $(patsubst sql/released/%.sql,sql/%--$(VERSION_NOW).sql,$(RELEASED))
DATA_built = $(SQL) $(COMPAT) $(UPGRADES)
DATA = $(RELEASED)
PGFILEDESC = "pg_aside - autonomous transactions"

CARGO ?= cargo
# yes has the core's copies of the server's constants compared with the server's own by pgrx-pg-sys as well, which brings
# some 95 crates and needs rustfmt; c-shim/base/constants.c compares them in any case.
PGRX ?= no
CARGO_TARGET_DIR ?= target
RUST_LIB = $(CARGO_TARGET_DIR)/release/libpg_aside.a
# yes has nothing of the place where it is built get into the module, so that two builds make the same bytes.
REMAP ?= yes
CARGO_HOME ?= $(HOME)/.cargo
REMAPPED = $(if $(filter yes,$(REMAP)),$(abspath $(SOURCE))=. $(abspath $(CARGO_TARGET_DIR))=target $(CARGO_HOME)=cargo)

# The archive is no member of OBJS: PGXS would hand it to llvm-lto at `make install`.
OBJS = $(patsubst $(SOURCE)/%.c,%.o,$(sort $(wildcard $(SOURCE)/c-shim/*/*.c)))
PG_CPPFLAGS = -DASIDE_VERSION='"$(VERSION_NOW)"' -I$(srcdir)/ffi -I$(srcdir)/c-shim $(if $(filter yes,$(REMAP)),-ffile-prefix-map=$(abspath $(SOURCE))=. -ffile-prefix-map=$(CURDIR)=.)
SHLIB_LINK = $(RUST_LIB) -lpthread -ldl -lm
# The server loads modules RTLD_GLOBAL: whatever else were exported could shadow another module's symbols.
SHLIB_EXPORTS = c-shim/exports.txt

# Tests that hold whether the module is preloaded or not, after the one that makes what they call; those that need it so,
# or not so, are named NAME.preloaded, NAME.private.
REGRESS = test_setup $(sort $(filter-out test_setup %.preloaded %.private,$(patsubst $(SOURCE)/regress/sql/%.sql,%,$(wildcard $(SOURCE)/regress/sql/*.sql))))
REGRESS_OPTS = --inputdir=$(srcdir)/regress --load-extension=pg_aside \
	$(if $(filter-out 15,$(MAJORVERSION)),--expecteddir=$(srcdir)/regress)

EXTRA_CLEAN = .build-flags c-shim/exports.list results regression.diffs regression.out

include $(PGXS)

# Cargo is asked whenever something is built, for only it knows whether its archive is up to date; the recipe that does
# nothing makes make look at the archive's time again, so that the module is linked only when it changed. `make install`
# of a module that is there asks nobody: it is often run as another user, who has no cargo, and installs what was built.
.PHONY: rust rust-clean
rust:
	env -u MAKEFLAGS -u MFLAGS $(if $(REMAPPED),RUSTC_WRAPPER="$(abspath $(SOURCE))/scripts/rustc-remapped" ASIDE_REMAPPED="$(REMAPPED)") PGRX_PG_CONFIG_PATH="$$(command -v $(PG_CONFIG))" $(CARGO) build --release --locked --lib \
		--manifest-path $(SOURCE)/Cargo.toml --package pg_aside $(if $(filter yes,$(PGRX)),--features pg$(MAJORVERSION)) --target-dir $(CARGO_TARGET_DIR)
ifneq ($(filter-out install installdirs uninstall,$(or $(MAKECMDGOALS),all))$(if $(wildcard $(shlib)),,absent),)
$(RUST_LIB): rust
	@:
endif
$(shlib): $(RUST_LIB)

$(SQL): $(sort $(wildcard $(SOURCE)/sql/src/*.sql))
	@mkdir -p $(@D)
	awk 'BEGIN { print "-- Made by make of the files in sql/src." } FNR == 1 { print "" } 1' $^ >$@.part && mv $@.part $@

$(COMPAT): sql/%--$(VERSION_NOW).sql: sql/compat/%.sql
	@mkdir -p $(@D)
	cp $< $@

$(UPGRADES): sql/%--$(VERSION_NOW).sql: sql/released/%.sql $(SQL) $(COMPAT) $(SOURCE)/scripts/upgrade-sql $(wildcard $(SOURCE)/sql/upgrade/*.sql)
	$(SOURCE)/scripts/upgrade-sql $< sql/$(firstword $(subst --, ,$(@F)))--$(VERSION_NOW).sql $(SOURCE)/sql/upgrade/$(@F) >$@.part && mv $@.part $@

clean: rust-clean
rust-clean:
	-$(CARGO) clean --release --manifest-path $(SOURCE)/Cargo.toml --package pg_aside --target-dir $(CARGO_TARGET_DIR)

# PGXS tracks neither headers nor flags: objects of another server, or built with other flags, must not be linked.
BUILD_FLAGS = $(VERSION) $(bindir) $(CC) $(CPPFLAGS) $(CFLAGS)
.PHONY: build-flags
build-flags:
.build-flags: build-flags
	@echo '$(subst ','\'',$(BUILD_FLAGS))' | cmp -s - $@ || echo '$(subst ','\'',$(BUILD_FLAGS))' > $@
$(OBJS) $(OBJS:.o=.bc): .build-flags $(wildcard $(SOURCE)/c-shim/*/*.h $(SOURCE)/ffi/*.h)

endif
endif
