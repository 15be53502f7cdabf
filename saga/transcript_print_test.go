package saga_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

func printAction(action saga.Action) string {
	s := action.Do.String()
	switch action.Do {
	case saga.ActLoad:
		return s + map[saga.Consistency]string{saga.Any: " from any", saga.Latest: " from the leader"}[action.Consistency]
	case saga.ActAppend:
		return fmt.Sprintf("%s at %d\n%s", s, action.Revision, strings.TrimSuffix(printCommit(action.Commit), "\n"))
	case saga.ActRun:
		return fmt.Sprintf("%s %s on %s", s, printTask(action.Task), action.State.JSON())
	case saga.ActWait:
		return fmt.Sprintf("%s until %s", s, since(action.Until))
	case saga.ActFindStart:
		return fmt.Sprintf("%s of %s", s, action.Run)
	case saga.ActRetry:
		return fmt.Sprintf("%s in %v: %v", s, action.Delay, action.Reason)
	case saga.ActReject:
		return fmt.Sprintf("%s: %v", s, action.Reason)
	case saga.ActAsk:
		return fmt.Sprintf("%s %s on %s", s, printTask(action.Task), action.State.JSON())
	case saga.ActPublish:
		return fmt.Sprintf("%s %s", s, mustJSON(action.Emissions))
	case saga.ActTell:
		return fmt.Sprintf("%s %s: %s", s, action.Word.To, mustJSON(action.Word.Done))
	case saga.ActAck, saga.ActDrop:
	}
	for _, name := range slices.Sorted(maps.Keys(action.Rearm)) {
		s += fmt.Sprintf(", after setting %s at %s", name, since(action.Rearm[name].At))
	}
	return s
}

func printTask(t saga.Task) string {
	s := t.Step
	if t.Undo {
		s = "undo of " + s
	}
	s = fmt.Sprintf("%s, attempt %d", s, t.Attempt)
	if !t.NotBefore.IsZero() {
		s += ", not before " + since(t.NotBefore)
	}
	return s
}

func printCommit(c *saga.Commit) string {
	var out strings.Builder
	fmt.Fprintf(&out, "  %d. %s by %s, base %d", c.Version, since(c.Time), printOwner(c.By), c.Base)
	if c.Snapshot != nil {
		out.WriteString(", with a snapshot")
	}
	out.WriteByte('\n')
	for _, e := range c.Events {
		fmt.Fprintf(&out, "     %s\n", printEvent(e))
	}
	return out.String()
}

func printEvent(e saga.Event) string {
	data := string(mustJSON(e))
	if data == "{}" {
		return saga.EventName(e)
	}
	return saga.EventName(e) + " " + printTimes(data)
}

func printInstance(in *saga.Instance) string {
	if in.Version == 0 {
		return "nothing\n"
	}
	var out strings.Builder
	fmt.Fprintf(&out, "version %d: %s", in.Version, in.Status)
	if in.Parked {
		out.WriteString(", parked")
	}
	if len(in.Unsettled) > 0 {
		fmt.Fprintf(&out, ", unsettled %v", in.Unsettled)
	}
	if in.Owner != (saga.Owner{}) {
		fmt.Fprintf(&out, ", owned by %s", printOwner(in.Owner))
	}
	fmt.Fprintf(&out, "\n  run %s, state %s\n", in.Run, in.State.JSON())
	for name, s := range in.Steps.All() {
		fmt.Fprintf(&out, "  step %s: %s\n", name, printTimes(string(mustJSON(s))))
	}
	for _, name := range slices.Sorted(maps.Keys(in.Timers)) {
		fmt.Fprintf(&out, "  timer %s: %s\n", name, printTimes(string(mustJSON(in.Timers[name]))))
	}
	if in.Cancel != nil {
		fmt.Fprintf(&out, "  cancel: %s\n", mustJSON(in.Cancel))
	}
	if in.Failed != "" || in.Reason != "" || in.Error != "" {
		fmt.Fprintf(&out, "  failed %q, error %q, reason %q\n", in.Failed, in.Error, in.Reason)
	}
	fmt.Fprintf(&out, "  started %s, updated %s", since(in.StartedAt), since(in.UpdatedAt))
	if in.Ended() {
		fmt.Fprintf(&out, ", ended %s", since(in.EndedAt))
	}
	return out.String() + "\n"
}

// printOwner gives WORKER/COMMAND#DELIVERY, or COMMAND alone where no worker has it yet.
func printOwner(o saga.Owner) string {
	if o.Worker == "" {
		return o.Command
	}
	return fmt.Sprintf("%s/%s#%d", o.Worker, o.Command, o.Delivery)
}

// since prints a time as what has passed since the story began.
func since(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return "+" + t.Sub(storyTime).String()
}

var timeText = regexp.MustCompile(`"2030-01-[^"]*Z"`)

func printTimes(data string) string {
	return timeText.ReplaceAllStringFunc(data, func(quoted string) string {
		t, err := time.Parse(time.RFC3339Nano, strings.Trim(quoted, `"`))
		if err != nil {
			return quoted
		}
		return since(t)
	})
}

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
