# vmrun bench: quick runs on this machine. Sourced by run; needs jq-less checks, so python3 reads the outputs.

# bench ARGS: runs vmrun bench to its end with temporary files in a folder of the test's own.
bench() {
  mkdir -p "$T/tmp"
  TMPDIR=$T/tmp timeout -s KILL 120 "$VMRUN" bench "$@" >"$T/out" 2>"$T/err" </dev/null
  code=$?
}

nothing_left() {
  is "files left" "$(ls -A "$T/tmp")" ""
  is "mounts left" "$(grep -c " $T/tmp" /proc/self/mountinfo)" 0
  is "processes left" "$(pgrep -cf "$T/tmp")" 0
}

arms=host
[ "$(id -u)" != 0 ] || arms=$arms,container
[ "$KVM" != 1 ] || arms=$arms,vm-builtin

test_quick_run() {
  bench --arms $arms --runs 5 --concurrency 1,2 --concurrency-runs 4 --density 2 --seed 7 --json j --csv c --markdown m --html h
  is "exit code" "$code" 0
  has "the table" out '^host process '
  has "the seed is said" err 'seed 7'
  is "JSON" "$(python3 - $arms 2>&1 <<'P'
import json, sys
report = json.load(open("j"))
arms = sys.argv[1].split(",")
assert [arm["id"] for arm in report["arms"]] == arms, report["arms"]
assert report["seed"] == 7 and report["reference"] == "host" and not report["interrupted"]
for series in report["series"]:
    assert len(series["wall"]) == 5 and all(f < w for f, w in zip(series["first_byte"], series["wall"])), series
assert sorted(order for series in report["series"] for order in series["order"]) == sorted(set(o for s in report["series"] for o in s["order"]))
assert {point["level"] for point in report["concurrency"]} == {1, 2} and len(report["concurrency"]) == 2 * len(arms)
assert all(len(point["latencies"]) == 4 for point in report["concurrency"])
assert {point["count"] for point in report["density"]} == {1, 2} and len(report["density"]) == 2 * len(arms)
names = {fact["name"] for fact in report["environment"]}
assert {"vmrun", "processor", "kernel", "KVM", "cgroups", "load", "memory"} <= names, names
print("good")
P
)" good
  is "CSV" "$(python3 -c 'import csv; rows = list(csv.reader(open("c"))); assert len({len(row) for row in rows}) == 1; print(len(rows))')" \
    $((1 + 5 * $(echo $arms | tr , ' ' | wc -w)))
  has "Markdown" m '^\| *host process'
  has "HTML" h '</html>'
  nothing_left
}

test_phases_are_told() {
  [ "$(id -u)" = 0 ] || { skip "a container needs root here"; return; }
  bench --arms container --runs 2 --times-only --json j
  is "exit code" "$code" 0
  is "phases" "$(python3 -c '
import json
phases = json.dumps(json.load(open("j")))
print(all(word in phases for word in ("clone", "seccomp", "payload", "teardown")))')" True
  nothing_left
}

test_same_arm_twice() {
  bench --arms host,host --runs 5 --times-only --json -
  is "exit code" "$code" 0
  is "arms" "$(python3 -c 'import json, sys; print([r["arm"] for r in json.load(open("out"))["results"]])')" "['host', 'host#2']"
  has "the table goes to standard error" err 'host process, again'
  nothing_left
}

test_missing_peer_is_one_line() {
  mkdir empty
  timeout -s KILL 60 env TMPDIR="$T" PATH="$T/empty" "$VMRUN" bench --arms host,bwrap,runc,docker --runs 3 --times-only --json j >out 2>err </dev/null
  code=$?
  is "exit code" "$code" 0
  is "one line" "$(grep -c '^vmrun: bwrap: left out: .*not installed' err)" 1
  is "all three" "$(python3 -c 'import json; print([fact["name"] for fact in json.load(open("j"))["missing"]])')" "['bwrap', 'runc', 'docker']"
}

test_fail_if() {
  bench --arms host --runs 3 --times-only --fail-if 'host.median>10s' --fail-if 'host/host.p99>1.5'
  is "none holds" "$code" 0
  bench --arms host --runs 3 --times-only --fail-if 'host.median>10s' --fail-if 'host.min>1us'
  is "one holds" "$code" 1
  has "it is said" err '^vmrun: fails: host\.min>1us: it is [0-9.]+ ms$'
  bench --arms host --runs 3 --fail-if 'host.median>10'
  is "a bad one" "$code" 125
  has "why" err 'a unit is missing'
  hasnot "nothing was measured" err 'seed'
  bench --arms host --runs 3 --fail-if 'container.median>10s'
  is "an arm that is not measured" "$code" 125
  nothing_left
}

test_baseline() {
  bench --arms host --runs 10 --times-only --json old
  is "exit code" "$code" 0
  bench --arms host --runs 10 --times-only --baseline old
  is "exit code with a baseline" "$code" 0
  has "the comparison" out '^  host .* x[0-9.]+ \['
  python3 -c '
import json
report = json.load(open("old"))
for series in report["series"]:
    series["wall"] = [wall // 20 for wall in series["wall"]]
    series["first_byte"] = [wall // 30 for wall in series["wall"]]
json.dump(report, open("slower", "w"))'
  bench --arms host --runs 10 --times-only --baseline slower
  has "a change is seen" out '^  host .* slower$'
  echo '{}' >bad
  bench --arms host --runs 3 --baseline bad
  is "no report" "$code" 125
  bench --arms host --runs 3 --baseline missing
  is "no file" "$code" 125
}

test_cold_cache() {
  bench --arms host --runs 3 --times-only --cache both --json j
  is "exit code" "$code" 0
  is "both" "$(python3 -c 'import json; print([(s["cache"], len(s["wall"])) for s in json.load(open("j"))["series"]])')" "[('warm', 3), ('cold', 3)]"
  nothing_left
}

test_interrupted() {
  mkdir tmp
  TMPDIR=$T/tmp "$PROBE" default "$VMRUN" bench --arms $arms --runs 100000 --times-only --json j >out 2>err </dev/null &
  vm=$!
  sleep 4
  kill -INT $vm
  end_of $vm 20
  is "exit code" "$code" 130
  has "what was measured" out '^host process '
  is "JSON" "$(python3 -c '
import json
report = json.load(open("j"))
print(report["interrupted"], min(len(series["wall"]) for series in report["series"]) > 0)')" "True True"
  nothing_left
}

test_isolation_in_the_report() {
  # Without a kernel, the VM's side is quickly over.
  mkdir -p cache tmp
  XDG_CACHE_HOME=$T/cache TMPDIR=$T/tmp timeout -s KILL 120 "$VMRUN" bench --arms host --runs 2 --times-only --isolation --json j --html h --markdown m >out 2>err </dev/null
  is "exit code" $? 0
  is "sides and sections" "$(python3 -c "import json; i = json.load(open('j'))['isolation']; print(*i['sides'], len(i['sections']))" 2>&1)" "host container VM 8"
  has "in the page" h 'id="isolation"'
  has "a row of it" h 'Whose kernel answered'
  has "in Markdown" m 'Whose kernel answered'
  is "left behind" "$(ls -A tmp)" ""
}

test_usage() {
  for words in "--arms nobody" "--runs 0" "--precision 0" "--density x" "--concurrency 1,,2" "--cache hot" "--reference vm-linux --arms host" \
    "--json - --csv -" "--runs" "--nonsense" "--seed -1" "--kernel no-such-kernel"; do
    # shellcheck disable=SC2086
    bench $words
    is "bench $words" "$code" 125
    has "where help is, for $words" err 'see vmrun bench --help'
  done
  bench --help
  is "help" "$code" 0
  has "help teaches" out 'how to read it'
}
