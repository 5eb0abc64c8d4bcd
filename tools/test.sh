#!/usr/bin/env bash
# Runs the tests with the race detector and with real servers:
#
#   tools/test.sh [package ...]
#
# The race detector needs a C compiler; the tests of runtime/postgres and
# runtime/redis need their servers' programs, which they start themselves, and one
# PgBouncer; one of runtime/sqlite needs the sqlite3 command; those of tools/browser,
# a module of its own that is tested when all packages are, a browser. What is
# missing is installed with apt, where that is there and allowed. Then a test that
# is skipped for want of a program is a failure, but for PgBouncer's. Elsewhere
# those tests are skipped by name, and without a C compiler the race detector is
# left out.
#
# TASKCTX_INSTALL=0 installs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

have_cc() { command -v "${CC:-gcc}" >/dev/null || command -v clang >/dev/null; }
have_redis() {
	[ -n "${TASKCTX_REDIS_URL:-}" ] || command -v redis-server >/dev/null || command -v valkey-server >/dev/null
}
have_postgres() {
	[ -n "${TASKCTX_POSTGRES_URL:-}" ] || command -v postgres >/dev/null ||
		compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null
}
have_sqlite() { command -v sqlite3 >/dev/null; }
have_browser() {
	[ -n "${TASKCTX_BROWSER:-}" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
		command -v google-chrome >/dev/null
}
have_pooler() { PATH="$PATH:/usr/sbin" command -v pgbouncer >/dev/null; }

# as_root runs a command as root, and fails if that is not allowed.
as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

missing=()
have_cc || missing+=(gcc libc6-dev)
have_redis || missing+=(redis-server)
have_postgres || missing+=(postgresql)
have_sqlite || missing+=(sqlite3)
all=
[ "$#" -gt 0 ] && [ "$*" != ./... ] || all=1
extra=() # what few tests need: without it the others go on
[ -z "$all" ] || have_browser || extra+=(chromium)
have_pooler || extra+=(pgbouncer)

install() {
	[ "$#" -gt 0 ] || return 0
	echo "installing $*" >&2
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "$@" >&2 ||
		echo "could not install $*: going on without" >&2
}
if [ "$((${#missing[@]} + ${#extra[@]}))" -gt 0 ] && [ "${TASKCTX_INSTALL:-1}" = 1 ] && command -v apt-get >/dev/null; then
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update >&2 || echo "could not ask for packages" >&2
	install ${missing[@]+"${missing[@]}"}
	for program in ${extra[@]+"${extra[@]}"}; do install "$program"; done
fi

if have_redis && have_postgres && have_sqlite; then
	export TASKCTX_REQUIRE_SERVERS="${TASKCTX_REQUIRE_SERVERS:-1}"
else
	echo "no Redis, no Postgres or no sqlite3 here: tests that need one are skipped" >&2
fi
race=()
if have_cc; then
	export CGO_ENABLED=1
	# The detector leaves out SQLite's own code, compiled from C, which it makes six times
	# as slow, and Go's scanner, a fifth of the time of the generator's fuzz tests. It may
	# only leave out packages that instantiate nothing generic (go/parser does): their
	# copy of a method of sync/atomic would be everybody's, and hide what it orders.
	race=(-race -gcflags=modernc.org/libc=-race=false -gcflags=modernc.org/memory=-race=false
		-gcflags=modernc.org/sqlite/lib=-race=false -gcflags=go/scanner=-race=false)
	# For tests that need of packages only what the go command then has compiled already.
	export TASKCTX_TEST_FLAGS="${race[*]}"
else
	echo "no C compiler here: the race detector is left out" >&2
fi
[ "$#" -gt 0 ] || set -- ./...
if [ -n "$all" ]; then
	if have_browser; then
		export TASKCTX_REQUIRE_BROWSER="${TASKCTX_REQUIRE_BROWSER:-1}"
	else
		echo "no Chromium here: tests that drive a browser are skipped" >&2
	fi
fi
small=() # packages with tests that the race detector leaves out, or makes small
if [ "${#race[@]}" -gt 0 ]; then
	case " $* " in
	*" ./... "*) small=(./gen ./runtime/redis ./runtime/sqlite ./runtime/web) ;;
	*" ./runtime/... "*) small=(./runtime/redis ./runtime/sqlite ./runtime/web) ;;
	*" ./runtime/redis "* | *" ./runtime/sqlite "* | *" ./runtime/web "*) small=(./runtime/redis ./runtime/sqlite ./runtime/web) ;;
	*" ./gen/... "* | *" ./gen "*) small=(./gen) ;;
	esac
fi
# Packages whose tests have the go command build programs, and run these: without the
# detector, as a user does.
commands=(./cmd/taskgen ./cmd/taskvet ./internal/growth ./internal/tsclient ./internal/twogo)
[ -n "$all" ] && [ "${#race[@]}" -gt 0 ] || commands=()

# beside runs what is compiled without the race detector: one after the other, so
# that what they need is compiled once. The main run vets the packages of the first,
# make lint those of the others: vet reads all that they import once more.
beside() {
	if [ "${#small[@]}" -gt 0 ]; then
		"${GO:-go}" test -vet=off -timeout 25m -run 'Miniredis|HostileTexts|TestGoldens$|FuzzFile|FuzzNames|Engine_Beside|Engine_Cluster' "${small[@]}"
	fi
	if [ "${#commands[@]}" -gt 0 ]; then
		"${GO:-go}" test -vet=off -p 1 -timeout 25m "${commands[@]}"
	fi
	if [ -n "$all" ]; then
		cd tools/browser
		"${GO:-go}" test -vet=off -timeout 20m ./...
	fi
}
beside=
trap '[ -z "$beside" ] || kill -- "-$beside" 2>/dev/null || true' EXIT
if [ -n "$all" ] || [ "${#small[@]}" -gt 0 ]; then
	set -m # a process group of its own, which ends as a whole
	beside &
	beside=$!
	set +m
fi
# One package more at a time than there are cores: the tests of the engines mostly wait.
# They begin while others compile, those that wait longest first.
if [ -n "$all" ]; then
	rest=$("${GO:-go}" list ./...)
	for p in ${commands[@]+"${commands[@]}"}; do rest=$(grep -v "/${p#./}\$" <<<"$rest"); done
	# shellcheck disable=SC2086 # a word for each package
	set -- ./runtime/postgres ./runtime/redis ./runtime/sqlite $rest
fi
"${GO:-go}" test ${race[@]+"${race[@]}"} -p "$(($(getconf _NPROCESSORS_ONLN) + 1))" -timeout 25m "$@"
if [ -n "$beside" ]; then
	wait "$beside"
	beside=
fi
