#!/bin/sh
# Back up a running Celadon: sh backup.sh DATA_DIR TARGET, with CELADON_DATABASE_URL as the node has it.
# The database first, then the files: whatever a row of the dump speaks of was durable before the row was.
# Blobs in a bucket (CELADON_BLOBS__S3__BUCKET, as the node has it) stay there: the bucket's own versions are their backup.
# While it runs nothing may be pruned (retention.days): take it at an hour when that is not due, or from a snapshot.
set -eu
data=$1 target=$2
umask 077
mkdir -p "$target"
case "${CELADON_DATABASE_URL:-}" in
    postgresql*) pg_dump --format=custom --file="$target/celadon.dump.part" "$(echo "$CELADON_DATABASE_URL" | sed 's/^postgresql+psycopg:/postgresql:/')" ;;
    *) python3 - "$data/celadon.db" "$target/celadon.dump.part" <<'PYTHON'
import sqlite3, sys
with sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True) as source, sqlite3.connect(sys.argv[2]) as copy:
    source.backup(copy)
PYTHON
    ;;
esac
mv "$target/celadon.dump.part" "$target/celadon.dump"
mkdir -p "$target/data"
# What a run that was broken off has copied last may be half a file, and would never be looked at again: it is taken anew.
started="$target/unfinished"
[ ! -e "$started" ] || find "$target/data" -type f -cnewer "$started" -delete
touch "$started"
sync
for name in blobs models; do
    [ -e "$data/$name" ] || continue
    # These never change under their name: those that are there already are left alone.
    cp -a --update=none "$data/$name" "$target/data/" 2>/dev/null || cp -an "$data/$name" "$target/data/"
done
if [ -n "${CELADON_BLOBS__S3__BUCKET:-}" ]; then
    place="s3://$CELADON_BLOBS__S3__BUCKET/${CELADON_BLOBS__S3__PREFIX:-celadon}"
    echo "the blobs are in $place: not in this backup" | tee "$target/bucket.txt" >&2
fi
for name in audit.key audit-heads.jsonl; do
    [ ! -e "$data/$name" ] || cp -a "$data/$name" "$target/data/"
done
find "$target/data" -name '*.part' -delete
sync
rm "$started"
