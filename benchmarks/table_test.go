package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestATableIsAligned(t *testing.T) {
	tbl := &table{}
	tbl.add("variant", "CPU", "n")
	tbl.add("a", "1234 µs", "1")
	tbl.add("longer than all", "-")
	var b strings.Builder
	if err := tbl.write(&b); err != nil {
		t.Fatal(err)
	}
	const want = "" +
		"variant              CPU  n\n" +
		"a                1234 µs  1\n" +
		"longer than all        -\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// someReport has a variant of each kind, and one that was skipped.
func someReport() *report {
	drained := []measure{{Sagas: 1000, Elapsed: time.Second, Allocs: 74, Bytes: 5700, CPU: 42 * time.Microsecond, Heap: 1_600_000, Sent: 4}}
	slower := []measure{{Sagas: 1000, Elapsed: 2 * time.Second, Allocs: 184, Bytes: 14000, CPU: 84 * time.Microsecond, Heap: 1_800_000, Sent: 4.1, Extra: 3}}
	busy := []measure{{Sagas: 1000, Elapsed: time.Second, P50: 5 * time.Millisecond, P99: 9 * time.Millisecond}}
	paced := []measure{{Sagas: 10, Elapsed: time.Second, P50: 200 * time.Microsecond, P99: time.Millisecond}}
	return &report{
		Machine: machine{OS: "linux", Arch: "amd64", CPUs: 2, Go: "go1.26", Server: "in this process"},
		Results: []result{
			newResult(variant{name: throughputVariant, sagas: 1000, rounds: 1}, 3, drained, slower),
			newResult(variant{name: "with-client", sagas: 1000, rounds: 1}, 3, busy, busy),
			newResult(variant{name: latencyVariant, paced: true, sagas: 10, rounds: 1}, 3, paced, nil),
			{Variant: "sync-always", Skipped: errExternal.Error()},
		},
	}
}

func TestAReportIsWrittenForPeople(t *testing.T) {
	var b strings.Builder
	if err := someReport().writeTables(&b); err != nil {
		t.Fatal(err)
	}
	const want = `linux/amd64, 2 cores, go1.26; the server runs in this process

Throughput: sagas a second

variant      sagas  rounds  floor/s  engine/s  ratio    (min..max)  step messages/s
success       1000       1     1000       500   0.50  (0.50..0.50)             1500
with-client   1000       1     1000      1000   1.00  (1.00..1.00)             3000

Latency: from before Start is sent until the saga has ended

variant        sagas  rounds  floor p50       p99  engine p50       p99  p50 ratio  (min..max)
with-client     1000       1   5.000 ms  9.000 ms    5.000 ms  9.000 ms          -           -
one-at-a-time     10       1   0.200 ms  1.000 ms           -         -          -           -

Cost of one saga, and the heap that is live at the end

variant        allocations: floor  engine  bytes: floor  engine  CPU: floor  engine  ratio  heap: floor  engine  sent: floor  engine
success                        74     184          5700   14000       42 µs   84 µs   2.00       1.6 MB  1.8 MB         4.00    4.10
with-client                     0       0             0       0        0 µs    0 µs      -       0.0 MB  0.0 MB         0.00    0.00
one-at-a-time                   0       -             0       -        0 µs       -      -       0.0 MB       -         0.00       -

success: engine: 3 messages beyond the script were stored
sync-always: not measured: needs a server of its own; this one was given with -server
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAReportIsWrittenForMachines(t *testing.T) {
	var b strings.Builder
	if err := someReport().writeJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if r := got.result(throughputVariant); r == nil || r.Rate.Median != 0.5 || r.Engine.Rounds[0].Extra != 3 {
		t.Errorf("came back as %+v", r)
	}
}

type fullDisk struct{}

var errFullDisk = errors.New("no space left")

func (fullDisk) Write([]byte) (int, error) { return 0, errFullDisk }

func TestAReportThatCannotBeWrittenIsAnError(t *testing.T) {
	if err := someReport().writeTables(fullDisk{}); !errors.Is(err, errFullDisk) {
		t.Errorf("tables: %v", err)
	}
	if err := someReport().writeJSON(fullDisk{}); !errors.Is(err, errFullDisk) {
		t.Errorf("json: %v", err)
	}
}
