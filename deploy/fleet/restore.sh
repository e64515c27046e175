#!/bin/sh
# Put a backup back: sh restore.sh SOURCE DATA_DIR, with CELADON_DATABASE_URL of an empty database, and nothing running.
# Then: celadon db upgrade, celadon audit verify, celadon doctor, and start the node. Deliveries that were made since the
# backup are made again: the same UIDs and bytes, which an archive that has them takes as they are.
set -eu
source=$1 data=$2
umask 077
mkdir -p "$data"
case "${CELADON_DATABASE_URL:-}" in
    postgresql*) pg_restore --exit-on-error --no-owner --dbname="$(echo "$CELADON_DATABASE_URL" | sed 's/^postgresql+psycopg:/postgresql:/')" "$source/celadon.dump" ;;
    *)
        [ ! -e "$data/celadon.db" ] || { echo "$data/celadon.db is in the way" >&2; exit 1; }
        cp "$source/celadon.dump" "$data/celadon.db"
        ;;
esac
cp -a "$source/data/." "$data/"
[ ! -e "$source/bucket.txt" ] || { cat "$source/bucket.txt"; echo "they must be there as they were: see celadon doctor"; } >&2
