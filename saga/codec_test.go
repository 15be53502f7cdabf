package saga

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// someCommit gives a commit of these events with every other field set.
func someCommit(events ...Event) *Commit {
	return &Commit{
		Version: 7, Time: time.Date(2030, 1, 2, 3, 4, 5, 678900000, time.UTC), Base: 3,
		By:     Owner{Worker: "w1", Command: "r1", Delivery: 2, Stream: "S", Sequence: 9},
		Events: events,
	}
}

// filledEvents gives one event of each type that has a wire name, by that name.
func filledEvents() map[string]Event {
	events := map[string]Event{}
	for name, t := range eventTypes {
		v := reflect.New(t).Elem()
		counting().fill(v)
		events[name] = v.Interface().(Event)
	}
	return events
}

// filledCommands gives one command of each type that has a wire name, by that name.
func filledCommands() map[string]Command {
	commands := map[string]Command{}
	for name, t := range commandTypes {
		v := reflect.New(t).Elem()
		counting().fill(v)
		commands[name] = v.Interface().(Command)
	}
	return commands
}

func TestEveryEventComesBackFromTheWireAsItWent(t *testing.T) {
	for name, e := range filledEvents() {
		t.Run(name, func(t *testing.T) {
			if got := EventName(e); got != name {
				t.Errorf("its name is %q", got)
			}
			want := someCommit(e, reflect.Zero(reflect.TypeOf(e)).Interface().(Event))
			data, err := EncodeCommit(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeCommit(data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(&got, want) {
				t.Errorf("it went as\n%+v\nand came back as\n%+v\nby\n%s", want, &got, data)
			}
		})
	}
}

func TestEveryCommandComesBackFromTheWireAsItWent(t *testing.T) {
	for name, want := range filledCommands() {
		t.Run(name, func(t *testing.T) {
			if got := CommandName(want); got != name {
				t.Errorf("its name is %q", got)
			}
			data, err := EncodeCommand(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeCommand(data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("it went as\n%+v\nand came back as\n%+v\nby\n%s", want, got, data)
			}
		})
	}
}

func TestASnapshotComesBackFromTheWireAsItWent(t *testing.T) {
	want := someCommit(SagaParked{})
	snapshot := filled[Instance](counting())
	want.Snapshot = &snapshot
	data, err := EncodeCommit(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeCommit(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("it went as\n%+v\nand came back as\n%+v\nby\n%s", want.Snapshot, got.Snapshot, data)
	}
}

// The golden files hold every field of every wire type by its name on the wire. A line that is gone or changed there is
// a history, or a stored command, that cannot be read any more; only added lines and fields are harmless.
func TestTheWireFormatIsAsRecorded(t *testing.T) {
	var events, commands [][]byte
	filledOnes := filledEvents()
	for _, name := range slices.Sorted(maps.Keys(filledOnes)) {
		events = append(events, mustEncodeCommit(t, someCommit(filledOnes[name])))
	}
	withSnapshot := someCommit(SagaParked{})
	snapshot := filled[Instance](counting())
	withSnapshot.Snapshot = &snapshot
	events = append(events, mustEncodeCommit(t, withSnapshot))
	byName := filledCommands()
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		data, err := EncodeCommand(byName[name])
		if err != nil {
			t.Fatal(err)
		}
		commands = append(commands, data)
	}
	checkGolden(t, "commits.jsonl", events)
	checkGolden(t, "commands.jsonl", commands)
}

func mustEncodeCommit(t testing.TB, c *Commit) []byte {
	t.Helper()
	data, err := EncodeCommit(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// checkGolden fails the test unless the lines are those of the file under testdata/wire.
func checkGolden(t *testing.T, name string, lines [][]byte) {
	t.Helper()
	file := filepath.Join("testdata", "wire", name)
	got := append(bytes.Join(lines, []byte("\n")), '\n')
	if *Update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the wire format is not as recorded in %s; it is now\n%s\nwas\n%s", file, got, want)
	}
}

func TestWhatHasNoWireNameIsNotEncoded(t *testing.T) {
	type stranger struct{ SagaParked }
	for what, e := range map[string]Event{"a type of another package": stranger{}, "a pointer": &SagaParked{}, "nil": nil} {
		if EventName(e) != "" {
			t.Errorf("%s has the name %q", what, EventName(e))
		}
		if data, err := EncodeCommit(someCommit(e)); err == nil {
			t.Errorf("an event that is %s is encoded: %s", what, data)
		}
	}
	type other struct{ Timer }
	for what, c := range map[string]Command{"a type of another package": other{}, "a pointer": &Timer{Name: "t"}, "nil": nil} {
		if CommandName(c) != "" {
			t.Errorf("%s has the name %q", what, CommandName(c))
		}
		if data, err := EncodeCommand(c); err == nil {
			t.Errorf("a command that is %s is encoded: %s", what, data)
		}
	}
}

func TestWhatIsNewerThanThisBuildIsNamed(t *testing.T) {
	for _, test := range []struct {
		name, commit, command string
		want                  UnknownError // of the commit; What is "command ..." of the command
	}{
		{
			name:   "a format",
			commit: `{"f":2,"v":1,"e":[{"type":"SagaParked","data":{}}]}`, command: `{"f":2,"type":"Timer","data":{"name":"t"}}`,
			want: UnknownError{What: "commit format", Name: "2"},
		},
		{
			name:   "a format whose fields are of other types",
			commit: `{"f":3,"v":"one","t":1,"by":[],"e":{},"snap":7}`, command: `{"f":3,"type":{},"data":"none"}`,
			want: UnknownError{What: "commit format", Name: "3"},
		},
		{
			name:   "a format with nothing else",
			commit: `{"f":1000000}`, command: `{"f":1000000}`,
			want: UnknownError{What: "commit format", Name: "1000000"},
		},
		{
			name:   "a type",
			commit: `{"f":1,"v":1,"e":[{"type":"SagaParked","data":{}},{"type":"X","data":7}]}`, command: `{"f":1,"type":"X","data":7}`,
			want: UnknownError{What: "event type", Name: "X"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := DecodeCommit([]byte(test.commit))
			checkUnknown(t, err, test.want)
			test.want.What = map[string]string{"commit format": "command format", "event type": "command"}[test.want.What]
			_, err = DecodeCommand([]byte(test.command))
			checkUnknown(t, err, test.want)
		})
	}
}

func checkUnknown(t *testing.T, err error, want UnknownError) {
	t.Helper()
	var unknown *UnknownError
	if !errors.As(err, &unknown) || *unknown != want {
		t.Errorf("error %v, want an UnknownError of %s %q", err, want.What, want.Name)
	}
}

func TestWhatIsWrongWithACommitIsSaid(t *testing.T) {
	for _, test := range []struct{ name, data, want string }{
		{"nothing", ``, "unexpected end of JSON input"},
		{"no JSON", `{"f":1,`, "unexpected end of JSON input"},
		{"no object", `[]`, "cannot unmarshal array"},
		{"no format", `{"v":1,"e":[{"type":"SagaParked","data":{}}]}`, "commit has no format number"},
		{"a negative format", `{"f":-1}`, "commit has no format number"},
		{"a format that is no number", `{"f":"1"}`, "cannot unmarshal string"},
		{"no version", `{"f":1,"e":[{"type":"SagaParked","data":{}}]}`, "commit has no version"},
		{"a negative version", `{"f":1,"v":-1}`, "cannot unmarshal number -1"},
		{"no events", `{"f":1,"v":1}`, "commit has no events"},
		{"an empty list of events", `{"f":1,"v":1,"e":[]}`, "commit has no events"},
		{"an event without a type", `{"f":1,"v":7,"e":[{"data":{}}]}`, "commit 7: event type has no type"},
		{"an event that is null", `{"f":1,"v":7,"e":[null]}`, "commit 7: event type has no type"},
		{"an event without data", `{"f":1,"v":7,"e":[{"type":"SagaParked"}]}`, "commit 7: event type SagaParked has no data"},
		{"an event with data of another form", `{"f":1,"v":7,"e":[{"type":"TimerFired","data":[]}]}`, "commit 7: event type TimerFired: json: cannot unmarshal array"},
		{"a time that is none", `{"f":1,"v":7,"t":"yesterday","e":[{"type":"SagaParked","data":{}}]}`, "parsing time"},
		{"a state that is none", `{"f":1,"v":7,"e":[{"type":"SagaStarted","data":{"state":[]}}]}`, "state is not a JSON object"},
		{"a state that is null", `{"f":1,"v":7,"e":[{"type":"SagaStarted","data":{"state":null}}]}`, "state is not a JSON object"},
		{"a snapshot of another form", `{"f":1,"v":7,"e":[{"type":"SagaParked","data":{}}],"snap":[]}`, "cannot unmarshal array"},
		{"more after it", `{"f":1,"v":7,"e":[{"type":"SagaParked","data":{}}]}{}`, "invalid character '{' after top-level value"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := DecodeCommit([]byte(test.data))
			checkPlain(t, err, test.want)
		})
	}
}

func TestWhatIsWrongWithACommandIsSaid(t *testing.T) {
	for _, test := range []struct{ name, data, want string }{
		{"nothing", ``, "unexpected end of JSON input"},
		{"no object", `7`, "cannot unmarshal number"},
		{"no format", `{"type":"Timer","data":{"name":"t"}}`, "command has no format number"},
		{"no type", `{"f":1,"data":{}}`, "command has no type"},
		{"no data", `{"f":1,"type":"Timer"}`, "command Timer has no data"},
		{"data of another form", `{"f":1,"type":"Timer","data":[]}`, "command Timer: json: cannot unmarshal array"},
		{"a type of another form", `{"f":1,"type":7,"data":{}}`, "cannot unmarshal number"},
		{"a Start without a run", `{"f":1,"type":"Start","data":{}}`, "command Start has no id"},
		{"a Cancel without an id", `{"f":1,"type":"Cancel","data":{"run":"r"}}`, "command Cancel has no id"},
		{"a Timer without a name", `{"f":1,"type":"Timer","data":null}`, "command Timer has no id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := DecodeCommand([]byte(test.data))
			checkPlain(t, err, test.want)
		})
	}
}

// checkPlain fails the test unless the error says what is wanted, and is not about anything newer than this build.
func checkPlain(t *testing.T, err error, want string) {
	t.Helper()
	var unknown *UnknownError
	if err == nil || !strings.Contains(err.Error(), want) || errors.As(err, &unknown) {
		t.Errorf("error %v, want one with %q", err, want)
	}
}

func TestFieldsThatThisBuildDoesNotKnowArePassedOver(t *testing.T) {
	c, err := DecodeCommit([]byte(`{"f":1,"v":7,"more":{},"e":[{"type":"TimerFired","data":{"name":"t","more":1},"more":2}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := []Event{TimerFired{Name: "t"}}; c.Version != 7 || !reflect.DeepEqual(c.Events, want) {
		t.Errorf("the commit is %+v, want version 7 with %+v", c, want)
	}
}

func TestWhoeverOnlyWatchesIsGivenWhatIsKnownOfANewerCommit(t *testing.T) {
	for _, test := range []struct {
		data string
		want []Event // of version 7; nil for an error
	}{
		{`{"f":1,"v":7,"e":[{"type":"TimerFired","data":{"name":"t"}}]}`, []Event{TimerFired{Name: "t"}}},
		{`{"f":1,"v":7,"s":{"status":[]},"e":[{"type":"Levitated","data":{}},{"type":"TimerFired","data":{"name":"t"}},{"type":"Sunk","data":{}}]}`,
			[]Event{TimerFired{Name: "t"}}},
		{`{"f":99,"v":7,"e":[{"type":"TimerFired","data":{"name":"t"}}]}`, nil},
		{`{"f":1,"e":[{"type":"Levitated","data":{}}]}`, nil},
		{`{"f":1,"v":7}`, nil},
		{`7`, nil},
	} {
		c, err := DecodeKnown([]byte(test.data))
		if (err != nil) != (test.want == nil) || err == nil && (c.Version != 7 || !reflect.DeepEqual(c.Events, test.want)) {
			t.Errorf("%s: %+v, %v; want %+v", test.data, c, err, test.want)
		}
	}
}

func TestAnEndIsWhatACommitEndsWith(t *testing.T) {
	ends := []string{"SagaCompleted", "SagaCompensated", "SagaStuck", "SagaTerminated"}
	for name, e := range filledEvents() {
		if got, want := someCommit(SagaParked{}, e).Ends(), slices.Contains(ends, name); got != want {
			t.Errorf("a commit whose last event is %s ends the run: %v, want %v", name, got, want)
		}
		if someCommit(e, SagaStarted{}).Ends() {
			t.Errorf("a commit in which a new run follows %s ends the run", name)
		}
	}
}

func TestTheNamesOfActionsAreLowerCase(t *testing.T) {
	for kind, want := range map[ActionKind]string{
		0: "unknown", 255: "unknown", ActDrop + 1: "unknown",
		ActLoad: "load", ActAppend: "append", ActRun: "run", ActWait: "wait", ActFindStart: "find-start",
		ActAck: "ack", ActRetry: "retry", ActReject: "reject", ActDrop: "drop",
	} {
		if got := kind.String(); got != want {
			t.Errorf("action %d prints as %q, want %q", int(kind), got, want)
		}
	}
	for kind := ActLoad; kind <= ActDrop; kind++ {
		final := kind >= ActAck
		if got := (Action{Do: kind}).Final(); got != final {
			t.Errorf("%v is final: %v, want %v", kind, got, final)
		}
	}
}
