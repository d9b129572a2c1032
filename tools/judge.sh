#!/usr/bin/env bash
# Judges what Mjumbe writes with HAPI's validator (Java), which is fetched by its published coordinates.
#
#     tools/judge.sh [FOLDER]
#
# The program that drives the validator is in ../shared/tools/judge (Judge.java, pom.xml); where that, Java or
# Maven is missing, the script says "skipped" and succeeds. FOLDER keeps the packages between runs
# (target/judge unless told otherwise).
set -euo pipefail
cd "$(dirname "$0")/.."

judge=../shared/tools/judge
work=${1:-target/judge}

if [ ! -f "$judge/Judge.java" ]; then echo "skipped: $judge is not here"; exit 0; fi
for program in java javac mvn; do
    if ! command -v "$program" >/dev/null; then echo "skipped: $program is not installed"; exit 0; fi
done

mkdir -p "$work"
work=$(cd "$work" && pwd)
if [ ! -f "$work/jars/complete" ]; then
    if ! mvn -q -f "$judge/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/jars" -DincludeScope=runtime; then
        if [ "${CI:-}" = true ]; then echo "HAPI's packages are required here and could not be fetched" >&2; exit 1; fi
        echo "skipped: HAPI's packages could not be fetched"
        exit 0
    fi
    touch "$work/jars/complete"
fi
mkdir -p "$work/classes"
javac -cp "$work/jars/*" -d "$work/classes" "$judge/Judge.java"

rm -rf "$work/written"
MJUMBE_JUDGE_DIR="$work/written" cargo test --quiet --locked --test it what_is_written_is_put_into_a_folder_for_the_judge
if ! ls "$work"/written/*.json >/dev/null 2>&1; then echo "nothing was written for the judge" >&2; exit 1; fi
# Allowed: the validator makes the snapshot of an Extension anew from a package folder, which its jars do not have.
java -Xmx1500m -cp "$work/classes:$work/jars/*" Judge --profiles fhir-profiles \
    --allow 'written-back\.json.*Unable to resolve package id' "$work/written" fhir-profiles
