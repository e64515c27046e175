#!/bin/sh
# Test certificates for mutual TLS: an authority, a node (for localhost) and a peer. Not for use with patients' data:
# the keys have no password and the authority's key lies beside them.
#
#   sh deploy/tls/make-test-certificates.sh FOLDER
#
# Makes ca.pem, node.pem, node.key, peer.pem and peer.key in FOLDER; what is there already is replaced.
set -eu
umask 077
folder=${1:?"usage: make-test-certificates.sh FOLDER"}
mkdir -p "$folder"
cd "$folder"

key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
}

# certificate NAME USAGE: a key, and a certificate signed by the authority.
certificate() {
    key "$1"
    printf '%s\n' 'basicConstraints=critical,CA:FALSE' "extendedKeyUsage=$2" \
        'keyUsage=critical,digitalSignature' 'subjectAltName=DNS:localhost,IP:127.0.0.1' > "$1.ext"
    openssl req -new -key "$1.key" -subj "/O=Celadon test/CN=$1" |
        openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -sha256 -extfile "$1.ext" -out "$1.pem"
    rm "$1.ext"
}

key ca
openssl req -x509 -new -key ca.key -days 30 -sha256 -subj '/O=Celadon test/CN=authority' \
    -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' -out ca.pem
certificate node serverAuth
certificate peer clientAuth
rm -f ca.srl
