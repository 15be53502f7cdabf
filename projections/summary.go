package projections

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// Summary is what the read models keep of a saga. It says what the saga's log said a moment ago; what the saga's state
// is now, only the log tells.
type Summary struct {
	Key        saga.Key    `json:"-"`
	Run        string      `json:"run"`
	Definition int         `json:"definition"` // the definition's version
	Version    uint64      `json:"version"`    // of the last commit; 0 while no worker has taken the saga up
	Status     saga.Status `json:"status"`
	Parked     bool        `json:"parked,omitempty"`
	Paused     bool        `json:"paused,omitempty"`
	// Step is the last step that the log tells of, Attempt the number of its last attempt that ended, and Failures how
	// many attempts of any step or undo have failed in this run.
	Step     string `json:"step,omitempty"`
	Attempt  int    `json:"attempt,omitempty"`
	Failures int    `json:"failures,omitempty"`
	// Error is the text of the error that turned the saga around, or that it ended with, and LastError that of the last
	// attempt that failed, until a step completes.
	Error      string            `json:"error,omitempty"`
	LastError  string            `json:"last_error,omitempty"`
	Reason     saga.Reason       `json:"reason,omitempty"` // why it was undone
	Attributes map[string]string `json:"attributes,omitempty"`
	StartedAt  time.Time         `json:"started_at"`
	UpdatedAt  time.Time         `json:"updated_at"`
	EndedAt    time.Time         `json:"ended_at,omitzero"`
	// Steps are the attempts of steps that ended, by the steps' names, of all runs.
	Steps map[string]StepTotals `json:"steps,omitempty"`
	// Damaged tells that part of the log could not be read, and why: the rest may be misleading.
	Damaged string `json:"damaged,omitempty"`

	waiting bool   // a Start has come that no commit has followed
	foreign string // the token of what Redis has in its place, and what is no summary: nothing else is known of it
}

// StepTotals are how attempts of a step ended, and of its undo.
type StepTotals struct {
	Completed  Tally `json:"completed,omitzero"`
	Failed     Tally `json:"failed,omitzero"`
	Undone     Tally `json:"undone,omitzero"`
	UndoFailed Tally `json:"undo_failed,omitzero"`
}

// Tally is a number of attempts and the time that they took together.
type Tally struct {
	Count int64         `json:"count"`
	Took  time.Duration `json:"took_ns"`
}

func (t *Tally) add(took time.Duration) { t.Count, t.Took = t.Count+1, t.Took+took }

// maxText is how many bytes of an error are kept.
const maxText = 512

// token names the state of the summary for a compare-and-set: the version, and whether a Start has come since.
func (s *Summary) token() string {
	switch {
	case s == nil:
		return ""
	case s.foreign != "":
		return s.foreign
	case s.waiting:
		return strconv.FormatUint(s.Version, 10) + "+"
	default:
		return strconv.FormatUint(s.Version, 10)
	}
}

// foreignToken gives the token of what is no summary, as the script sees it.
func foreignToken(value string) string {
	if end := strings.IndexAny(value, " \t\n\v\f\r"); end > 0 {
		return value[:end]
	}
	return value
}

// readable reports whether there is a summary, and it could be read.
func (s *Summary) readable() bool { return s != nil && s.foreign == "" }

// clone gives a copy that shares nothing that changes; of nil, nil.
func (s *Summary) clone() *Summary {
	if s == nil {
		return nil
	}
	c := *s
	c.Steps = maps.Clone(s.Steps)
	return &c
}

// start takes note of a Start command, if it is one that a worker has yet to take up.
func (s *Summary) start(c saga.Start) {
	again := s.Version > 0 && s.Status.Ended() && c.Previous == s.Run && c.Run != s.Run
	if s.Version > 0 && !again || s.waiting {
		return
	}
	s.begin(c.Run, c.Definition, c.Attributes)
	s.Status, s.StartedAt, s.UpdatedAt, s.waiting = saga.StatusPending, c.Time, c.Time, true
}

// begin forgets the run before.
func (s *Summary) begin(run string, definition int, attributes map[string]string) {
	*s = Summary{Key: s.Key, Version: s.Version, Steps: s.Steps, Damaged: s.Damaged,
		Run: run, Definition: definition, Attributes: attributes}
}

// apply takes note of a commit, which follows the one before or has a snapshot.
func (s *Summary) apply(c *saga.Commit) {
	s.waiting = false
	for _, e := range c.Events {
		s.event(e, c.Time)
	}
	if c.Snapshot != nil {
		s.restore(c.Snapshot)
	}
	s.Error, s.LastError = cut(s.Error), cut(s.LastError)
	s.Version, s.UpdatedAt = c.Version, c.Time
}

// restore takes from a snapshot what it tells, which is the saga as it is after the commit.
func (s *Summary) restore(in *saga.Instance) {
	s.Run, s.Definition, s.Status, s.Parked, s.Paused = in.Run, in.Definition, in.Status, in.Parked, in.Paused
	s.Reason, s.Attributes, s.StartedAt, s.EndedAt = in.Reason, in.Attributes, in.StartedAt, in.EndedAt
	s.Error = in.Error
}

// event follows what saga.Instance does with an event, as far as a summary tells of it.
func (s *Summary) event(event saga.Event, at time.Time) {
	switch e := event.(type) {
	case saga.SagaStarted:
		s.begin(e.Run, e.Definition, e.Attributes)
		s.Status, s.StartedAt = saga.StatusRunning, at
	case saga.StepCompleted:
		s.attempt(e.Step, e.Attempt, func(t *StepTotals) { t.Completed.add(e.Took) })
		s.LastError = ""
	case saga.StepFailed:
		s.failed(e.Step, e.Attempt, e.Failure, func(t *StepTotals) { t.Failed.add(e.Took) })
	case saga.StepCompensated:
		s.attempt(e.Step, e.Attempt, func(t *StepTotals) { t.Undone.add(e.Took) })
		s.LastError = ""
	case saga.CompensationFailed:
		s.failed(e.Step, e.Attempt, e.Failure, func(t *StepTotals) { t.UndoFailed.add(e.Took) })
	case saga.CompensationStarted:
		s.Status, s.Reason, s.Error = saga.StatusCompensating, e.Reason, e.Error
	case saga.CancelRequested:
		s.Parked = false
	case saga.TimerFired, saga.SignalReceived, saga.ChildEnded:
		s.Parked = s.Parked && s.Paused
	case saga.SagaParked:
		s.Parked = true
	case saga.SagaCompleted:
		s.end(saga.StatusCompleted, at)
	case saga.SagaCompensated:
		s.end(saga.StatusCompensated, at)
	case saga.SagaStuck:
		s.Error = e.Error
		s.end(saga.StatusStuck, at)
	case saga.AttributesChanged:
		s.Attributes = e.Values
	default:
		s.order(event, at)
	}
}

// order is event for what operators cause.
func (s *Summary) order(event saga.Event, at time.Time) {
	switch e := event.(type) {
	case saga.SagaPaused:
		s.Paused = true
	case saga.SagaResumed:
		s.Paused, s.Parked = false, false
	case saga.SagaTerminated:
		s.Error = e.Reason
		s.end(saga.StatusTerminated, at)
	case saga.UndoRequested:
		s.Reason = saga.ReasonUndone
		s.reopen()
		s.Error = e.Order.Reason //nolint:staticcheck // beside the summary's reason, which is another
	case saga.StepRetried, saga.StepSkipped, saga.StepResolved:
		s.reopen()
	case saga.SagaReset:
		s.Status, s.Reason, s.Error, s.EndedAt = saga.StatusRunning, "", "", time.Time{}
		s.Parked, s.Paused = false, false
		if e.Saga != nil {
			s.Definition = e.Saga.Definition
		}
	}
}

func (s *Summary) end(status saga.Status, at time.Time) {
	s.Status, s.EndedAt, s.Parked = status, at, false
}

// reopen lets a saga go on that had ended, in the direction that it had.
func (s *Summary) reopen() {
	if s.Status.Ended() {
		s.Status, s.EndedAt, s.Error = saga.StatusRunning, time.Time{}, ""
		if s.Reason != "" {
			s.Status = saga.StatusCompensating
		}
	}
	s.Parked = false
}

// failed takes note of an attempt that failed; one that was put off does not count.
func (s *Summary) failed(key string, number int, f saga.Failure, add func(*StepTotals)) {
	s.LastError = f.Error
	if f.PutOff > 0 {
		s.Step, s.Attempt = key, number
		return
	}
	s.attempt(key, number, add)
	s.Failures++
}

// attempt takes note of an attempt that ended.
func (s *Summary) attempt(key string, number int, add func(*StepTotals)) {
	s.Step, s.Attempt = key, number
	name := saga.StepName(key)
	totals := s.Steps[name]
	add(&totals)
	if s.Steps == nil {
		s.Steps = map[string]StepTotals{}
	}
	s.Steps[name] = totals
}

// cut shortens text to what is kept of it.
func cut(text string) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}

// stored is a summary as it is written.
type stored struct {
	Run        string             `json:"r"`
	Definition int                `json:"d,omitempty"`
	Status     saga.Status        `json:"s"`
	Parked     bool               `json:"p,omitempty"`
	Paused     bool               `json:"h,omitempty"`
	Step       string             `json:"k,omitempty"`
	Attempt    int                `json:"n,omitempty"`
	Failures   int                `json:"f,omitempty"`
	Error      string             `json:"e,omitempty"`
	LastError  string             `json:"l,omitempty"`
	Reason     saga.Reason        `json:"y,omitempty"`
	Attributes map[string]string  `json:"a,omitempty"`
	StartedAt  int64              `json:"t"` // nanoseconds since 1970
	UpdatedAt  int64              `json:"u"`
	EndedAt    int64              `json:"x,omitempty"`
	Steps      map[string][]int64 `json:"z,omitempty"` // counts and times in the order of StepTotals
	Damaged    string             `json:"w,omitempty"`
}

// encode gives the summary as it is written: its token, a space, JSON.
func (s *Summary) encode() (string, error) {
	w := stored{
		Run: s.Run, Definition: s.Definition, Status: s.Status, Parked: s.Parked, Paused: s.Paused, Step: s.Step,
		Attempt: s.Attempt, Failures: s.Failures, Error: s.Error, LastError: s.LastError, Reason: s.Reason, Attributes: s.Attributes,
		StartedAt: s.StartedAt.UnixNano(), UpdatedAt: s.UpdatedAt.UnixNano(), Damaged: s.Damaged,
	}
	if !s.EndedAt.IsZero() {
		w.EndedAt = s.EndedAt.UnixNano()
	}
	if len(s.Steps) > 0 {
		w.Steps = make(map[string][]int64, len(s.Steps))
		for name, t := range s.Steps {
			row := []int64{
				t.Completed.Count, int64(t.Completed.Took), t.Failed.Count, int64(t.Failed.Took),
				t.Undone.Count, int64(t.Undone.Took), t.UndoFailed.Count, int64(t.UndoFailed.Took),
			}
			for len(row) > 0 && row[len(row)-1] == 0 {
				row = row[:len(row)-1]
			}
			w.Steps[name] = row
		}
	}
	body, err := json.Marshal(w)
	if err != nil {
		return "", fmt.Errorf("saga %s: encoding its summary: %w", s.Key, err)
	}
	return s.token() + " " + string(body), nil
}

// decodeSummary reads what encode has written.
func decodeSummary(key saga.Key, value string) (*Summary, error) {
	token, body, ok := strings.Cut(value, " ")
	version, waiting := strings.CutSuffix(token, "+")
	number, err := strconv.ParseUint(version, 10, 64)
	if !ok || err != nil {
		return nil, fmt.Errorf("saga %s: its summary %.40q does not begin with a version", key, value)
	}
	var w stored
	if err := json.Unmarshal([]byte(body), &w); err != nil {
		return nil, fmt.Errorf("saga %s: its summary: %w", key, err)
	}
	s := &Summary{
		Key: key, Run: w.Run, Definition: w.Definition, Version: number, Status: w.Status, Parked: w.Parked, Paused: w.Paused,
		Step: w.Step, Attempt: w.Attempt, Failures: w.Failures, Error: w.Error, LastError: w.LastError, Reason: w.Reason, Attributes: w.Attributes,
		StartedAt: time.Unix(0, w.StartedAt).UTC(), UpdatedAt: time.Unix(0, w.UpdatedAt).UTC(), Damaged: w.Damaged,
		waiting: waiting,
	}
	if w.EndedAt != 0 {
		s.EndedAt = time.Unix(0, w.EndedAt).UTC()
	}
	if len(w.Steps) > 0 {
		s.Steps = make(map[string]StepTotals, len(w.Steps))
		for name, row := range w.Steps {
			row = append(slices.Clip(row), make([]int64, 8)...)
			s.Steps[name] = StepTotals{
				Tally{row[0], time.Duration(row[1])}, Tally{row[2], time.Duration(row[3])},
				Tally{row[4], time.Duration(row[5])}, Tally{row[6], time.Duration(row[7])},
			}
		}
	}
	return s, nil
}

// summarize gives the summary of all that is stored of a saga, nil where that is nothing. What cannot be read is passed
// over and told of in Damaged.
func summarize(key saga.Key, records []Record) *Summary { //nolint:gocognit // one case for each event
	slices.SortStableFunc(records, func(a, b Record) int {
		switch {
		case a.Sequence < b.Sequence:
			return -1
		case a.Sequence > b.Sequence:
			return 1
		}
		return 0
	})
	if i := slices.IndexFunc(records, func(r Record) bool { return r.Purged }); i >= 0 {
		records = records[i+1:]
	}
	// The log of a saga that never ends begins with what cannot be read by itself, once it was compacted.
	var commits []saga.Commit
	first := -1
	damaged := ""
	decoded := make([]int, len(records)) // index into commits, or -1
	for i := range records {
		decoded[i] = -1
		if !records[i].Commit {
			continue
		}
		c, err := saga.DecodeKnown(records[i].Data)
		if err != nil {
			damaged = cut(err.Error())
			continue
		}
		decoded[i] = len(commits)
		if first < 0 && (c.Version == 1 || c.Snapshot != nil) {
			first = len(commits)
		}
		commits = append(commits, c)
	}
	if first < 0 {
		first = 0
	}
	var s *Summary
	for i := range records {
		if !records[i].Commit {
			if start, ok := decodeStart(records[i].Data); ok {
				if s == nil {
					s = &Summary{Key: key}
				}
				s.start(start)
			}
			continue
		}
		at := decoded[i]
		if at < first {
			continue
		}
		c := &commits[at]
		switch {
		case s == nil:
			s = &Summary{Key: key}
		case c.Version <= s.Version:
			continue
		}
		if c.Version != s.Version+1 && c.Snapshot == nil && damaged == "" {
			damaged = fmt.Sprintf("the log has a hole before version %d", c.Version)
		}
		s.apply(c)
	}
	if s != nil {
		s.Damaged = damaged
	}
	return s
}

// decodeStart reads a Start; ok is false for any other command.
func decodeStart(data []byte) (saga.Start, bool) {
	c, err := saga.DecodeCommand(data)
	if err != nil {
		return saga.Start{}, false
	}
	start, ok := c.(saga.Start)
	return start, ok
}
