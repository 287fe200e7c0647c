#!/usr/bin/env bash
# Build the container of Dockerfile to its end with buildah and try what docs/container.md says, without Docker:
#
#     tools/container_try.sh FOLDER [BASE]
#
# FOLDER keeps images and results (some 4 GB; what is there already is not built again). BASE is an image to build on;
# without one a bare Debian is made by debootstrap, which wants root. Prints "container: ok" at the end, or fails.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mkdir -p "$1" && cd "$1" && pwd)
base=${2:-localhost/malle-base}
export STORAGE_DRIVER=vfs # needs no overlay of the kernel's
builder=(buildah --root "$folder/store" --runroot "$folder/run")

if [ "$base" = localhost/malle-base ] && ! "${builder[@]}" inspect --type image "$base" >/dev/null 2>&1; then
    debootstrap --variant=minbase --include=ca-certificates bookworm "$folder/root" http://deb.debian.org/debian
    if [ -n "${PIP_CERT:-}" ]; then # a mirror with a certificate of its own
        cp "$PIP_CERT" "$folder/root/etc/ssl/certs/ca-certificates.crt"
        printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$folder/root/etc/pip.conf"
    fi
    empty=$("${builder[@]}" from scratch)
    "${builder[@]}" add -q "$empty" "$folder/root" /
    "${builder[@]}" commit -q "$empty" "$base"
    "${builder[@]}" rm "$empty"
fi
if ! "${builder[@]}" inspect --type image malle-rt >/dev/null 2>&1; then
    "${builder[@]}" bud --isolation chroot --network host --format docker --build-arg "BASE=$base" -t malle-rt .
fi

work=$folder/work
mkdir -p "$work" && cp docs/noisy.mp4 "$work" && chown -R 1000:1000 "$work"
container=$("${builder[@]}" from malle-rt)
trap '"${builder[@]}" rm "$container" >/dev/null' EXIT
inside() { "${builder[@]}" run --isolation chroot --network host -v "$work:/work" "$container" -- "$@"; }

echo "== not root"
inside id -u | grep -x 1000
echo "== doctor"
inside malle-rt doctor | tail -n 1
echo "== a file in and out"
inside malle-rt transcode noisy.mp4 clean.mp4 --duration 0.5 --overwrite
test "$(stat -c %u "$work/clean.mp4")" = 1000
echo "== ended in the middle: what is done stays, and plays"
inside sh -c 'timeout -s TERM 40 malle-rt transcode noisy.mp4 half.mkv --overwrite' || echo "exit code $?"
test -s "$work/half.partial.mkv" || test -s "$work/half.mkv"
echo "== a source with a page, which answers"
inside sh -c 'malle-rt webcam --device lavfi:testsrc2=size=320x180:rate=10 --no-window --web 127.0.0.1:8099 --duration 40 &
    python -c "
import time, urllib.error, urllib.request
for _ in range(40):
    try: urllib.request.urlopen(\"http://127.0.0.1:8099/\", timeout=5)
    except urllib.error.HTTPError as error: raise SystemExit(error.code != 403)
    except OSError: time.sleep(1)
raise SystemExit(1)
"
    answered=$?
    wait
    exit $answered'
echo "container: ok"
