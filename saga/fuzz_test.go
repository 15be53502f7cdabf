package saga_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jetsaga/jetsaga/saga"
)

// seed adds every line of the files to a fuzz target's corpus.
func seed(f *testing.F, patterns ...string) {
	f.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds at %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			for line := range bytes.Lines(data) {
				f.Add(bytes.TrimSpace(line))
			}
		}
	}
}

// A commit that decodes encodes to one that decodes to the same, and may be folded, walked and decided on.
func FuzzDecodeCommit(f *testing.F) {
	seed(f, "wire/commits.jsonl", "histories/*.jsonl")
	for _, text := range []string{
		``, `{}`, `{"f":2}`, `{"f":1,"v":1,"e":[null]}`, `{"f":1,"v":1,"e":[{"type":"X","data":{}}]}`,
		`{"F":1,"V":1,"E":[{"TYPE":"SagaStarted","Data":{"run":"\ud800","state":{"\u0061":"` + "\xff" + `"}}}]}`,
		`{"f":1,"v":1,"e":[{"type":"SagaParked","data":null}],"snap":{"steps":{"":{}},"timers":{"":{}},"state":{}}}`,
		`{"f":1,"v":18446744073709551615,"t":"9999-12-31T23:59:59.999999999-23:59","e":[{"type":"TimerSet","data":{}}]}`,
	} {
		f.Add([]byte(text))
	}
	plan := saga.Must(saga.Define("d", 1,
		saga.Step("reserve", nothing).Compensate(nothing), saga.Step("charge", nothing).Compensate(nothing),
		saga.Step("ship", nothing).Pivot(), saga.Step("notify", nothing),
	)).Plan()
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := saga.DecodeCommit(data)
		if err != nil {
			return
		}
		encoded, err := saga.EncodeCommit(&c)
		if err != nil {
			t.Fatalf("it decodes and does not encode: %v", err)
		}
		again, err := saga.DecodeCommit(encoded)
		if err != nil {
			t.Fatalf("it is encoded as\n%s\nwhich does not decode: %v", encoded, err)
		}
		if twice, err := saga.EncodeCommit(&again); err != nil || !bytes.Equal(twice, encoded) {
			t.Fatalf("it is encoded as\n%s\nand then as\n%s\n%v", encoded, twice, err)
		}
		c.Ends()
		in, err := saga.Fold(theSaga, []saga.Commit{c})
		if err != nil {
			return
		}
		other, err := saga.Fold(theSaga, []saga.Commit{again})
		if err != nil || !equalJSON(mustJSON(in), mustJSON(other)) {
			t.Fatalf("it folds to\n%s\nand after a trip over the wire to\n%s\n%v", mustJSON(in), mustJSON(other), err)
		}
		saga.Settle(plan, in, time.Time{}, nil)
		for _, task := range saga.Ready(plan, in, time.Time{}) {
			saga.Decide(plan, in, saga.Result{Task: task}, time.Time{})
		}
	})
}

// A command that decodes encodes to one that decodes to the same, and has an id.
func FuzzDecodeCommand(f *testing.F) {
	seed(f, "wire/commands.jsonl", "commands/*.jsonl")
	for _, text := range []string{
		``, `{}`, `{"f":2}`, `{"f":2,"type":7}`, `{"f":1,"type":"X","data":{}}`, `{"f":1,"type":"Timer","data":null}`,
		`{"f":1,"type":"Start","data":{"run":"` + "\xff" + `","state":{"a":1,"\u0061":2}}}`,
		`{"f":1,"type":"Timer","data":{"name":"t","version":-1}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := saga.DecodeCommand(data)
		if err != nil {
			return
		}
		if c.CommandID() == "" {
			t.Fatal("it has no id")
		}
		encoded, err := saga.EncodeCommand(c)
		if err != nil {
			t.Fatalf("it decodes and does not encode: %v", err)
		}
		again, err := saga.DecodeCommand(encoded)
		if err != nil {
			t.Fatalf("it is encoded as\n%s\nwhich does not decode: %v", encoded, err)
		}
		if twice, err := saga.EncodeCommand(again); err != nil || !bytes.Equal(twice, encoded) {
			t.Fatalf("it is encoded as\n%s\nand then as\n%s\n%v", encoded, twice, err)
		}
	})
}

var stateSeeds = []string{
	``, `{}`, ` { } `, `null`, `[]`, `{"a":1}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":{"b":[1,{"c":"}],\""}]},"d":null}`,
	`{"\\":"\\","\"":"\\\""}`, `{"<>&":"<>&"}`, "{\"\u2028\":\"\u2029\"}", "{\"\xff\":1,\"\ufffd\":2}", "{\"a\":\"\xff\"}",
	`{"\ud83d\ude9a":1,"\ud83d":2}`, `{"":0,"a":-0.0e-0}`, `{"a":1}{}`, `{"a":1,}`,
}

// encoding/json is the oracle: a state is a JSON object whose names differ, and has its names and values. One that is
// nested too deeply is refused, which TestAStateThatIsKeptCanBeReadInACommit is about.
func FuzzParseState(f *testing.F) {
	for _, text := range stateSeeds {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > 1000 {
			return
		}
		names, values, fits := readObject(data)
		s, err := saga.ParseState(data)
		if (err == nil) != fits {
			t.Fatalf("error %v; encoding/json takes it for an object without doubles: %v", err, fits)
		}
		if err != nil {
			return
		}
		if got := s.Fields(); strings.Join(got, "\x00") != strings.Join(names, "\x00") || len(got) != len(names) {
			t.Fatalf("its fields are %q, want %q", got, names)
		}
		for _, name := range names {
			value, ok := s.Field(name)
			if !ok || !bytes.Equal(value, values[name]) {
				t.Fatalf("field %q is %s, %v; want %s", name, value, ok, values[name])
			}
		}
		text := s.JSON()
		if s.Size() != len(text) {
			t.Fatalf("its size is %d, want %d", s.Size(), len(text))
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil || !bytes.Equal(compact.Bytes(), text) {
			t.Fatalf("its JSON %s is not compact JSON: %v", text, err)
		}
		again, err := saga.ParseState(text)
		if err != nil || !bytes.Equal(again.JSON(), text) {
			t.Fatalf("read again it is %s, want %s; %v", again.JSON(), text, err)
		}
		if p := s.Diff(again); !p.IsZero() {
			t.Fatalf("read again it differs by %s", mustJSON(p))
		}
	})
}

// readObject reads a JSON object as encoding/json does: its names in their order, and its values. It does not fit where
// it is anything else, or names a field twice.
func readObject(data []byte) (names []string, values map[string]json.RawMessage, fits bool) {
	if !json.Valid(data) || json.Unmarshal(data, &values) != nil || values == nil {
		return nil, nil, false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return nil, nil, false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, nil, false
		}
		names = append(names, name.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, nil, false
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, value); err != nil {
			return nil, nil, false
		}
		values[name.(string)] = compact.Bytes()
	}
	return names, values, len(names) == len(values)
}

// Between any two states there is a patch that, sent through JSON, turns the one into the other.
func FuzzPatch(f *testing.F) {
	for i, from := range stateSeeds {
		for _, to := range stateSeeds[i:] {
			f.Add([]byte(from), []byte(to))
		}
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		from, err := saga.ParseState(a)
		if err != nil {
			return
		}
		to, err := saga.ParseState(b)
		if err != nil {
			return
		}
		checkPatch(t, from, to)
		checkPatch(t, to, from)
		checkPatch(t, from, from)
	})
}

// A name that is accepted is one token of a subject, whatever it is put between.
func FuzzCheckName(f *testing.F) {
	for _, name := range []string{
		"", "a", "a.b", "*", ">", "a b", "\x00", "\u0085", "\u00a0", "\u2028", "\u3000", "\xff", "заказ", "🚚", "$JS",
		strings.Repeat("x", saga.MaxNameBytes), strings.Repeat("x", saga.MaxNameBytes+1),
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		allowed := func(r rune) bool {
			return !strings.ContainsRune(".*>", r) && !unicode.IsSpace(r) && !unicode.IsControl(r)
		}
		want := name != "" && len(name) <= saga.MaxNameBytes && utf8.ValidString(name) &&
			strings.IndexFunc(name, func(r rune) bool { return !allowed(r) }) < 0
		err := saga.CheckName("id", name)
		if (err == nil) != want {
			t.Fatalf("error %v, want the name accepted: %v", err, want)
		}
		if err != nil {
			return
		}
		subject := "saga.ns.007.def." + name + ".cmd"
		if tokens := strings.Split(subject, "."); len(tokens) != 6 || tokens[4] != name || len(strings.Fields(subject)) != 1 {
			t.Fatalf("the subject %q has other tokens", subject)
		}
	})
}
