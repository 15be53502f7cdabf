package saga_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

func mustState(t testing.TB, text string) saga.State {
	t.Helper()
	s, err := saga.ParseState([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

func TestAStateIsReadFromAnyJSONObjectAndWrittenCompactly(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"empty", `{}`, `{}`},
		{"white space", " {\n\t\"a\" : [ 1 , 2 ] , \"b\" : { } } \r\n", `{"a":[1,2],"b":{}}`},
		{"every kind of value", `{"a":null,"b":true,"c":-1.5e+3,"d":"x","e":[],"f":{}}`, `{"a":null,"b":true,"c":-1.5e+3,"d":"x","e":[],"f":{}}`},
		{"numbers are kept as written", `{"a":1.0,"b":100000000000000000000001,"c":-0}`, `{"a":1.0,"b":100000000000000000000001,"c":-0}`},
		{"values that look like structure", `{"a":"}{][,:","b":[{"c":"]}"},"\""]}`, `{"a":"}{][,:","b":[{"c":"]}"},"\""]}`},
		{"backslashes before a quote", `{"a":"\\","b":"\\\"","c":"\\\\"}`, `{"a":"\\","b":"\\\"","c":"\\\\"}`},
		{"nested deeply", `{"a":` + strings.Repeat(`[{"b":`, 50) + `1` + strings.Repeat(`}]`, 50) + `,"z":2}`,
			`{"a":` + strings.Repeat(`[{"b":`, 50) + `1` + strings.Repeat(`}]`, 50) + `,"z":2}`},
		{"the same name at another depth", `{"a":{"a":{"a":1}}}`, `{"a":{"a":{"a":1}}}`},
		{"an empty name", `{"":1}`, `{"":1}`},
		{"names in other scripts", `{"имя":1,"名":2,"🚚":3}`, `{"имя":1,"名":2,"🚚":3}`},
		{"a name escaped without need", `{"\u0061\u0438":1}`, `{"aи":1}`},
		{"a name with a surrogate pair", `{"\ud83d\ude9a":1}`, `{"🚚":1}`},
		{"a name with half of one", `{"\ud83d":1}`, `{"` + "\ufffd" + `":1}`},
		{"names that JSON in HTML escapes", `{"<b>&":1}`, `{"\u003cb\u003e\u0026":1}`},
		{"a name with a quote", `{"a\"b":1}`, `{"a\"b":1}`},
		{"a name with a line break", `{"a\u000ab":1}`, `{"a\nb":1}`},
		{"a name with a line separator", `{"a` + "\u2028" + `b":1}`, `{"a\u2028b":1}`},
		{"a name that is no text", "{\"a\xff\":1}", `{"a` + "\ufffd" + `":1}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := mustState(t, test.text)
			if got := string(s.JSON()); got != test.want {
				t.Errorf("the state is\n%s\nwant\n%s", got, test.want)
			}
			if s.Size() != len(test.want) {
				t.Errorf("its size is %d, want %d", s.Size(), len(test.want))
			}
			if s.IsZero() != (test.want == "{}") {
				t.Errorf("IsZero is %v", s.IsZero())
			}
			encoded, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			var decoded saga.State
			if err := json.Unmarshal(encoded, &decoded); err != nil {
				t.Fatal(err)
			}
			if again, _ := json.Marshal(decoded); !bytes.Equal(again, encoded) {
				t.Errorf("there and back through encoding/json it is\n%s\nwant\n%s", again, encoded)
			}
		})
	}
}

func TestWhatIsNoStateIsRefused(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", ``, "state is not JSON"},
		{"white space", ` `, "state is not JSON"},
		{"null", `null`, "state is not a JSON object"},
		{"a number", `7`, "state is not a JSON object"},
		{"a text", `"{}"`, "state is not a JSON object"},
		{"an array", `[{}]`, "state is not a JSON object"},
		{"half an object", `{"a":1`, "state is not JSON"},
		{"two objects", `{}{}`, "state is not JSON"},
		{"a trailing comma", `{"a":1,}`, "state is not JSON"},
		{"a name without quotes", `{a:1}`, "state is not JSON"},
		{"a field twice", `{"a":1,"b":2,"a":3}`, `state names the field "a" twice`},
		{"a field twice, spelled differently", `{"a":1,"\u0061":2}`, `state names the field "a" twice`},
		{"a field twice, once as no text", "{\"\xff\":1,\"\ufffd\":2}", "twice"},
		{"an empty name twice", `{"":1,"":2}`, `state names the field "" twice`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := saga.ParseState([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			var s saga.State
			if err := json.Unmarshal([]byte(test.text), &s); err == nil {
				t.Errorf("encoding/json takes it for a state: %s", s.JSON())
			}
		})
	}
}

func TestTheZeroStateIsTheEmptyObject(t *testing.T) {
	var s saga.State
	if !s.IsZero() || string(s.JSON()) != "{}" || s.Size() != 2 || len(s.Fields()) != 0 {
		t.Errorf("the zero state is %s of size %d with fields %q", s.JSON(), s.Size(), s.Fields())
	}
}

func TestAFieldIsFoundByItsName(t *testing.T) {
	s := mustState(t, `{"a":1,"b":{"c":2},"x<y":3,"quo\"te":4,"имя":5,"line\nbreak":6}`)
	wantNames := []string{"a", "b", "x<y", `quo"te`, "имя", "line\nbreak"}
	if got := s.Fields(); !slices.Equal(got, wantNames) {
		t.Errorf("the fields are %q, want %q", got, wantNames)
	}
	wantValues := []string{"1", `{"c":2}`, "3", "4", "5", "6"}
	for i, name := range wantNames {
		if got, ok := s.Field(name); !ok || string(got) != wantValues[i] {
			t.Errorf("field %q is %s, %v; want %s", name, got, ok, wantValues[i])
		}
	}
	for _, name := range []string{"", "c", "A", "x", `quo\"te`} {
		if got, ok := s.Field(name); ok {
			t.Errorf("there is a field %q: %s", name, got)
		}
	}
}

func TestAStateDoesNotChange(t *testing.T) {
	text := []byte(`{"a":1,"b":[2]}`)
	s := mustState(t, string(text))
	want := string(s.JSON())
	for _, share := range [][]byte{text, s.JSON(), mustField(t, s, "b")} {
		for i := range share {
			share[i] = 'x'
		}
	}
	names := s.Fields()
	names[0] = "x"
	s.Apply(saga.Patch{Set: mustState(t, `{"a":7,"c":8}`), Unset: []string{"b"}})
	s.Diff(mustState(t, `{}`))
	if got := string(s.JSON()); got != want {
		t.Errorf("the state has become %s", got)
	}
}

func mustField(t *testing.T, s saga.State, name string) []byte {
	t.Helper()
	value, ok := s.Field(name)
	if !ok {
		t.Fatalf("no field %q", name)
	}
	return value
}

func TestAPatchIsWhatChangedAtTheTopLevel(t *testing.T) {
	for _, test := range []struct{ name, from, to, set, unset, result string }{
		{"nothing", `{"a":1}`, `{"a":1}`, `{}`, ``, `{"a":1}`},
		{"nothing but the order", `{"a":1,"b":2}`, `{"b":2,"a":1}`, `{}`, ``, `{"a":1,"b":2}`},
		{"nothing to nothing", `{}`, `{}`, `{}`, ``, `{}`},
		{"a new field", `{"a":1}`, `{"a":1,"b":2}`, `{"b":2}`, ``, `{"a":1,"b":2}`},
		{"a new field in front comes last", `{"a":1}`, `{"b":2,"a":1}`, `{"b":2}`, ``, `{"a":1,"b":2}`},
		{"a changed field keeps its place", `{"a":1,"b":2}`, `{"b":2,"a":3}`, `{"a":3}`, ``, `{"a":3,"b":2}`},
		{"a field taken away", `{"a":1,"b":2}`, `{"b":2}`, `{}`, `a`, `{"b":2}`},
		{"all taken away", `{"a":1,"b":2}`, `{}`, `{}`, `a b`, `{}`},
		{"all replaced", `{"a":1}`, `{"b":2}`, `{"b":2}`, `a`, `{"b":2}`},
		{"null is a value", `{"a":1}`, `{"a":null}`, `{"a":null}`, ``, `{"a":null}`},
		{"a nested change carries its whole field", `{"a":{"b":1,"c":2}}`, `{"a":{"b":1,"c":3}}`, `{"a":{"b":1,"c":3}}`, ``, `{"a":{"b":1,"c":3}}`},
		{"another spelling of a number is a change", `{"a":1}`, `{"a":1.0}`, `{"a":1.0}`, ``, `{"a":1.0}`},
		{"a name that is no text", "{\"a\xff\":1,\"b\":2}", `{"b":2}`, `{}`, "a\ufffd", `{"b":2}`},
		{"names that need escapes", `{"<":1,"\"":2}`, `{"\"":3,"é":4}`, `{"\"":3,"é":4}`, `\u003c`, `{"\"":3,"é":4}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			from, to := mustState(t, test.from), mustState(t, test.to)
			p := from.Diff(to)
			if got := string(p.Set.JSON()); got != test.set {
				t.Errorf("it sets %s, want %s", got, test.set)
			}
			if got := strings.Join(p.Unset, " "); got != test.unset {
				t.Errorf("it unsets %q, want %q", got, test.unset)
			}
			if want := test.set == "{}" && test.unset == ""; p.IsZero() != want {
				t.Errorf("IsZero is %v, want %v", p.IsZero(), want)
			}
			if got := string(from.Apply(p).JSON()); got != test.result {
				t.Errorf("applied it gives %s, want %s", got, test.result)
			}
			checkPatch(t, from, to)
		})
	}
}

func TestAPatchMayBeAppliedToAStateThatItWasNotMadeFor(t *testing.T) {
	p := saga.Patch{Set: mustState(t, `{"a":1,"b":2}`), Unset: []string{"b", "c", "c"}}
	if got := string(mustState(t, `{"b":7,"d":8}`).Apply(p).JSON()); got != `{"d":8,"a":1,"b":2}` {
		t.Errorf("the result is %s", got)
	}
}

// checkPatch fails the test unless the patch between two states, sent through JSON, turns the one into the other.
func checkPatch(t testing.TB, from, to saga.State) {
	t.Helper()
	encoded, err := json.Marshal(from.Diff(to))
	if err != nil {
		t.Fatal(err)
	}
	var p saga.Patch
	if err := json.Unmarshal(encoded, &p); err != nil {
		t.Fatalf("the patch %s from %s to %s does not decode: %v", encoded, from.JSON(), to.JSON(), err)
	}
	got := from.Apply(p)
	if !maps.EqualFunc(fieldsOf(t, got), fieldsOf(t, to), equalJSON) {
		t.Errorf("%s with the patch %s is %s, want the fields of %s", from.JSON(), encoded, got.JSON(), to.JSON())
	}
	if again := got.Diff(to); !again.IsZero() && bytes.Equal(got.JSON(), to.JSON()) {
		t.Errorf("equal states differ: %s", mustJSON(again))
	}
}

func fieldsOf(t testing.TB, s saga.State) map[string]json.RawMessage {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(s.JSON(), &fields); err != nil {
		t.Fatalf("the state %s does not decode: %v", s.JSON(), err)
	}
	return fields
}

// equalJSON reports whether two values mean the same, whatever their spelling of text.
func equalJSON(a, b json.RawMessage) bool {
	decode := func(data []byte) (v any) {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			panic(err)
		}
		return v
	}
	return reflect.DeepEqual(decode(a), decode(b))
}

func TestAnyTwoStatesHaveAPatchBetweenThem(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, seed))
	for range 2000 {
		from, to := randomState(t, r), randomState(t, r)
		if r.IntN(2) == 0 { // most steps change little
			to = from.Apply(saga.Patch{Set: to})
		}
		checkPatch(t, from, to)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomState(t testing.TB, r *rand.Rand) saga.State {
	t.Helper()
	names := []string{"a", "b", "", "a b", "<", ">", "&", `"`, `\`, "\n", "\u2028", "é", "е\u0301", "名", "🚚", "\x7f", "\ufffd"}
	values := []string{`1`, `1.0`, `null`, `"x"`, `"<"`, `"\u003c"`, `"\\\""`, `{}`, `[]`, `[1,{"a":"}"}]`, `{"a":{"b":[[]]}}`}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var fields []string
	for _, name := range names[:r.IntN(8)] {
		fields = append(fields, fmt.Sprintf("%s:%s", mustJSON(name), values[r.IntN(len(values))]))
	}
	return mustState(t, "{"+strings.Join(fields, ",")+"}")
}
