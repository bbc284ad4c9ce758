# Role: what the daily commands share: finding the server and cargo, the unprivileged user, the private work directory.
# Sourced by scripts/* and regress/run; never run.
# shellcheck shell=bash
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
umask 022 # the unprivileged user reads what root copies
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
unset PGHOST PGHOSTADDR PGPORT PGUSER PGPASSWORD PGDATABASE PGSERVICE PGDATA PGOPTIONS PGAPPNAME PGCLIENTENCODING PGSSLMODE
export LC_ALL=C PSQLRC=/dev/null
supported="19 18 17 16 15"

say() { printf '%s\n' "$*"; }
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Under sudo the toolchain of the user who called it is used, read-only.
find_cargo() {
	local home
	command -v cargo >/dev/null && return
	for home in "${HOME:-/root}" "$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)"; do
		if [ -x "$home/.cargo/bin/cargo" ]; then
			export PATH="$home/.cargo/bin:$PATH" RUSTUP_HOME="${RUSTUP_HOME:-$home/.rustup}"
			return
		fi
	done
	return 1
}

major_of() { "$1" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p'; }
has_server() { [ -x "$("$1" --bindir)/postgres" ]; }
has_headers() { [ -f "$("$1" --pgxs)" ] && [ -f "$("$1" --includedir-server)/postgres.h" ]; }
is_supported() { [[ " $supported " == *" $(major_of "$1") "* ]]; }

# Sets PG_CONFIG: the caller's; else the newest supported server that is complete, else the newest that is there at all.
find_pg_config() {
	local c n all=()
	if [ -n "${PG_CONFIG:-}" ]; then
		c=$(command -v "$PG_CONFIG") || die "PG_CONFIG=$PG_CONFIG: no such program"
		is_supported "$c" || die "PG_CONFIG=$PG_CONFIG: PostgreSQL $(major_of "$c"), not one of $supported"
		export PG_CONFIG="$c"
		return
	fi
	for n in $supported; do
		for c in "/usr/lib/postgresql/$n/bin/pg_config" "/usr/pgsql-$n/bin/pg_config"; do
			if [ -x "$c" ]; then all+=("$c"); fi
		done
	done
	if c=$(command -v pg_config) && is_supported "$c"; then all+=("$c"); fi
	for c in "${all[@]}"; do
		if has_server "$c" && has_headers "$c"; then export PG_CONFIG="$c"; return; fi
	done
	for c in "${all[@]}"; do
		if has_server "$c"; then export PG_CONFIG="$c"; return; fi
	done
	return 1
}

prepare() {
	"$top/scripts/setup"
	find_cargo || die "cargo vanished"
	find_pg_config || die "pg_config vanished"
}

# The server refuses to run as root. As root, everything of the server's runs as this user; else as oneself.
server_user() {
	if [ "$(id -u)" != 0 ]; then id -un; elif id postgres >/dev/null 2>&1; then say postgres; else say nobody; fi
}
as_server() {
	local user
	user=$(server_user)
	if [ "$(id -u)" != 0 ]; then
		(cd "${work:-/}" && HOME="${work:-/}" exec "$@")
	else
		(cd "${work:-/}" && exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups -- \
			env HOME="${work:-/}" USER="$user" LOGNAME="$user" "$@")
	fi
}

# Sets ASIDE_CACHE: where scripts/get-server keeps servers. The server's user enters it.
cache_find() {
	if [ -n "${ASIDE_CACHE:-}" ]; then :; elif [ "$(id -u)" = 0 ]; then ASIDE_CACHE=/var/cache/pg_aside; else ASIDE_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/pg_aside; fi
	export ASIDE_CACHE
}

# Sets $work: a private directory, removed at exit with every cluster in it, by pid. A socket's path is short, hence /tmp.
work_make() {
	local base="${TMPDIR:-/tmp}"
	# No socket, or shell word of a test, is to meet a path that is long, has blanks, or cannot be written to.
	if [ ${#base} -gt 50 ] || [[ $base == *[[:space:]]* ]] || ! as_server test -x "$base"; then base=/tmp; fi
	work=$(mktemp -d "$base/pg_aside.XXXXXX" 2>/dev/null) || work=$(mktemp -d /tmp/pg_aside.XXXXXX)
	chmod 755 "$work"
	trap work_drop EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}
work_drop() {
	local d
	trap '' INT TERM HUP
	for d in "$work"/*/data "$work"/tap/tmp_check/*/pgdata; do
		if [ -f "$d/postmaster.pid" ]; then as_server "$work/bin/pg_ctl" -D "$d" -w -t 30 -s -m immediate stop || true; fi
	done
	if [ -n "${KEEP:-}" ]; then say "kept: $work" >&2; else rm -rf "$work"; fi
}

# A command's environment for the cluster $1 in $work: its programs first on PATH, its socket, its superuser.
as_client() {
	local name=$1
	shift
	as_server env PATH="$work/bin:$PATH" PGHOST="$work/$name/sock" PGPORT=5432 PGUSER=postgres PGDATABASE=postgres "$@"
}
