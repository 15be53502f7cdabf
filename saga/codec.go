package saga

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// Format is the number of the wire format of commits and commands that this build writes. It reads all up to
// it, and refuses higher ones with an [*UnknownError].
const Format = 1

// eventTypes and commandTypes are the wire names. They are written into histories that are kept for years: a
// name is never changed and never reused.
var (
	eventTypes = map[string]reflect.Type{
		"SagaStarted":         reflect.TypeFor[SagaStarted](),
		"ActivationClaimed":   reflect.TypeFor[ActivationClaimed](),
		"StepCompleted":       reflect.TypeFor[StepCompleted](),
		"StepFailed":          reflect.TypeFor[StepFailed](),
		"CompensationStarted": reflect.TypeFor[CompensationStarted](),
		"StepCompensated":     reflect.TypeFor[StepCompensated](),
		"CompensationFailed":  reflect.TypeFor[CompensationFailed](),
		"CancelRequested":     reflect.TypeFor[CancelRequested](),
		"TimerSet":            reflect.TypeFor[TimerSet](),
		"TimerFired":          reflect.TypeFor[TimerFired](),
		"TimerCancelled":      reflect.TypeFor[TimerCancelled](),
		"SagaParked":          reflect.TypeFor[SagaParked](),
		"SagaCompleted":       reflect.TypeFor[SagaCompleted](),
		"SagaCompensated":     reflect.TypeFor[SagaCompensated](),
		"SagaStuck":           reflect.TypeFor[SagaStuck](),
		"BranchTaken":         reflect.TypeFor[BranchTaken](),
		"TurnStarted":         reflect.TypeFor[TurnStarted](),
		"LoopEnded":           reflect.TypeFor[LoopEnded](),
		"BranchesJoined":      reflect.TypeFor[BranchesJoined](),
		"BlockFailed":         reflect.TypeFor[BlockFailed](),
		"ItemsFound":          reflect.TypeFor[ItemsFound](),
		"BranchTurned":        reflect.TypeFor[BranchTurned](),
		"ItemEnded":           reflect.TypeFor[ItemEnded](),
		"ItemsCollected":      reflect.TypeFor[ItemsCollected](),
		"WaitStarted":         reflect.TypeFor[WaitStarted](),
		"WaitEnded":           reflect.TypeFor[WaitEnded](),
		"SignalReceived":      reflect.TypeFor[SignalReceived](),
		"SignalTaken":         reflect.TypeFor[SignalTaken](),
		"SignalRefused":       reflect.TypeFor[SignalRefused](),
		"ChildStarted":        reflect.TypeFor[ChildStarted](),
		"ChildEnded":          reflect.TypeFor[ChildEnded](),
		"ChildRecalled":       reflect.TypeFor[ChildRecalled](),
		"AttributesChanged":   reflect.TypeFor[AttributesChanged](),
		"EmissionsPublished":  reflect.TypeFor[EmissionsPublished](),
		"CommandDismissed":    reflect.TypeFor[CommandDismissed](),
		"SagaPaused":          reflect.TypeFor[SagaPaused](),
		"SagaResumed":         reflect.TypeFor[SagaResumed](),
		"SagaTerminated":      reflect.TypeFor[SagaTerminated](),
		"UndoRequested":       reflect.TypeFor[UndoRequested](),
		"StepRetried":         reflect.TypeFor[StepRetried](),
		"StepSkipped":         reflect.TypeFor[StepSkipped](),
		"StepResolved":        reflect.TypeFor[StepResolved](),
		"SagaReset":           reflect.TypeFor[SagaReset](),
	}
	commandTypes = map[string]reflect.Type{
		"Start":     reflect.TypeFor[Start](),
		"Cancel":    reflect.TypeFor[Cancel](),
		"Timer":     reflect.TypeFor[Timer](),
		"Signal":    reflect.TypeFor[Signal](),
		"ChildDone": reflect.TypeFor[ChildDone](),
		"Undo":      reflect.TypeFor[Undo](),
		"Pause":     reflect.TypeFor[Pause](),
		"Resume":    reflect.TypeFor[Resume](),
		"Terminate": reflect.TypeFor[Terminate](),
		"Retry":     reflect.TypeFor[Retry](),
		"Skip":      reflect.TypeFor[Skip](),
		"Resolve":   reflect.TypeFor[Resolve](),
		"Reset":     reflect.TypeFor[Reset](),
	}
	eventNames   = invert(eventTypes)
	commandNames = invert(commandTypes)
)

func invert(types map[string]reflect.Type) map[reflect.Type]string {
	names := make(map[reflect.Type]string, len(types))
	for name, t := range types {
		names[t] = name
	}
	return names
}

// EventName gives an event's wire name.
func EventName(e Event) string { return eventNames[reflect.TypeOf(e)] }

// CommandName gives a command's wire name.
func CommandName(c Command) string { return commandNames[reflect.TypeOf(c)] }

// message is something with a type name, as written.
type message struct {
	Type string `json:"type"`
	Data any    `json:"data"`
}

// received is a message before its type is known.
type received struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// decode reads the data as the type that types has for the name, and gives a value of that type.
func (r received) decode(what string, types map[string]reflect.Type) (any, error) {
	t, ok := types[r.Type]
	if !ok {
		if r.Type == "" {
			return nil, fmt.Errorf("%s has no type", what)
		}
		return nil, &UnknownError{What: what, Name: r.Type}
	}
	v := reflect.New(t)
	if len(r.Data) == 0 {
		return nil, fmt.Errorf("%s %s has no data", what, r.Type)
	}
	if err := json.Unmarshal(r.Data, v.Interface()); err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, r.Type, err)
	}
	return v.Elem().Interface(), nil
}

// envelope is what commits and commands have in common, read first so that a newer format is named, not
// misread.
type envelope struct {
	Format int `json:"f"`
}

func (e envelope) check(what string) error {
	switch {
	case e.Format < 1:
		return fmt.Errorf("%s has no format number", what)
	case e.Format > Format:
		return &UnknownError{What: what + " format", Name: strconv.Itoa(e.Format)}
	}
	return nil
}

// wireCommit is a commit as written.
type wireCommit struct {
	envelope
	Version  uint64    `json:"v"`
	Time     time.Time `json:"t"`
	By       Owner     `json:"by"`
	Base     uint64    `json:"base,omitempty"`
	Keep     uint64    `json:"keep,omitempty"`
	Events   []message `json:"e"`
	Snapshot *Instance `json:"snap,omitempty"`
}

// EncodeCommit gives a commit's JSON. It fails only on an event type that is not registered and on a time past the
// year 9999, which are programming errors.
func EncodeCommit(c *Commit) ([]byte, error) { return AppendCommit(make([]byte, 0, usualCommit), c) }

// usualCommit is a size in bytes that most commits stay below.
const usualCommit = 512

// DecodeCommit reads a commit. An event type, or a format, that this build does not know gives an
// [*UnknownError]; anything else that is wrong gives a plain error.
func DecodeCommit(data []byte) (Commit, error) {
	var head envelope
	if err := json.Unmarshal(data, &head); err != nil {
		return Commit{}, fmt.Errorf("commit: %w", err)
	}
	if err := head.check("commit"); err != nil {
		return Commit{}, err
	}
	var w struct {
		wireCommit
		Events []received `json:"e"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return Commit{}, fmt.Errorf("commit: %w", err)
	}
	switch {
	case w.Version == 0:
		return Commit{}, errors.New("commit has no version")
	case len(w.Events) == 0:
		return Commit{}, errors.New("commit has no events")
	}
	c := Commit{Version: w.Version, Time: w.Time, By: w.By, Base: w.Base, Keep: w.Keep, Snapshot: w.Snapshot}
	c.Events = make([]Event, len(w.Events))
	for i, r := range w.Events {
		e, err := r.decode("event type", eventTypes)
		if err != nil {
			return Commit{}, fmt.Errorf("commit %d: %w", w.Version, err)
		}
		c.Events[i] = e.(Event)
	}
	return c, nil
}

// DecodeKnown reads a commit for those who only watch. Of what a newer build has written it gives what this one knows:
// events of other types are left out, and so is a snapshot that does not decode. The errors are those of [DecodeCommit].
func DecodeKnown(data []byte) (Commit, error) {
	c, err := DecodeCommit(data)
	var unknown *UnknownError
	if err == nil || !errors.As(err, &unknown) {
		return c, err
	}
	var w struct {
		Format  int               `json:"f"`
		Version uint64            `json:"v"`
		Time    time.Time         `json:"t"`
		Events  []json.RawMessage `json:"e"`
	}
	if failure := json.Unmarshal(data, &w); failure != nil || w.Format > Format || w.Version == 0 {
		return c, err
	}
	c = Commit{Version: w.Version, Time: w.Time}
	for _, e := range w.Events {
		one, failure := json.Marshal(struct {
			Format  int               `json:"f"`
			Version uint64            `json:"v"`
			Events  []json.RawMessage `json:"e"`
		}{w.Format, w.Version, []json.RawMessage{e}})
		if failure != nil {
			return c, err
		}
		if known, failure := DecodeCommit(one); failure == nil {
			c.Events = append(c.Events, known.Events...)
		}
	}
	return c, nil
}

// EncodeCommand gives a command's JSON.
func EncodeCommand(c Command) ([]byte, error) {
	name := CommandName(c)
	if name == "" {
		return nil, fmt.Errorf("command type %T has no wire name", c)
	}
	return json.Marshal(struct {
		envelope
		message
	}{envelope{Format}, message{name, c}})
}

// DecodeCommand reads a command. A kind, or a format, that this build does not know gives an [*UnknownError];
// anything else that is wrong gives a plain error.
func DecodeCommand(data []byte) (Command, error) {
	if start, ok := readPlainStart(data); ok {
		return start, nil
	}
	return decodeCommand(data)
}

// decodeCommand reads a command however it is written.
func decodeCommand(data []byte) (Command, error) {
	var w struct {
		envelope
		received
	}
	// A field of another type than expected does not keep the others from being decoded, so a newer format is named
	// even where it has changed its fields.
	if err := json.Unmarshal(data, &w); err != nil && w.Format <= Format {
		return nil, fmt.Errorf("command: %w", err)
	}
	if err := w.check("command"); err != nil {
		return nil, err
	}
	v, err := w.decode("command", commandTypes)
	if err != nil {
		return nil, err
	}
	c := v.(Command)
	if c.CommandID() == "" {
		return nil, fmt.Errorf("command %s has no id", w.Type)
	}
	return c, nil
}
