package saga_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jetsaga/jetsaga/saga"
)

// read gives the end of the log as a Journal does.
func (w *world) read(upto uint64) (saga.Log, error) {
	log := saga.Log{Revision: upto}
	for i, data := range w.log[:upto] {
		c, err := saga.DecodeCommit(data)
		var unknown *saga.UnknownError
		switch {
		case errors.As(err, &unknown):
			return saga.Log{}, err
		case err != nil:
			return saga.Log{}, &saga.CorruptError{Key: theSaga, Err: fmt.Errorf("at revision %d: %w", i+1, err)}
		}
		if i == 0 || c.Snapshot != nil {
			log.Commits, log.Base = nil, uint64(i+1)
		}
		log.Commits = append(log.Commits, c)
	}
	return log, nil
}

// put appends an activation's commit, its timers first, provided the log still stands where it was decided on.
func (w *world) put(a *driven) (revision uint64, err error) {
	c := a.action.Commit
	data, err := saga.EncodeCommit(c)
	if err != nil {
		return 0, err
	}
	for _, e := range c.Events {
		if set, ok := e.(saga.TimerSet); ok {
			w.schedules[set.Name] = saga.Timer{Name: set.Name, Version: c.Version}
		}
	}
	if a.action.Revision != uint64(len(w.log)) {
		return 0, saga.ErrConflict
	}
	w.log = append(w.log, data)
	for _, e := range c.Events {
		if cancelled, ok := e.(saga.TimerCancelled); ok {
			delete(w.schedules, cancelled.Name)
		}
	}
	return uint64(len(w.log)), nil
}

func (w *world) fold() (*saga.Instance, error) {
	log, err := w.read(uint64(len(w.log)))
	if err != nil {
		return nil, err
	}
	return saga.Fold(theSaga, log.Commits)
}

func (w *world) commit(d directive) (string, error) {
	by, err := parseOwner(d.word(0))
	if err != nil {
		return "", err
	}
	events := make([]json.RawMessage, len(d.input))
	for i, line := range d.input {
		name, data, _ := strings.Cut(line, " ")
		events[i] = fmt.Appendf(nil, `{"type":%q,"data":%s}`, name, cmp.Or(data, "{}"))
	}
	data, err := json.Marshal(map[string]any{"f": saga.Format, "v": len(w.log) + 1, "t": w.now, "by": by, "e": events})
	if err != nil {
		return "", err
	}
	w.log = append(w.log, data)
	in, err := w.fold()
	if err != nil {
		return "", err
	}
	return printInstance(in), nil
}

func parseOwner(text string) (saga.Owner, error) {
	worker, rest, _ := strings.Cut(text, "/")
	command, delivery, ok := strings.Cut(rest, "#")
	if !ok {
		return saga.Owner{}, fmt.Errorf("owner %q is not WORKER/COMMAND#DELIVERY", text)
	}
	n, err := strconv.ParseUint(delivery, 10, 64)
	return saga.Owner{Worker: worker, Command: command, Delivery: n}, err
}

func (w *world) raw(d directive) (string, error) {
	for _, line := range d.input {
		w.log = append(w.log, []byte(line))
	}
	return "", nil
}

// checkBelief fails the test unless the log, folded from its beginning (where it has one) and from its last snapshot,
// tells what the activation that wrote its last commit believes.
func (w *world) checkBelief(a *driven) {
	w.t.Helper()
	believed := mustJSON(a.Instance())
	fromSnapshot, err := w.fold()
	if err != nil {
		w.t.Fatal(err)
	}
	tellings := map[string]*saga.Instance{"from its last snapshot": fromSnapshot}
	all := saga.NewInstance(theSaga)
	for _, data := range w.log {
		c, err := saga.DecodeCommit(data)
		if err != nil {
			w.t.Fatal(err)
		}
		if c.Version == 1 {
			tellings["from its beginning"] = all
		}
		c.Snapshot = nil
		all.Evolve(&c)
	}
	for how, told := range tellings {
		if got := mustJSON(told); !bytes.Equal(got, believed) {
			w.t.Errorf("%s believes\n%s\nthe log, folded %s, tells\n%s", a.name, believed, how, got)
		}
	}
}

func (w *world) printLog(d directive) (string, error) {
	from, err := d.number("from")
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for i, data := range w.log {
		if uint64(i+1) < from {
			continue
		}
		c, err := saga.DecodeCommit(data)
		if err != nil {
			fmt.Fprintf(&out, "%d: %v\n", i+1, err)
			continue
		}
		out.WriteString(printCommit(&c))
	}
	return out.String(), nil
}

func (w *world) printInstance(directive) (string, error) {
	in, err := w.fold()
	if err != nil {
		return fmt.Sprintf("%v\n", err), nil
	}
	return printInstance(in), nil
}

// printMachine prints what the pure rules say of the saga, whoever owns it.
func (w *world) printMachine(directive) (string, error) {
	in, err := w.fold()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	plan := w.plans[in.Definition]
	for _, t := range saga.Ready(plan, in, w.now) {
		fmt.Fprintf(&out, "ready: %s\n", printTask(t))
	}
	for _, e := range saga.Settle(plan, in, w.now, nil) {
		fmt.Fprintf(&out, "settles: %s\n", printEvent(e))
	}
	if out.Len() == 0 {
		return "nothing follows\n", nil
	}
	return out.String(), nil
}
